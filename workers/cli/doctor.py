"""``llm-jobs doctor``: looks at everything that must work and says what to do about the rest."""

import click

from workers.cli.api_client import json_option, url_option
from workers.cli.checks import CHECKS, run_checks
from workers.cli.environment import RefusedError, read_settings
from workers.cli.findings import Place
from workers.cli.output import print_json, print_table


@click.command("doctor")
@click.option("--only", multiple=True, type=click.Choice(list(CHECKS)), help="Repeatable.")
@click.option("--this-host", is_flag=True, help="Count the workers of this host alone.")
@url_option
@json_option
def command(only: tuple[str, ...], this_host: bool, url: str | None, as_json: bool) -> None:
    """Check settings, database, Redis, LLM, images, workers, maintenance and the web API."""
    place = Place(read_settings(LLM_JOBS_URL=url), this_host_only=this_host)
    findings = run_checks(place, only)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(("what", "verdict", "finding", "what to do"), findings)
    failed = [finding.what for finding in findings if finding.verdict == "fail"]
    if failed:
        raise RefusedError(f"not in order: {', '.join(failed)}")
