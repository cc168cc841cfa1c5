"""A dataset split ready for training: decoded pixels in one memory-mapped file, tokens, latents.

To decode a PNG takes longer than to train on it. So the images of a split are decoded once, resized, into an array of
bytes under ``DATASET/.cache`` (or the user's cache, where the dataset cannot be written), from which batches are read
at random. The file is bound to the names, sizes and times of the images it was made of, and to its own content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from identbox import config
from identbox.dataset import PAD, UNKNOWN, Columns, Multimodal3DIdent
from identbox.errors import IdentboxError
from identbox.shapes import cache_folder

FORMAT = 1
SMALLEST = 8  # pixels a side
KNOWN = 0.5  # of a split's words, at least: with fewer the vocabulary is another dataset's
CHUNK = 64  # images that one thread decodes at a time
Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a dataset."""

    name: str
    pixels: UInt8[np.ndarray, "n size size 3"]  # memory-mapped, RGB
    tokens: Int[Tensor, "n length"]
    image_latents: Columns
    text_latents: Columns
    vocabulary: dict[str, int]
    mean: Triple  # of the red, green and blue pixels, in [0, 1]
    std: Triple

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def padding(self) -> int:
        """The token that fills sentences up."""
        return self.vocabulary[PAD]


def open_split(
    folder: Path,
    split: str,
    image_size: int | None = None,
    *,
    vocabulary: Path | None = None,
    length: int | None = None,
    workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Split:
    """Open a split, its images resized to ``image_size`` pixels a side (None: as they are).

    Decodes them first where the cache is missing, damaged or of other images, with ``workers`` threads.
    ``vocabulary`` is a vocab.json to use instead of the dataset's. Raises IdentboxError where a file is missing or
    broken, images are not square or not of one size, and where most words are not in the vocabulary.
    """
    if image_size is not None and image_size < SMALLEST:
        raise IdentboxError(f"image size: expected at least {SMALLEST} pixels, got {image_size}")
    data = Multimodal3DIdent(folder, split, vocab=vocabulary, length=length)
    _expect_known_words(data, split)
    with Image.open(data.paths[0]) as first:
        own = first.size
    if own[0] != own[1]:
        raise IdentboxError(f"{data.paths[0]}: expected a square image, got {own[0]} x {own[1]}")
    size = image_size or own[0]
    path, about = _cache(data, split, own[0], size, workers, on_progress, on_message)
    return Split(
        name=split,
        pixels=np.load(path, mmap_mode="r"),
        tokens=data.tokens,
        image_latents=data.image_latents,
        text_latents=data.text_latents,
        vocabulary=data.w2i,
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
    )


def batch(
    split: Split,
    indices: Int[Tensor, " b"],
    *,
    device: torch.device | str = "cpu",
    mean: Triple | None = None,
    std: Triple | None = None,
) -> tuple[Float[Tensor, "b 3 h w"], Int[Tensor, "b length"]]:
    """Images and tokens of some samples on a device; pixels minus the mean over the deviation, the split's own
    unless others are given.

    Bytes are gathered and moved at once, and become numbers on the device; images are channels-last in memory.
    """
    gathered = torch.from_numpy(split.pixels[indices.numpy()])
    tokens = split.tokens[indices]
    if torch.device(device).type == "cuda":
        gathered, tokens = gathered.pin_memory(), tokens.pin_memory()
    pixels = gathered.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    centre = torch.tensor(mean or split.mean, device=device).mul_(255).view(1, 3, 1, 1)
    scale = torch.tensor(std or split.std, device=device).mul_(255).view(1, 3, 1, 1)
    return (pixels - centre) / scale, tokens.to(device, non_blocking=True)


def _expect_known_words(data: Multimodal3DIdent, split: str) -> None:
    words = data.tokens > max(data.w2i[mark] for mark in (PAD, UNKNOWN))
    unknown = (data.tokens == data.w2i[UNKNOWN]).sum().item()
    known = words.sum().item()
    if known < KNOWN * (known + unknown):
        raise IdentboxError(
            f"{data.folder}/{split}: expected words of the vocabulary, got {unknown} of {known + unknown} that are "
            "not in it; it is of another dataset"
        )


def _cache(
    data: Multimodal3DIdent,
    split: str,
    own: int,
    size: int,
    workers: int,
    on_progress: Callable[[int, int], None],
    on_message: Callable[[str], None],
) -> tuple[Path, dict]:
    """The file of pixels and what is known of it, made where it is not there or not right."""
    source = _fingerprint(data.paths)
    path = _place(data.folder) / f"{split}-{size}.npy"
    note = path.with_suffix(".json")
    problem = _problem(path, note, source, (len(data), size, size, 3))
    if problem is not None:
        if path.exists():
            on_message(f"{path}: expected the pixels of this dataset, got {problem}; decoding again")
        _build(path, note, data, own, size, source, workers, on_progress)
    return path, json.loads(note.read_text())


def _place(folder: Path) -> Path:
    """Where the cache of a dataset lies: in it, or in the user's cache where it cannot be written."""
    inside = folder / ".cache"
    try:
        inside.mkdir(exist_ok=True)
        if os.access(inside, os.W_OK):
            return inside
    except OSError:
        pass
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    outside = cache_folder() / "pixels" / name
    try:
        outside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IdentboxError(f"{outside}: expected a folder to write to, got {error.strerror}") from error
    return outside


def _fingerprint(paths: list[Path]) -> str:
    """A hash of the images' names, sizes and times, which changes when one of them does."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _problem(path: Path, note: Path, source: str, shape: tuple[int, ...]) -> str | None:
    """Why a cache cannot be used, or None."""
    if not path.exists() or not note.exists():
        return "none of them"
    try:
        about = json.loads(note.read_text())
        if about["format"] != FORMAT or about["source"] != source:
            return "those of other images"
        pixels = np.load(path, mmap_mode="r")
        if pixels.shape != shape or pixels.dtype != np.uint8:
            return f"an array {pixels.shape} of {pixels.dtype}"
        # Where nothing touched the file, its hash, a minute for the published dataset, need not be taken again.
        if about["stat"] != _stat(path) and about["sha256"] != _sha256(path):
            return "a damaged file"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"a damaged file ({error})"
    return None


def _stat(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(
    path: Path,
    note: Path,
    data: Multimodal3DIdent,
    own: int,
    size: int,
    source: str,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Decode all images into ``path``. A file that is there under its name is whole."""
    n = len(data)
    note.unlink(missing_ok=True)
    part = path.with_suffix(f".part{os.getpid()}")
    pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(n, size, size, 3))
    sums = np.zeros((2, 3))

    def decode(start: int) -> np.ndarray:
        stop = min(start + CHUNK, n)
        for index in range(start, stop):
            image = data.image(index)
            if image.size != (own, own):
                raise IdentboxError(
                    f"{data.paths[index]}: expected {own} x {own} pixels as the first image, got "
                    f"{image.size[0]} x {image.size[1]}"
                )
            if size != own:
                # Every pixel is the mean of those it covers: no aliasing, and no ringing at edges.
                image = image.resize((size, size), Image.Resampling.BOX)
            pixels[index] = image
        values = pixels[start:stop].reshape(-1, 3).astype(np.float64) / 255
        return np.stack([values.sum(0), np.square(values).sum(0)])

    try:
        with ThreadPoolExecutor(workers) as pool:  # Pillow decodes without the interpreter's lock
            for place, found in enumerate(pool.map(decode, range(0, n, CHUNK))):
                sums += found
                on_progress(min((place + 1) * CHUNK, n), n)
        pixels.flush()
        part.replace(path)
    except OSError as error:
        raise IdentboxError(
            f"{path}: expected room for {pixels.nbytes} bytes, got {error.strerror}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    mean = sums[0] / (n * size * size)
    std = np.sqrt(np.maximum(sums[1] / (n * size * size) - mean**2, 1e-12))
    about = {
        "format": FORMAT,
        "source": source,
        "sha256": _sha256(path),
        "stat": _stat(path),
        "mean": mean.tolist(),
        "std": std.tolist(),
    }
    config.write_whole(note, json.dumps(about).encode())
