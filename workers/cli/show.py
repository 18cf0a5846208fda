"""``llm-jobs show``: one job with its history."""

from typing import Any
from urllib.parse import quote

import click

from workers.cli.api_client import connect, json_option, url_option
from workers.cli.output import compact, print_json, print_table

_FIELDS_AS_JSON = ("payload", "result", "metadata", "usage")


@click.command("show")
@click.argument("job_id", metavar="ID")
@url_option
@json_option
def command(job_id: str, url: str | None, as_json: bool) -> None:
    """Show a job, its transitions and its attempts."""
    path = f"/llm_jobs/{quote(job_id, safe='')}"
    with connect(url) as api:
        job = api.get(path)
        history = api.get(f"{path}/history")
    if as_json:
        print_json({**job, "history": history})
        return
    print_table(("field", "value"), [(name, _shown(name, job[name])) for name in job])
    _print_history(history)


def _shown(name: str, value: object) -> str:
    if name in _FIELDS_AS_JSON:
        return compact(value)
    return "" if value is None else str(value)


def _print_history(history: dict[str, Any]) -> None:
    moves = [
        (move["at"], move["from"] or "", move["to"], move["attempt"], move["actor"], move["reason"])
        for move in history["transitions"]
    ]
    print_table(("at", "from", "to", "attempt", "actor", "reason"), moves, title="Transitions")
    attempts = [
        (
            attempt["attempt"],
            attempt["worker"],
            attempt["started_at"],
            attempt["finished_at"],
            attempt["outcome"],
            attempt["error_code"],
            attempt["model"],
        )
        for attempt in history["attempts"]
    ]
    columns = ("attempt", "worker", "started", "finished", "outcome", "error", "model")
    if attempts:
        print_table(columns, attempts, title="Attempts")
