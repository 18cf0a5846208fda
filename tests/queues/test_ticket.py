import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues.ticket import Ticket, parse_rq_id

job_ids = st.text("abcXYZ019_-", min_size=1, max_size=64)


@given(job_id=job_ids, seq=st.integers(1, 999_999_999))
def test_an_rq_id_tells_the_job_and_its_generation(job_id: str, seq: int) -> None:
    ticket = Ticket(job_id, seq, "intent_classify", "llm_intent")

    assert parse_rq_id(ticket.rq_id) == (job_id, seq)


@given(st.text())
def test_whatever_is_read_from_redis_is_a_ticket_that_spells_the_same_or_none(rq_id: str) -> None:
    parsed = parse_rq_id(rq_id)

    assert parsed is None or Ticket(*parsed, "", "").rq_id == rq_id


@pytest.mark.parametrize(
    "rq_id",
    [
        "",
        "job",
        "job-",
        "-1",
        "job-0",
        "job-01",
        "job-+1",
        "job-1 ",
        "job-1\n",
        "job-\u0661",
        "job-9999999999",
        "j\x00b-1",
        "j\u00f6b-1",
        "a" * 65 + "-1",
    ],
)
def test_what_is_no_ticket_of_ours_is_none(rq_id: str) -> None:
    assert parse_rq_id(rq_id) is None


def test_the_generation_before_is_the_same_job_in_the_same_list() -> None:
    assert Ticket("job", 3, "t", "q").previous() == Ticket("job", 2, "t", "q")
