"""A pytest plugin (``-p tests.coverage_floor``): each core package keeps its branch coverage.

It speaks before pytest's last line, so that the run's own summary stays the last thing printed.
"""

from collections.abc import Generator
from io import StringIO

import coverage
import pytest

FLOOR_PERCENT = 95.0
CORE_PACKAGES = ("app/jobs", "app/store", "queues", "workers")

_reports = pytest.StashKey[dict[str, tuple[float, str]]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Outside pytest-cov's own wrapper, which combines the data of all processes first."""
    result = yield
    if hasattr(session.config, "workerinput"):
        return result  # one of several processes: their data is combined in the first
    data = coverage.Coverage()
    data.load()
    reports = session.config.stash.setdefault(_reports, {})
    for package in CORE_PACKAGES:
        table = StringIO()
        percent = data.report(include=[f"{package}/*"], file=table)
        reports[package] = (percent, table.getvalue())
        if percent < FLOOR_PERCENT:
            session.testsfailed += 1  # pytest's exit code is then that of a failed test
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is missing, then one line per package."""
    reports = terminalreporter.config.stash.get(_reports, {})
    terminalreporter.write_sep("=", f"branch coverage, at least {FLOOR_PERCENT:.0f} %")
    for percent, table in reports.values():
        if percent < FLOOR_PERCENT:
            terminalreporter.write_line(table)
    for package, (percent, _) in reports.items():
        enough = percent >= FLOOR_PERCENT
        terminalreporter.write_line(
            f"{package:<12}{percent:6.1f} %{'' if enough else '  TOO LOW'}",
            red=not enough,
            green=enough,
        )
