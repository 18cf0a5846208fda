"""Logs: one line per event on standard output, JSON for machines or text for people.

Keys: ``timestamp level message module`` and what the event adds, such as ``job_id``. Payloads,
prompts, answers and keys are never given to a logger.
"""

import logging
import sys
from typing import Any

import structlog

from app.settings import Settings

_QUIET = ("urllib3", "alembic", "PIL")
_RQ = ("rq.worker", "rq.job")


def configure(settings: Settings) -> None:
    """Send the process's logs, those of libraries included, to standard output."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_module,
    ]
    renderer: Any
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
        final = [structlog.processors.EventRenamer("message"), renderer]
    else:
        final = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    handler = logging.StreamHandler(sys.stdout)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove, *final])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _RQ:
        # RQ's command line gives them handlers of its own; one format for the whole process.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_module(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    record = event.get("_record")
    if record is not None:
        event["module"] = record.name
    return event
