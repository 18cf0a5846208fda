"""``llm-jobs retry``: opens failed jobs again."""

from urllib.parse import quote

import click

from workers.cli.api_client import ApiClient, connect, json_option, url_option
from workers.cli.environment import RefusedError
from workers.cli.output import print_json, progress


@click.command("retry")
@click.argument("job_ids", metavar="ID...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every job that is `failed`.")
@click.option("--type", "job_type", metavar="TYPE", help="With --failed: of this type only.")
@url_option
@json_option
def command(
    job_ids: tuple[str, ...], failed: bool, job_type: str | None, url: str | None, as_json: bool
) -> None:
    """Queue jobs again that are `failed` or `error`; each gets one more attempt."""
    if failed == bool(job_ids):
        raise click.UsageError("give the IDs of jobs, or --failed")
    if job_type and not failed:
        raise click.UsageError("--type goes with --failed")
    with connect(url) as api:
        chosen = _all_failed(api, job_type) if failed else list(job_ids)
        act(api, "retry", chosen, as_json)


def _all_failed(api: ApiClient, job_type: str | None) -> list[str]:
    # Read to the end first: each retry takes a job out of the list that is being paged through.
    pages = api.pages("/llm_jobs", status="failed", job_type=job_type, limit=100)
    return [job["id"] for job in pages]


def act(api: ApiClient, verb: str, job_ids: list[str], as_json: bool) -> None:
    """POST ``verb`` for each job; what is refused is told at the end and stops none of the rest."""
    jobs, refused = [], []
    with progress(verb, len(job_ids)) as advance:
        for job_id in job_ids:
            try:
                jobs.append(api.post(f"/llm_jobs/{quote(job_id, safe='')}/{verb}"))
                advance(f"{job_id} {jobs[-1]['status']}")
            except RefusedError as error:
                refused.append({"id": job_id, "detail": error.message})
                advance(f"{job_id} refused")
    if as_json:
        print_json({"jobs": jobs, "refused": refused})
    elif not job_ids:
        click.echo("No jobs.", err=True)
    if refused:
        lines = "\n".join(f"  {entry['id']}: {entry['detail']}" for entry in refused)
        raise RefusedError(f"{len(refused)} of {len(job_ids)} refused:\n{lines}")
