"""Keeps other sites' pages in a browser from using an API that asks for no key."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from flask import Flask, request
from werkzeug.exceptions import Forbidden

from app.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def register(app: Flask, settings: Settings) -> None:
    """Refuse requests that another site made, and addresses that are not this machine's."""
    if not settings.allow_no_keys:
        app.before_request(_refuse_foreign_host)
    app.before_request(refuse_other_sites)


def _refuse_foreign_host() -> None:
    """A page can give its own name our loopback address (DNS rebinding); its ``Host`` tells."""
    host = _split(f"//{request.host}").hostname or ""
    if host == "localhost" or host.endswith(".localhost") or _is_loopback_literal(host):
        return
    raise Forbidden(
        f"This API asks for no key and answers to localhost only, not to {host[:100]!r}. Where "
        "something else keeps others away, set ALLOW_NO_KEYS=1."
    )


def _split(url: str) -> SplitResult:
    """The parts of a URL; of one that cannot be read, none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _is_loopback_literal(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_other_sites() -> None:
    """Refuse an unsafe method that a browser sent for another site's page.

    Programs send neither ``Origin`` nor ``Sec-Fetch-Site`` and pass.
    """
    if request.method not in SAFE_METHODS and came_from_here() is False:
        raise Forbidden("A page of another site sent this request; it was not carried out.")


def came_from_here() -> bool | None:
    """True when the browser says that a page of ours sent it; ``None``: no browser spoke."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    if origin := request.headers.get("Origin"):
        return _split(origin).netloc == request.host
    return None
