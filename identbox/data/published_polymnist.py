"""The published PolyMNIST, plain or translated, in the layouts in which it is handed on.

    DIR/{train,test}/m0..m4/INDEX.DIGIT.png        equal names in all folders are one sample
    DIR/{train,test}/m0.pt .. m4.pt, labels.pt     tensors (n, 3, 28, 28) and (n,)

DIR is the folder that is given, or MMNIST, PolyMNIST or PolyMNIST_translated_scale075 within it. Nothing but the digit
is known of these images: it is their only factor.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8

from identbox import files
from identbox.data import png
from identbox.data.digits import DIGIT_SIDE
from identbox.data.multiview import DeclaredFactor, ModalitySpec, MultiviewRecipe
from identbox.data.multiview_writer import MultiviewWriter, ranges_of
from identbox.errors import IdentboxError, first_few
from identbox.learning.checkpoints import load_saved

INNER = ("MMNIST", "PolyMNIST", "PolyMNIST_translated_scale*")
PUBLISHED_SPLITS = ("train", "test")
FILE_NAME = re.compile(r"(\d+)\.(\d+)\.png")
MODALITY = re.compile(r"m(\d+)")
FILES_AT_ONCE = 4096
LARGEST_TENSOR = 8 << 30  # bytes


@dataclass(frozen=True)
class PublishedPolyMnist:
    """One split: its labels, and the images of each modality in blocks."""

    labels: Int[np.ndarray, " n"]
    images: dict[str, Callable[[], Iterator[UInt8[np.ndarray, "b 28 28 3"]]]]
    sha256: str  # of the names of files, or of the labels


def import_polymnist(source: Path, folder: Path) -> MultiviewRecipe:
    """Make a dataset folder of a published PolyMNIST.

    Raises IdentboxError for another layout, files whose names do not pair across modalities or whose labels differ, a
    class that a split lacks, images of another size, and tensors of other shapes.
    """
    place = _inner(source)
    splits = {split: _read_published_split(place / split) for split in PUBLISHED_SPLITS}
    names = {split: tuple(one.images) for split, one in splits.items()}
    if names["train"] != names["test"]:
        raise IdentboxError(f"{place}: expected the same modalities in train and test, got {names}")
    classes = {split: set(one.labels.tolist()) for split, one in splits.items()}
    for split, other in (("train", "test"), ("test", "train")):
        if lacking := sorted(classes[other] - classes[split]):
            raise IdentboxError(f"{place / split}: expected all classes, got none of class {lacking[0]}")
    translated = "translated" in place.name
    recipe = MultiviewRecipe(
        name="Translated-PolyMNIST (published)" if translated else "PolyMNIST (published)",
        description="The images as they were published; nothing but the digit is known of them.",
        splits={split: len(one.labels) for split, one in splits.items()},
        modalities={
            name: ModalitySpec(kind="image", shape=(DIGIT_SIDE, DIGIT_SIDE, 3)) for name in names["train"]
        },
        factors={
            "digit": DeclaredFactor(kind="discrete", names=tuple(map(str, range(max(classes["train"]) + 1))))
        },
        made_of={
            "maker": "published polymnist",
            "folder": place.name,
            "files": {split: one.sha256 for split, one in splits.items()},
        },
    )
    writer = MultiviewWriter(folder, recipe)
    for split, one in splits.items():
        for name, blocks in one.images.items():
            writer.array(split, name, "u1", blocks())
        writer.factors(split, {"digit": one.labels})
    return writer.finish()


def _inner(source: Path) -> Path:
    """The folder that has train and test."""
    for place in (source, *(path for pattern in INNER for path in sorted(source.glob(pattern)))):
        if all((place / split).is_dir() for split in PUBLISHED_SPLITS):
            return place
    got = "no folder" if not source.is_dir() else "none of them"
    raise IdentboxError(
        f"{source}: expected train and test in it, or in one of {', '.join(INNER)}, got {got}"
    )


def _read_published_split(place: Path) -> PublishedPolyMnist:
    folders = sorted(
        (path for path in place.iterdir() if path.is_dir() and MODALITY.fullmatch(path.name)),
        key=_number_in_name,
    )
    tensors = sorted(
        (path for path in place.glob("m*.pt") if MODALITY.fullmatch(path.stem)), key=_number_in_name
    )
    if folders:
        return _read_folders(place, folders)
    if tensors:
        return _read_tensors(place, tensors)
    raise IdentboxError(f"{place}: expected folders m0, m1, ... or tensors m0.pt, m1.pt, ..., got none")


def _number_in_name(path: Path) -> int:
    return int(path.stem[1:])


def _read_folders(place: Path, folders: list[Path]) -> PublishedPolyMnist:
    """PNG files, paired by their names, in the order of their numbers."""
    names = {folder: {path.name for path in folder.glob("*.png")} for folder in folders}
    first = names[folders[0]]
    for folder, own in names.items():
        if odd := sorted(own ^ first):
            raise IdentboxError(
                f"{folder}: expected the same names as in {folders[0].name}, got {len(odd)} that do not pair: "
                f"{first_few(odd, 3)}"
            )
    parsed = {}
    for name in first:
        match = FILE_NAME.fullmatch(name)
        if match is None:
            raise IdentboxError(f"{folders[0]}: expected names like 17.3.png, got {name}")
        parsed[name] = int(match[1]), int(match[2])
    if not parsed:
        raise IdentboxError(f"{folders[0]}: expected images, got none")
    ordered = sorted(parsed, key=parsed.__getitem__)

    def images(folder: Path) -> Iterator[np.ndarray]:
        for rows in ranges_of(len(ordered), FILES_AT_ONCE):
            yield np.stack([np.asarray(png.read_image(folder / ordered[k], DIGIT_SIDE)) for k in rows])

    return PublishedPolyMnist(
        labels=np.array([parsed[name][1] for name in ordered], np.int64),
        images={folder.name: lambda folder=folder: images(folder) for folder in folders},  # type: ignore[misc]
        sha256=hashlib.sha256("\n".join(ordered).encode()).hexdigest(),
    )


def _read_tensors(place: Path, paths: list[Path]) -> PublishedPolyMnist:
    labels = read_tensor(place / "labels.pt")
    if labels.ndim != 1 or labels.is_floating_point() or not len(labels) or labels.min() < 0:
        raise IdentboxError(
            f"{place / 'labels.pt'}: expected whole numbers (n,), got {labels.dtype} {tuple(labels.shape)}"
        )

    def images(path: Path) -> Iterator[np.ndarray]:
        values = read_tensor(path)
        if tuple(values.shape) != (len(labels), 3, DIGIT_SIDE, DIGIT_SIDE):
            raise IdentboxError(
                f"{path}: expected {(len(labels), 3, DIGIT_SIDE, DIGIT_SIDE)}, one image for each label, "
                f"got {tuple(values.shape)}"
            )
        for rows in ranges_of(len(labels), FILES_AT_ONCE):
            yield _bytes_of(values[rows.start : rows.stop], path).permute(0, 2, 3, 1).contiguous().numpy()

    return PublishedPolyMnist(
        labels=labels.long().numpy(),
        images={path.stem: lambda path=path: images(path) for path in paths},  # type: ignore[misc]
        sha256=hashlib.sha256(labels.long().numpy().tobytes()).hexdigest(),
    )


def read_tensor(path: Path) -> torch.Tensor:
    """A tensor that torch saved; nothing else is loaded, and no code is run."""
    try:
        with files.open_regular(path, LARGEST_TENSOR) as file:
            value = load_saved(file)
    except OSError as error:
        raise IdentboxError(f"{path}: expected a tensor, got {error.strerror or error}") from error
    except ValueError as error:
        raise IdentboxError(f"{path}: expected a tensor, got {error}") from error
    if not isinstance(value, torch.Tensor):
        raise IdentboxError(f"{path}: expected a tensor, got {type(value).__name__}")
    return value


def _bytes_of(values: torch.Tensor, path: Path) -> torch.Tensor:
    """Pixels as bytes, of bytes or of numbers in [0, 1]."""
    if values.dtype == torch.uint8:
        return values
    if not values.is_floating_point() or not 0 <= values.min() <= values.max() <= 1:
        raise IdentboxError(f"{path}: expected bytes, or numbers in [0, 1], got {values.dtype} outside them")
    return values.mul(255).round().to(torch.uint8)
