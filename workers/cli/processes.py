"""The command lines of the processes that make up llm-jobs, and what their environment needs."""

import sys
from collections.abc import Sequence

from app.settings import Settings

RQ_ENVIRONMENT = {
    "RQ_CONFIG": "workers.rq_settings",
    "RQ_WORKER_CLASS": "workers.worker.LLMWorker",
}
"""What RQ's own command line reads; with it plain ``rq`` commands need no flag."""

STAND_IN_MODEL = "stand-in"
"""The one model that the stand-in lists."""

# A long poll (``?wait=60``) may be under way when the server is asked to stop.
_GRACEFUL_TIMEOUT_S = 65


def web(settings: Settings) -> list[str]:
    """Gunicorn with threads: most of a request is waiting for SQL, Redis or a long poll."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return _module(
        "gunicorn",
        f"--bind={host}:{settings.port}",
        "--worker-class=gthread",
        f"--workers={settings.web_workers}",
        f"--threads={settings.web_threads}",
        f"--graceful-timeout={_GRACEFUL_TIMEOUT_S}",
        "--no-control-socket",
        "app.wsgi:create()",
    )


def worker(queues: Sequence[str], *, pool_size: int = 1, burst: bool = False) -> list[str]:
    """Plain ``rq worker``, or a pool of them; to be run with ``RQ_ENVIRONMENT``."""
    options = ["--burst"] if burst else []
    if pool_size > 1:
        return _module("rq.cli", "worker-pool", *queues, f"--num-workers={pool_size}", *options)
    return _module("rq.cli", "worker", *options, *queues)


def maintenance() -> list[str]:
    """The relay: one process, always up."""
    return _module("workers.maintenance")


def stand_in(port: int) -> list[str]:
    """The server that stands in for an LLM; ``stand_in_url`` is where it answers."""
    return _module("demo.stand_in_llm", "--port", str(port))


def stand_in_url(port: int) -> str:
    """The ``LLM_BASE_URL`` of a stand-in on ``port``."""
    return f"http://127.0.0.1:{port}/v1"


def _module(name: str, *arguments: str) -> list[str]:
    # This very interpreter: its packages are found without an activated environment.
    return [sys.executable, "-m", name, *arguments]
