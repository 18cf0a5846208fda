"""The settings: one frozen object made from the environment at the entry point and passed on.

The only module that reads the environment. ``load()`` reads ``LLM_JOBS_CONFIG`` (a YAML file with
the same names) under the environment, and raises ``SettingsError`` with every problem at once.
"""

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """The environment is wrong; the message lists every error, one a line."""


def _env(name: str, default: Any, **constraints: Any) -> Any:
    """A field that is read from the variable ``name``."""
    return Field(default, validation_alias=name, **constraints)


class Settings(BaseSettings):
    """Every setting, with its variable's name, default and unit. ``.env.example`` explains them."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=False)

    # URLs may hold a password: they are not printed with the others.
    database_url: str = _env("DATABASE_URL", "", repr=False)
    redis_url: SecretStr = _env("REDIS_URL", SecretStr(""))
    redis_host: str = _env("REDIS_HOST", "localhost")
    redis_port: int = _env("REDIS_PORT", 6379, ge=1, le=65_535)
    redis_db: int = _env("REDIS_DB", 0, ge=0)
    redis_password: SecretStr = _env("REDIS_PASSWORD", SecretStr(""))
    redis_ssl: bool = _env("REDIS_SSL", False)
    redis_timeout_s: Seconds = _env("REDIS_TIMEOUT", 10.0)

    queue_job_timeout_s: int = _env("QUEUE_JOB_TIMEOUT", 600, ge=60, le=86_400)
    queue_job_ttl_s: int = _env("QUEUE_JOB_TTL", 0, ge=0)
    retention_days: int = _env("RETENTION_DAYS", 30, ge=1)

    llm_base_url: str = _env("LLM_BASE_URL", "", repr=False)
    llm_api_key: SecretStr = _env("LLM_API_KEY", SecretStr("not-needed"))
    llm_text_model: str = _env("LLM_TEXT_MODEL", "mistral", min_length=1)
    llm_vision_model: str = _env("LLM_VISION_MODEL", "llava", min_length=1)
    llm_max_retries: int = _env("LLM_MAX_RETRIES", 5, ge=1, le=100)
    llm_timeout_s: Seconds = _env("LLM_TIMEOUT", 60.0)
    llm_vision_timeout_s: Seconds = _env("LLM_VISION_TIMEOUT", 120.0)
    llm_unavailable_ttl_s: int = _env("LLM_UNAVAILABLE_TTL", 14 * 86_400, ge=1)

    image_dir: Path = _env("IMAGE_DIR", Path("var/images"))
    host: str = _env("HOST", "127.0.0.1")
    port: int = _env("PORT", 8000, ge=1, le=65_535)
    web_workers: int = _env("WEB_WORKERS", 2, ge=1, le=64)
    web_threads: int = _env("WEB_THREADS", 8, ge=1, le=256)
    allow_no_keys: bool = _env("ALLOW_NO_KEYS", False)
    server_url: str = _env("LLM_JOBS_URL", "", repr=False)

    log_format: Literal["json", "console"] = _env("LOG_FORMAT", "json")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _env("LOG_LEVEL", "INFO")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url", mode="after")
    @classmethod
    def _known_database(cls, value: str) -> str:
        value = value or f"sqlite:///{Path('var/llm-jobs.db').absolute()}"
        scheme, separator, rest = value.partition("://")
        if not separator or scheme.split("+")[0] not in ("sqlite", "postgresql", "postgres"):
            raise ValueError(
                "must begin with sqlite:/// (a file) or postgresql://, for example "
                "postgresql://user:password@localhost/llm_jobs"
            )
        if scheme.split("+")[0] == "sqlite":
            if rest in ("", "/", "/:memory:"):
                raise ValueError("must name a file, for example sqlite:////var/lib/llm-jobs.db")
            return value
        return f"postgresql+psycopg://{rest}"

    @field_validator("llm_base_url", "server_url", mode="after")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("redis_url", mode="after")
    @classmethod
    def _redis_scheme(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @property
    def redis_dsn(self) -> str:
        """``REDIS_URL``, or the URL that the other ``REDIS_*`` variables make. Holds a password."""
        if url := self.redis_url.get_secret_value():
            return url
        scheme = "rediss" if self.redis_ssl else "redis"
        password = quote(self.redis_password.get_secret_value(), safe="")
        login = f":{password}@" if password else ""
        return f"{scheme}://{login}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    @property
    def base_url(self) -> str:
        """Where the API answers: ``LLM_JOBS_URL``, or this machine's ``PORT``."""
        return self.server_url or f"http://127.0.0.1:{self.port}"

    @property
    def host_name(self) -> str:
        """This machine's name, for the names of workers and consumers."""
        return socket.gethostname()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the YAML file; ``.env`` is for the shell to source."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if config_file := os.environ.get("LLM_JOBS_CONFIG"):
            sources += (YamlConfigSettingsSource(settings_cls, yaml_file=Path(config_file)),)
        return sources


def load(**overrides: Any) -> Settings:
    """Read the settings; ``overrides`` are by variable name and win over the environment.

    Raises ``SettingsError`` whose message has one line for every wrong variable.
    """
    config_file = os.environ.get("LLM_JOBS_CONFIG")
    if config_file and not Path(config_file).is_file():
        raise SettingsError(f"LLM_JOBS_CONFIG: there is no file {config_file}")
    problems = [_RQ_REDIS_URL] if os.environ.get("RQ_REDIS_URL") else []
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems += _in_words(error)
    except Exception:
        if not config_file:
            raise
        problems.append(f"LLM_JOBS_CONFIG: {config_file} is not YAML with one NAME: value a line")
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def child_environment(**variables: str) -> dict[str, str]:
    """This process's environment with ``variables`` over it, for a program that it starts."""
    return {**os.environ, **variables}


_RQ_REDIS_URL = (
    "RQ_REDIS_URL: is set. With it RQ skips RQ_CONFIG, and with that what keeps its tickets safe. "
    "Unset it and set REDIS_URL instead"
)


def _in_words(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines
