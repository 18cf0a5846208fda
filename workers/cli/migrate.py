"""``llm-jobs migrate``: brings the database's schema up to date."""

import click

from app.errors import DatabaseUnavailableError
from app.store.database import open_database
from app.store.migrate import upgrade
from workers.cli.environment import UnreachableError, read_settings


@click.command("migrate")
def command() -> None:
    """Create or update the tables. Running it twice, or two at once, does no harm."""
    settings = read_settings()
    try:
        before, after = upgrade(open_database(settings.database_url, pooled=False))
    except DatabaseUnavailableError as error:
        raise UnreachableError(f"{error.message} Is DATABASE_URL right?") from None
    if before == after:
        click.echo(f"The schema is up to date: {after}")
    else:
        click.echo(f"The schema went from {before or 'nothing'} to {after}")
