"""``llm-jobs submit``: one job from the command line, or many from a file of JSON lines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

import click

from queues.names import PRIORITIES
from workers.cli.api_client import ApiClient, connect, json_option, url_option
from workers.cli.environment import RefusedError
from workers.cli.output import JOB_COLUMNS, compact, job_row, print_json, print_table, progress
from workers.cli.payload import parse_lines, parse_pairs
from workers.cli.wait import wait_for

_JOBS_PER_CALL = 1_000


@click.command("submit")
@click.argument("job_type", metavar="TYPE", required=False)
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1)
@click.option("--file", "file", type=click.File(encoding="utf-8"), metavar="JOBS.JSONL")
@click.option("--user-id", type=int, help="Whose job it is; it gets the notification.")
@click.option("--priority", type=click.Choice(PRIORITIES))
@click.option("--run-at", metavar="TIME", help="Not before this time, RFC 3339 with an offset.")
@click.option("--max-attempts", type=int, help="Failures after which it ends `failed`.")
@click.option("--idempotency-key", metavar="KEY", help="The same key submits one job only.")
@click.option("--wait", is_flag=True, help="Wait for the result; exit 1 unless all completed.")
@click.option("--timeout", "timeout_s", type=float, default=3600.0, show_default=True, help="s")
@url_option
@json_option
def command(
    job_type: str | None,
    pairs: tuple[str, ...],
    file: TextIO | None,
    user_id: int | None,
    priority: str | None,
    run_at: str | None,
    max_attempts: int | None,
    idempotency_key: str | None,
    wait: bool,
    timeout_s: float,
    url: str | None,
    as_json: bool,
) -> None:
    """Submit a job of TYPE with a payload of KEY=VALUE words, or the jobs of a file.

    A VALUE is JSON if it parses, else a string; @FILE reads a file, @@ stands for @.

    \b
    llm-jobs submit intent_classify query="remind me to call mum tomorrow" --user-id 1 --wait
    llm-jobs submit email_extract subject=Lunch body=@mail.txt
    llm-jobs submit --file jobs.jsonl          (lines of {"job_type": …, "payload": {…}})
    """  # noqa: D301 - the backspace is click's mark for "do not re-wrap"
    fields = {
        "user_id": user_id,
        "priority": priority,
        "run_at": run_at and _aware_time(run_at),
        "max_attempts": max_attempts,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if (file is None) == (job_type is None):
        raise click.UsageError("give a TYPE with KEY=VALUE words, or --file")
    if file is not None and idempotency_key:
        raise click.UsageError("--idempotency-key is for one job; a file's lines have their own")
    with connect(url) as api:
        if file is not None:
            _submit_file(api, file, given, timeout_s if wait else None, as_json)
        else:
            body = {"job_type": job_type, "payload": parse_pairs(pairs), **given}
            _submit_one(api, body, idempotency_key, timeout_s if wait else None, as_json)


def _aware_time(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError("--run-at: write it like 2030-01-31T09:00:00+01:00") from None
    # A time without an offset is the one on this machine's clock, as a person means it.
    return (time if time.tzinfo else time.astimezone()).isoformat()


def _submit_one(
    api: ApiClient,
    body: Mapping[str, Any],
    idempotency_key: str | None,
    wait_s: float | None,
    as_json: bool,
) -> None:
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    job = api.post("/llm_jobs", body, headers)
    if wait_s is not None:
        [job] = wait_for(api, [job["id"]], wait_s)
    if as_json:
        print_json(job)
    else:
        print_table(JOB_COLUMNS, [job_row(job)])
        if job["result"] is not None:
            click.echo(compact(job["result"]))
    if wait_s is not None:
        _insist_on_completed([job])


def _submit_file(
    api: ApiClient,
    file: TextIO,
    defaults: Mapping[str, Any],
    wait_s: float | None,
    as_json: bool,
) -> None:
    lines = list(parse_lines(file, defaults))
    job_ids, errors = _send(api, lines)
    jobs = [] if wait_s is None else wait_for(api, job_ids, wait_s)
    if as_json:
        print_json({"accepted": len(job_ids), "jobs": jobs or job_ids, "errors": errors})
    else:
        click.echo(f"{len(job_ids)} of {len(lines)} jobs accepted")
        if jobs:
            print_table(JOB_COLUMNS, [job_row(job) for job in jobs])
        for error in errors:
            click.echo(f"line {error['line']}: {error['detail']} ({error['code']})", err=True)
    if errors:
        raise RefusedError(f"{len(errors)} of {len(lines)} jobs were refused")
    _insist_on_completed(jobs)


def _send(
    api: ApiClient, lines: Sequence[tuple[int, str]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Ids of accepted jobs, and the errors with the numbers of their lines in the file."""
    job_ids: list[str] = []
    errors: list[dict[str, Any]] = []
    starts = range(0, len(lines), _JOBS_PER_CALL)
    with progress("submitting", len(starts)) as advance:
        for start in starts:
            chunk = lines[start : start + _JOBS_PER_CALL]
            answer = api.post_lines("/llm_jobs/batch", [line for _, line in chunk])
            job_ids += answer["jobs"]
            errors += [{"line": chunk[e["index"]][0], **e} for e in answer["errors"]]
            advance(f"{len(job_ids)} accepted")
    return job_ids, errors


def _insist_on_completed(jobs: Sequence[Mapping[str, Any]]) -> None:
    others = [job for job in jobs if job["status"] != "completed"]
    if others:
        states = ", ".join(f"{job['id']} is {job['status']}" for job in others[:5])
        raise RefusedError(f"{len(others)} of {len(jobs)} jobs did not complete: {states}")
