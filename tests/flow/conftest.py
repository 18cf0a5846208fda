"""A whole system on one machine: real processes, a real Redis, a stand-in LLM, over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from app.store.database import open_database
from app.store.migrate import upgrade
from demo.stand_in_llm import StandIn
from queues.embedded import EmbeddedRedis, free_port

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


class System:
    """Starts what a test needs and stops it all at the end. Everything is under ``folder``."""

    def __init__(self, folder: Path, database_url: str, redis: EmbeddedRedis, llm: StandIn) -> None:
        self.folder = folder
        self.redis = redis
        self.llm = llm
        self.web_url = f"http://127.0.0.1:{free_port()}"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("RQ_")
        } | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis.url,
            "LLM_BASE_URL": llm.url,
            "IMAGE_DIR": str(folder / "images"),
            "RQ_CONFIG": "workers.rq_settings",
            "RQ_WORKER_CLASS": "workers.worker.LLMWorker",
            "LOG_FORMAT": "console",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    # -- processes ----------------------------------------------------------------------------

    def start(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a process in the project's root, in a process group of its own."""
        log = (self.folder / f"{len(self._processes)}-{Path(command[0]).name}.log").open("wb")
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self._processes.append(process)
        return process

    def run(self, *command: str, timeout_s: float = 60.0) -> str:
        """Run a command to its end; returns what it printed."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_web(self) -> None:
        """Start the API under gunicorn and wait until it answers."""
        bind = self.web_url.removeprefix("http://")
        self.start("gunicorn", "--threads", "4", "--bind", bind, "app.wsgi:create()")
        self.wait(self._is_live, "the web process to answer")

    def _is_live(self) -> bool:
        try:
            return requests.get(f"{self.web_url}/health/live", timeout=5).ok
        except requests.RequestException:
            return False

    def start_worker(self, *queues: str) -> subprocess.Popen[bytes]:
        """Start plain ``rq worker`` and wait until it has signed on."""
        worker = self.start("rq", "worker", *queues)
        with self.connect() as redis:
            pid = str(worker.pid).encode()
            self.wait(
                lambda: any(redis.hget(key, "pid") == pid for key in redis.smembers("rq:workers")),
                "the worker to sign on",
            )
        return worker

    def start_maintenance(self) -> subprocess.Popen[bytes]:
        """Start maintenance."""
        return self.start(sys.executable, "-m", "workers.maintenance")

    def kill_group(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a process, and the work-horse that dies with it."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def work_horse_of(self, worker: subprocess.Popen[bytes]) -> int:
        """The pid of the worker's running work-horse."""
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
        found: list[int] = []

        def look() -> bool:
            found[:] = [int(pid) for pid in children.read_text().split()]
            return bool(found)

        self.wait(look, "a work-horse")
        return found[0]

    def stop(self) -> None:
        """End everything that was started."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    # -- what a client does -------------------------------------------------------------------

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        """POST JSON to the API."""
        return requests.post(f"{self.web_url}{path}", json=body, headers=headers, timeout=30)

    def submit(self, job_type: str, payload: dict[str, Any], **fields: Any) -> str:
        """Submit a job; returns its id."""
        body = {"job_type": job_type, "payload": payload, "user_id": 12345} | fields
        answer = self.post("/llm_jobs", body)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def get(self, path: str) -> Any:
        """GET from the API."""
        answer = requests.get(f"{self.web_url}{path}", timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it."""
        shown: dict[str, Any] = self.get(f"/llm_jobs/{job_id}")
        return shown

    def history(self, job_id: str) -> list[tuple[str | None, str]]:
        """The job's transitions as pairs."""
        return [
            (entry["from"], entry["to"])
            for entry in self.get(f"/llm_jobs/{job_id}/history")["transitions"]
        ]

    def wait_for(self, job_id: str, *statuses: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until the job has one of the states; returns it."""
        shown: dict[str, Any] = {}

        def look() -> bool:
            shown.update(self.job(job_id))
            return shown["status"] in statuses

        self.wait(look, lambda: f"{statuses}: {shown}", timeout_s)
        return shown

    def wait(
        self,
        condition: Callable[[], object],
        what: str | Callable[[], str],
        timeout_s: float = 30.0,
    ) -> None:
        """Wait for a condition with a deadline; a failure shows the ends of all logs."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                words = what if isinstance(what, str) else what()
                pytest.fail(f"waited {timeout_s} s in vain for {words}\n{self._logs()}")
            time.sleep(0.05)

    def _logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    # -- redis --------------------------------------------------------------------------------

    def connect(self) -> Redis:
        """A client of the system's Redis."""
        return Redis.from_url(self.redis.url)

    def notifications(self, job_id: str) -> list[dict[str, Any]]:
        """What was published about the job."""
        with self.connect() as redis:
            entries = [
                json.loads(fields[b"data"]) for _id, fields in redis.xrange("notify:telegram")
            ]
        return [entry for entry in entries if entry["job_id"] == job_id]

    def failed_tickets(self, list_name: str) -> list[str]:
        """The RQ ids in the list's failed registry."""
        with self.connect() as redis:
            return [rq_id.decode() for rq_id in redis.zrange(f"rq:failed:{list_name}", 0, -1)]


def make_system(folder: Path, database_url: str) -> Iterator[System]:
    """A system with a migrated database, its Redis and its LLM; no process yet."""
    (folder / "images").mkdir()
    database = open_database(database_url)
    upgrade(database)
    database.forget_connections()
    with EmbeddedRedis() as redis, StandIn() as llm:
        system = System(folder, database_url, redis, llm)
        try:
            yield system
        finally:
            system.stop()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A system on SQLite of a test's own, to be broken."""
    yield from make_system(tmp_path, f"sqlite:///{tmp_path}/llm-jobs.db")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole system on SQLite, up and running, shared by a module's tests."""
    folder = tmp_path_factory.mktemp("system")
    for system in make_system(folder, f"sqlite:///{folder}/llm-jobs.db"):
        system.start_web()
        system.start_worker()
        system.start_maintenance()
        yield system
