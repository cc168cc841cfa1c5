"""A dataset split ready for training: decoded pixels in one memory-mapped file, tokens, latents.

Decoding a PNG takes as long as training on it. So the images of a split are decoded once, resized, into an array of
bytes under ``DATASET/.cache`` (or the user's cache, where the dataset cannot be written), from which batches are read
at random. A JSON file beside it has a hash of its content, and one of the names, sizes and times of the images that it
was made of.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from identbox import files
from identbox.data.arrays import map_array
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.folder import EOS, PAD, UNKNOWN, Columns
from identbox.errors import IdentboxError
from identbox.files import cache_folder
from identbox.settings import build, settings

CACHE_FORMAT = 3  # raise it when the same images would give other pixels
SMALLEST = 8  # pixels a side
LARGEST_NOTE = 65536  # bytes
MOST_UNKNOWN = 0.5  # share of a split's words; with more unknown words the vocabulary is another dataset's
IMAGES_AT_A_TIME = 32  # images that a thread decodes at a time
Triple = tuple[float, float, float]
Result = TypeVar("Result")


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
    std: Triple  # at least one of 255 levels, so that one may divide by it

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, rows: slice) -> Split:
        """Some samples of the split, as a split of its own."""
        images, texts = (
            {name: column[rows] for name, column in columns.items()}
            for columns in (self.image_latents, self.text_latents)
        )
        return replace(
            self,
            pixels=self.pixels[rows],
            tokens=self.tokens[rows],
            image_latents=images,
            text_latents=texts,
        )


@settings
class CacheNote:
    """What is known of a cache file, in the JSON beside it."""

    format: int
    source: str  # hash of the names, sizes and times of the images
    sha256: str  # of the file
    stamp: tuple[int, int]  # its size in bytes and its time in nanoseconds, when the hash was right
    mean: Triple
    std: Triple
    proof: str = ""  # that this user's identbox wrote the note; one that came with a dataset is not believed


@dataclass(frozen=True, kw_only=True)
class _Task:
    """The cache file to be made: of which images, how large, and how."""

    data: Multimodal3DIdent
    own_size: int  # of the images, pixels a side
    size: int  # of the pixels in the cache
    source: str  # hash of the names, sizes and times of the images
    workers: int
    on_progress: Callable[[int, int], None]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.data), self.size, self.size, 3


def open_split(
    folder: Path,
    split: str,
    image_size: int | None = None,
    *,
    vocabulary: dict[str, int] | None = None,
    length: int | None = None,
    workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Split:
    """Open a split, its images resized to ``image_size`` pixels a side (None: as they are).

    Decodes them first, with ``workers`` threads, where the cache is missing, damaged or of other images.
    ``on_progress`` gets the number of images done and of all, ``on_message`` a line where a cache is made again.
    ``vocabulary`` replaces that of the folder, ``length`` is the number of tokens (default: the longest sentence).
    Raises IdentboxError where a file is missing or broken, images are not square or not of one size, most words
    are not in the vocabulary, and where there is no room for the cache.
    """
    if image_size is not None and image_size < SMALLEST:
        raise IdentboxError(f"image_size: expected at least {SMALLEST} pixels, got {image_size}")
    if workers < 1:
        raise IdentboxError(f"workers: expected at least 1, got {workers}")
    data = Multimodal3DIdent(folder, split, vocab=vocabulary, length=length)
    _expect_fitting_vocabulary(data, split)
    width, height = data.image(0).size
    if width != height or width < SMALLEST:
        raise IdentboxError(
            f"{data.source.where(0)}: expected a square image of at least {SMALLEST} pixels a side, "
            f"got {width} x {height}"
        )
    task = _Task(
        data=data,
        own_size=width,
        size=image_size or width,
        source=_hash_of_stats(data.source.files),
        workers=workers,
        on_progress=on_progress,
    )
    path, note = _cache(task, split, on_message)
    return Split(
        name=split,
        pixels=map_array(path),
        tokens=data.tokens,
        image_latents=data.image_latents,
        text_latents=data.text_latents,
        vocabulary=data.w2i,
        mean=note.mean,
        std=note.std,
    )


def batch(
    split: Split,
    indices: Int[Tensor, " b"],
    *,
    device: torch.device | str = "cpu",
    mean: Triple | None = None,
    std: Triple | None = None,
) -> tuple[Float[Tensor, "b 3 h w"], Int[Tensor, "b length"]]:
    """Images (pixel - mean) / std and tokens of some samples on a device; default: the split's own statistics.

    Bytes are gathered once, in pinned memory for a GPU, and become floats on the device; images are channels last in
    memory.
    Raises IndexError for an index beyond the split.
    """
    places = indices.cpu()
    tokens = split.tokens[places]
    pinned = torch.device(device).type == "cuda"
    gathered = torch.empty((len(places), *split.pixels.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
    # The tokens raised already for an index out of range. "wrap" saves numpy a buffer, and -1 counts from the end.
    np.take(split.pixels, places.numpy(), axis=0, out=gathered.numpy(), mode="wrap")
    pixels = gathered.to(device, non_blocking=True).flatten(1).float()
    # Repeated to the length of an image: broadcasting three numbers over the last axis takes a CPU six times as long.
    repeats = math.prod(split.pixels.shape[1:3])
    pixels -= _repeated(tuple(mean or split.mean), repeats, torch.device(device))
    pixels /= _repeated(tuple(std or split.std), repeats, torch.device(device))
    if pinned:
        tokens = tokens.pin_memory()
    return pixels.view(gathered.shape).permute(0, 3, 1, 2), tokens.to(device, non_blocking=True)


@lru_cache(maxsize=8)
def _repeated(values: Triple, repeats: int, device: torch.device) -> Float[Tensor, " k"]:
    """A number for each channel, in bytes' units and over and over; kept, since a copy to a GPU waits for it."""
    return torch.tensor(values, device=device).mul_(255).repeat(repeats)


def _expect_fitting_vocabulary(data: Multimodal3DIdent, split: str) -> None:
    where = f"{data.folder}: vocabulary"
    if sorted(data.w2i.values()) != list(range(len(data.w2i))):
        raise IdentboxError(f"{where}: expected indices from 0 to {len(data.w2i) - 1}, each once, got others")
    words = int(((data.tokens != data.w2i[PAD]) & (data.tokens != data.w2i[EOS])).sum())
    unknown = int((data.tokens == data.w2i[UNKNOWN]).sum())
    if unknown > MOST_UNKNOWN * words:
        raise IdentboxError(
            f"{where}: expected the words of the split {split}, got {unknown} of {words} that it does not know; "
            "it is the vocabulary of another dataset"
        )


def _cache(task: _Task, split: str, on_message: Callable[[str], None]) -> tuple[Path, CacheNote]:
    """The file of pixels and what is known of it; it is made where no folder has it, or only a wrong one."""
    dataset = task.data.folder
    known = hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:16]
    folders: tuple[Path, ...] = (cache_folder() / "pixels" / known,)
    with suppress(IdentboxError):
        files.inside(dataset, ".cache", "")
        folders = (dataset / ".cache", *folders)
    name = f"{split}-{task.size}.npy"
    for folder in folders:
        path = folder / name
        try:
            return path, _read_note(path, task)
        except IdentboxError as error:
            if path.exists():
                on_message(f"{' '.join(str(error).split())}; it is made again")
    for folder in folders:
        if _writable(folder):
            path = folder / name
            return path, _build(path, task)
    raise IdentboxError(
        f"{folders[-1]}: expected a cache folder that can be written (IDENTBOX_CACHE names another), got none"
    )


def _hash_of_stats(paths: list[Path]) -> str:
    """A hash of the images' names, sizes and times, which changes when one of them does."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _read_note(path: Path, task: _Task) -> CacheNote:
    """What is known of a cache file. Raises IdentboxError where it is missing, damaged, or of other images."""
    place = path.with_suffix(".json")
    try:
        note = build(CacheNote, files.read_json(place, most=LARGEST_NOTE), str(place))
        if note.proof != _proof(note):
            raise IdentboxError(f"{path}: expected pixels that this user decoded, got another's")
        if (note.format, note.source) != (CACHE_FORMAT, task.source):
            raise IdentboxError(f"{path}: expected the pixels of these images, got those of others")
        pixels = map_array(path)
        if pixels.shape != task.shape or pixels.dtype != np.uint8:
            raise IdentboxError(f"{path}: expected bytes {task.shape}, got {pixels.dtype} {pixels.shape}")
        stamp = _stamp(path)
        if note.stamp == stamp:  # the file was not touched since: hashing it again would take long
            return note
        if files.sha256(path) != note.sha256:
            raise IdentboxError(f"{path}: expected its content as it was written, got another")
    except OSError as error:
        raise IdentboxError(f"{path}: expected a whole file of pixels, got {error}") from error
    note = replace(note, stamp=stamp)
    with suppress(OSError):  # the folder may be another user's
        _write_note(place, note)
    return note


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _write_note(place: Path, note: CacheNote) -> None:
    proved = replace(note, proof=_proof(note))
    files.write_whole(place, json.dumps(asdict(proved)).encode())


def _proof(note: CacheNote) -> str:
    return files.proof("pixels", json.dumps(asdict(replace(note, proof=""))))


def _build(path: Path, task: _Task) -> CacheNote:
    """Decode all images into ``path``. A file under that name is always whole.

    Two processes that build the same file make the same bytes, and the later file takes the place of the earlier.
    """
    _expect_room(path, math.prod(task.shape))
    try:
        with files.whole(path) as part, part.open("wb") as file:
            sha256, mean, std = _write_pixels(file, task)
        note = CacheNote(
            format=CACHE_FORMAT, source=task.source, sha256=sha256, stamp=_stamp(path), mean=mean, std=std
        )
        _write_note(path.with_suffix(".json"), note)
    except OSError as error:
        raise IdentboxError(f"{path}: expected a file that can be written, got {error.strerror}") from error
    return note


def _write_pixels(file: BinaryIO, task: _Task) -> tuple[str, Triple, Triple]:
    """Write all images as one .npy array; returns the hash of the content, and mean and deviation of each channel."""
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": task.shape}
    np.lib.format.write_array_header_1_0(header, described)
    file.write(header.getvalue())
    digest = hashlib.sha256(header.getvalue())
    counts = np.zeros(3 * 256, dtype=np.int64)  # of each level of each channel
    n = len(task.data)

    def decode(start: int) -> tuple[np.ndarray, np.ndarray]:
        images = [_image(task, index) for index in range(start, min(start + IMAGES_AT_A_TIME, n))]
        levels = np.sum([image.histogram() for image in images], axis=0)
        return np.stack([np.asarray(image) for image in images]), levels

    # Threads, since Pillow decodes and resizes without the interpreter's lock. Written in order and not into a map of
    # the file, where a full disk would end the process.
    with ThreadPoolExecutor(task.workers) as pool:
        done = 0
        for block, levels in _in_order(pool, decode, range(0, n, IMAGES_AT_A_TIME), 2 * task.workers):
            file.write(block.data)
            digest.update(block.data)
            counts += levels
            done += len(block)
            task.on_progress(done, n)
    return digest.hexdigest(), *_statistics(counts.reshape(3, 256))


def _image(task: _Task, index: int) -> Image.Image:
    """An image in the size of the cache. Raises IdentboxError where its own size is not that of the first one."""
    image = task.data.image(index)
    if image.size != (task.own_size, task.own_size):
        raise IdentboxError(
            f"{task.data.source.where(index)}: expected {task.own_size} x {task.own_size} pixels, "
            f"as the first image has, got {image.width} x {image.height}"
        )
    if task.size == task.own_size:
        return image
    # HAMMING is close to the mean of the area that a pixel covers (0.3 levels off on renders, at 224 to 64 pixels).
    # Pillow's BOX takes only whole pixels, by turns 3 and 4 there (1.0 off); LANCZOS rings at edges (1.0 off).
    return image.resize((task.size, task.size), Image.Resampling.HAMMING)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[int], Result], items: Iterable[int], ahead: int
) -> Iterator[Result]:
    """The function's results in the order of the items, with no more than ``ahead`` of them kept waiting."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _statistics(counts: Int[np.ndarray, "3 256"]) -> tuple[Triple, Triple]:
    """Mean and standard deviation of each channel, in [0, 1], from the numbers of its levels."""
    levels = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(1)
    red, green, blue = mean.tolist()
    std = np.sqrt(variance).clip(min=1 / 255).tolist()
    return (red, green, blue), (std[0], std[1], std[2])


def _expect_room(path: Path, wanted: int) -> None:
    """Remove what killed builds left. Raises IdentboxError where the disk has not so many bytes free."""
    for old in path.parent.glob(f".{path.name}.*.part"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > files.LEFT_OVER:
                old.unlink()
    free = shutil.disk_usage(path.parent).free
    if free < wanted:
        raise IdentboxError(
            f"{path.parent}: expected {wanted / 2**20:.0f} MiB of free disk for the decoded images, "
            f"got {free / 2**20:.0f}; a smaller image_size needs less"
        )
