"""Reading requests: size limits, media types and strict JSON, before any view sees the body."""

from typing import Any

from flask import Request, request
from werkzeug.exceptions import UnsupportedMediaType

from app.api import strict_json
from app.errors import BadRequestError, InvalidInputError

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class ApiRequest(Request):
    """A request whose ``get_json`` is strict, and whose body has a limit with or without a length.

    Werkzeug enforces ``max_content_length`` on a chunked body only where a read goes past it:
    ``get_data`` stops there and gives what it has, as if that were all.
    """

    max_content_length = MAX_BODY_BYTES

    def get_json(self, *_args: Any, **_options: Any) -> Any:
        """The JSON object that the body is.

        Raises ``UnsupportedMediaType`` (415) on another media type, ``BadRequestError`` (400) when
        it is not strict JSON and ``InvalidInputError`` (422) when it is not an object.
        """
        self.require_media_type("application/json")
        document = strict_json.loads(decode(self._read_all()))
        if not isinstance(document, dict):
            raise InvalidInputError("The body must be a JSON object.")
        return document

    def _read_all(self) -> bytes:
        """The body; raises a 413 when it is over the limit."""
        return b"".join(iter(lambda: self.stream.read(_CHUNK_BYTES), b""))

    def require_media_type(self, *accepted: str) -> str:
        """The body's media type when it is one of ``accepted``; otherwise raise a 415."""
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("Send the body without Content-Encoding.")
        if self.mimetype not in accepted:
            sent = f"not {self.mimetype[:100]}" if self.mimetype else "there is no Content-Type"
            raise UnsupportedMediaType(
                f"Send the header 'Content-Type: {accepted[0]}' ({sent})."
                + "".join(f" {other} is accepted too." for other in accepted[1:])
            )
        return self.mimetype


def decode(body: bytes) -> str:
    """The body as text; a byte-order mark is dropped. Raises ``BadRequestError``."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequestError("The body is not UTF-8 text.") from None


def current() -> ApiRequest:
    """The request being handled, with its own type."""
    assert isinstance(request, ApiRequest)
    return request
