"""The command line, ``llm-jobs``: one module per command, loaded when it is called."""

from workers.cli.group import main

__all__ = ["main"]
