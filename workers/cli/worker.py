"""``llm-jobs worker``: plain ``rq worker`` with what it needs in its environment."""

import os

import click

from app.job_types.registry import all_job_types
from app.settings import child_environment
from queues.names import expand
from workers.cli import processes
from workers.cli.environment import insist_on_llm, read_settings


@click.command("worker")
@click.argument("queues", metavar="[QUEUES]...", nargs=-1)
@click.option("-n", "pool_size", type=click.IntRange(1, 256), default=1, help="Worker processes.")
@click.option("--burst", is_flag=True, help="End when the queues are empty.")
def command(queues: tuple[str, ...], pool_size: int, burst: bool) -> None:
    """Work on QUEUES (all of them by default), each with its three priorities."""
    insist_on_llm(read_settings())
    known = [job_type.queue for job_type in all_job_types().values()]
    if unknown := sorted(set(queues) - set(expand(known))):
        raise click.UsageError(
            f"no such queue: {', '.join(unknown)}. There are: {', '.join(known)}"
        )
    line = processes.worker(queues or known, pool_size=pool_size, burst=burst)
    os.execve(line[0], line, child_environment(**processes.RQ_ENVIRONMENT))  # noqa: S606 - no shell
