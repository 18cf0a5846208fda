"""Paths as a hostile client may give them."""

import os
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app import images
from app.images import load_image
from app.jobs.job_type import JobRejected


@pytest.mark.parametrize("path", ["tom.png", "cats/tom.png", "./cats//tom.png"])
def test_a_file_below_the_folder_is_loaded(path: str, image_dir: Path, decoded: Any) -> None:
    assert decoded(load_image(image_dir, path)).size == (40, 20)


def test_an_absolute_path_inside_is_loaded(image_dir: Path) -> None:
    assert load_image(image_dir, str(image_dir / "cats" / "tom.png"))


def test_the_folder_itself_may_be_given_relative_or_as_a_link(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_dir.parent)
    Path("volume").symlink_to(image_dir)
    assert load_image(Path("images"), str(image_dir / "tom.png"))
    assert load_image(Path("volume"), "tom.png")
    assert load_image(Path("volume"), str(image_dir / "tom.png"))
    assert load_image(Path("volume"), str(image_dir.parent / "volume" / "tom.png"))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "cats/../../secret.png",
        "cats/../tom.png",
        "..",
        ".",
        "",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "tom.png\0.jpg",
        "\0",
    ],
)
def test_a_path_that_leads_outside_is_refused(path: str, image_dir: Path, refusal: Any) -> None:
    assert refusal(lambda: load_image(image_dir, path)) == "image_outside_dir"


@pytest.mark.parametrize("suffix", ["/../secret.png", "-evil/secret.png", ""])
def test_an_absolute_path_that_only_begins_like_the_folder_is_refused(
    suffix: str, image_dir: Path, refusal: Any
) -> None:
    evil = image_dir.parent / "images-evil"
    evil.mkdir()
    shutil.copy(image_dir.parent / "secret.png", evil)
    assert refusal(lambda: load_image(image_dir, f"{image_dir}{suffix}")) == "image_outside_dir"


@pytest.mark.parametrize(
    "path",
    ["nothing.png", "cats/nothing.png", "nothing/tom.png", "tom.png/tom.png", "x" * 300,
     "~/tom.png", "%2e%2e/secret.png", "..\\secret.png", "\ud800.png"],
)  # fmt: skip
def test_a_missing_file_is_named_as_missing(path: str, image_dir: Path, refusal: Any) -> None:
    assert refusal(lambda: load_image(image_dir, path)) == "image_not_found"


def test_a_missing_folder_is_a_missing_file(tmp_path: Path, refusal: Any) -> None:
    assert refusal(lambda: load_image(tmp_path / "nowhere", "tom.png")) == "image_not_found"


@pytest.mark.parametrize("target", ["../secret.png", "tom.png"])
def test_a_link_is_not_followed_wherever_it_leads(
    target: str, image_dir: Path, refusal: Any
) -> None:
    (image_dir / "link.png").symlink_to(target)
    assert refusal(lambda: load_image(image_dir, "link.png")) == "image_outside_dir"


def test_a_link_among_the_folders_is_not_followed(image_dir: Path, refusal: Any) -> None:
    (image_dir / "up").symlink_to("..")
    (image_dir / "kittens").symlink_to("cats")
    assert refusal(lambda: load_image(image_dir, "up/secret.png")) == "image_outside_dir"
    assert refusal(lambda: load_image(image_dir, "kittens/tom.png")) == "image_outside_dir"
    assert refusal(lambda: load_image(image_dir, "cats/../up/secret.png")) == "image_outside_dir"


def test_a_fifo_is_refused_without_waiting_for_its_writer(image_dir: Path, refusal: Any) -> None:
    os.mkfifo(image_dir / "pipe.png")
    assert refusal(lambda: load_image(image_dir, "pipe.png")) == "image_unsupported"


def test_a_folder_or_a_socket_is_no_image(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    assert refusal(lambda: load_image(image_dir, "cats")) == "image_unsupported"
    monkeypatch.chdir(image_dir)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        assert refusal(lambda: load_image(image_dir, "socket.png")) == "image_unsupported"


def test_a_link_that_vanishes_while_it_is_looked_at_is_a_missing_file(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    link = image_dir / "link.png"
    link.symlink_to("tom.png")
    really_open = os.open

    def open_and_lose(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        try:
            return really_open(path, flags, dir_fd=dir_fd)
        except OSError:
            link.unlink()
            raise

    monkeypatch.setattr(os, "open", open_and_lose)
    assert refusal(lambda: load_image(image_dir, "link.png")) == "image_not_found"


def test_swapping_a_folder_for_a_link_never_shows_what_is_outside(
    image_dir: Path, decoded: Any, secret_colour: Any, is_near: Any
) -> None:
    outside = image_dir.parent / "outside"
    outside.mkdir()
    shutil.copy(image_dir.parent / "secret.png", outside / "tom.png")
    done = threading.Event()

    def swap() -> None:
        kept = image_dir / "kept"
        while not done.is_set():
            (image_dir / "cats").rename(kept)
            (image_dir / "cats").symlink_to(outside)
            (image_dir / "cats").unlink()
            kept.rename(image_dir / "cats")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[str] = set()
    try:
        deadline = time.monotonic() + 30
        looks = 0
        while (looks < 200 or len(seen) < 2) and time.monotonic() < deadline:
            looks += 1
            try:
                shown = decoded(load_image(image_dir, "cats/tom.png")).getpixel((5, 5))
                seen.add("secret" if is_near(shown, secret_colour) else "tom")
            except JobRejected as refused:
                seen.add(refused.code)
    finally:
        done.set()
        swapper.join()
    assert seen <= {"tom", "image_not_found", "image_outside_dir"}
    assert len(seen) > 1, "the swapping was noticed at least once"


def test_the_file_that_was_opened_is_the_file_that_is_read(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch, decoded: Any, secret_colour: Any, is_near: Any
) -> None:
    really_fstat = os.fstat

    def swap_then_stat(descriptor: int) -> os.stat_result:
        (image_dir / "tom.png").unlink(missing_ok=True)
        (image_dir / "tom.png").symlink_to("../secret.png")
        return really_fstat(descriptor)

    monkeypatch.setattr(os, "fstat", swap_then_stat)
    shown = decoded(load_image(image_dir, "tom.png")).getpixel((5, 5))
    assert not is_near(shown, secret_colour)


def test_a_disk_that_fails_is_no_verdict_on_the_image(
    image_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        load_image(image_dir, "tom.png")
    monkeypatch.undo()
    folder = os.open(image_dir, os.O_RDONLY)
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        images._step("tom.png", os.O_RDONLY, folder)
    os.close(folder)


def test_no_descriptor_stays_open(image_dir: Path) -> None:
    os.mkfifo(image_dir / "pipe.png")
    (image_dir / "link").symlink_to("cats")
    before = _open_descriptors()
    for path in ("tom.png", "cats/tom.png", "cats/no.png", "link/tom.png", "pipe.png", "cats"):
        with suppress(JobRejected):
            load_image(image_dir, path)
    assert _open_descriptors() == before


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_refusal_tells_nothing_of_the_machines_folders(image_dir: Path) -> None:
    (image_dir / "link.png").symlink_to("../secret.png")
    for path in ("link.png", "no.png", "../secret.png", "cats"):
        with pytest.raises(JobRejected) as caught:
            load_image(image_dir, path)
        assert str(image_dir.parent) not in caught.value.message
