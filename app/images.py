"""Images from ``IMAGE_DIR``, made ready to leave the machine.

A path is a client's text, and a file may be anything: the path is walked without following a
symbolic link, the file is opened once, its size and pixels are checked before it is decoded, and
what is sent is drawn anew, so that nothing of the file but its picture leaves.
"""

import errno
import os
import stat
import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow
from PIL import WebPImagePlugin as _WebP  # noqa: F401 - or Pillow loads all of its plugins for it

from app.jobs.ask import Image
from app.jobs.job_type import JobRejected

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_SIDE_PX = 2_048
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_JPEG_QUALITY = 90
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: opening a FIFO would otherwise wait for its writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOT_A_FILE = {errno.ENXIO, errno.ENODEV, errno.EISDIR}
_VERDICTS = _NOT_A_FILE | {
    errno.ENOENT, errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP, errno.ENOTDIR,
}  # fmt: skip
# What Pillow's decoders raise on a broken file.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, struct.error, zlib.error, Warning,
)  # fmt: skip
# Python's warning filters belong to the process, and the web process has threads.
_warnings_lock = threading.Lock()


def load_image(image_dir: Path, image_path: str) -> Image:
    """The image at ``image_path``, relative to ``image_dir`` or absolute inside it.

    Raises ``JobRejected`` with the code ``image_not_found``, ``image_outside_dir`` (also for a
    symbolic link, wherever it leads), ``image_unsupported`` (also for what is no plain file),
    ``image_too_large`` or ``image_broken``. Its message names no folder of this machine.
    """
    return prepare_image(_read(_open(image_dir, _inside(image_dir, image_path))))


def preload() -> None:
    """Load Pillow's codecs by using each once, so that no work-horse has to after its fork."""
    upright = Pillow.Exif()
    upright[ExifTags.Base.Orientation] = 1
    for name in _FORMATS:
        drawn = BytesIO()
        Pillow.new("RGB", (1, 1)).save(drawn, name, exif=upright)
        prepare_image(drawn.getvalue())


def prepare_image(data: bytes) -> Image:
    """An upright JPEG of the first frame, at most 2,048 px wide and high, without metadata.

    What is transparent becomes white. Raises ``JobRejected`` as ``load_image`` does.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(f"{len(data):,} bytes", f"{MAX_BYTES:,} bytes")
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return Image("image/jpeg", _redraw(data))
        except UnidentifiedImageError:
            raise JobRejected(
                "image_unsupported", "The file is not a JPEG, PNG, WebP or GIF image."
            ) from None
        except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
            raise _too_large("far more", f"{MAX_PIXELS:,} pixels") from None
        except _BROKEN:
            raise JobRejected(
                "image_broken", "The image cannot be read: it is cut off or damaged."
            ) from None


def _inside(image_dir: Path, image_path: str) -> tuple[str, ...]:
    """The path's components below ``image_dir``, by its text alone."""
    path = PurePosixPath(image_path)
    if path.is_absolute():
        for root in (image_dir.absolute(), image_dir.resolve()):
            if path.is_relative_to(root):
                path = path.relative_to(root)
                break
    if path.is_absolute() or ".." in path.parts or "\0" in image_path or not path.parts:
        raise JobRejected(
            "image_outside_dir",
            "image_path must be a file under IMAGE_DIR: relative to it, without '..'.",
        )
    return path.parts


def _open(image_dir: Path, parts: tuple[str, ...]) -> int:
    """Open the file below ``image_dir`` component by component; returns its descriptor.

    Each component is opened in the folder that is already open, so that swapping one for a link
    meanwhile leads nowhere. ``image_dir`` itself is the operator's and may be a link.
    """
    try:
        folder = os.open(image_dir, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        raise _not_found() from None
    try:
        for part in parts[:-1]:
            inner = _step(part, _FOLDER_FLAGS, folder)
            os.close(folder)
            folder = inner
        return _step(parts[-1], _FILE_FLAGS, folder)
    finally:
        os.close(folder)


def _step(part: str, flags: int, folder: int) -> int:
    """Open ``part`` of an open folder. An error that may pass (an ailing disk) is let through."""
    try:
        return os.open(part, flags, dir_fd=folder)
    except OSError as error:
        if error.errno not in _VERDICTS:
            raise
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(part, folder):
            raise JobRejected(
                "image_outside_dir", "image_path leads through a symbolic link; name the file."
            ) from None
        raise (_not_a_file() if error.errno in _NOT_A_FILE else _not_found()) from None
    except UnicodeEncodeError:
        raise _not_found() from None


def _is_link(part: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> bytes:
    """The whole file, if it is a plain one and not too large; closes ``descriptor``."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file()
        if status.st_size > MAX_BYTES:
            raise _too_large(f"{status.st_size:,} bytes", f"{MAX_BYTES:,} bytes")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _redraw(data: bytes) -> bytes:
    with Pillow.open(BytesIO(data), formats=_FORMATS) as picture:
        pixels = picture.width * picture.height
        if pixels > MAX_PIXELS:
            raise _too_large(f"{pixels:,} pixels", f"{MAX_PIXELS:,} pixels")
        plain = _in_plain_colours(picture)
        plain.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        upright = ImageOps.exif_transpose(plain).convert("RGBA")
    # A fresh canvas has no EXIF, comment or profile for the encoder to carry over.
    canvas = Pillow.new("RGB", upright.size, "white")
    canvas.paste(upright, mask=upright.getchannel("A"))
    encoded = BytesIO()
    canvas.save(encoded, "JPEG", quality=_JPEG_QUALITY)
    return encoded.getvalue()


def _in_plain_colours(picture: Pillow.Image) -> Pillow.Image:
    """The picture in a mode that scales well; a JPEG stays itself and is decoded at a reduced size.

    Sixteen-bit grey (some PNGs) is scaled down, since Pillow's own conversion clips it to white.
    """
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return picture.convert("RGBA") if picture.mode in ("1", "P", "PA") else picture


def _not_found() -> JobRejected:
    return JobRejected("image_not_found", "There is no such file under IMAGE_DIR.")


def _not_a_file() -> JobRejected:
    return JobRejected("image_unsupported", "image_path does not name a plain file.")


def _too_large(found: str, most: str) -> JobRejected:
    return JobRejected("image_too_large", f"The image has {found}; at most {most} are taken.")
