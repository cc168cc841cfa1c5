"""Splits of small drawn images; no renderer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_folder import SIZE, N, make, pixels_of
from identbox.data import dataset, pixels
from identbox.data.pixels import Split, batch, open_split
from identbox.errors import IdentboxError


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
    shrunk = open_split(folder, "train", 16).pixels[0].astype(float)
    exact = smooth.repeat(2, 0).repeat(2, 1).reshape(16, 7, 16, 7, 3).mean((1, 3))  # 56 to 16 is 7 to 2
    # Two roundings to whole levels, and the filter's half-cut windows at the edge (a slope of 4.6 levels a pixel).
    assert np.abs(shrunk - exact)[1:-1, 1:-1].max() <= 1.5
    assert np.abs(shrunk - exact).max() <= 3


def test_nothing_brighter_or_darker_than_the_image_appears_at_edges(tmp_path: Path):
    folder = make(tmp_path / "data", {"train": 1}, size=56)
    edge = np.full((56, 56, 3), 100, dtype=np.uint8)
    edge[:, 20:] = 150
    Image.fromarray(edge).save(folder / "train" / "images" / "0.png")
    shrunk = open_split(folder, "train", 16).pixels
    assert (shrunk.min(), shrunk.max()) == (100, 150)


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
    with pytest.raises(IdentboxError, match=r"00.png: expected a PNG, got another kind of file"):
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
