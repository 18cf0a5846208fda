"""``llm-jobs demo``: the whole system on this machine, with a sample job of each type."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

import click

from workers.cli.api_client import ApiClient
from workers.cli.demo_jobs import SampleRun
from workers.cli.demo_system import DemoSystem
from workers.cli.environment import RefusedError


@click.command("demo")
@click.option("--once", is_flag=True, help="End after the jobs: 0 only if all completed.")
@click.option("--port", type=int, help="Of the web process. [default: PORT, or 8000]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where the database, Redis, images and logs are kept.",
)
@click.option("--timeout", "timeout_s", default=300.0, show_default=True, help="For the jobs, s.")
def command(once: bool, port: int | None, data_dir: Path, timeout_s: float) -> None:
    """Start everything, run a job of each type through HTTP, stay up until Ctrl-C.

    Redis and SQLite are embedded and an LLM is stood in for, unless REDIS_URL, DATABASE_URL and
    LLM_BASE_URL name others.
    """
    all_completed = False
    with ExitStack() as stack:
        stack.enter_context(_signals_as_ctrl_c())
        try:
            stack.enter_context(_alone_in(data_dir))
            system = stack.enter_context(DemoSystem(data_dir.absolute(), port))
            all_completed = _show_sample_jobs(system, timeout_s)
            if not once:
                _stay_up(system)
        except KeyboardInterrupt:
            click.echo("\nStopping.", err=True)
    if not all_completed:
        raise RefusedError("not every sample job completed and was notified")


def _show_sample_jobs(system: DemoSystem, timeout_s: float) -> bool:
    with ExitStack() as stack:
        api = stack.enter_context(ApiClient(system.settings.base_url))
        run = stack.enter_context(closing(SampleRun(api, system.settings, check=system.check)))
        run.submit()
        run.wait(timeout_s)
    run.print_results()
    system.print_urls()
    return run.is_success


def _stay_up(system: DemoSystem) -> None:
    click.echo("\nIt stays up. Ctrl-C stops it.")
    system.wait_for_trouble()


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """A terminal that closes and a polite kill stop the demo in order, as Ctrl-C does.

    SIGINT itself is named too: a shell starts its background jobs with it ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _alone_in(data_dir: Path) -> Iterator[None]:
    """Two demos on the same data would start two Redis servers on one append-only file."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"another demo runs on {data_dir}. Stop it, or give this one --data-dir."
            ) from None
        yield
