"""A work-horse imports nothing: its worker has done so before the fork."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.store.database import Database
from tests.factories import add_job, row_of

ROOT = Path(__file__).resolve().parents[2]
# What the parent does before its first fork, and then a job, in one process.
SCRIPT = """
import sys
import workers.worker
from workers.leases import prepare

prepare("worker-1")("{job_id}-1")
before = set(sys.modules)
from workers.runner import run

run("{job_id}", 1)
print(*sorted(set(sys.modules) - before))
"""
CODECS = {f"encodings.{name}" for name in ("utf_8_sig", "idna")}
PAYLOADS = {
    "image_tag": {"memory_id": "m1"},
    "intent_classify": {"query": "remind me to call the dentist tomorrow at 9"},
    "followup": {"message": "a bike"},
    "task_match": {"memory_id": "m1", "memory_content": "bought bread"},
    "email_extract": {"subject": "Dinner", "body": "Dinner on 24 December 2027 at 19:00."},
}


def imported_by_a_job(database: Database, llm_url: str, folder: Path, job_type: str) -> set[str]:
    payload = PAYLOADS[job_type]
    if job_type == "image_tag":
        payload = payload | {"image_path": "picture"}
    job_id = add_job(database, job_type=job_type, payload=payload)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(job_id=job_id)],
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": str(database.engine.url),
            "LLM_BASE_URL": llm_url,
            "IMAGE_DIR": str(folder),
            "LOG_LEVEL": "ERROR",
            "COVERAGE_PROCESS_CONFIG": "",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert row_of(database, job_id).status == "completed"
    return set(done.stdout.split()) - CODECS


@pytest.mark.parametrize("job_type", sorted(set(PAYLOADS) - {"image_tag"}))
def test_a_job_imports_nothing(sqlite_database, llm, tmp_path, job_type):
    assert imported_by_a_job(sqlite_database, llm.url, tmp_path, job_type) == set()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_image_needs_no_codec_that_is_not_there(sqlite_database, llm, tmp_path, image_format):
    if image_format == "JPEG":
        shutil.copy(ROOT / "demo/samples/lake.jpg", tmp_path / "picture")
    else:
        Image.new("RGB", (64, 32), "red").save(tmp_path / "picture", image_format)
    assert imported_by_a_job(sqlite_database, llm.url, tmp_path, "image_tag") == set()
