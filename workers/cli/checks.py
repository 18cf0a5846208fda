"""The doctor's checks. Each looks, changes nothing, and gives a finding; none raises."""

import os
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError
from rq import Worker

from app.errors import DatabaseUnavailableError
from app.store import job_queries, migrate
from queues.connection import connect_quick
from workers.cli.api_client import ApiClient
from workers.cli.environment import RefusedError, UnreachableError
from workers.cli.findings import Finding, Place
from workers.cli.llm_check import check_llm
from workers.cli.output import without_login

_OLDEST_REDIS = (6, 2)
_OLDEST_TICK_S = 10.0


def check_settings(_place: Place) -> Finding:
    """Valid: they have been read."""
    return Finding("settings", "ok", "valid")


def check_database(place: Place) -> Finding:
    """Reachable, and its schema the one of this release."""
    if place.missing_file:
        return Finding("database", "fail", f"no file {place.missing_file}", "llm-jobs migrate")
    database = place.database()
    try:
        current, head = migrate.current(database), migrate.head()
    except DatabaseUnavailableError:
        return Finding("database", "fail", "does not answer", "start it, or correct DATABASE_URL")
    if current != head:
        text = f"its schema is {current or 'empty'}, this release needs {head}"
        return Finding("database", "fail", text, "llm-jobs migrate")
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    return Finding("database", "ok", f"{kind}, schema {head}")


def check_redis(place: Place) -> Finding:
    """Reachable, and new enough for LMOVE and the rest of what is used."""
    try:
        with connect_quick(place.settings.redis_dsn) as client:
            info: dict[str, Any] = client.info("server")
    except (RedisError, OSError) as error:
        text = f"does not answer ({type(error).__name__})"
        return Finding("redis", "fail", text, "start it, or correct REDIS_URL; jobs wait in SQL")
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_REDIS:
        return Finding("redis", "fail", f"version {version}", "install Redis 6.2 or later")
    return Finding("redis", "ok", f"version {version}")


def check_images(place: Place) -> Finding:
    """``IMAGE_DIR`` is writable, or its nearest existing parent is."""
    image_dir = place.settings.image_dir.absolute()
    nearest = next(path for path in (image_dir, *image_dir.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("images", "fail", f"cannot write in {nearest}", "correct IMAGE_DIR")
    state = "is writable" if nearest == image_dir else "will be made when it is needed"
    return Finding("images", "ok", f"{image_dir} {state}")


def check_workers(place: Place) -> Finding:
    """RQ workers that have told Redis lately that they live."""
    try:
        with connect_quick(place.settings.redis_dsn) as client:
            workers = [w for w in Worker.all(connection=client) if w.last_heartbeat]
    except (RedisError, OSError):
        return Finding("workers", "fail", "unknown without Redis", "see redis")
    if place.this_host_only:
        workers = [w for w in workers if w.hostname == place.settings.host_name]
    if not workers:
        return Finding("workers", "fail", "none is up", "start one: llm-jobs worker")
    return Finding("workers", "ok", f"{len(workers)} up")


def check_maintenance(place: Place) -> Finding:
    """Ticks each second; without it nothing due, lost or notified moves."""
    advice = "start it: llm-jobs maintenance"
    if place.missing_file:
        return Finding("maintenance", "fail", "never ran", advice)
    try:
        with place.database().read() as connection:
            age_s = job_queries.last_tick_age_s(connection)
    except Exception as error:  # noqa: BLE001 - no tables, no server: the database check says which
        return Finding("maintenance", "fail", f"unknown ({type(error).__name__})", "see database")
    if age_s is None or age_s > _OLDEST_TICK_S:
        text = "never ran" if age_s is None else f"last ticked {timedelta(seconds=int(age_s))} ago"
        return Finding("maintenance", "fail", text, advice)
    return Finding("maintenance", "ok", f"ticked {max(0.0, age_s):.0f} s ago")


def check_web(place: Place) -> Finding:
    """Takes jobs; a warning when Redis is away, since jobs are accepted then all the same."""
    url = place.settings.base_url
    try:
        with ApiClient(url) as api:
            api.get("/health/ready")
            return _judge_health(api)
    except UnreachableError:
        advice = "start it: llm-jobs serve; or give --url"
        return Finding("web", "fail", f"{without_login(url)} does not answer", advice)
    except RefusedError as error:
        return Finding("web", "fail", f"not ready: {error.message}", "mend what is above")


def _judge_health(api: ApiClient) -> Finding:
    try:
        api.get("/health")
    except RefusedError:
        text = "takes jobs, but it does not reach Redis"
        return Finding("web", "warn", text, "mend redis, or the web process's REDIS_URL")
    return Finding("web", "ok", f"{without_login(api.base_url)} is healthy")


CHECKS: dict[str, Callable[[Place], Finding]] = {
    "settings": check_settings,
    "database": check_database,
    "redis": check_redis,
    "llm": check_llm,
    "images": check_images,
    "maintenance": check_maintenance,
    "workers": check_workers,
    "web": check_web,
}
"""By name, in the order in which trouble is best mended."""


def run_checks(place: Place, only: Collection[str] = ()) -> list[Finding]:
    """Every check, or those named in ``only``."""
    return [check(place) for name, check in CHECKS.items() if not only or name in only]
