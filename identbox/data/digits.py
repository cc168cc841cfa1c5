"""Handwritten digits: the IDX files of MNIST and its kin, or the digits of scikit-learn.

IDX is the format of MNIST, Fashion-MNIST and KMNIST: two zero bytes, the type 8 (bytes), the number of dimensions, each
dimension as four bytes, then the values. Files may be gzipped.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from identbox import files
from identbox.errors import IdentboxError

DIGIT_SIDE = 28  # pixels of an image
DIGIT_MARGIN = 4  # of them, around a digit of scikit-learn, as MNIST has it
TESTED = 0.2  # share of scikit-learn's digits that are kept for the test
LARGEST_IDX = 256 * files.MIB
FILE_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Digits:
    """Images of one split with their labels."""

    images: UInt8[np.ndarray, "n 28 28"]
    labels: Int[np.ndarray, " n"]

    @property
    def sha256(self) -> str:
        """A hash of all pixels and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.astype("<i8").tobytes()).hexdigest()


def read_mnist(folder: Path) -> dict[str, Digits]:
    """The splits train and test of a folder with the four files of MNIST, gzipped or not.

    Raises IdentboxError for a file that is missing, cut short or of another kind, images that are not 28 x 28, other
    numbers of labels than of images, and a class that only one of the splits has.
    """
    splits = {split: _read_digits(folder, *names) for split, names in FILE_NAMES.items()}
    classes = {split: set(np.unique(digits.labels).tolist()) for split, digits in splits.items()}
    for split, other in (("train", "test"), ("test", "train")):
        if lacking := sorted(classes[other] - classes[split]):
            raise IdentboxError(
                f"{_find(folder, FILE_NAMES[split][1])}: expected the classes of the other split, "
                f"got none of class {lacking[0]}"
            )
    return splits


def _read_digits(folder: Path, images_name: str, labels_name: str) -> Digits:
    image_file, label_file = _find(folder, images_name), _find(folder, labels_name)
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3 or images.shape[1:] != (DIGIT_SIDE, DIGIT_SIDE):
        got = " x ".join(map(str, images.shape[1:])) or "no images"
        raise IdentboxError(f"{image_file}: expected images of {DIGIT_SIDE} x {DIGIT_SIDE}, got {got}")
    if labels.shape != (len(images),) or not len(images):
        raise IdentboxError(
            f"{label_file}: expected {len(images)} labels, one for each image, got {len(labels)}"
        )
    return Digits(images, labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    """A file of MNIST by its usual name, with a dot or a hyphen before idx, gzipped or not."""
    if not folder.is_dir():
        raise IdentboxError(f"{folder}: expected a folder with {name}, got no folder")
    for spelled in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / (spelled + suffix)).is_file():
                return folder / (spelled + suffix)
    raise IdentboxError(f"{folder}: expected {name} or {name}.gz, got none")


def read_idx(path: Path) -> UInt8[np.ndarray, ...]:
    """The array in an IDX file of bytes. Raises IdentboxError for one that is cut short or of another kind."""
    content = files.read_bytes(path, LARGEST_IDX, "an IDX file")
    if content[:2] == b"\x1f\x8b":
        content = _unpacked(content, path)
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 3:
        raise IdentboxError(f"{path}: expected an IDX file of bytes, got another kind of file")
    start = 4 + 4 * content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    wanted = start + int(np.prod(shape, dtype=object)) if len(content) >= start else start
    if len(content) != wanted:
        raise IdentboxError(
            f"{path}: expected {wanted} bytes, got {len(content)}; the file is cut short or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _unpacked(content: bytes, path: Path) -> bytes:
    """The content of a gzipped file, which may be no larger than an IDX file."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(content, LARGEST_IDX)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise IdentboxError(f"{path}: expected a gzipped IDX file, got {error}") from error
    if not unpacker.eof:
        what = "a larger one" if unpacker.unconsumed_tail else "one that is cut short"
        raise IdentboxError(f"{path}: expected a whole gzipped IDX file, got {what}")
    return unpacked


def embedded_digits() -> dict[str, Digits]:
    """The 1797 digits of scikit-learn, enlarged from 8 x 8 to 20 x 20 pixels within 28 x 28.

    Of each class, in the order of the file, the last fifth is the split test: no digit is in both, and the writers of
    the file's end are mostly others.
    """
    from sklearn.datasets import load_digits

    given = load_digits()
    side = DIGIT_SIDE - 2 * DIGIT_MARGIN
    images = np.zeros((len(given.images), DIGIT_SIDE, DIGIT_SIDE), np.uint8)
    for image, small in zip(images, given.images, strict=True):
        levels = Image.fromarray(np.rint(small * (255 / 16)).astype(np.uint8))
        image[DIGIT_MARGIN:-DIGIT_MARGIN, DIGIT_MARGIN:-DIGIT_MARGIN] = levels.resize(
            (side, side), Image.Resampling.BICUBIC
        )
    labels = given.target.astype(np.int64)
    test = np.zeros(len(labels), bool)
    for digit in np.unique(labels):
        rows = np.flatnonzero(labels == digit)
        test[rows[-round(TESTED * len(rows)) :]] = True
    return {
        "train": Digits(images[~test], labels[~test]),
        "test": Digits(images[test], labels[test]),
    }
