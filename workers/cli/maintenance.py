"""``llm-jobs maintenance``: the relay between SQL and Redis."""

import click

from workers.cli.environment import read_settings


@click.command("maintenance")
def command() -> None:
    """Push what is due, take back what was lost, publish notifications: each second, for ever."""
    read_settings()
    from workers.maintenance import main  # noqa: PLC0415 - loads the engine, which help need not

    main()
