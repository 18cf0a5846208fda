"""Connections that keep a total deadline and remember how far a request came.

``requests`` has time-outs per receive only: a server that trickles one byte a second, in its
headers already, never trips one. Here every connect, send and receive is given what is left until
the deadline, without a thread and without SIGALRM, which RQ needs for itself. Name resolution is
the system's and not bounded here.
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from socket import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT_TIMEOUT_S = 10.0
_SEND_CHUNK_BYTES = 65_536


class Exchange:
    """One request on the wire: its deadline (``time.monotonic()``) and how far it came."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connected_anew = False
        self.sent = False
        self.received = False
        self.timed_out = False
        self.sent_at = 0.0

    def remaining_s(self) -> float:
        """Seconds until the deadline, always positive; raises ``TimeoutError`` past it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.timed_out = True
            raise TimeoutError("the total deadline has passed")
        return left

    def failed_on_a_stale_connection(self, patience_s: float = 2.0) -> bool:
        """True when a kept connection was ended by the server before it could see the request.

        A reset that comes later than ``patience_s`` after sending ended real work, which must
        not be paid for again behind the engine's back.
        """
        at_once = time.monotonic() - self.sent_at < patience_s
        untouched = not (self.connected_anew or self.received or self.timed_out)
        return self.sent and untouched and at_once


# requests has no way to hand a value to its connections.
_current: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchange_until(deadline: float) -> Iterator[Exchange]:
    """Requests sent inside belong to this exchange."""
    exchange = Exchange(deadline)
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes, each receive waiting no longer than the exchange may."""

    def __init__(self, sock: socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._exchange = _current.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(self._exchange.remaining_s())
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            self._exchange.timed_out = True
            raise
        if count:
            self._exchange.received = True
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(sock, raw))


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def connect(self) -> None:
        exchange = _current.get()
        exchange.connected_anew = True
        self.timeout = min(CONNECT_TIMEOUT_S, exchange.remaining_s())
        try:
            super().connect()
        finally:
            # What was said to a proxy or in a handshake was not the request.
            exchange.sent = exchange.received = False

    def send(self, data: Any) -> None:
        exchange = _current.get()
        if self.sock is None:
            self.connect()
        view = memoryview(data)
        for start in range(0, len(view), _SEND_CHUNK_BYTES):
            self.sock.settimeout(exchange.remaining_s())
            exchange.sent = True
            exchange.sent_at = time.monotonic()
            try:
                super().send(view[start : start + _SEND_CHUNK_BYTES])
            except TimeoutError:
                exchange.timed_out = True
                raise


class _DeadlineHTTPSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


_POOLS = {"http": _Pool, "https": _HTTPSPool}


class DeadlineAdapter(HTTPAdapter):
    """Sends over connections that keep the deadline of ``exchange_until``."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
        """Make the pools of ours; a SOCKS proxy has its own and keeps time-outs per receive."""
        manager: PoolManager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, ProxyManager):
            manager.pool_classes_by_scheme = _POOLS
        return manager
