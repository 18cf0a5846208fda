"""One HTTP exchange with the LLM, until its total deadline."""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session
from requests.auth import AuthBase
from requests.exceptions import (
    ConnectTimeout,
    InvalidHeader,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import HTTPError

from workers.llm.errors import InvalidAnswer, LLMTimeout, LLMUnavailable
from workers.llm.wire import CONNECT_TIMEOUT_S, DeadlineAdapter, Exchange, exchange_until

MAX_BODY_BYTES = 10_000_000
_MAX_ERROR_BYTES = 1_000_000
_READ_BYTES = 65_536
_OK = range(200, 300)
_LOG = logging.getLogger(__name__)

# requests lets errors of urllib3, the standard library and the socket through here and there.
_BROKEN = (OSError, HTTPError, HTTPException)
_REASONS: list[tuple[tuple[type[Exception], ...], str]] = [
    ((InvalidHeader,), "LLM_API_KEY holds characters that a header cannot carry"),
    ((InvalidURL, InvalidSchema, MissingSchema), "LLM_BASE_URL is not a URL that can be used"),
    ((SSLError,), "no trusted TLS connection could be made"),
    ((ProxyError,), "the proxy did not connect"),
    ((ConnectTimeout,), "no connection was made in time"),
]


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. ``body`` is whole for a 2xx; of an error it is what came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_ok(self) -> bool:
        """True for 2xx."""
        return self.status in _OK

    @property
    def is_framed(self) -> bool:
        """False when only the end of the connection tells where the body ends, cut or not."""
        return "Content-Length" in self.headers or "Transfer-Encoding" in self.headers


class Transport:
    """Posts to ``{base_url}/chat/completions`` over one session, whose connections are kept."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._server = _server(self._url)
        self._session = _Session()
        self._session.auth = _Bearer(api_key)
        self._session.headers.update(
            # Not compressed: the cap on the body's size is then one on what is received, too.
            {"User-Agent": "llm-jobs", "Accept-Encoding": "identity"}
        )
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A proxy of the environment is for the world outside, not for a server on this machine.
        host = _host(self._server)
        self._proxies = {"no_proxy": host} if _is_loopback(host) else None
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter())

    def post(self, body: bytes, deadline: float) -> Reply:
        """Send a request and read the answer until ``deadline`` (``time.monotonic()``).

        Raises ``LLMUnavailable`` when nothing of the request was sent, ``LLMTimeout`` when the
        deadline passed or the connection broke later, ``InvalidAnswer`` past 10 MB. A kept
        connection that turns out to be dead is replaced once, at once.
        """
        if deadline <= time.monotonic():
            raise LLMTimeout("No time was left to ask the LLM.")
        is_second = False
        while True:
            with exchange_until(deadline) as exchange:
                try:
                    return self._exchange(body, exchange)
                except _BROKEN as error:
                    if is_second or not exchange.failed_on_a_stale_connection():
                        raise self._in_words(error, exchange) from None
            _LOG.debug("A kept connection to the LLM was dead; asking over a fresh one")
            self.close()
            is_second = True

    def close(self) -> None:
        """Close the connections; the next request opens a new one."""
        self._session.close()

    def _exchange(self, body: bytes, exchange: Exchange) -> Reply:
        with self._session.post(
            self._url,
            data=body,
            headers={"Content-Type": "application/json"},
            stream=True,
            allow_redirects=False,
            proxies=self._proxies,
            timeout=(CONNECT_TIMEOUT_S, exchange.remaining_s()),
        ) as response:
            is_ok = response.status_code in _OK
            body_received = _read_whole(response) if is_ok else _read_error(response)
            return Reply(response.status_code, response.headers, body_received)

    def _in_words(self, error: Exception, exchange: Exchange) -> LLMUnavailable | LLMTimeout:
        if not exchange.sent:
            return LLMUnavailable(f"The LLM at {self._server} was not reached: {_reason(error)}.")
        if exchange.timed_out:
            message = f"The LLM at {self._server} did not finish its answer before the deadline."
        else:
            message = f"The connection to the LLM at {self._server} broke before its answer ended."
        return LLMTimeout(message, calls=1)


class _Bearer(AuthBase):
    """The key as a header; given as ``auth`` so that no ``.netrc`` replaces it."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}".encode(errors="replace")

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if re.search(rb"[\x00-\x1f\x7f]", self._header):
            raise InvalidHeader  # the standard library's error would quote the key
        request.headers["Authorization"] = self._header  # type: ignore[assignment] # bytes are sent as they are
        return request


class _Session(Session):
    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002 - requests' signature
        """``None``: else requests reads a redirect's whole body, even when it follows none."""
        return None


def _read_whole(response: Response) -> bytes:
    received = bytearray()
    for chunk in response.iter_content(_READ_BYTES):
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            raise InvalidAnswer(
                f"The LLM's reply is over {MAX_BODY_BYTES // 1_000_000} MB.",
                status=response.status_code,
                calls=1,
            )
    return bytes(received)


def _read_error(response: Response) -> bytes:
    """The beginning of an error's body. The status says enough when the body is cut."""
    received = bytearray()
    try:
        for chunk in response.iter_content(_READ_BYTES):
            received += chunk
            if len(received) > _MAX_ERROR_BYTES:
                break
    except _BROKEN:
        pass
    return bytes(received)


def _reason(error: Exception) -> str:
    for classes, reason in _REASONS:
        if isinstance(error, classes):
            return reason
    # requests wraps the system's own words three layers deep.
    found = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    return found[1].lower() if found else "the connection failed"


def _server(url: str) -> str:
    """Host and port, for messages: without a login. Empty where the URL makes no sense."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _host(server: str) -> str:
    has_port = ":" in server.rpartition("]")[2]
    return (server.rpartition(":")[0] if has_port else server).strip("[]")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
