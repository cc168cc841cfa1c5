"""A dataset split ready for training: decoded pixels in one memory-mapped file, tokens, latents.

To decode a PNG takes as long as to train on it. So the images of a split are decoded once, resized, into an array of
bytes under ``DATASET/.cache`` (or the user's cache, where the dataset cannot be written), from which batches are read
at random. The file is bound to the names, sizes and times of the images it was made of, and to its own content.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from identbox import files
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.folder import EOS, PAD, UNKNOWN, Columns
from identbox.errors import IdentboxError
from identbox.files import cache_folder
from identbox.settings import build

FORMAT = 2  # raise it when the pixels made of the same images would be others
SMALLEST = 8  # pixels a side
MOST_UNKNOWN = 0.5  # of a split's words: with more unknown ones the vocabulary is another dataset's
CHUNK = 32  # images that a thread decodes at a time
LEFT_OVER = 3600  # seconds after which a file that nobody has gone on writing is a killed process's
Triple = tuple[float, float, float]
T = TypeVar("T")


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


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is known of a cache file, in the JSON beside it."""

    format: int
    source: str  # hash of the names, sizes and times of the images
    sha256: str  # of the file
    stamp: tuple[int, int]  # its size in bytes and its time in nanoseconds, when the hash was right
    mean: Triple
    std: Triple


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

    Decodes them first where the cache is missing, damaged or of other images, with ``workers`` threads;
    ``on_progress`` gets the images done and all of them, ``on_message`` a line where a cache is made again.
    ``vocabulary`` replaces that of the folder, ``length`` is the number of tokens (default: the longest sentence).
    Raises IdentboxError where a file is missing or broken, images are not square or not of one size, most words
    are not in the vocabulary, and where there is no room for the cache.
    """
    if image_size is not None and image_size < SMALLEST:
        raise IdentboxError(f"image_size: expected at least {SMALLEST} pixels, got {image_size}")
    if workers < 1:
        raise IdentboxError(f"workers: expected at least 1, got {workers}")
    data = Multimodal3DIdent(folder, split, vocab=vocabulary, length=length)
    _check_vocabulary(data, split)
    width, height = data.image(0).size
    if width != height or width < SMALLEST:
        raise IdentboxError(
            f"{data.source.where(0)}: expected a square image of at least {SMALLEST} pixels a side, "
            f"got {width} x {height}"
        )
    path, note = _cache(data, split, width, image_size or width, workers, on_progress, on_message)
    return Split(
        name=split,
        pixels=np.load(path, mmap_mode="r"),
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

    Bytes are gathered once, pinned for a GPU, and become numbers on the device; images are channels last in memory.
    Raises IndexError for an index beyond the split.
    """
    places = indices.cpu()
    tokens = split.tokens[places]
    pinned = torch.device(device).type == "cuda"
    gathered = torch.empty((len(places), *split.pixels.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
    # Indices are in range, or the tokens had raised; "wrap" spares numpy a buffer and counts -1 from the end.
    np.take(split.pixels, places.numpy(), axis=0, out=gathered.numpy(), mode="wrap")
    pixels = gathered.to(device, non_blocking=True).flatten(1).float()
    # As long as an image: to broadcast three numbers over the last axis takes a CPU six times as long.
    repeats = math.prod(split.pixels.shape[1:3])
    pixels -= torch.tensor(mean or split.mean, device=device).mul_(255).repeat(repeats)
    pixels /= torch.tensor(std or split.std, device=device).mul_(255).repeat(repeats)
    if pinned:
        tokens = tokens.pin_memory()
    return pixels.view(gathered.shape).permute(0, 3, 1, 2), tokens.to(device, non_blocking=True)


def _check_vocabulary(data: Multimodal3DIdent, split: str) -> None:
    where = f"{data.folder}: vocabulary"
    if sorted(data.w2i.values()) != list(range(len(data.w2i))):
        raise IdentboxError(f"{where}: expected indices from 0 to {len(data.w2i) - 1}, each once, got others")
    words = int(((data.tokens != data.w2i[PAD]) & (data.tokens != data.w2i[EOS])).sum())
    unknown = int((data.tokens == data.w2i[UNKNOWN]).sum())
    if unknown > MOST_UNKNOWN * words:
        raise IdentboxError(
            f"{where}: expected the words of the split {split}, got {unknown} of {words} that it does not know; "
            "it is another dataset's"
        )


def _cache(
    data: Multimodal3DIdent,
    split: str,
    own: int,
    size: int,
    workers: int,
    on_progress: Callable[[int, int], None],
    on_message: Callable[[str], None],
) -> tuple[Path, Note]:
    """The file of pixels and what is known of it, made where it is nowhere, or not right."""
    source = _fingerprint(data.source.files)
    known = hashlib.sha256(str(data.folder.resolve()).encode()).hexdigest()[:16]
    folders = (data.folder / ".cache", cache_folder() / "pixels" / known)
    name = f"{split}-{size}.npy"
    for folder in folders:
        path = folder / name
        try:
            return path, _examine(path, source, (len(data), size, size, 3))
        except IdentboxError as error:
            if path.exists():
                on_message(f"{' '.join(str(error).split())}; it is made again")
    for folder in folders:
        if _writable(folder):
            path = folder / name
            return path, _build(path, data, own, size, source, workers, on_progress)
    raise IdentboxError(
        f"{folders[-1]}: expected a cache folder that can be written (IDENTBOX_CACHE names another), got none"
    )


def _fingerprint(paths: list[Path]) -> str:
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


def _examine(path: Path, source: str, shape: tuple[int, ...]) -> Note:
    """What is known of a cache file. Raises IdentboxError where it is missing, damaged, or of other images."""
    place = path.with_suffix(".json")
    try:
        note = build(Note, json.loads(place.read_text(encoding="utf-8")), str(place))
        if (note.format, note.source) != (FORMAT, source):
            raise IdentboxError(f"{path}: expected the pixels of these images, got those of others")
        pixels = np.lib.format.open_memmap(path, mode="r")
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise IdentboxError(f"{path}: expected bytes {shape}, got {pixels.dtype} {pixels.shape}")
        stamp = _stamp(path)
        if note.stamp == stamp:  # nothing touched the file: its hash takes long to take again
            return note
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != note.sha256:
                raise IdentboxError(f"{path}: expected its content as it was written, got another")
    except (OSError, ValueError, EOFError) as error:
        raise IdentboxError(f"{path}: expected a whole file of pixels, got {error}") from error
    note = Note(**{**asdict(note), "stamp": stamp})
    with suppress(OSError):  # the folder may be another user's
        _write(place, note)
    return note


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _write(place: Path, note: Note) -> None:
    files.write_whole(place, json.dumps(asdict(note)).encode())


def _build(
    path: Path,
    data: Multimodal3DIdent,
    own: int,
    size: int,
    source: str,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> Note:
    """Decode all images into ``path``. A file that is there under its name is whole.

    Two processes that build the same file make the same bytes, and the later takes the place of the earlier.
    """
    n = len(data)
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, described)
    _expect_room(path, n * size * size * 3)
    digest = hashlib.sha256(header.getvalue())
    counts = np.zeros(3 * 256, dtype=np.int64)  # of each level of each channel
    part = path.with_name(f".{path.name}.{os.getpid()}.part")

    def decode(start: int) -> tuple[np.ndarray, np.ndarray]:
        images = [_image(data, index, own, size) for index in range(start, min(start + CHUNK, n))]
        return np.stack([np.asarray(image) for image in images]), np.sum(
            [i.histogram() for i in images], axis=0
        )

    try:
        # Threads, for Pillow decodes and resizes without the interpreter's lock. Written in order and not into a
        # map of the file, where a full disk would end the process.
        with part.open("wb") as file, ThreadPoolExecutor(workers) as pool:
            file.write(header.getvalue())
            done = 0
            for block, found in _in_order(pool, decode, range(0, n, CHUNK), 2 * workers):
                file.write(block.data)
                digest.update(block.data)
                counts += found
                done += len(block)
                on_progress(done, n)
        part.replace(path)
        mean, std = _statistics(counts.reshape(3, 256))
        note = Note(
            format=FORMAT, source=source, sha256=digest.hexdigest(), stamp=_stamp(path), mean=mean, std=std
        )
        _write(path.with_suffix(".json"), note)
    except OSError as error:
        raise IdentboxError(f"{path}: expected a file that can be written, got {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return note


def _image(data: Multimodal3DIdent, index: int, own: int, size: int) -> Image.Image:
    image = data.image(index)
    if image.size != (own, own):
        raise IdentboxError(
            f"{data.source.where(index)}: expected {own} x {own} pixels, as the first image has, "
            f"got {image.width} x {image.height}"
        )
    # Close to the mean of the area that a pixel covers (0.3 levels off on renders, at 224 to 64 pixels). Pillow's
    # BOX takes whole pixels alone, by turns 3 and 4 there (1.0 off); LANCZOS rings at edges (1.0 off).
    return image if size == own else image.resize((size, size), Image.Resampling.HAMMING)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[int], T], items: Iterable[int], ahead: int
) -> Iterator[T]:
    """The function's results in the order of the items, with no more than ``ahead`` of them kept waiting."""
    waiting: deque[Future[T]] = deque()
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
            if time.time() - old.stat().st_mtime > LEFT_OVER:
                old.unlink()
    free = shutil.disk_usage(path.parent).free
    if free < wanted:
        raise IdentboxError(
            f"{path.parent}: expected {wanted / 2**20:.0f} MiB of free disk for the decoded images, "
            f"got {free / 2**20:.0f}; a smaller image_size needs less"
        )
