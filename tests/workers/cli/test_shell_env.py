"""The file that a shell sources to join the demo."""

import subprocess
from pathlib import Path

from workers.cli.shell_env import write_shell_env


def test_a_shell_that_sources_it_gets_every_value_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "env"
    value = "redis://:p'a\"s $HOME`id`\\@host/0"
    write_shell_env(path, {"REDIS_URL": value, "PORT": "9000"})
    script = f'. {path}; printf "%s\\n" "$REDIS_URL" "$PORT"; command -v rq'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[:2] == [value, "9000"]
    assert shown.stdout.splitlines()[2].endswith("/bin/rq")


def test_it_is_for_its_owner_alone_as_it_may_hold_passwords(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("old")
    path.chmod(0o644)
    write_shell_env(path, {"A": "b"})
    assert path.stat().st_mode & 0o777 == 0o600
    assert "old" not in path.read_text()
