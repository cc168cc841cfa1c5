"""Writing a dataset of any number of modalities: array by array, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from identbox import config, files
from identbox.data.folder import Columns
from identbox.data.multiview import CHECKSUMS, FACTORS, TOML, MultiviewRecipe
from identbox.data.multiview_cards import write_multiview_card


class MultiviewWriter:
    """Writes a dataset folder array by array; what is whole already is not made again."""

    def __init__(self, folder: Path, recipe: MultiviewRecipe) -> None:
        """Claim the folder. Raises IdentboxError where it is of another recipe, or has other files."""
        self.folder, self.recipe = folder, recipe
        config.claim(folder / TOML, recipe.table(), what="a dataset of this recipe")
        for name, spec in recipe.modalities.items():
            if spec.kind == "text":
                files.write_once(folder / f"{name}.words.json", json.dumps(spec.words).encode())
        for split in recipe.splits:
            (folder / split).mkdir(exist_ok=True)

    def array(
        self, split: str, modality: str, dtype: str, blocks: Iterator[Shaped[np.ndarray, "b ..."]]
    ) -> None:
        """Write one modality of a split from blocks of samples in their order, unless the file is there already."""
        path = self.folder / split / f"{modality}.npy"
        if path.exists():  # it has this name only when it is whole
            return
        shape = (self.recipe.splits[split], *self.recipe.modalities[modality].shape)
        with files.whole(path) as part, part.open("wb") as file:
            described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, described)
            written = 0
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).data)
                written += len(block)
            if written != shape[0]:
                raise ValueError(f"{path}: expected blocks of {shape[0]} samples in all, got {written}")

    def factors(self, split: str, columns: Columns) -> None:
        """Write the factors of a split."""
        path = self.folder / split / FACTORS
        if not path.exists():
            with files.whole(path) as part, part.open("wb") as file:
                np.savez(file, **columns)

    def finish(self) -> MultiviewRecipe:
        """Write the card, then the checksums of all arrays, which say that the dataset is whole; returns its recipe."""
        if (self.folder / CHECKSUMS).exists():
            return self.recipe
        write_multiview_card(self.folder, self.recipe)
        sums = {}
        for split in self.recipe.splits:
            for name in (*(f"{modality}.npy" for modality in self.recipe.modalities), FACTORS):
                path = self.folder / split / name
                if path.exists():
                    sums[f"{split}/{name}"] = files.sha256(path)
        files.write_whole(self.folder / CHECKSUMS, (json.dumps(sums, indent=1) + "\n").encode())
        return self.recipe


def ranges_of(n: int, size: int) -> Iterator[range]:
    """The numbers 0 to n - 1 in blocks.

    >>> list(ranges_of(5, 3))
    [range(0, 3), range(3, 5)]
    """
    return (range(start, min(start + size, n)) for start in range(0, n, size))
