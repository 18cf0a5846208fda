"""What an attempt leaves on its record."""

from app.store import outcomes
from app.store.database import Database
from app.store.outcomes import Problem, Report, storable
from app.store.rows import Usage
from tests.factories import (
    LATER,
    PROBLEM,
    add_job,
    attempts_of,
    claimed,
    notifications_of,
    row_of,
)


def test_tokens_are_summed_over_the_attempts(database: Database) -> None:
    job_id = add_job(database)
    first, second = Usage(10, 5, 15), Usage(7, 3, 10)
    claim = claimed(database, job_id)
    with database.begin() as connection:
        outcomes.retry_later(connection, claim, PROBLEM, Report(model="a", usage=first), 1)
    claim = claimed(database, job_id, enqueued_at=LATER)
    with database.begin() as connection:
        report = Report(model="b", usage=second)
        outcomes.complete(connection, claim, report, None, lambda _: None)

    row = row_of(database, job_id)
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (17, 8, 25)
    assert row.model == "b"
    assert [a.total_tokens for a in attempts_of(database, job_id)] == [15, 10]


def test_tokens_that_nobody_reported_stay_unknown(database: Database) -> None:
    job_id = add_job(database)
    claim = claimed(database, job_id)
    with database.begin() as connection:
        outcomes.retry_later(connection, claim, PROBLEM, Report(usage=Usage(None, 4, None)), 1)
    row = row_of(database, job_id)
    assert (row.prompt_tokens, row.completion_tokens, row.total_tokens) == (None, 4, None)

    claim = claimed(database, job_id, enqueued_at=LATER)
    with database.begin() as connection:
        outcomes.complete(connection, claim, Report(), None, lambda _: {})
    row = row_of(database, job_id)
    assert (row.prompt_tokens, row.completion_tokens, row.model) == (None, 4, None)


def test_an_attempt_keeps_what_was_asked_and_answered(database: Database) -> None:
    claim = claimed(database)
    report = Report(
        model="mistral",
        prompt_name="intent_classify",
        prompt_version="1",
        prompt_sha256="abc",
        prompt=[{"role": "user", "content": "half a pair: \ud83d, a NUL: \x00"}],
        answer='{"intent": "note"}\x00\ud83d',
        repaired=True,
        llm_calls=2,
    )

    with database.begin() as connection:
        outcomes.complete(connection, claim, report, None, lambda _: None)

    (attempt,) = attempts_of(database, claim.job_id)
    assert (attempt.model, attempt.prompt_name, attempt.prompt_version) == (
        "mistral",
        "intent_classify",
        "1",
    )
    assert (attempt.prompt_sha256, attempt.repaired, attempt.llm_calls) == ("abc", True, 2)
    assert attempt.prompt == report.prompt
    assert attempt.answer == '{"intent": "note"}\ufffd?'


def test_a_hostile_answer_and_message_can_be_stored(database: Database) -> None:
    claim = claimed(database)
    problem = Problem("invalid_answer", "bad \x00 and \udce4" + "x" * 5_000)

    with database.begin() as connection:
        outcomes.retry_later(connection, claim, problem, Report(model="m\x00"), 1)

    row = row_of(database, claim.job_id)
    assert row.error_message.startswith("bad \ufffd and ?")
    assert len(row.error_message) == outcomes.MAX_MESSAGE_CHARS
    assert row.model == "m\ufffd"


def test_a_result_with_nul_and_half_a_surrogate_pair_comes_back_as_it_was(
    database: Database,
) -> None:
    claim = claimed(database)
    result = {"text": "a\x00b\ud83dc"}

    with database.begin() as connection:
        outcomes.complete(connection, claim, Report(), "llm_intent_result", lambda _: result)

    assert row_of(database, claim.job_id).result == result
    assert notifications_of(database, claim.job_id)[0]["content"] == result


def test_storable_text_is_left_alone() -> None:
    assert storable("grün 🌱\n") == "grün 🌱\n"
