"""Splits of small drawn images; no renderer."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from identbox.data import dataset, pixels
from identbox.data import folder as data_folder
from identbox.data.pixels import Split, batch, open_split
from identbox.errors import IdentboxError

N, SIZE = 11, 24
SENTENCES = ["A red hare at the left.", "One sees a blue cow, small.", 'There is a "green" horse.']


def pixels_of(index: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)


def make(folder: Path, counts: dict[str, int], size: int = SIZE) -> Path:
    """A folder as the published one is: no recipe."""
    for split, n in counts.items():
        place = folder / split
        (place / "images").mkdir(parents=True)
        (place / "text").mkdir()
        for index in range(n):
            Image.fromarray(pixels_of(index, size)).save(place / "images" / data_folder.image_name(index, n))
        (place / "text" / "text_raw.txt").write_text("\n".join(SENTENCES[i % 3] for i in range(n)))
        for view in ("image", "text"):
            rows = "".join(f"{i % 7},{i / n}\n" for i in range(n))
            (place / f"latents_{view}.csv").write_text(f"object_shape,{view}_number\n{rows}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "data", {"train": N, "val": 3})


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


def test_a_published_folder_is_read_whole(folder: Path):
    split = open_split(folder, "train")
    assert len(split) == N
    assert isinstance(split.pixels, np.memmap)
    np.testing.assert_array_equal(split.pixels, np.stack([pixels_of(i) for i in range(N)]))
    plain = dataset.Multimodal3DIdent(folder, "train")
    assert torch.equal(split.tokens, plain.tokens)
    assert split.vocabulary == plain.w2i
    np.testing.assert_array_equal(split.image_latents["image_number"], plain.image_latents["image_number"])
    np.testing.assert_array_equal(split.text_latents["text_number"], plain.text_latents["text_number"])


def test_mean_and_deviation_are_those_of_all_pixels_of_a_channel(folder: Path):
    split = open_split(folder, "train", 12)
    values = split.pixels.reshape(-1, 3).astype(np.float64) / 255
    # Both are float64 sums over at most 256 levels or 1584 pixels.
    np.testing.assert_allclose(split.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(split.std, values.std(0), rtol=1e-12)


def test_a_channel_that_never_changes_can_still_be_divided_by(tmp_path: Path):
    folder = make(tmp_path / "data", {"train": 2})
    for path in (folder / "train" / "images").iterdir():
        Image.fromarray(np.full((SIZE, SIZE, 3), 7, dtype=np.uint8)).save(path)
    split = open_split(folder, "train")
    assert split.std == (1 / 255,) * 3
    assert batch(split, torch.arange(2))[0].abs().max() < 1e-4  # 7 / 255 - mean, in float32


def test_an_image_is_shrunk_to_the_mean_of_the_areas(tmp_path: Path):
    folder = make(tmp_path / "data", {"train": 1}, size=56)
    ramp = np.linspace(0, 255, 56)
    smooth = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (56, 1)), np.tile(ramp[:, None], 56)], -1)
    Image.fromarray(smooth.round().astype(np.uint8)).save(folder / "train" / "images" / "0.png")
    found = open_split(folder, "train", 16).pixels[0].astype(float)
    exact = smooth.repeat(2, 0).repeat(2, 1).reshape(16, 7, 16, 7, 3).mean((1, 3))  # 56 to 16 is 7 to 2
    # Two roundings to whole levels, and the filter's half-cut windows at the edge (a slope of 4.6 levels a pixel).
    assert np.abs(found - exact)[1:-1, 1:-1].max() <= 1.5
    assert np.abs(found - exact).max() <= 3


def test_nothing_brighter_or_darker_than_the_image_appears_at_edges(tmp_path: Path):
    folder = make(tmp_path / "data", {"train": 1}, size=56)
    edge = np.full((56, 56, 3), 100, dtype=np.uint8)
    edge[:, 20:] = 150
    Image.fromarray(edge).save(folder / "train" / "images" / "0.png")
    found = open_split(folder, "train", 16).pixels
    assert (found.min(), found.max()) == (100, 150)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_file_is_the_same_whatever_the_number_of_workers(tmp_path: Path, workers: int):
    n = 3 * pixels.IMAGES_AT_A_TIME + 5
    folder = make(tmp_path / "data", {"train": n}, size=8)
    told: list[tuple[int, int]] = []
    split = open_split(
        folder, "train", workers=workers, on_progress=lambda done, total: told.append((done, total))
    )
    np.testing.assert_array_equal(split.pixels, np.stack([pixels_of(i, 8) for i in range(n)]))
    assert told == [(pixels.IMAGES_AT_A_TIME * k, n) for k in (1, 2, 3)] + [(n, n)]
    assert {path.name for path in (folder / ".cache").iterdir()} == {"train-8.npy", "train-8.json"}


def test_a_batch_is_the_normalised_samples_in_the_order_asked_for(folder: Path):
    split = open_split(folder, "train")
    indices = torch.tensor([4, 0, 10, 4, -1])
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    images, tokens = batch(split, indices, device="cpu", mean=mean, std=std)
    for image, index in zip(images, indices.tolist(), strict=True):
        expected = (pixels_of(index % N) / 255 - mean) / std
        # float32: numbers up to about 2.3 in magnitude, two roundings.
        np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert torch.equal(tokens, split.tokens[indices])
    assert images.is_contiguous(memory_format=torch.channels_last)
    whole, _ = batch(split, torch.arange(N))
    assert whole.mean((0, 2, 3)).abs().max() < 1e-5
    # 6336 values a channel in float32; PyTorch divides by one less.
    torch.testing.assert_close(whole.std((0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)
    none, no_tokens = batch(split, torch.arange(0))
    assert none.shape == (0, 3, SIZE, SIZE)
    assert no_tokens.shape == (0, split.tokens.shape[1])
    for outside in (N, -N - 1):
        with pytest.raises(IndexError):
            batch(split, torch.tensor([0, outside]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_on_a_gpu_is_that_of_the_cpu(folder: Path):
    split, indices = open_split(folder, "train"), torch.tensor([3, 1, 2])
    for found, expected in zip(
        batch(split, indices, device="cuda"), batch(split, indices.cuda()), strict=True
    ):
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), expected)
    assert batch(split, indices, device="cuda")[0].is_contiguous(memory_format=torch.channels_last)


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


def test_a_cache_only_touched_is_kept_and_hashed_once(
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
    with pytest.raises(IdentboxError, match=r"07.png: expected an image, got"):
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


def test_a_given_vocabulary_and_length_are_used_by_every_split(folder: Path):
    train = open_split(folder, "train")
    val = open_split(folder, "val", vocabulary=train.vocabulary, length=20)
    assert val.vocabulary == train.vocabulary
    assert val.tokens.shape == (3, 20)
    assert torch.equal(val.tokens[:, : train.tokens.shape[1]], train.tokens[:3])
    shifted = {word: (index + 1) % len(train.vocabulary) for word, index in train.vocabulary.items()}
    other = open_split(folder, "val", vocabulary=shifted)
    assert torch.equal(other.tokens, (val.tokens[:, : other.tokens.shape[1]] + 1) % len(shifted))


def test_a_split_alone_is_read_with_a_vocabulary_from_elsewhere(folder: Path, tmp_path: Path):
    vocabulary = open_split(folder, "train").vocabulary
    alone = make(tmp_path / "alone", {"val": 3})
    with pytest.raises(IdentboxError, match="expected a vocabulary"):
        open_split(alone, "val")
    assert len(open_split(alone, "val", vocabulary=vocabulary)) == 3


MARKS = {"{pad}": 0, "{eos}": 1, "{unk}": 2}


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (
            MARKS | {"zebra": 3},
            r"vocabulary: expected the words of the split train, got \d+ of \d+ that it does not",
        ),
        (
            {"<pad>": 0, "{eos}": 1, "{unk}": 2},
            r"vocabulary: expected the token \{pad\}, got a vocabulary without it",
        ),
        (MARKS | {"A": 7}, "vocabulary: expected indices from 0 to 3, each once, got others"),
    ],
)
def test_a_vocabulary_of_another_dataset_is_refused(folder: Path, vocabulary: dict, message: str):
    with pytest.raises(IdentboxError, match=message):
        open_split(folder, "train", vocabulary=vocabulary)
    (folder / "vocab.json").write_text(json.dumps({"w2i": vocabulary}))
    with pytest.raises(IdentboxError, match="expected"):
        open_split(folder, "train")


def test_some_unknown_words_are_no_mistake(folder: Path):
    known = open_split(folder, "train").vocabulary
    fewer = [word for word in known if word not in ("hare", "cow")]
    split = open_split(folder, "train", vocabulary={word: index for index, word in enumerate(fewer)})
    assert (split.tokens == split.vocabulary["{unk}"]).any()


def test_mistakes_are_named(folder: Path, tmp_path: Path):
    with pytest.raises(IdentboxError, match="expected a dataset with the split test, got train, val"):
        open_split(folder, "test")
    with pytest.raises(IdentboxError, match="image_size: expected at least 8 pixels, got 7"):
        open_split(folder, "train", 7)
    with pytest.raises(IdentboxError, match="workers: expected at least 1, got 0"):
        open_split(folder, "train", workers=0)
    images = folder / "train" / "images"
    Image.fromarray(pixels_of(0, 30)).save(images / "04.png")
    with pytest.raises(
        IdentboxError, match=r"04.png: expected 24 x 24 pixels, as the first image has, got 30 x 30"
    ):
        open_split(folder, "train")
    Image.fromarray(pixels_of(0)[:20]).save(images / "00.png")
    with pytest.raises(IdentboxError, match=r"00.png: expected a square image .*, got 24 x 20"):
        open_split(folder, "train")
    (images / "00.png").write_bytes(b"no image")
    with pytest.raises(IdentboxError, match=r"00.png: expected an image, got"):
        open_split(folder, "train")
    (images / "00.png").unlink()
    with pytest.raises(IdentboxError, match=r"expected 11 images, got none of 00.png"):
        open_split(folder, "train")
    tiny = make(tmp_path / "tiny", {"train": 2}, size=4)
    with pytest.raises(IdentboxError, match="at least 8 pixels a side, got 4 x 4"):
        open_split(tiny, "train")


def test_a_split_can_be_made_of_arrays():
    split = Split(
        name="train", pixels=np.zeros((2, 8, 8, 3), np.uint8), tokens=torch.zeros(2, 3, dtype=torch.int64),
        image_latents={}, text_latents={}, vocabulary={}, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    )  # fmt: skip
    assert batch(split, torch.tensor([1]))[0].eq(0).all()
