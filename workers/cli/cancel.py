"""``llm-jobs cancel``: ends jobs that are queued or running."""

import click

from workers.cli.api_client import connect, json_option, url_option
from workers.cli.retry import act


@click.command("cancel")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@url_option
@json_option
def command(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Cancel jobs. The answer of one that runs is thrown away."""
    with connect(url) as api:
        act(api, "cancel", list(job_ids), as_json)
