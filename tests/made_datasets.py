"""Small files in the formats of MNIST, CelebA and CUB, made at random."""

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from identbox.data.celeba import ATTRIBUTES


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format, written here from its definition."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder: Path, train: int = 60, test: int = 30, side: int = 28) -> Path:
    """Four IDX files of random blobs, half of them gzipped; labels run through 0 to 9."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, n in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        images[:, :6] = 0
        labels = (np.arange(n) % 10).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def write_celeba(folder: Path, n: int = 12, *, texts: bool = False, suffix: str = "txt") -> np.ndarray:
    """A copy of CelebA with n images; returns the attributes (n, 40) of -1 and 1."""
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{k + 1:06d}.jpg" for k in range(n)]
    attributes = rng.choice([-1, 1], (n, 40), p=[0.8, 0.2])
    for name in names:
        pixels = rng.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name)
    parts = [min(2, k * 4 // n) for k in range(n)]
    if suffix == "txt":
        rows = [f"{name}  {' '.join(map(str, row))}" for name, row in zip(names, attributes, strict=True)]
        text = "\n".join([str(n), " ".join(ATTRIBUTES), *rows, ""])
        (folder / "list_attr_celeba.txt").write_text(text)
        lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
        (folder / "list_eval_partition.txt").write_text("\n".join([*lines, ""]))
    else:
        rows = [f"{name},{','.join(map(str, row))}" for name, row in zip(names, attributes, strict=True)]
        (folder / "list_attr_celeba.csv").write_text(
            "\n".join([",".join(["image_id", *ATTRIBUTES]), *rows, ""])
        )
        lines = [f"{name},{part}" for name, part in zip(names, parts, strict=True)]
        (folder / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *lines, ""]))
    if texts:
        lines = [f'{name},"{"bald, male".ljust(256, "*")}"' for name in names]
        (folder / "list_attr_text_256_random.csv").write_text("\n".join(["image_id,text", *lines, ""]))
    return attributes


def write_cub(folder: Path, captions: int = 10, colors: tuple[str, ...] = ()) -> Path:
    """A copy of CUB Image-Captions: two classes that train and one that tests, two images each.

    With ``colors`` each caption is of one of them, by turns.
    """
    rng = np.random.default_rng(0)
    counts = {"train": 0, "test": 0}
    for split, classes in (("train", ("001.Red", "002.Blue")), ("test", ("003.Green",))):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for k in range(2):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"bird_{k}.jpg")
                counts[split] += 1
    for split, file in (("train", "text_trainvalclasses.txt"), ("test", "text_testclasses.txt")):
        lines = [f"This bird is red, with wing {k}." for k in range(captions * counts[split])]
        if colors:
            lines = [f"this bird is completely {colors[k % len(colors)]}" for k in range(len(lines))]
        (folder / file).write_text("\n".join(lines) + "\n")
    return folder
