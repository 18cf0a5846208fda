from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.errors import InvalidInputError, UnknownJobTypeError
from app.store.submissions import NewJob
from app.submission import Submission, checked

GOOD = Submission("intent_classify", {"query": "hello"})


def _checked(**fields: Any) -> NewJob:
    return checked(replace(GOOD, **fields), default_max_attempts=5, ttl_s=60)


def _errors(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        _checked(**fields)
    return {error["loc"]: error["msg"] for error in caught.value.extra["errors"]}


def test_a_good_submission_becomes_a_row_to_be() -> None:
    job = _checked(user_id=7, metadata={"a": 1}, priority="high")

    assert (job.job_type, job.queue, job.priority) == ("intent_classify", "llm_intent-high", "high")
    assert (job.payload, job.user_id, job.metadata) == ({"query": "hello"}, 7, {"a": 1})
    assert (job.max_attempts, job.ttl_s, job.run_at) == (5, 60, None)


def test_ids_are_time_ordered_uuids() -> None:
    first, second = UUID(_checked().id), UUID(_checked().id)

    assert (first.version, second.version) == (7, 7)
    assert first < second


def test_an_id_may_be_given() -> None:
    assert _checked(job_id="A_b-9").id == "A_b-9"


@pytest.mark.parametrize("job_id", ["", "a b", "ä", "a" * 65, "a\n", "../x", "a\x00"])
def test_an_id_that_others_could_not_carry_is_refused(job_id: str) -> None:
    assert "1 to 64" in _errors(job_id=job_id)["job_id"]


def test_an_unknown_job_type_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownJobTypeError, match="intent_classify") as caught:
        _checked(job_type="image_tagg")

    assert "image_tag" in caught.value.extra["job_types"]


def test_every_wrong_field_is_named_at_once() -> None:
    errors = _errors(
        user_id=2**63,
        max_attempts=0,
        run_at=datetime(2026, 1, 1),  # noqa: DTZ001 - what is tested
        priority="urgent",
        idempotency_key="",
        job_id="",
        metadata={"a": float("nan")},
        payload={},
    )

    assert {
        "user_id",
        "max_attempts",
        "run_at",
        "priority",
        "idempotency_key",
        "job_id",
        "metadata",
        "payload",
    } <= {loc.split(".")[0] for loc in errors}


@pytest.mark.parametrize("user_id", [-(2**63), 0, 2**63 - 1])
def test_a_users_id_may_be_any_64_bit_integer(user_id: int) -> None:
    assert _checked(user_id=user_id).user_id == user_id


@pytest.mark.parametrize("max_attempts", [-1, 0, 101])
def test_attempts_are_bounded(max_attempts: int) -> None:
    assert "from 1 to 100" in _errors(max_attempts=max_attempts)["max_attempts"]


def test_the_attempts_asked_for_win_over_the_default() -> None:
    assert _checked(max_attempts=1).max_attempts == 1
    assert _checked().max_attempts == 5


def test_a_naive_time_is_refused_with_an_example() -> None:
    message = _errors(run_at=datetime(2026, 1, 1))["run_at"]  # noqa: DTZ001 - what is tested

    assert "2026-01-31T09:00:00Z" in message


@pytest.mark.parametrize("key", ["", "a" * 201, "a\x00", "a\nb", "\ud800"])
def test_a_key_that_could_not_be_stored_is_refused(key: str) -> None:
    assert "printable" in _errors(idempotency_key=key)["idempotency_key"]


def test_a_payloads_errors_name_the_field() -> None:
    errors = _errors(payload={"query": 5})

    assert "payload.query" in errors


@pytest.mark.parametrize("field", ["payload", "metadata"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), {1, 2}, b"bytes"])
def test_what_is_not_json_is_refused(field: str, value: Any) -> None:
    errors = _errors(**{field: {"query": "hello", "more": value}})

    assert "NaN" in errors[field]


def test_json_that_is_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200_000):
        deep = {"a": deep}

    assert "metadata" in _errors(metadata=deep)
    while deep:  # Python frees such a thing recursively
        deep = deep.pop("a", {})


def test_unknown_fields_of_the_payload_are_kept() -> None:
    assert _checked(payload={"query": "a", "more": 1}).payload == {"query": "a", "more": 1}


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payload", {"query": "other"}),
        ("user_id", 8),
        ("max_attempts", 3),
        ("run_at", NOON),
        ("priority", "low"),
        ("metadata", {}),
    ],
)
def test_another_request_has_another_hash(field: str, value: Any) -> None:
    assert _checked(**{field: value}).request_hash != _checked().request_hash


def test_the_same_request_has_the_same_hash_whatever_its_key_id_and_order() -> None:
    first = _checked(idempotency_key="a", metadata={"a": 1, "b": 2})
    second = _checked(idempotency_key="b", job_id="x", metadata={"b": 2, "a": 1})

    assert first.request_hash == second.request_hash
