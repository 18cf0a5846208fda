"""``llm-jobs job-types``: what may be submitted; needs no server."""

from typing import Any

import click

from app.job_types.registry import AnyJobType, all_job_types
from workers.cli.api_client import json_option
from workers.cli.output import print_json, print_table


@click.command("job-types")
@json_option
def command(as_json: bool) -> None:
    """List the job types with their queues and payload fields."""
    job_types = all_job_types().values()
    if as_json:
        print_json([_described(job_type) for job_type in job_types])
        return
    rows = [
        (job_type.name, job_type.queue, job_type.notification, _fields(job_type))
        for job_type in job_types
    ]
    print_table(("job type", "queue", "notification", "payload (* is required)"), rows)


def _fields(job_type: AnyJobType) -> str:
    """One line a field: its name, a star if it is required, what it holds."""
    schema = job_type.payload_model.model_json_schema()
    required = schema.get("required", [])
    return "\n".join(
        f"{name}{'*' if name in required else ''}: {_kind(field)}"
        for name, field in schema.get("properties", {}).items()
    )


def _kind(field: dict[str, Any]) -> str:
    options = field.get("anyOf", [field])
    names = [option.get("format") or option.get("type") or "object" for option in options]
    return " or ".join(name for name in names if name != "null")


def _described(job_type: AnyJobType) -> dict[str, Any]:
    answer = job_type.answer_model
    return {
        "name": job_type.name,
        "queue": job_type.queue,
        "notification": job_type.notification,
        "payload": job_type.payload_model.model_json_schema(),
        "answer": answer.model_json_schema() if answer else None,
    }
