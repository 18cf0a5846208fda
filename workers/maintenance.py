"""The process that keeps the promise: it finds what was lost, due, expired or not yet told.

``python -m workers.maintenance`` or ``llm-jobs maintenance``. Two copies do no harm.
"""

import logging
import signal
import sys
import threading
import time
from types import FrameType

from app import log
from app.settings import Settings, SettingsError, load
from app.store.database import open_database
from queues.connection import connect_quick
from queues.dispatch import Dispatcher
from workers.relay import Relay

logger = logging.getLogger(__name__)

TICK_S = 1.0


def build(settings: Settings) -> Relay:
    """The relay for these settings; nothing is opened yet."""
    return Relay(
        open_database(settings.database_url, connect_timeout_s=3, pool_size=2),
        connect_quick(settings.redis_dsn),
        Dispatcher(
            settings.redis_dsn,
            job_timeout_s=settings.queue_job_timeout_s,
            failure_ttl_s=settings.retention_days * 86_400,
        ),
    )


def run(relay: Relay, stop: threading.Event) -> None:
    """Tick each second until told to stop. No error ends the loop."""
    while not stop.is_set():
        started = time.monotonic()
        relay.tick()
        stop.wait(max(0.05, TICK_S - (time.monotonic() - started)))


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = load()
    except SettingsError as error:
        sys.exit(f"The settings are wrong:\n{error}")
    log.configure(settings)
    stop = threading.Event()

    def ask_to_stop(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    logger.info("maintenance started")
    run(build(settings), stop)
    logger.info("maintenance stopped")


if __name__ == "__main__":
    main()
