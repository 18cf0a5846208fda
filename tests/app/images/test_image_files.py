"""Files that are no image, or one that should not be decoded."""

import os
import struct
import warnings
import zlib
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from app import images
from app.images import MAX_BYTES, load_image, prepare_image


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """A grey PNG whose header may promise anything."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels, 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF"])
def test_each_format_is_read_whatever_the_file_is_called(
    format_: str, image_dir: Path, encoded: Any, decoded: Any, is_near: Any
) -> None:
    (image_dir / "picture.txt").write_bytes(encoded(format_))
    picture = decoded(load_image(image_dir, "picture.txt"))
    assert picture.size == (40, 20)
    assert is_near(picture.getpixel((5, 5)), (200, 30, 30))


@pytest.mark.parametrize("format_", ["BMP", "TIFF", "ICO", "PPM", "PDF", "EPS", "TGA", "PCX"])
def test_other_formats_are_refused(format_: str, encoded: Any, refusal: Any) -> None:
    assert refusal(lambda: prepare_image(encoded(format_))) == "image_unsupported"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<html><script>alert(1)</script></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7",
        b"\x7fELF",
        bytes(1_000),
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_only_has_the_name_of_an_image_is_refused(
    data: bytes, image_dir: Path, refusal: Any
) -> None:
    (image_dir / "page.png").write_bytes(data)
    code = refusal(lambda: load_image(image_dir, "page.png"))
    assert code in {"image_unsupported", "image_broken"}


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_file_is_broken(format_: str, refusal: Any) -> None:
    noise = BytesIO()
    Pillow.effect_noise((200, 200), 100).convert("RGB").save(noise, format_)
    data = noise.getvalue()
    for share in (0.3, 0.6, 0.9):
        cut = data[: int(len(data) * share)]
        code = refusal(partial(prepare_image, cut))
        assert code in {"image_broken", "image_unsupported"}


def test_a_damaged_checksum_is_broken(encoded: Any, refusal: Any) -> None:
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 6] ^= 0xFF
    assert refusal(lambda: prepare_image(bytes(data))) == "image_broken"


def test_what_is_hidden_behind_an_image_stays_here(encoded: Any) -> None:
    hidden = b"<script>alert(1)</script>PK\x03\x04"
    assert hidden not in prepare_image(encoded("JPEG") + hidden).data


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded(refusal: Any) -> None:
    bomb = _png(13_000, 13_000, b"\0" * (13_001 * 13_000))
    assert len(bomb) < 200_000
    assert refusal(lambda: prepare_image(bomb)) == "image_too_large"


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (10_000, 5_001, "image_too_large"),
        (9_500, 9_500, "image_too_large"),
        (60_000, 60_000, "image_too_large"),
        (2**31 - 1, 1, "image_too_large"),
        (10_000, 5_000, "image_broken"),
        (0, 5, "image_broken"),
    ],
)
def test_the_header_decides_on_the_number_of_pixels(
    width: int, height: int, code: str, refusal: Any
) -> None:
    found = refusal(lambda: prepare_image(_png(width, height, b"\0")))
    assert found in {code, "image_unsupported"} if code == "image_broken" else found == code


def test_a_file_over_20_mb_is_refused_without_reading_it(
    image_dir: Path, encoded: Any, refusal: Any
) -> None:
    with (image_dir / "huge.png").open("wb") as file:
        file.write(encoded("PNG"))
        file.truncate(MAX_BYTES + 1)
    assert refusal(lambda: load_image(image_dir, "huge.png")) == "image_too_large"


def test_a_file_that_grows_while_it_is_read_is_refused(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 200)
    small = (image_dir / "tom.png").stat()
    (image_dir / "tom.png").write_bytes(bytes(1_000))
    monkeypatch.setattr(os, "fstat", lambda descriptor: small)
    assert small.st_size < 200
    assert refusal(lambda: load_image(image_dir, "tom.png")) == "image_too_large"


def test_a_warning_of_the_decoder_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    def warn(data: bytes) -> bytes:
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
        return data

    monkeypatch.setattr(images, "_redraw", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refusal(lambda: prepare_image(b"")) == "image_broken"
