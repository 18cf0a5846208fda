"""``llm-jobs serve``: the web process, gunicorn in the foreground."""

import os
import subprocess
import time

import click
import requests

from app.api.bind import BindRefusedError, check_bind
from app.settings import Settings, child_environment
from queues.lifeline import die_with_parent
from workers.cli import processes
from workers.cli.environment import (
    RefusedError,
    WrongEnvironmentError,
    insist_on_llm,
    read_settings,
)

_STAND_IN_WITHIN_S = 15.0
_POLL_S = 0.1


@click.command("serve")
@click.option("--host", metavar="ADDRESS", help="[default: HOST, or 127.0.0.1]")
@click.option("--port", type=int, help="[default: PORT, or 8000]")
@click.option("--stand-in", is_flag=True, help="Start a stand-in for the LLM, on the next port.")
def command(host: str | None, port: int | None, stand_in: bool) -> None:
    """Serve the HTTP API and the web pages."""
    settings = read_settings(HOST=host, PORT=port)
    try:
        check_bind(settings.host, allow_no_keys=settings.allow_no_keys)
    except BindRefusedError as error:
        raise WrongEnvironmentError(str(error)) from None
    variables = {"HOST": settings.host, "PORT": str(settings.port)}
    if stand_in:
        variables["LLM_BASE_URL"] = _start_stand_in(settings)
    else:
        insist_on_llm(settings, " To try it without an LLM: llm-jobs serve --stand-in")
    line = processes.web(settings)
    os.execve(line[0], line, child_environment(**variables))  # noqa: S606 - no shell


def _start_stand_in(settings: Settings) -> str:
    """Start it as a child that outlives the exec of gunicorn and dies with it; returns its URL."""
    port = settings.port + 1
    url = processes.stand_in_url(port)
    parent = os.getpid()
    process = subprocess.Popen(  # noqa: S603 - a fixed command
        processes.stand_in(port),
        preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - a single-threaded moment
    )
    deadline = time.monotonic() + _STAND_IN_WITHIN_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RefusedError(f"the stand-in did not start on port {port}; choose another --port")
        time.sleep(_POLL_S)
    click.echo(f"The stand-in answers. For the workers: export LLM_BASE_URL={url}", err=True)
    return url


def _answers(url: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy for this machine itself
            return session.get(f"{url}/models", timeout=_POLL_S * 10).ok
    except requests.RequestException:
        return False
