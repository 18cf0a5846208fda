"""Every error as ``application/problem+json`` (RFC 9457) with a stable ``code``; never a trace."""

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from apiflask import HTTPError
from flask import Flask, Response, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException

from app.api.requests import MAX_BATCH_BYTES
from app.errors import InvalidInputError, LlmJobsError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_MAX_ERRORS = 50
_CODES = {413: "too_large", 422: "invalid_input"}
_DETAILS = {
    404: "There is nothing at this address. GET /docs lists what there is.",
    413: "The body is too large: at most 1 MB, or 64 MB for /llm_jobs/batch.",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    """A problem response; ``extra`` becomes members of the document."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }
    text = json.dumps(document, default=str) + "\n"
    response = Response(text, status=status, mimetype=MEDIA_TYPE, headers=dict(headers or {}))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def field_errors(errors: Iterable[ErrorDetails], *where: str) -> list[dict[str, str]]:
    """Pydantic's errors as the API tells them: where and what, never the value sent."""
    return [
        {
            "loc": ".".join([*where, *(str(part) for part in error["loc"])]),
            "msg": error["msg"].removeprefix("Value error, "),
        }
        for error in errors
    ][:_MAX_ERRORS]


def invalid(error: ValidationError, *where: str) -> InvalidInputError:
    """The error that tells a client which fields are wrong, the first one in words."""
    errors = field_errors(error.errors(include_url=False, include_input=False), *where)
    first = errors[0]
    name = f"{first['loc']}: " if first["loc"] else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return InvalidInputError(f"{name}{first['msg']}{more}", errors=errors)


def register(app: Flask) -> None:
    """Answer every error of the app with a problem."""
    app.register_error_handler(LlmJobsError, _from_ours)
    app.register_error_handler(HTTPError, _from_model)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_surprise)


def _from_ours(error: LlmJobsError) -> Response:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s answered %d: %s", *_request(), error.status, error.message)
    return problem(error.status, error.code, error.message, **error.extra)


def _from_model(error: HTTPError) -> Response:
    """A body, query or header that a model refused; APIFlask keeps pydantic's error as cause."""
    assert isinstance(error.__cause__, ValidationError)
    location = next(iter(error.detail))
    return _from_ours(invalid(error.__cause__, *([] if location == "json" else [location])))


def _from_http(error: HTTPException) -> Response:
    """Flask's own errors: no such route, wrong method, a body over the limit."""
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        _drain()
    phrase = HTTPStatus(status).phrase
    code = _CODES.get(status, phrase.lower().replace(" ", "_").replace("-", "_"))
    detail = error.description or phrase
    if detail == type(error).description:
        detail = _DETAILS.get(status, detail)
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return problem(status, code, detail, headers=headers)


def _from_surprise(error: Exception) -> Response:
    logger.error("%s %s failed", *_request(), exc_info=error)
    return problem(
        500, LlmJobsError.code, "Something went wrong here. It was logged; try again later."
    )


def _request() -> tuple[str, str]:
    return request.method, request.url_rule.rule if request.url_rule else "(unknown)"


def _drain() -> None:
    """Read on for a while: a client whose body is cut off mid-way sees a reset, not our answer."""
    stream = request.environ["wsgi.input"]
    left = MAX_BATCH_BYTES
    try:
        while left > 0 and (chunk := stream.read(min(left, 65_536))):
            left -= len(chunk)
    except (OSError, ValueError):
        return
