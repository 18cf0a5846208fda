"""What a worker process holds: settings, database, LLM client; and which execution runs now.

It is built once, before the first fork, and opens nothing until it is used, so that a work-horse
never shares a connection with its parent.
"""

from dataclasses import dataclass, field
from uuid import uuid4

from app import images
from app.job_types.registry import all_job_types
from app.settings import Settings, SettingsError, load
from app.store.database import Database, open_database
from workers.llm import LLMClient, LLMSettings


@dataclass
class Runtime:
    """The collaborators of ``workers.runner`` and the execution that the worker has begun."""

    settings: Settings
    database: Database
    llm: LLMClient
    worker_name: str = "worker"
    token: str = field(default_factory=lambda: str(uuid4()))
    """The right to the job that this execution claims; unique per execution."""

    @classmethod
    def build(cls, settings: Settings) -> "Runtime":
        """Import and build everything a job needs, opening nothing.

        Raises ``SettingsError`` when there is no LLM to ask.
        """
        if not settings.llm_base_url:
            raise SettingsError(
                "LLM_BASE_URL is not set: a worker needs the base URL of an OpenAI-compatible "
                "LLM, for example http://localhost:11434/v1"
            )
        all_job_types()
        images.preload()
        return cls(
            settings=settings,
            database=open_database(settings.database_url, pool_size=1),
            llm=LLMClient(LLMSettings.from_settings(settings)),
        )


class _Holder:
    """The process's runtime. RQ calls a function by name, so it cannot be passed as an argument."""

    runtime: Runtime | None = None


def install(runtime: Runtime | None) -> None:
    """Make this the process's runtime; ``None``: the next user builds one."""
    _Holder.runtime = runtime


def current() -> Runtime:
    """The process's runtime; built from the environment where no worker has installed one."""
    if _Holder.runtime is None:
        _Holder.runtime = Runtime.build(load())
    return _Holder.runtime
