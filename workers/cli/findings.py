"""What a check of the doctor gives back, and what it is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from app.settings import Settings
from app.store.database import Database, open_database

_CONNECT_TIMEOUT_S = 5


class Finding(NamedTuple):
    """What was looked at, the verdict, and what to do unless it is ``ok``."""

    what: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Place:
    """Where to look; ``this_host_only`` leaves out the workers of other hosts."""

    settings: Settings
    this_host_only: bool = False

    def database(self) -> Database:
        """The database, not opened yet."""
        url = self.settings.database_url
        return open_database(url, connect_timeout_s=_CONNECT_TIMEOUT_S, pooled=False)

    @property
    def missing_file(self) -> Path | None:
        """The SQLite file that is not there; asking the database for it would make an empty one."""
        url = self.settings.database_url
        path = Path(url.removeprefix("sqlite:///"))
        return path if url.startswith("sqlite:///") and not path.exists() else None
