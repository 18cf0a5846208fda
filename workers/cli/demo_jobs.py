"""The sample jobs of the demo: submitted over HTTP, as any client would, and their results."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click
from redis.exceptions import RedisError

from app.settings import Settings
from demo import sample_data
from queues.connection import connect
from queues.notify import STREAM
from workers.cli.api_client import ApiClient
from workers.cli.output import compact, plain, print_table, progress

USER_ID = 12345
# In a folder of its own: IMAGE_DIR may be one that is in use.
_IMAGE_PATH = f"demo/{sample_data.PHOTO_NAME}"
_NOTIFIED_WITHIN_S = 15.0
_POLL_S = 0.2
_FINAL = ("completed", "failed", "error", "cancelled")


class SampleRun:
    """One job of each sample, from POST to notification. ``check`` raises when a process died."""

    def __init__(self, api: ApiClient, settings: Settings, check: Callable[[], None]) -> None:
        self._api = api
        self._settings = settings
        self._check = check
        self._redis = connect(settings.redis_dsn, settings.redis_timeout_s)
        self._stream_start = _last_entry_id(self._redis)
        self._jobs: dict[str, dict[str, Any]] = {}
        self._notified: set[str] = set()

    def submit(self) -> None:
        """Create the user's memories and tasks, put the photo in place, submit the jobs."""
        memory_ids = self._ensure("/memories", "content", sample_data.memories())
        self._ensure("/tasks", "description", sample_data.tasks())
        self._place_photo()
        for job_type, payload in _payloads(memory_ids).items():
            body = {"job_type": job_type, "payload": payload, "user_id": USER_ID}
            job = self._api.post("/llm_jobs", body)
            self._jobs[job["id"]] = job
        click.echo(f"Submitted {len(self._jobs)} jobs.", err=True)

    def wait(self, timeout_s: float) -> None:
        """Until all jobs are final and notified, or ``timeout_s`` is over."""
        deadline = time.monotonic() + timeout_s
        open_ids = list(self._jobs)
        with progress("jobs", len(open_ids)) as advance:
            while open_ids and time.monotonic() < deadline:
                for job_id in tuple(open_ids):
                    job = self._jobs[job_id] = self._api.get(f"/llm_jobs/{job_id}")
                    if job["status"] in _FINAL:
                        open_ids.remove(job_id)
                        advance(f"{job['job_type']} {job['status']}")
                self._check()
                time.sleep(_POLL_S)
        if open_ids:
            click.echo(f"{len(open_ids)} jobs are not done after {timeout_s:.0f} s.", err=True)
        self._wait_for_notifications()

    def close(self) -> None:
        """Give the connection to Redis back."""
        self._redis.close()

    @property
    def is_success(self) -> bool:
        """True when every job completed and every notification arrived."""
        all_completed = all(job["status"] == "completed" for job in self._jobs.values())
        return all_completed and self._expected() <= self._notified

    def print_results(self) -> None:
        """The table, and how many notifications were read back from the stream."""
        rows = [
            (
                job["job_type"],
                job["status"],
                job["model"],
                "yes" if job["id"] in self._notified else "no",
                compact(job["result"]) or plain(job["error_message"]),
            )
            for job in self._jobs.values()
        ]
        print_table(("job type", "status", "model", "notified", "result"), rows)
        arrived, expected = len(self._notified & self._expected()), len(self._expected())
        click.echo(f"{arrived} of {expected} notifications arrived on the stream {STREAM}.")

    def _place_photo(self) -> None:
        path = self._settings.image_dir / _IMAGE_PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample_data.photo())

    def _ensure(self, path: str, field: str, texts: list[str]) -> list[str]:
        """Ids of the user's entries with these texts; a second run creates none twice."""
        existing = {
            entry[field]: entry["id"] for entry in self._api.pages(path, owner_user_id=USER_ID)
        }
        for text in texts:
            if text not in existing:
                created = self._api.post(path, {field: text, "owner_user_id": USER_ID})
                existing[text] = created["id"]
        return [str(existing[text]) for text in texts]

    def _expected(self) -> set[str]:
        """Jobs that notify: those with a result, and those that failed."""
        return {
            job["id"]
            for job in self._jobs.values()
            if job["result"] is not None or job["status"] in ("failed", "error")
        }

    def _wait_for_notifications(self) -> None:
        deadline = time.monotonic() + _NOTIFIED_WITHIN_S
        while not self._expected() <= self._notified and time.monotonic() < deadline:
            with suppress(RedisError):  # its end is told by the check
                self._notified |= self._jobs.keys() & set(self._job_ids_on_stream())
            self._check()
            time.sleep(_POLL_S)

    def _job_ids_on_stream(self) -> list[str]:
        entries: Any = self._redis.xrange(STREAM, min=f"({self._stream_start}")
        return [json.loads(fields[b"data"])["job_id"] for _, fields in entries]


def _payloads(memory_ids: list[str]) -> dict[str, dict[str, Any]]:
    email = sample_data.email()
    return {
        "image_tag": {"memory_id": memory_ids[-1], "image_path": _IMAGE_PATH},
        "intent_classify": {"query": "search my notes for blueberry pie"},
        "followup": {"message": "remind me about the meeting"},
        "task_match": {
            "memory_id": memory_ids[0],
            "memory_content": "I called the dentist and have an appointment now.",
        },
        "email_extract": {"subject": email.subject, "body": email.body},
    }


def _last_entry_id(redis: Any) -> str:
    entries = redis.xrevrange(STREAM, count=1)
    return entries[0][0].decode() if entries else "0-0"
