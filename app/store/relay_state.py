"""What maintenance remembers between its ticks, in the one row of ``relay_state``."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from app.store.database import EPOCH, sql_now
from app.store.schema import relay_state


@dataclass(frozen=True)
class RelayState:
    """What maintenance remembers between ticks and between its processes."""

    mark: int
    now: datetime
    last_tick_at: datetime
    leases_rest_until: datetime
    repush_before: datetime | None

    @property
    def gap_s(self) -> float:
        """Seconds since the last tick ended; 0 before the first."""
        if self.last_tick_at == EPOCH:
            return 0.0
        return (self.now - self.last_tick_at).total_seconds()


def read(connection: Connection) -> RelayState:
    """The relay's state and the database's clock."""
    row = connection.execute(select(relay_state, sql_now(connection).label("now"))).one()
    return RelayState(row.mark, row.now, row.last_tick_at, row.leases_rest_until, row.repush_before)


def rest_leases(connection: Connection, seconds: float) -> None:
    """Leave expired leases alone for a while: their workers could not extend them."""
    connection.execute(update(relay_state).values(leases_rest_until=sql_now(connection, seconds)))


def finish_tick(connection: Connection) -> None:
    """Say that a tick succeeded."""
    connection.execute(update(relay_state).values(last_tick_at=sql_now(connection)))


def raise_mark(connection: Connection, mark: int) -> bool:
    """Remember the mark that Redis holds; it never falls.

    ``False``: SQL knows a mark as high already, so that this one is of before a wipe, or another
    relay was quicker. Holds the row until the end of the transaction.
    """
    raised = connection.execute(
        update(relay_state).where(relay_state.c.mark < mark).values(mark=mark)
    )
    return raised.rowcount == 1


def begin_repush(connection: Connection) -> None:
    """Redis was wiped: everything dispatched until now is to be pushed again."""
    connection.execute(update(relay_state).values(repush_before=sql_now(connection)))


def end_repush(connection: Connection, before: datetime) -> None:
    """Everything that was dispatched before the wipe is pushed again."""
    connection.execute(
        update(relay_state).where(relay_state.c.repush_before == before).values(repush_before=None)
    )
