"""The settings of a command, and the errors that end one."""

from typing import Any, ClassVar

import click

from app.settings import Settings, SettingsError, load


class RefusedError(click.ClickException):
    """What was asked did not succeed; the message says why and what to do."""

    exit_code: ClassVar[int] = 1


class UnreachableError(click.ClickException):
    """A server that is needed does not answer."""

    exit_code: ClassVar[int] = 3


class WrongEnvironmentError(click.ClickException):
    """Variables are wrong or missing; the message names each."""

    exit_code: ClassVar[int] = 2


def read_settings(**overrides: Any) -> Settings:
    """The settings from the environment; ``overrides`` are by variable name, ``None`` is skipped.

    Ends the command with exit code 2 and one line for each wrong variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return load(**given)
    except SettingsError as error:
        lines = "\n".join(f"  {line}" for line in str(error).splitlines())
        raise WrongEnvironmentError(f"the environment is wrong:\n{lines}") from None


def insist_on_llm(settings: Settings, hint: str = "") -> None:
    """End the command with exit code 2 when no LLM is set; ``hint`` names another way."""
    if not settings.llm_base_url:
        raise WrongEnvironmentError(
            "LLM_BASE_URL is not set, so no job could be done. Set it to an OpenAI-compatible "
            f"server, for example http://localhost:11434/v1.{hint}"
        )
