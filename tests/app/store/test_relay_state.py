import pytest
from sqlalchemy.exc import IntegrityError

from app.store import relay_state
from app.store.database import Database
from app.store.relay_state import RelayState
from app.store.schema import relay_state as table


def _read(database: Database) -> RelayState:
    with database.read() as connection:
        return relay_state.read(connection)


def test_a_mark_never_falls(database: Database) -> None:
    with database.begin() as connection:
        for mark in (5, 3, 5, 4):
            relay_state.raise_mark(connection, mark)
    assert _read(database).mark == 5


def test_leases_rest_until_a_time_in_the_databases_clock(database: Database) -> None:
    with database.begin() as connection:
        relay_state.rest_leases(connection, 30)

    state = _read(database)
    assert (state.leases_rest_until - state.now).total_seconds() == pytest.approx(30, abs=1)


def test_a_tick_leaves_its_time(database: Database) -> None:
    with database.shifted(100).begin() as connection:
        relay_state.finish_tick(connection)

    state = _read(database)
    assert (state.last_tick_at - state.now).total_seconds() == pytest.approx(100, abs=1)


def test_a_second_wipe_during_the_repair_of_the_first_is_not_forgotten(
    database: Database,
) -> None:
    with database.begin() as connection:
        relay_state.begin_repush(connection)
    first = _read(database).repush_before
    with database.shifted(5).begin() as connection:
        relay_state.begin_repush(connection)
    assert first is not None
    with database.begin() as connection:
        relay_state.end_repush(connection, first)

    second = _read(database).repush_before
    assert second is not None
    assert second > first
    with database.begin() as connection:
        relay_state.end_repush(connection, second)
    assert _read(database).repush_before is None


def test_there_is_one_state_for_all_relays(database: Database) -> None:
    row = _read(database)
    with (
        pytest.raises(IntegrityError, match="ck_relay_state_one_row"),
        database.begin() as connection,
    ):
        connection.execute(
            table.insert().values(id=2, mark=0, last_tick_at=row.now, leases_rest_until=row.now)
        )
