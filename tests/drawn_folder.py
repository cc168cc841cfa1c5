"""A dataset of small drawn images as a folder; no renderer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from identbox.data import folder as data_folder

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
