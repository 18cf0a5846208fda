"""``llm-jobs list``: the newest jobs."""

from itertools import islice

import click

from app.jobs.status import JobStatus
from workers.cli.api_client import connect, json_option, url_option
from workers.cli.output import JOB_COLUMNS, job_row, print_json, print_table

_LARGEST_PAGE = 100


@click.command("list")
@click.option("--status", type=click.Choice([str(status) for status in JobStatus]))
@click.option("--type", "job_type", metavar="TYPE")
@click.option("--user-id", type=int)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@url_option
@json_option
def command(
    status: str | None,
    job_type: str | None,
    user_id: int | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    with connect(url) as api:
        pages = api.pages(
            "/llm_jobs",
            status=status,
            job_type=job_type,
            user_id=user_id,
            limit=min(limit, _LARGEST_PAGE),
        )
        jobs = list(islice(pages, limit))
    if as_json:
        print_json(jobs)
    elif jobs:
        print_table(JOB_COLUMNS, [job_row(job) for job in jobs])
    else:
        click.echo("No jobs.", err=True)
