"""The file that keeps the pixels of a split: made once, and again where it is damaged."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_folder import SIZE, N, pixels_of
from identbox.data import pixels
from identbox.data.pixels import open_split
from identbox.errors import IdentboxError


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the images that are decoded for a cache."""
    seen: list[int] = []
    decode = pixels._image

    def counted(task, index):
        seen.append(index)
        return decode(task, index)

    monkeypatch.setattr(pixels, "_image", counted)
    return seen


def test_images_are_decoded_once_for_each_size(folder: Path, decoded: list[int]):
    open_split(folder, "train")
    assert sorted(decoded) == list(range(N))
    open_split(folder, "train", SIZE)  # the images' own size, named
    assert len(decoded) == N
    open_split(folder, "train", 12)
    assert len(decoded) == 2 * N
    assert {path.suffix for path in (folder / ".cache").iterdir()} == {".npy", ".json"}


def test_a_changed_image_makes_the_cache_anew(folder: Path, decoded: list[int]):
    open_split(folder, "train")
    path = folder / "train" / "images" / "05.png"
    Image.fromarray(pixels_of(99)).save(path)
    os.utime(path, ns=(1, 1))
    told: list[str] = []
    split = open_split(folder, "train", on_message=told.append)
    np.testing.assert_array_equal(split.pixels[5], pixels_of(99))
    assert len(decoded) == 2 * N
    assert told == [
        f"{folder}/.cache/train-24.npy: expected the pixels of these images, got those of others; it is made again"
    ]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def other_shape(path: Path) -> None:
    np.save(path, np.zeros((N, SIZE, SIZE, 1), dtype=np.uint8))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        other_shape,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array"),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text('{"format": "x"}'),
        lambda path: path.with_suffix(".json").write_bytes(b"\xff"),
        lambda path: path.with_suffix(".json").unlink(),
    ],
    ids=["cut", "flipped", "shape", "empty", "text", "note-cut", "note-key", "note-bytes", "note-gone"],
)
def test_a_damaged_cache_is_made_again_with_a_message(folder: Path, damage: Callable, decoded: list[int]):
    before = open_split(folder, "train")
    whole, mean = np.array(before.pixels), before.mean
    del before
    damage(folder / ".cache" / "train-24.npy")
    told: list[str] = []
    split = open_split(folder, "train", on_message=told.append)
    np.testing.assert_array_equal(split.pixels, whole)
    assert split.mean == mean
    assert len(decoded) == 2 * N
    assert len(told) == 1
    assert len(told[0].splitlines()) == 1
    assert told[0].endswith("; it is made again")
    open_split(folder, "train", on_message=told.append)
    assert len(told) == 1


def test_a_cache_with_a_new_modification_time_is_hashed_once_and_kept(
    folder: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
):
    open_split(folder, "train")
    os.utime(folder / ".cache" / "train-24.npy", ns=(5, 5))
    hashed = []
    plain = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: hashed.append(a) or plain(*a))
    for _ in range(2):
        open_split(folder, "train")
    assert len(decoded) == N
    assert len(hashed) == 1


def test_a_failed_build_leaves_nothing_and_the_next_one_succeeds(folder: Path):
    path = folder / "train" / "images" / "07.png"
    good = path.read_bytes()
    path.write_bytes(good[:200])
    with pytest.raises(IdentboxError, match=r"07.png: expected a whole PNG, got one cut short"):
        open_split(folder, "train", workers=2)
    assert list((folder / ".cache").iterdir()) == []
    path.write_bytes(good)
    assert len(open_split(folder, "train", workers=2)) == N


def test_an_interrupt_leaves_no_file(folder: Path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_split(folder, "train", on_progress=stop)
    assert list((folder / ".cache").iterdir()) == []


def test_what_a_killed_build_left_is_removed_and_what_another_writes_is_not(folder: Path):
    (folder / ".cache").mkdir()
    old, fresh = (folder / ".cache" / f".train-24.npy.{pid}.part" for pid in (1, 2))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    open_split(folder, "train")
    assert not old.exists()
    assert fresh.exists()


def test_several_builds_at_once_end_in_one_whole_file(folder: Path):
    with ThreadPoolExecutor(3) as pool:
        # Threads share a process's number and so the name of the part file; these differ in size.
        splits = list(pool.map(lambda size: open_split(folder, "train", size), (8, 12, 16)))
    for split, size in zip(splits, (8, 12, 16), strict=True):
        assert split.pixels.shape == (N, size, size, 3)
        np.testing.assert_array_equal(open_split(folder, "train", size).pixels, split.pixels)


def test_a_dataset_that_cannot_be_written_has_its_cache_with_the_user(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int]
):
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "user"))
    (folder / ".cache").write_text("in the way")
    split = open_split(folder, "train")
    np.testing.assert_array_equal(split.pixels[3], pixels_of(3))
    assert len(list((tmp_path / "user" / "pixels").glob("*/train-24.npy"))) == 1
    open_split(folder, "train")
    assert len(decoded) == N
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(IdentboxError, match=r"expected a cache folder that can be written \(IDENTBOX_CACHE"):
        open_split(folder, "train")


def test_a_whole_cache_is_read_even_where_nothing_can_be_written(
    folder: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
):
    open_split(folder, "train")
    monkeypatch.setattr(pixels.os, "access", lambda *_: False)
    assert len(open_split(folder, "train")) == N
    assert len(decoded) == N


def test_a_full_disk_is_reported_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    usage = pixels.shutil.disk_usage(folder)
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(
        IdentboxError, match=r"expected 0 MiB of free disk for the decoded images, got 0; a smaller"
    ):
        open_split(folder, "train")
    assert list((folder / ".cache").iterdir()) == []
