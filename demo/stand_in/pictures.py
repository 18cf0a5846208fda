"""Describes an image by what can be measured: colours, size, orientation, brightness."""

import colorsys
import io
from collections import Counter

from PIL import Image

from demo.stand_in.schema import Json

_SAMPLE = (48, 48)
_MAX_COLOURS = 3
_WORTH_NAMING = 0.08
_HUES = [
    (15, "red"), (40, "orange"), (68, "yellow"), (165, "green"), (195, "turquoise"),
    (255, "blue"), (290, "purple"), (340, "pink"), (361, "red"),
]  # fmt: skip


class NoImageError(Exception):
    """The bytes are not an image that can be decoded."""


def describe(data: bytes) -> Json:
    """The answer of ``image_tag``. Raises ``NoImageError``."""
    picture, width, height = _decode(data)
    colours = _colours(picture)
    orientation = _orientation(width, height)
    brightness = _brightness(picture)
    size = "small" if max(width, height) <= 256 else "large" if width * height > 10**6 else "medium"  # noqa: PLR2004 - taste
    named = " and ".join(colours[:2])
    description = (
        f"A {brightness} {orientation} image of {width} by {height} pixels, mostly {named}."
    )
    tags = [*colours, orientation, brightness, f"{size} image"]
    return {"description": description, "tags": tags}


def _decode(data: bytes) -> tuple[Image.Image, int, int]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            return picture.convert("RGB").resize(_SAMPLE), width, height
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        raise NoImageError("the image cannot be decoded") from error


def _colours(picture: Image.Image) -> list[str]:
    """The names of the colours that cover most, the largest first; always at least one."""
    counts = Counter(_name(pixel) for pixel in _pixels(picture))
    total = sum(counts.values())
    named = [name for name, count in counts.most_common() if count / total >= _WORTH_NAMING]
    return named[:_MAX_COLOURS] or [counts.most_common(1)[0][0]]


def _name(pixel: tuple[int, int, int]) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
    if value < 0.2:  # noqa: PLR2004 - the limits of colours are a matter of taste
        return "black"
    if saturation < 0.15:  # noqa: PLR2004 - judged by eye
        return "white" if value > 0.85 else "grey"  # noqa: PLR2004 - judged by eye
    name = next(name for limit, name in _HUES if hue * 360 < limit)
    return "brown" if name == "orange" and value < 0.65 else name  # noqa: PLR2004 - judged by eye


def _brightness(picture: Image.Image) -> str:
    levels = list(picture.convert("L").tobytes())
    return "bright" if sum(levels) / len(levels) > 127 else "dark"  # noqa: PLR2004 - half


def _orientation(width: int, height: int) -> str:
    if width == height:
        return "square"
    return "landscape" if width > height else "portrait"


def _pixels(picture: Image.Image) -> list[tuple[int, int, int]]:
    raw = iter(picture.tobytes())
    return list(zip(raw, raw, raw, strict=True))
