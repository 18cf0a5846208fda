"""The sample data of the demo: a photo, an e-mail, memories, tasks."""

import json
from dataclasses import dataclass
from importlib.resources import files

PHOTO_NAME = "lake.jpg"

_samples = files("demo") / "samples"


@dataclass(frozen=True)
class Email:
    """An e-mail as a gateway would hand it over."""

    subject: str
    body: str


def email() -> Email:
    """An e-mail that names two dates."""
    head, _, body = (_samples / "email.txt").read_text(encoding="utf-8").partition("\n\n")
    return Email(head.removeprefix("Subject: ").strip(), body)


def memories() -> list[str]:
    """Notes of a user; the last one belongs to the photo."""
    texts: list[str] = json.loads((_samples / "memories.json").read_text(encoding="utf-8"))
    return texts


def tasks() -> list[str]:
    """Things that the user has yet to do."""
    texts: list[str] = json.loads((_samples / "tasks.json").read_text(encoding="utf-8"))
    return texts


def photo() -> bytes:
    """A JPEG as a phone makes it: lying on its side, its EXIF data saying how to turn it."""
    return (_samples / PHOTO_NAME).read_bytes()
