"""``llm-jobs demo``, as a person runs it: real processes, real HTTP, to the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from redis import Redis

from app.job_types.registry import all_job_types
from queues.embedded import free_port

pytestmark = pytest.mark.slow

_LLM_JOBS = [sys.executable, "-c", "from workers.cli import main; main()"]
_UP_WITHIN_S = 120.0


class _Demo:
    """A running demo and what it has printed."""

    def __init__(self, data_dir: Path, port: int, *options: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [*_LLM_JOBS, "demo", "--data-dir", str(data_dir), "--port", str(port), *options],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(self.process.stdout)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while "Ctrl-C stops it" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self) -> int:
        code = self.process.wait(timeout=_UP_WITHIN_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def in_its_shell(self, script: str, exit_code: int = 0) -> str:
        """What ``script`` prints in a shell that knows nothing but ``var/env``."""
        shell = ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", f". {self.data_dir}/env; {script}"]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout + done.stderr if exit_code else done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Demo]:
    """A demo that stays up for the tests of this module."""
    demo = _Demo(tmp_path_factory.mktemp("demo") / "var", free_port())
    try:
        demo.wait_until_up()
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGINT)
            demo.wait()


def test_it_runs_a_job_of_each_type_and_counts_the_notifications(demo: _Demo) -> None:
    for name in all_job_types():
        assert f"│ {name} " in demo.output
    assert demo.output.count("│ completed │") == len(all_job_types())
    assert "5 of 5 notifications arrived" in demo.output


def test_the_sample_jobs_did_their_work(demo: _Demo) -> None:
    jobs = {job["job_type"]: job for job in requests.get(f"{demo.url}/llm_jobs").json()}
    assert "dentist" in jobs["task_match"]["result"]["task_description"]
    assert "blueberry pie" in jobs["intent_classify"]["result"]["results"][0]["title"]
    assert jobs["email_extract"]["result"]["event_date"].startswith("2030-05-14T08:30")
    # The photo lies on its side in its file: its EXIF data was obeyed.
    assert "landscape" in jobs["image_tag"]["result"]["description"]
    assert {job["model"] for job in jobs.values()} == {"stand-in"}


def test_it_prints_where_to_look(demo: _Demo) -> None:
    for path in ("/docs", "/health", "/rq"):
        assert f"{demo.url}{path}" in demo.output
        assert requests.get(f"{demo.url}{path}").ok


def test_its_curl_line_works_as_printed(demo: _Demo) -> None:
    curl = demo.output[demo.output.index("curl -X POST") :]
    curl = curl[: curl.index("}}'") + 3]
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    answer = subprocess.run(
        ["sh", "-c", curl.replace("curl", "curl -s", 1)], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["status"] == "queued"


def test_a_shell_that_sources_var_env_has_plain_rq_and_all_commands(demo: _Demo) -> None:
    info = demo.in_its_shell("rq info")
    assert "2 workers" in info
    assert "llm_intent" in info
    assert "Nothing to do" in demo.in_its_shell("rq requeue --all --queue llm_intent")
    submit = 'llm-jobs submit followup message="tell me" --user-id 1 --wait --json'
    job = json.loads(demo.in_its_shell(submit))
    assert job["status"] == "completed"
    assert job["id"] in demo.in_its_shell(f"llm-jobs show {job['id']}")


def test_the_commands_agree_with_the_api(demo: _Demo) -> None:
    lines = [{"job_type": "followup", "payload": {"message": f"call {n}"}} for n in "ab"]
    (demo.data_dir / "jobs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    batch = json.loads(
        demo.in_its_shell(f"llm-jobs submit --file {demo.data_dir}/jobs.jsonl --wait --json")
    )
    assert [job["status"] for job in batch["jobs"]] == ["completed"] * 2
    newest = json.loads(demo.in_its_shell("llm-jobs list --type followup --limit 2 --json"))
    assert {job["id"] for job in newest} == {job["id"] for job in batch["jobs"]}
    assert "completed" in demo.in_its_shell(f"llm-jobs retry {newest[0]['id']}", exit_code=1)
    later = demo.in_its_shell(
        "llm-jobs submit followup message=x --run-at 2099-01-01T00:00:00Z --json"
    )
    job_id = json.loads(later)["id"]
    demo.in_its_shell(f"llm-jobs cancel {job_id}")
    assert json.loads(demo.in_its_shell(f"llm-jobs show {job_id} --json"))["status"] == "cancelled"
    wrong = demo.in_its_shell("llm-jobs submit image_tag image_path=a.jpg", exit_code=1)
    assert "memory_id" in wrong


def test_the_doctor_finds_the_demo_in_order(demo: _Demo) -> None:
    findings = json.loads(demo.in_its_shell("llm-jobs doctor --json"))
    assert {finding["what"]: finding["verdict"] for finding in findings} == dict.fromkeys(
        [finding["what"] for finding in findings], "ok"
    ), findings


def test_a_second_demo_on_the_same_data_is_refused(demo: _Demo) -> None:
    second = _Demo(demo.data_dir, free_port(), "--once")
    assert second.wait() == 1
    assert "another demo runs on" in second.output


def test_a_taken_port_is_refused_with_the_way_out(demo: _Demo, tmp_path: Path) -> None:
    port = int(demo.url.rpartition(":")[2])
    second = _Demo(tmp_path, port, "--once")
    assert second.wait() == 1
    assert f"port {port} cannot be used" in second.output
    assert "PORT=9000 make run" in second.output


def test_ctrl_c_ends_all_of_it_and_a_second_run_works(demo: _Demo) -> None:
    descendants = demo.descendants()
    names = " ".join(" ".join(process.cmdline()) for process in descendants)
    for part in ("redis-server", "gunicorn", "rq.cli", "workers.maintenance", "stand_in_llm"):
        assert part in names
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0, demo.output
    assert [process for process in descendants if process.is_running()] == []
    second = _Demo(demo.data_dir, free_port(), "--once")
    assert second.wait() == 0, second.output
    assert "5 of 5 notifications arrived" in second.output
    # Its memories and tasks were there already: none was made twice.
    assert second.output.count("Recipe for blueberry pie") == 1


def test_redis_and_the_llm_of_the_environment_are_used_and_a_job_that_waits_ends_it_with_1(
    tmp_path: Path, redis_url: str, redis_client: "Redis[bytes]"
) -> None:
    # Nothing listens on port 9: the LLM is away, which jobs wait out.
    environment = {"REDIS_URL": redis_url, "LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    demo = _Demo(tmp_path, free_port(), "--once", "--timeout", "2", **environment)
    assert demo.wait() == 1
    assert "5 jobs are not done after 2 s" in demo.output
    assert not (tmp_path / "redis").exists()
    assert not (tmp_path / "log" / "stand-in-llm.log").exists()
    assert redis_client.exists("rq:queues")
