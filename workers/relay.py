"""One tick of maintenance, in steps that do not stop each other.

SQL decides everything: Redis is only asked what it still holds.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from app.errors import DatabaseUnavailableError
from app.job_types.registry import all_job_types
from app.jobs.retry import backoff_s
from app.store import control, outbox, relay, relay_state, submissions
from app.store.database import Database, Transaction
from app.store.outcomes import Problem
from app.store.relay_state import RelayState
from queues import notify, registries
from queues.dispatch import Dispatcher
from queues.names import lists_of
from queues.ticket import Ticket

logger = logging.getLogger(__name__)

OUTAGE_GAP_S = 5.0
"""A longer gap between two ticks was an outage, in which no lease could be extended."""
LONG_TICK_S = 15.0
"""No tick lasts so long: it was frozen. In less no lease of 30 s, extended every 10 s, runs out."""
LEASES_REST_S = 30.0
LOST_MARGIN_S = 60.0
"""A ticket is lost when the list's head is so much younger than its job's dispatch."""
REPUBLISH_S = 3_600.0
SWEEP_EVERY_S = 60.0
VOID_FOR_S = 60.0
SLICE = 500
STEP_BUDGET_S = 0.5
_LOST = Problem("worker_lost", "The worker ended, or lost its lease, before the job was done.")


@dataclass
class _Sweep:
    """A sweep through RQ's registries in progress, a slice per tick."""

    slices: Iterator[tuple[str, list[str]]]


class Relay:
    """Maintenance's work. ``redis`` gives up after 1 s; ``tick`` never raises."""

    def __init__(self, database: Database, redis: Redis, dispatcher: Dispatcher) -> None:
        self._database = database
        self._redis = redis
        self._dispatcher = dispatcher
        self._lists = [name for t in all_job_types().values() for name in lists_of(t.queue)]
        self._sweep: _Sweep | None = None
        self._next_sweep = time.monotonic() + SWEEP_EVERY_S

    def tick(self) -> bool:
        """Do everything once; ``False`` when the database was away, or has no tables yet."""
        try:
            with self._database.begin() as connection:
                state = relay_state.read(connection)
                self._rest_after_outage(connection, state, OUTAGE_GAP_S)
        except DatabaseUnavailableError:
            logger.warning("the database does not answer")
            return False
        except Exception:
            logger.exception("the database cannot be worked with; is it migrated?")
            return False
        self._step("leases", self._take_back_leases)
        self._step("expiry", self._expire)
        if self._redis_answers(state):
            for name, work in (
                ("wiped", self._repush_wiped),
                ("due", self._dispatch_due),
                ("lost", self._find_lost),
                ("notifications", self._publish),
                ("sweep", self._sweep_registries),
            ):
                self._step(name, work)
        return self._step("heartbeat", self._finish)

    def _step(self, name: str, work: Callable[[], object]) -> bool:
        try:
            work()
        except (RedisError, DatabaseUnavailableError) as error:
            logger.warning("step %s was cut short: %s", name, type(error).__name__)
            return False
        except Exception:
            logger.exception("step %s failed", name)
            return False
        return True

    def _finish(self) -> None:
        with self._database.begin() as connection:
            # Everything may have frozen in mid-tick, which the next one would not notice.
            self._rest_after_outage(connection, relay_state.read(connection), LONG_TICK_S)
            relay_state.finish_tick(connection)

    # -- leases and expiry --------------------------------------------------------------------

    def _rest_after_outage(
        self, connection: Transaction, state: RelayState, longest_gap_s: float
    ) -> None:
        if state.gap_s > longest_gap_s:
            relay_state.rest_leases(connection, LEASES_REST_S)

    def _take_back_leases(self) -> None:
        with self._database.begin() as connection:
            rows = relay.expired_leases(connection, SLICE)
            # Asked after the rows: everything may have frozen just before they were looked for.
            state = relay_state.read(connection)
            if state.now < state.leases_rest_until or state.gap_s > LONG_TICK_S:
                return
            for row in rows:
                with _apart(connection, row.id):
                    relay.take_back(connection, row, _LOST, backoff_s(row.failures + 1))
                    logger.warning("took the job back: its worker was lost", extra=_of(row))

    def _expire(self) -> None:
        with self._database.begin() as connection:
            rows = relay.overdue(connection, SLICE)
            for row in rows:
                with _apart(connection, row.id):
                    relay.expire(connection, row)
                    logger.warning("the job waited too long and expired", extra=_of(row))
        if rows:
            registries.retire(self._redis, [control.ticket_of(row) for row in rows])

    # -- dispatch -----------------------------------------------------------------------------

    def _dispatch_due(self) -> None:
        self._dispatch(partial(relay.take_due, limit=SLICE))

    def _find_lost(self) -> None:
        with self._database.read() as connection:
            names = relay.lists_with_tickets(connection, self._lists)
        if not names:
            return
        for name, head in registries.heads(self._redis, names).items():
            with self._database.read() as connection:
                mark = relay.watermark(connection, head)
            if mark is None:
                continue
            found, _none_left = self._dispatch(
                partial(
                    relay.take_lost,
                    list_name=name,
                    watermark=mark,
                    margin_s=LOST_MARGIN_S,
                    limit=SLICE,
                )
            )
            if found:
                logger.warning("dispatched %d jobs of %s again: tickets were lost", found, name)

    def _repush_wiped(self) -> None:
        with self._database.read() as connection:
            before = relay_state.read(connection).repush_before
        if before is None:
            return
        take = partial(relay.take_wiped, before=before, limit=SLICE)
        _count, none_left = self._dispatch(take)
        if none_left:
            with self._database.begin() as connection:
                relay_state.end_repush(connection, before)

    def _dispatch(self, take: Callable[[Transaction], list[Ticket]]) -> tuple[int, bool]:
        """Raise generations, commit, push, retire the old tickets; slices until the time is up.

        Returns how many, and whether none is left.
        """
        deadline = time.monotonic() + STEP_BUDGET_S
        count = 0
        while not self._dispatcher.is_resting:
            with self._database.begin() as connection:
                tickets = take(connection)
            count += len(tickets)
            self._push(tickets)
            if len(tickets) < SLICE:
                return count, True
            if time.monotonic() > deadline:
                break
        return count, False

    def _push(self, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        if not self._dispatcher.push(tickets):
            with self._database.begin() as connection:
                submissions.mark_not_dispatched(connection, tickets)
            return
        registries.retire(self._redis, [ticket.previous() for ticket in tickets])

    # -- redis: wiped or not, notifications, registries ---------------------------------------

    def _redis_answers(self, state: RelayState) -> bool:
        """Raise the mark in Redis, and notice a wipe; ``False`` when Redis does not answer."""
        try:
            grown = notify.grow_mark(self._redis, state.mark)
            if grown is None:
                self._begin_again()
                grown = notify.restore_mark(self._redis, state.mark)
            with self._database.begin() as connection:
                relay_state.raise_mark(connection, grown)
        except (RedisError, DatabaseUnavailableError) as error:
            logger.warning("redis was left alone in this tick: %s", type(error).__name__)
            return False
        return True

    def _begin_again(self) -> None:
        """Redis lost what it held: say so in SQL first, only then set the mark."""
        logger.warning("redis was wiped or rolled back; pushing everything again")
        with self._database.begin() as connection:
            outbox.unpublish(connection, REPUBLISH_S)
            relay_state.begin_repush(connection)

    def _publish(self) -> None:
        deadline = time.monotonic() + STEP_BUDGET_S
        while True:
            with self._database.read() as connection:
                found = outbox.unpublished(connection, SLICE)
            outgoing = _readable(found)
            if not outgoing:
                return
            mark = notify.publish(self._redis, list(outgoing.values()))
            with self._database.begin() as connection:
                # Redis may have been wiped since: then they are published again, once.
                if relay_state.raise_mark(connection, mark):
                    outbox.mark_published(connection, list(outgoing))
            if len(found) < SLICE or time.monotonic() > deadline:
                return

    def _sweep_registries(self) -> None:
        if self._sweep is None:
            if time.monotonic() < self._next_sweep:
                return
            self._next_sweep = time.monotonic() + SWEEP_EVERY_S
            self._sweep = _Sweep(self._resting())
        deadline = time.monotonic() + STEP_BUDGET_S
        for list_name, rq_ids in self._sweep.slices:
            with self._database.read() as connection:
                void = relay.void_tickets(connection, list_name, rq_ids, VOID_FOR_S)
            registries.sweep_away(self._redis, void)
            if time.monotonic() > deadline:
                return
        self._sweep = None

    def _resting(self) -> Iterator[tuple[str, list[str]]]:
        for name in self._lists:
            for rq_ids in registries.resting_tickets(self._redis, name):
                yield name, rq_ids


@contextmanager
def _apart(connection: Transaction, job_id: str) -> Iterator[None]:
    """A savepoint: one bad row is logged and left alone, the others go on."""
    try:
        with connection.begin_nested():
            yield
    except DatabaseUnavailableError:
        raise
    except Exception:
        logger.exception("left a job alone", extra={"job_id": job_id})


def _of(row: Any) -> dict[str, Any]:
    return {"job_id": row.id, "job_type": row.job_type, "attempt": row.attempts}


def _readable(found: Sequence[outbox.Outgoing]) -> dict[int, notify.Notification]:
    """The notifications by their transition; one that cannot be read is logged and left alone."""
    readable = {}
    for item in found:
        try:
            readable[item.transition_id] = _notification(item)
        except (KeyError, TypeError):
            logger.error(  # noqa: TRY400 - the body, which is private, would be in the traceback
                "left a notification alone: it is not one", extra={"job_id": item.job_id}
            )
    return readable


def _notification(item: outbox.Outgoing) -> notify.Notification:
    return notify.Notification(
        event_id=item.event_id,
        job_id=item.job_id,
        user_id=item.body["user_id"],
        message_type=item.body["message_type"],
        content=item.body["content"],
    )
