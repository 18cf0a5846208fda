"""What RQ's own commands read: ``RQ_CONFIG=workers.rq_settings`` (RQ takes the upper-case names).

Importing it also makes RQ safe in the process: see ``queues.tickets``.
"""

import sys

import rq.cli.workers

import queues.tickets  # noqa: F401 - makes RQ safe in this process
from app.job_types.registry import all_job_types
from app.settings import SettingsError, load

# `rq worker` ends at once while RQ is suspended; its loop, reached this way, waits instead.
rq.cli.workers.is_suspended = lambda *_arguments: False  # type: ignore[attr-defined]  # the point

try:
    _settings = load()
except SettingsError as error:
    sys.exit(f"The settings are wrong:\n{error}")

REDIS_URL = _settings.redis_dsn
QUEUES = [job_type.queue for job_type in all_job_types().values()]
REDIS_TIMEOUT_S = _settings.redis_timeout_s
