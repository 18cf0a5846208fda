import socket

import pytest

from app.api.bind import BindRefusedError, check_bind, is_loopback, listening_hosts


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    check_bind(host, allow_no_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "no-such-host.invalid"])
def test_everything_else_is_refused_with_what_to_do(host: str) -> None:
    with pytest.raises(BindRefusedError, match="ALLOW_NO_KEYS=1"):
        check_bind(host, allow_no_keys=False)
    check_bind(host, allow_no_keys=True)


def test_a_unix_socket_is_not_open_to_other_machines() -> None:
    check_bind("unix:/run/llm-jobs.sock", allow_no_keys=False)


def test_the_sockets_that_a_process_listens_on_are_found() -> None:
    before = listening_hosts()
    with socket.socket() as listening, socket.socket() as bound:
        listening.bind(("127.0.0.9", 0))
        listening.listen()
        bound.bind(("127.0.0.8", 0))
        assert sorted([*before, "127.0.0.9"]) == sorted(listening_hosts())
    assert listening_hosts() == before
