"""Pictures to be sent, and ways to look at what becomes of them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow

from app.jobs.ask import Image
from app.jobs.job_type import JobRejected

SECRET = (9, 200, 30)
"""The colour of an image that nobody may see."""


@pytest.fixture
def image_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "images"
    (directory / "cats").mkdir(parents=True)
    (directory / "tom.png").write_bytes(_encoded("PNG"))
    (directory / "cats" / "tom.png").write_bytes(_encoded("PNG"))
    (tmp_path / "secret.png").write_bytes(_encoded("PNG", colour=SECRET))
    return directory


@pytest.fixture
def secret_colour() -> tuple[int, int, int]:
    return SECRET


def _encoded(
    format_: str,
    size: tuple[int, int] = (40, 20),
    mode: str = "RGB",
    colour: object = (200, 30, 30),
    **options: object,
) -> bytes:
    buffer = BytesIO()
    Pillow.new(mode, size, colour).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.fixture
def encoded() -> Callable[..., object]:
    return _encoded


def _decoded(image: Image) -> Pillow.Image:
    assert image.media_type == "image/jpeg"
    picture = Pillow.open(BytesIO(image.data))
    picture.load()
    assert picture.format == "JPEG"
    return picture


@pytest.fixture
def decoded() -> Callable[..., object]:
    return _decoded


def _is_near(found: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(found, tuple)
    return all(abs(a - b) <= 12 for a, b in zip(found, wanted, strict=True))


@pytest.fixture
def is_near() -> Callable[..., object]:
    return _is_near


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(JobRejected) as caught:
        call()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.code


@pytest.fixture
def refusal() -> Callable[..., object]:
    return _refusal
