"""From POST to notification, as a user sees it."""

import json
import re
import shutil
from pathlib import Path

import pytest
import requests

REMINDER = {"query": "remind me to call the dentist tomorrow at 9"}


@pytest.fixture(autouse=True)
def _well_behaved(running):
    running.llm.misbehave("none")
    yield
    running.llm.misbehave("none")


def test_a_submitted_job_completes_and_is_told_once(running):
    body = json.dumps({"job_type": "intent_classify", "payload": REMINDER, "user_id": 12345})
    # As curl sends it: the text as it stands, and one header.
    answer = requests.post(
        f"{running.web_url}/llm_jobs",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    accepted = answer.json()
    assert (answer.status_code, accepted["status"]) == (201, "queued")
    assert answer.headers["Location"] == f"/llm_jobs/{accepted['id']}"

    job = running.wait_for(accepted["id"], "completed")

    assert job["result"]["intent"] == "reminder"
    assert job["result"]["query"] == REMINDER["query"]
    assert job["result"]["results"] == []
    assert (job["attempts"], job["failures"], job["model"]) == (1, 0, "stand-in")
    running.wait(lambda: running.notifications(job["id"]), "the notification")
    (told,) = running.notifications(job["id"])
    assert told["user_id"] == 12345
    assert told["message_type"] == "llm_intent_result"
    assert told["content"] == job["result"]
    assert re.fullmatch(rf"{job['id']}:\d+", told["event_id"])
    assert running.history(job["id"]) == [
        (None, "queued"),
        ("queued", "processing"),
        ("processing", "completed"),
    ]


def test_every_llm_job_type_completes_with_its_kind_of_result(running):
    memory = running.post(
        "/memories", {"content": "Passport is in the blue box", "owner_user_id": 7}
    )
    task = running.post("/tasks", {"description": "Buy oat milk and bread", "owner_user_id": 7})
    samples = Path(__file__).resolve().parents[2] / "demo" / "samples"
    photo = next(samples.rglob("*.jp*g"))
    shutil.copy(photo, running.folder / "images" / photo.name)
    asked = {
        "image_tag": {"memory_id": memory.json()["id"], "image_path": photo.name},
        "intent_classify": {"query": "where is my passport?"},
        "followup": {"message": "I want to go somewhere warm"},
        "task_match": {"memory_id": "m1", "memory_content": "bought oat milk and bread"},
        "email_extract": {
            "subject": "Dinner",
            "body": "Let us meet for dinner on 24 December 2027 at 19:00 at Luigi's.",
        },
    }
    ids = {name: running.submit(name, payload, user_id=7) for name, payload in asked.items()}

    done = {name: running.wait_for(job_id, "completed") for name, job_id in ids.items()}

    assert done["image_tag"]["result"]["tags"]
    assert {
        entry["tag"] for entry in running.get(f"/memories/{memory.json()['id']}")["tags"]
    } == set(done["image_tag"]["result"]["tags"])
    found = done["intent_classify"]["result"]
    assert found["intent"] == "search"
    assert [hit["memory_id"] for hit in found["results"]] == [memory.json()["id"]]
    assert done["followup"]["result"]["question"].endswith("?")
    assert done["task_match"]["result"]["task_id"] == task.json()["id"]
    assert done["email_extract"]["result"]["event_date"].startswith("2027-12-24T19:00")
    (event,) = running.get("/events?owner_user_id=7")
    assert (event["status"], event["source_detail"]) == ("pending", "Dinner")


def test_a_user_without_open_tasks_costs_no_llm_call_and_gets_no_notification(running):
    calls = len(running.llm.calls)
    payload = {"memory_id": "m1", "memory_content": "bought bread"}
    job_id = running.submit("task_match", payload, user_id=999)

    job = running.wait_for(job_id, "completed")

    assert job["result"] is None
    assert len(running.llm.calls) == calls
    # A later notification is out, so this job's would be, too.
    later = running.submit("followup", {"message": "I would like a new bike"})
    running.wait_for(later, "completed")
    running.wait(lambda: running.notifications(later), "the later notification")
    assert running.notifications(job_id) == []


def test_a_failing_llm_makes_the_job_wait_visibly_and_then_complete(running):
    running.llm.misbehave("status", status=500, times=2)
    job_id = running.submit("followup", {"message": "I lost my keys again"})

    running.wait(lambda: running.job(job_id)["failures"] == 2, "two failures")
    waiting = running.job(job_id)
    ticket_seen = running.failed_tickets("llm_followup")

    assert waiting["status"] == "queued"
    assert waiting["next_attempt_at"] is not None
    assert waiting["error_code"] == "llm_server_error"
    assert any(rq_id.startswith(job_id) for rq_id in ticket_seen)
    job = running.wait_for(job_id, "completed")
    assert (job["attempts"], job["failures"], job["error_code"]) == (3, 2, None)
    running.wait(
        lambda: not any(t.startswith(job_id) for t in running.failed_tickets("llm_followup")),
        "the retired tickets to leave the failed registry",
    )


def test_a_job_that_fails_for_good_is_told_and_rq_requeue_brings_it_back(running):
    running.llm.misbehave("malformed")
    job_id = running.submit("intent_classify", REMINDER, max_attempts=2)
    failed = running.wait_for(job_id, "failed")
    running.wait(lambda: running.notifications(job_id), "the failure's notification")
    running.wait(lambda: running.failed_tickets("llm_intent"), "the ticket in the failed registry")

    assert (failed["error_code"], failed["failures"], failed["result"]) == (
        "invalid_answer",
        2,
        None,
    )
    (told,) = running.notifications(job_id)
    assert told["message_type"] == "llm_failure"
    assert told["content"] == {
        "job_type": "intent_classify",
        "memory_id": "",
        "error_code": "invalid_answer",
    }

    running.llm.misbehave("none")
    running.run("rq", "requeue", "--all", "--queue", "llm_intent")
    job = running.wait_for(job_id, "completed")

    assert (job["attempts"], job["result"]["intent"]) == (3, "reminder")
    assert running.history(job_id)[-3:] == [
        ("failed", "queued"),
        ("queued", "processing"),
        ("processing", "completed"),
    ]


def test_a_permanent_refusal_ends_in_error_at_once_and_a_retry_opens_it_again(running):
    job_id = running.submit("image_tag", {"memory_id": "m1", "image_path": "missing.jpg"})
    job = running.wait_for(job_id, "error")
    assert (job["error_code"], job["attempts"]) == ("image_not_found", 1)

    samples = Path(__file__).resolve().parents[2] / "demo" / "samples"
    shutil.copy(next(samples.rglob("*.jp*g")), running.folder / "images" / "missing.jpg")
    assert running.post(f"/llm_jobs/{job_id}/retry").json()["status"] == "queued"

    assert running.wait_for(job_id, "completed")["attempts"] == 2


def test_a_job_of_the_future_waits_for_its_time(running):
    from datetime import UTC, datetime, timedelta

    run_at = datetime.now(UTC) + timedelta(seconds=3)
    job_id = running.submit("followup", {"message": "tea"}, run_at=run_at.isoformat())
    assert running.job(job_id)["next_attempt_at"] is not None
    job = running.wait_for(job_id, "completed")
    assert datetime.fromisoformat(job["started_at"]) >= run_at


def test_a_batch_is_accepted_in_one_call_and_all_of_it_completes(running):
    jobs = [
        {"job_type": "followup", "payload": {"message": f"number {n}"}, "user_id": 3}
        for n in range(12)
    ]
    answer = running.post("/llm_jobs/batch", [*jobs, {"job_type": "no_such", "payload": {}}])
    assert answer.status_code == 201
    assert (answer.json()["accepted"], len(answer.json()["jobs"])) == (12, 12)
    assert [error["index"] for error in answer.json()["errors"]] == [12]
    for job_id in answer.json()["jobs"]:
        running.wait_for(job_id, "completed", timeout_s=60)
