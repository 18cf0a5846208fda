"""Tickets that lie in RQ's registries, and retiring those that are void.

What an operator sees in RQ is to be what SQL says.
"""

from collections.abc import Iterator, Sequence
from typing import cast

from redis import Redis
from rq.command import send_command
from rq.defaults import RQ_KEY_PREFIX

from queues.ticket import Ticket

RETIRED_TTL_S = 300
HEAD_LENGTH = 100


def _failed_key(list_name: str) -> str:
    return f"{RQ_KEY_PREFIX}:failed:{list_name}"


def _started_key(list_name: str) -> str:
    return f"{RQ_KEY_PREFIX}:wip:{list_name}"


def _list_key(list_name: str) -> str:
    return f"{RQ_KEY_PREFIX}:queue:{list_name}"


def _intermediate_key(list_name: str) -> str:
    return f"{_list_key(list_name)}:intermediate"


def retire(redis: Redis, tickets: Sequence[Ticket]) -> None:
    """Take void tickets out of the failed registry and let their hashes expire.

    Never DEL: an entry whose hash is gone makes ``rq requeue --all`` stop with NoSuchJobError.
    """
    if not tickets:
        return
    with redis.pipeline(transaction=False) as pipeline:
        for ticket in tickets:
            pipeline.zrem(_failed_key(ticket.list_name), ticket.rq_id)
            pipeline.expire(f"{RQ_KEY_PREFIX}:job:{ticket.rq_id}", RETIRED_TTL_S)
            pipeline.expire(f"{RQ_KEY_PREFIX}:results:{ticket.rq_id}", RETIRED_TTL_S)
        pipeline.execute()


def heads(redis: Redis, list_names: Sequence[str]) -> dict[str, list[str]]:
    """The RQ ids at the popping end of each list, at most 100 a list, next to be popped first."""
    with redis.pipeline(transaction=False) as pipeline:
        for name in list_names:
            pipeline.lrange(_list_key(name), 0, HEAD_LENGTH - 1)
        replies = cast("list[list[bytes]]", pipeline.execute())
    return {
        name: [rq_id.decode(errors="replace") for rq_id in reply]
        for name, reply in zip(list_names, replies, strict=True)
    }


def resting_tickets(redis: Redis, list_name: str, slice_length: int = 500) -> Iterator[list[str]]:
    """The RQ ids in a list's failed, started and intermediate places, a slice at a time."""
    for key in (_failed_key(list_name), _started_key(list_name)):
        cursor = -1
        while cursor != 0:
            cursor, members = redis.zscan(key, max(cursor, 0), count=slice_length)
            if members:
                yield [_rq_id(cast("bytes", member)) for member, _score in members]
    waiting = cast("list[bytes]", redis.lrange(_intermediate_key(list_name), 0, -1))
    for start in range(0, len(waiting), slice_length):
        yield [_rq_id(member) for member in waiting[start : start + slice_length]]


def _rq_id(member: bytes) -> str:
    """A started registry's members are ``RQ_ID:EXECUTION_ID``."""
    return member.decode(errors="replace").partition(":")[0]


def sweep_away(redis: Redis, tickets: Sequence[Ticket]) -> None:
    """Remove void tickets wherever they rest: failed registry, started registry, intermediate list.

    Their executions, which carry a random id, expire by themselves.
    """
    retire(redis, tickets)
    by_list: dict[str, set[str]] = {}
    for ticket in tickets:
        by_list.setdefault(ticket.list_name, set()).add(ticket.rq_id)
    for list_name, rq_ids in by_list.items():
        started = _started_key(list_name)
        for member, _score in redis.zscan_iter(started):
            if _rq_id(cast("bytes", member)) in rq_ids:
                redis.zrem(started, member)
        for rq_id in rq_ids:
            redis.lrem(_intermediate_key(list_name), 0, rq_id)


def stop_running(redis: Redis, ticket: Ticket) -> None:
    """Ask the worker that runs the ticket to kill its work-horse, best effort.

    The hash is not read as a whole: RQ raises anything at one that somebody has tampered with.
    """
    worker = cast("bytes | None", redis.hget(f"{RQ_KEY_PREFIX}:job:{ticket.rq_id}", "worker_name"))
    if worker:
        send_command(redis, worker.decode(errors="replace"), "stop-job", job_id=ticket.rq_id)
