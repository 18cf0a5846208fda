"""The processes of the demo: Redis, web, two workers, maintenance, and what stands for the LLM."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import click
from redis.exceptions import RedisError

from app.errors import DatabaseUnavailableError
from app.job_types.registry import all_job_types
from app.settings import Settings
from app.store.database import open_database
from app.store.migrate import upgrade
from queues.connection import connect_quick
from queues.embedded import EmbeddedRedis, NoRedisServerError, free_port
from workers.cli import processes
from workers.cli.api_client import ApiClient
from workers.cli.environment import RefusedError, UnreachableError, read_settings
from workers.cli.shell_env import write_shell_env
from workers.cli.supervisor import ChildEndedError, Supervisor

_WORKERS = 2
_START_TIMEOUT_S = 90.0
_POLL_S = 0.2


class DemoSystem:
    """The running system; a context manager that starts it and, at the end, stops all of it."""

    def __init__(self, data_dir: Path, port: int | None) -> None:
        self._data_dir = data_dir
        self._stack = ExitStack()
        self._supervisor = Supervisor(data_dir / "log")
        self._embedded_redis: EmbeddedRedis | None = None
        self._env_path = data_dir / "env"
        self.settings = read_settings(PORT=port, HOST="127.0.0.1")

    def __enter__(self) -> Self:
        _refuse_taken_port(self.settings)
        with ExitStack() as stack:
            environment = self._start_what_is_needed(stack)
            self.settings = read_settings(**environment)
            _migrate(self.settings)
            write_shell_env(self._env_path, environment)
            self._start_ours(environment)
            self._wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def check(self) -> None:
        """Raise ``ChildEndedError`` when one of the processes has ended."""
        self._supervisor.check()
        if self._embedded_redis is not None and not self._embedded_redis.is_running:
            raise ChildEndedError("the embedded Redis has ended")

    def wait_for_trouble(self) -> None:
        """Come back only by ``ChildEndedError`` or ``KeyboardInterrupt``."""
        while True:
            self.check()
            time.sleep(_POLL_S)

    def print_urls(self) -> None:
        """Where everything answers, and how a shell joins in."""
        url = self.settings.base_url
        click.echo(
            f"\n  API      {url}/docs\n"
            f"  health   {url}/health\n"
            f"  RQ       {url}/rq\n"
            f"  shell    . {self._env_path} && rq info\n"
            f"  logs     {self._data_dir / 'log'}\n\n"
            f"  curl -X POST {url}/llm_jobs -H 'Content-Type: application/json' \\\n"
            '    -d \'{"job_type": "intent_classify", "user_id": 12345,\n'
            '         "payload": {"query": "remind me to call the dentist tomorrow at 9"}}\''
        )

    def _start_what_is_needed(self, stack: ExitStack) -> dict[str, str]:
        """Redis and the LLM, unless the environment names others; returns what all must know."""
        redis_url = self._redis_url(stack)
        stack.enter_context(self._supervisor)
        image_dir = self._path_or_default("image_dir", "images")
        image_dir.mkdir(parents=True, exist_ok=True)
        return {
            **processes.RQ_ENVIRONMENT,
            "DATABASE_URL": self._database_url(),
            "REDIS_URL": redis_url,
            **self._llm(),
            "IMAGE_DIR": str(image_dir),
            "HOST": self.settings.host,
            "PORT": str(self.settings.port),
            # A server elsewhere that the shell's LLM_JOBS_URL names is not this demo.
            "LLM_JOBS_URL": f"http://127.0.0.1:{self.settings.port}",
        }

    def _redis_url(self, stack: ExitStack) -> str:
        if url := self.settings.redis_url.get_secret_value():
            _insist_on_redis(url)
            return url
        self._embedded_redis = EmbeddedRedis(self._data_dir / "redis")
        try:
            stack.enter_context(self._embedded_redis)
        except NoRedisServerError as error:
            raise RefusedError(str(error)) from None
        return self._embedded_redis.url

    def _database_url(self) -> str:
        default = f"sqlite:///{Path('var/llm-jobs.db').absolute()}"
        if self.settings.database_url != default:
            return self.settings.database_url
        return f"sqlite:///{self._data_dir / 'llm-jobs.db'}"

    def _llm(self) -> dict[str, str]:
        if self.settings.llm_base_url:
            return {"LLM_BASE_URL": self.settings.llm_base_url}
        port = free_port()
        self._supervisor.start(
            "stand-in-llm", processes.stand_in(port), {}, is_needed_by_others=True
        )
        return {
            "LLM_BASE_URL": processes.stand_in_url(port),
            "LLM_TEXT_MODEL": processes.STAND_IN_MODEL,
            "LLM_VISION_MODEL": processes.STAND_IN_MODEL,
        }

    def _path_or_default(self, field: str, name: str) -> Path:
        is_given = field in self.settings.model_fields_set
        path: Path = getattr(self.settings, field) if is_given else self._data_dir / name
        return path.absolute()

    def _start_ours(self, environment: dict[str, str]) -> None:
        queues = [job_type.queue for job_type in all_job_types().values()]
        self._supervisor.start("web", processes.web(self.settings), environment)
        for number in range(1, _WORKERS + 1):
            self._supervisor.start(f"worker-{number}", processes.worker(queues), environment)
        self._supervisor.start("maintenance", processes.maintenance(), environment)

    def _wait_until_ready(self) -> None:
        click.echo("Starting web, two workers and maintenance ...", err=True)
        deadline = time.monotonic() + _START_TIMEOUT_S
        with ApiClient(self.settings.base_url) as api:
            while (missing := what_is_missing(api)) and time.monotonic() < deadline:
                self.check()
                time.sleep(_POLL_S)
        if missing:
            raise UnreachableError(
                f"{missing} after {_START_TIMEOUT_S:.0f} s; see {self._data_dir / 'log'}"
            )


def what_is_missing(api: ApiClient) -> str:
    """Empty when everything is up, else what is not, in words."""
    try:
        health = api.get("/health")
    except (RefusedError, UnreachableError) as error:
        return f"the web process does not report health: {error.message}"
    if health["workers"]["count"] < _WORKERS:
        return f"only {health['workers']['count']} workers have come up"
    if health["maintenance"]["last_tick_age_seconds"] is None:
        return "maintenance has not ticked"
    return ""


def _refuse_taken_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise RefusedError(
                f"port {settings.port} cannot be used ({error.strerror}). "
                f"Choose another: PORT={other_port(settings.port)} make run"
            ) from None


def other_port(port: int) -> int:
    """A port to suggest."""
    return 9000 if port != 9000 else 9001  # noqa: PLR2004 - any other would do


def _insist_on_redis(url: str) -> None:
    try:
        with connect_quick(url) as client:
            client.ping()
    except RedisError as error:
        raise UnreachableError(
            f"the Redis of REDIS_URL does not answer ({type(error).__name__}). "
            "Start it, or unset REDIS_URL for one of the demo's own."
        ) from None


def _migrate(settings: Settings) -> None:
    database = open_database(settings.database_url, pooled=False)
    try:
        upgrade(database)
    except DatabaseUnavailableError:
        raise UnreachableError(
            "the database of DATABASE_URL does not answer. "
            "Start it, or unset DATABASE_URL for one of the demo's own."
        ) from None
