"""The group of all commands and what their exit codes mean."""

import importlib

import click

_COMMANDS = {
    "demo": "demo",
    "serve": "serve",
    "worker": "worker",
    "maintenance": "maintenance",
    "migrate": "migrate",
    "submit": "submit",
    "list": "list_jobs",
    "show": "show",
    "retry": "retry",
    "cancel": "cancel",
    "job-types": "job_types",
    "doctor": "doctor",
}
_EXIT_CODES = """\b
Exit codes:
  0  done
  1  refused: a job, a check or a request did not succeed
  2  wrong usage, or a wrong variable in the environment
  3  a server that is needed does not answer
"""


class _Commands(click.Group):
    """Imports a command's module when it is named, so that ``submit`` loads no engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - the base class's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"workers.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command


@click.command(
    "llm-jobs",
    cls=_Commands,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="llm-jobs")
def main() -> None:
    """Run, feed and look after llm-jobs: a job queue for work that needs a language model."""
