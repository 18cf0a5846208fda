"""What leaves the machine of a picture."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from app.images import prepare_image


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((4_096, 1_024), (2_048, 512)),
        ((1_000, 3_000), (683, 2_048)),
        ((2_048, 2_048), (2_048, 2_048)),
        ((9_000, 1), (2_048, 1)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_the_long_side_has_at_most_2048_pixels(
    format_: str, size: tuple[int, int], scaled: tuple[int, int], encoded: Any, decoded: Any
) -> None:
    assert decoded(prepare_image(encoded(format_, size=size))).size == scaled


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("side_px", [60, 3_000])
def test_the_picture_is_turned_upright(
    format_: str, side_px: int, decoded: Any, is_near: Any
) -> None:
    # Red on the left of the file; orientation 6 says "turn clockwise": red is then on top.
    lying = Pillow.new("RGB", (side_px * 2, side_px), "blue")
    lying.paste("red", (0, 0, side_px, side_px))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    lying.save(buffer, format_, exif=exif)
    upright = decoded(prepare_image(buffer.getvalue()))
    assert upright.height == upright.width * 2
    middle = upright.width // 2
    assert is_near(upright.getpixel((middle, upright.height // 4)), (255, 0, 0))
    assert is_near(upright.getpixel((middle, upright.height * 3 // 4)), (0, 0, 255))
    assert not upright.getexif()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_where_and_with_what_it_was_taken_stays_here(
    format_: str, encoded: Any, decoded: Any
) -> None:
    exif = Pillow.Exif()
    exif[0x010F] = "canary-maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    options: dict[str, object] = {"exif": exif, "icc_profile": b"canary-profile"}
    if format_ == "JPEG":
        options["comment"] = "canary-comment"
    if format_ == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "canary-author")
        options["pnginfo"] = text
    data = encoded(format_, **options)
    assert b"canary" in data
    sent = prepare_image(data)
    assert b"canary" not in sent.data
    picture = decoded(sent)
    assert not picture.getexif()
    assert not {"exif", "icc_profile", "comment"} & set(picture.info)


def test_of_an_animation_the_first_frame_is_sent(decoded: Any, is_near: Any) -> None:
    frames = [Pillow.new("RGB", (40, 20), colour) for colour in ("red", "green", "blue")]
    buffer = BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=100)
    picture = decoded(prepare_image(buffer.getvalue()))
    assert is_near(picture.getpixel((5, 5)), (255, 0, 0))


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_what_is_transparent_becomes_white(
    format_: str, encoded: Any, decoded: Any, is_near: Any
) -> None:
    data = encoded(format_, mode="RGBA", colour=(0, 0, 0, 0))
    assert is_near(decoded(prepare_image(data)).getpixel((5, 5)), (255, 255, 255))


@pytest.mark.parametrize(
    ("format_", "mode", "colour", "seen"),
    [
        ("JPEG", "CMYK", (0, 255, 255, 0), (254, 0, 0)),
        ("JPEG", "L", 100, (100, 100, 100)),
        ("PNG", "I;16", 25_700, (100, 100, 100)),
        ("PNG", "LA", (100, 255), (100, 100, 100)),
        ("PNG", "1", 1, (255, 255, 255)),
        ("GIF", "P", 0, (0, 0, 0)),
    ],
)
def test_every_way_of_storing_colours_is_shown_as_it_looks(
    format_: str,
    mode: str,
    colour: object,
    seen: tuple[int, int, int],
    encoded: Any,
    decoded: Any,
    is_near: Any,
) -> None:
    data = encoded(format_, mode=mode, colour=colour)
    assert is_near(decoded(prepare_image(data)).getpixel((5, 5)), seen)


@pytest.mark.parametrize(
    ("mode", "colour", "key"),
    [("RGB", (9, 9, 9), (9, 9, 9)), ("L", 9, 9), ("P", 0, 0), ("P", 0, b"\0"), ("1", 0, 0)],
)
def test_a_transparent_colour_of_a_png_becomes_white(
    mode: str, colour: object, key: object, encoded: Any, decoded: Any, is_near: Any
) -> None:
    data = encoded("PNG", mode=mode, colour=colour, transparency=key)
    assert is_near(decoded(prepare_image(data)).getpixel((5, 5)), (255, 255, 255))


def test_the_first_picture_of_a_phones_multi_picture_jpeg_is_sent(
    decoded: Any, is_near: Any
) -> None:
    buffer = BytesIO()
    first, second = (Pillow.new("RGB", (40, 20), colour) for colour in ("red", "blue"))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    picture = decoded(prepare_image(buffer.getvalue()))
    assert is_near(picture.getpixel((5, 5)), (255, 0, 0))
