"""Where the API may listen: without keys, on loopback only."""

import ipaddress
import os
import socket


class BindRefusedError(Exception):
    """The API would be open to other machines; the message says what to do."""


def check_bind(host: str, *, allow_no_keys: bool) -> None:
    """Refuse a host that is not loopback, unless ``ALLOW_NO_KEYS=1`` says so.

    A name is resolved: every address of it must be loopback. An empty host means all of them.
    Raises ``BindRefusedError``.
    """
    if allow_no_keys or host.startswith("unix:") or is_loopback(host):
        return
    raise BindRefusedError(
        f"Refusing to listen on {host or 'all addresses'}: the API asks for no key, so everybody "
        "who reaches it could use it. Listen on 127.0.0.1, or set ALLOW_NO_KEYS=1 when something "
        "else (a container's published port on 127.0.0.1, a proxy with a login) keeps others away."
    )


def is_loopback(host: str) -> bool:
    """True when every address that ``host`` stands for is this machine's own."""
    if not host:
        return False
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address)).is_loopback for address in addresses)


def listening_hosts() -> list[str]:
    """The addresses that this process listens on over IP, inherited sockets included.

    A pre-forking server opens its sockets before it loads the application.
    """
    hosts = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, no files
        try:
            with socket.socket(fileno=os.dup(int(name))) as found:
                is_ip = found.family in (socket.AF_INET, socket.AF_INET6)
                if is_ip and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    hosts.append(found.getsockname()[0])
        except OSError:
            continue
    return hosts
