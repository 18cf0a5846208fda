"""rq-dashboard at ``/rq``, with guards around what it does not check itself.

Its blueprint is one global object, shared by every app of the process, so the guards stand on the
app.
"""

import re
import secrets
from typing import Any, cast

import rq_dashboard.web as dashboard  # type: ignore[import-untyped]  # it has no types
from flask import Flask, Response, current_app, render_template, request
from werkzeug.exceptions import Forbidden, MethodNotAllowed, NotFound

from app.api.problems import RETRY_AFTER_S, problem
from app.api.same_origin import SAFE_METHODS, came_from_here
from queues.dashboard import (
    DashboardJob,
    InvalidJobOperation,
    NoSuchJobError,
    RedisError,
    connect_quick,
    is_reachable,
    requeue_failed,
)

PREFIX = "/rq"
_NAME = dashboard.blueprint.name
_REGISTRIES = ("queued", "failed", "deferred", "started", "finished", "scheduled", "canceled")
_QUEUE_NAME = re.compile(r"[\w:.-]{1,200}", re.ASCII)
_LARGEST = 1_000_000
_SCRIPT_TAG = re.compile(r"<script(?=[\s>])")


def mount(app: Flask, redis_url: str) -> None:
    """Put rq-dashboard at ``/rq``. It connects when a page is asked for, for at most 1 s."""
    _patch()
    # rq-dashboard's own names: it reads and sets both.
    app.redis_conn = connect_quick(redis_url)  # type: ignore[attr-defined]  # likewise
    # Shown on its pages, and the number of its instances; the address holds a password.
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("redis",)
    app.register_blueprint(dashboard.blueprint, url_prefix=PREFIX)
    app.view_functions[f"{_NAME}.requeue_all"] = _requeue_all
    app.before_request(_guard)
    app.after_request(_allow_its_scripts)
    app.register_error_handler(NoSuchJobError, _unknown_ticket)
    app.register_error_handler(InvalidJobOperation, _not_failed)
    app.register_error_handler(RedisError, lambda _error: _redis_is_away())


def _patch() -> None:
    """Replace what does not work with JSON tickets, or would wait for a dead Redis."""
    dashboard.Job = DashboardJob
    # It would make a connection per request, without a time-out.
    dashboard.from_url = lambda *_args, **_options: ("redis", _redis())
    # APIFlask asks every blueprint.
    dashboard.blueprint.enable_openapi = False


def _redis() -> Any:
    return cast("Any", current_app).redis_conn


def _guard() -> Response | None:
    if request.blueprint != _NAME or request.endpoint == f"{_NAME}.static":
        return None
    if request.endpoint == f"{_NAME}.requeue_all" and request.method in SAFE_METHODS:
        raise MethodNotAllowed(["POST"], "Requeueing takes a POST.")
    if request.method not in SAFE_METHODS and not came_from_here():
        raise Forbidden("Only rq-dashboard's own pages may do this. Use the API or `rq` instead.")
    if not _makes_sense(request.view_args or {}):
        raise NotFound
    return None if is_reachable(_redis()) else _redis_is_away()


def _makes_sense(arguments: dict[str, Any]) -> bool:
    """False for addresses that rq-dashboard answers with a 500."""
    numbers = [arguments.get(name, 1) for name in ("per_page", "page")]
    return (
        arguments.get("instance_number", 0) == 0
        and arguments.get("registry_name", "queued") in _REGISTRIES
        and _QUEUE_NAME.fullmatch(arguments.get("queue_name") or "default") is not None
        and all(re.fullmatch(r"[0-9]{1,7}", str(number)) for number in numbers)
        and all(1 <= int(number) <= _LARGEST for number in numbers)
    )


def _requeue_all(queue_name: str) -> dict[str, Any]:
    return {"status": "OK", "count": requeue_failed(_redis(), queue_name)}


def _allow_its_scripts(response: Response) -> Response:
    """Give the scripts that its pages were sent with a nonce; none that is injected later has it.

    Its templates are compiled in the browser, which takes ``unsafe-eval``.
    """
    if request.blueprint != _NAME or response.mimetype != "text/html":
        return response
    nonce = secrets.token_urlsafe(16)
    page = response.get_data(as_text=True)
    response.set_data(_SCRIPT_TAG.sub(f'<script nonce="{nonce}"', page))
    response.headers["Content-Security-Policy"] = (
        f"default-src 'self'; script-src 'nonce-{nonce}' 'unsafe-eval'; img-src 'self' data:; "
        "style-src 'self' 'unsafe-inline'; object-src 'none'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'self'"
    )
    return response


def _unknown_ticket(_error: Exception) -> Response:
    detail = "Redis has no such ticket: it may have run, expired, or been replaced by a newer one."
    return problem(404, "not_found", detail)


def _not_failed(_error: Exception) -> Response:
    return problem(409, "conflict", "The ticket is not in the failed registry.")


def _redis_is_away() -> Response:
    page = render_template("redis_away.html")
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Response(page, status=503, headers=headers, mimetype="text/html")
