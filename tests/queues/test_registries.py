from redis import Redis
from rq.exceptions import InvalidJobOperation

from queues import registries
from tests.factories import QUEUE, ticket
from tests.relays import failed_registry, file_as_failed, in_failed_registry, listed, push, ttl_s

STARTED = f"rq:wip:{QUEUE}"
INTERMEDIATE = f"rq:queue:{QUEUE}:intermediate"


def test_a_retired_ticket_is_gone_from_the_registry_but_its_hash_lives_on_for_a_while(
    redis_url: str, redis_client: Redis
) -> None:
    push(redis_url, ticket("job"))
    file_as_failed(redis_client, ticket("job"))
    redis_client.xadd("rq:results:job-1", {"type": "2"})

    registries.retire(redis_client, [ticket("job")])

    assert in_failed_registry(redis_client) == []
    assert 0 < ttl_s(redis_client, ticket("job")) <= 300
    assert 0 < int(redis_client.ttl("rq:results:job-1")) <= 300  # type: ignore[arg-type]  # typed for the asynchronous client too


def test_requeueing_a_ticket_that_was_retired_meanwhile_is_refused_and_not_a_crash(
    redis_url: str, redis_client: Redis
) -> None:
    push(redis_url, ticket("job"))
    file_as_failed(redis_client, ticket("job"))
    registries.retire(redis_client, [ticket("job")])

    try:
        failed_registry(redis_client).requeue("job-1")
    except InvalidJobOperation:
        assert listed(redis_client) == []
    else:
        raise AssertionError("a retired ticket was requeued")


def test_retiring_what_was_never_there_leaves_nothing_behind(redis_client: Redis) -> None:
    registries.retire(redis_client, [])
    registries.retire(redis_client, [ticket("nobody")])

    assert redis_client.dbsize() == 0


def test_the_head_of_a_list_is_where_workers_pop(redis_url: str, redis_client: Redis) -> None:
    push(redis_url, *(ticket(f"job-{number}") for number in range(120)))

    heads = registries.heads(redis_client, [QUEUE, "empty"])

    assert heads == {QUEUE: [f"job-{number}-1" for number in range(100)], "empty": []}
    assert redis_client.lpop(f"rq:queue:{QUEUE}") == b"job-0-1"


def test_bytes_that_are_no_text_are_read_all_the_same(redis_client: Redis) -> None:
    redis_client.rpush(f"rq:queue:{QUEUE}", b"\xff-1")

    assert registries.heads(redis_client, [QUEUE]) == {QUEUE: ["\ufffd-1"]}


def test_resting_tickets_are_found_in_all_three_places(redis_client: Redis) -> None:
    redis_client.zadd(f"rq:failed:{QUEUE}", {"a-1": 1})
    redis_client.zadd(STARTED, {"b-1:execution": 1})
    redis_client.rpush(INTERMEDIATE, "c-1")

    assert list(registries.resting_tickets(redis_client, QUEUE)) == [["a-1"], ["b-1"], ["c-1"]]
    assert list(registries.resting_tickets(redis_client, "other")) == []


def test_resting_tickets_come_in_slices_and_none_is_left_out(redis_client: Redis) -> None:
    redis_client.zadd(f"rq:failed:{QUEUE}", {f"a-{number}-1": 1 for number in range(1_000)})
    redis_client.rpush(INTERMEDIATE, *(f"c-{number}-1" for number in range(120)))

    slices = list(registries.resting_tickets(redis_client, QUEUE, slice_length=50))

    found = {rq_id for part in slices for rq_id in part}
    assert len(found) == 1_120
    assert max(map(len, slices)) < 200


def test_sweeping_removes_exactly_the_tickets_given(redis_client: Redis) -> None:
    redis_client.zadd(f"rq:failed:{QUEUE}", {"a-1": 1, "keep-1": 1})
    redis_client.zadd(STARTED, {"a-1:x": 1, "a-1:y": 1, "keep-1:z": 1})
    redis_client.rpush(INTERMEDIATE, "a-1", "keep-1", "a-1")

    registries.sweep_away(redis_client, [])
    registries.sweep_away(redis_client, [ticket("a"), ticket("b", list_name="other")])

    assert redis_client.zrange(f"rq:failed:{QUEUE}", 0, -1) == [b"keep-1"]
    assert redis_client.zrange(STARTED, 0, -1) == [b"keep-1:z"]
    assert redis_client.lrange(INTERMEDIATE, 0, -1) == [b"keep-1"]
