"""Datasets of any number of modalities with a table of their causes: the folder that is read, and a split of it.

    DIR/dataset.toml            what the dataset is: modalities, factors with their roles, and how it was made
    DIR/SPLIT/MODALITY.npy      one array a modality: pixels (n, height, width, channels) or words (n, length), bytes
                                or whole numbers, memory-mapped when it is read
    DIR/SPLIT/factors.npz       the factors, an array (n,) each: whole numbers are classes
    DIR/MODALITY.words.json     the words of a text, in the order of their numbers
    DIR/checksums.json          the SHA-256 of every array; it is written last, so a folder that has it is whole

Whoever writes these files has a dataset that `identbox train DIR --model` takes. Pairs of Multimodal3DIdent become the
same kind of split by `pairs.split_of_pairs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from identbox import config, files
from identbox.data.arrays import map_array, read_arrays
from identbox.data.folder import Columns
from identbox.errors import IdentboxError, first_few
from identbox.settings import Count, build, settings, table_of

MULTIVIEW_FORMAT = 1
KIND = "multiview"  # in dataset.toml
TOML, CHECKSUMS, FACTORS = "dataset.toml", "checksums.json", "factors.npz"
FactorKind = Literal["continuous", "discrete", "circular"]
FactorRole = Literal["content", "style", "specific"]


@settings
class ModalitySpec:
    """What the data of one modality are.

    >>> ModalitySpec(kind="image", shape=(28, 28, 3)).sample_shape
    (3, 28, 28)
    """

    kind: Literal["image", "text"]
    shape: tuple[Count, ...]  # of a sample in its file: height, width, channels; or the number of words
    words: tuple[str, ...] = ()  # of a text, by their numbers
    padding: int | None = None  # the number of the word that fills a text up, where it says nothing itself
    separator: str = ""  # between words, as a person reads them

    def __post_init__(self) -> None:
        wanted = 3 if self.kind == "image" else 1
        if len(self.shape) != wanted:
            raise IdentboxError(f"shape: expected {wanted} numbers of an {self.kind}, got {list(self.shape)}")
        if self.kind == "image" and self.shape[2] not in (1, 3):
            raise IdentboxError(f"shape: expected 1 or 3 channels, got {self.shape[2]}")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample as models see it: channels first."""
        return (self.shape[2], *self.shape[:2]) if self.kind == "image" else self.shape

    def sentence(self, numbers: Sequence[int]) -> str:
        """The words of one text, without what fills it up."""
        return self.separator.join(self.words[k] for k in numbers if k != self.padding)


@settings
class DeclaredFactor:
    """One cause of the data, or one label: of which kind its values are, and what it is to the modalities."""

    kind: FactorKind
    role: FactorRole = "content"  # the same for all modalities, or not
    modality: str | None = None  # the only one that shows it; without it, all do
    period: float = 1.0  # of a circular factor, in the unit of its values
    names: tuple[str, ...] = ()  # of the classes

    def shown_by(self, modality: str) -> bool:
        """Whether a modality shows it."""
        return self.modality in (None, modality)


@dataclass(frozen=True, kw_only=True)
class MultiviewSplit(torch.utils.data.Dataset[dict[str, Any]]):
    """The samples of a split: a torch Dataset, and batches of many samples at a time."""

    name: str
    modalities: Mapping[str, ModalitySpec]
    arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]  # of each modality, memory-mapped
    factors: Columns
    declared: Mapping[str, DeclaredFactor]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batch(
        self,
        indices: Int[Tensor, " b"],
        *,
        device: torch.device | str = "cpu",
        only: Sequence[str] | None = None,
    ) -> dict[str, Shaped[Tensor, "b ..."]]:
        """Some samples: images (b, channels, height, width) in [0, 1], texts (b, length) of whole numbers.

        ``only`` names the modalities that are read; without it, all are.

        Bytes are gathered in one copy, and become floating point numbers on the device. Raises IndexError for an index
        beyond the split.
        """
        places = indices.cpu().numpy()
        if len(places) and not -len(self) <= places.min() <= places.max() < len(self):
            raise IndexError(f"expected indices below {len(self)}, got {places.min()} to {places.max()}")
        return {name: self._gather(name, places, device) for name in only or self.modalities}

    def _gather(self, name: str, places: np.ndarray, device: torch.device | str) -> Tensor:
        values = torch.from_numpy(np.take(self.arrays[name], places, axis=0, mode="wrap"))
        if torch.device(device).type == "cuda":  # from pinned memory, so that nothing waits for the copy
            values = values.pin_memory()
        values = values.to(device, non_blocking=True)
        if self.modalities[name].kind == "text":
            return values.long()
        return values.float().div_(255).permute(0, 3, 1, 2)

    def rows(self, rows: slice) -> MultiviewSplit:
        """Some of the samples, as a split of their own."""
        return replace(
            self,
            arrays={name: values[rows] for name, values in self.arrays.items()},
            factors={name: column[rows] for name, column in self.factors.items()},
        )

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample: each modality as a tensor, and ``factors``, a number each."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        sample: dict[str, Any] = {n: x[0] for n, x in self.batch(torch.tensor([index])).items()}
        return {**sample, "factors": {name: column[index].item() for name, column in self.factors.items()}}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Many samples in one reading; torch's DataLoader calls it."""
        made = self.batch(torch.tensor(indices))
        return [
            {
                **{name: values[k] for name, values in made.items()},
                "factors": {name: column[index].item() for name, column in self.factors.items()},
            }
            for k, index in enumerate(indices)
        ]


@dataclass(frozen=True, kw_only=True)
class MultiviewRecipe:
    """What dataset.toml says."""

    name: str
    description: str
    splits: Mapping[str, int]  # number of samples
    modalities: Mapping[str, ModalitySpec]
    factors: Mapping[str, DeclaredFactor]
    made_of: Mapping[str, Any]  # the seed and everything else that the arrays depend on

    def table(self) -> dict[str, Any]:
        """The table of dataset.toml."""
        return {
            "format": MULTIVIEW_FORMAT,
            "kind": KIND,
            "name": self.name,
            "description": self.description,
            "splits": dict(self.splits),
            "modalities": {name: _without_words(spec) for name, spec in self.modalities.items()},
            "factors": {name: table_of(factor) for name, factor in self.factors.items()},
            "made_of": dict(self.made_of),
        }


def _without_words(spec: ModalitySpec) -> dict[str, Any]:
    return {name: value for name, value in table_of(spec).items() if name != "words"}


def is_multiview(folder: Path) -> bool:
    """Whether a folder has a dataset of this format, whole or not."""
    if not (folder / TOML).is_file():
        return False
    return config.read_toml(folder / TOML).get("kind") == KIND


def read_recipe(folder: Path) -> MultiviewRecipe:
    """What a dataset is. Raises IdentboxError for another kind of folder, and for keys and values that do not fit."""
    path = folder / TOML
    table = config.read_toml(path)
    if (table.get("kind"), table.get("format")) != (KIND, MULTIVIEW_FORMAT):
        raise IdentboxError(
            f"{path}: expected kind {KIND} of format {MULTIVIEW_FORMAT}, got "
            f"{table.get('kind')!r:.40} of {table.get('format')!r:.40}"
        )
    parts: dict[str, dict[str, Any]] = {}
    for key in ("splits", "modalities", "factors", "made_of"):
        part = table.get(key, {})
        if not isinstance(part, dict) or (not part and key in ("splits", "modalities")):
            raise IdentboxError(f"{path}: {key}: expected a table with entries, got {part!r:.60}")
        parts[key] = part
    for name in (*parts["modalities"], *parts["splits"], *parts["factors"]):
        if "." in files.expect_name(name, f"{path}: modalities, splits and factors"):
            raise IdentboxError(f"{path}: expected names without a dot, got {name!r:.60}")
    wrong = [n for n in parts["splits"].values() if type(n) is not int or n < 1]
    if wrong:
        raise IdentboxError(f"{path}: splits: expected a number of samples from 1 on, got {wrong[0]!r:.60}")
    modalities = {
        name: build(ModalitySpec, {**_table(one, name, path), **_words(folder, name, one)}, f"{path}: {name}")
        for name, one in parts["modalities"].items()
    }
    factors = {
        name: build(DeclaredFactor, _table(one, name, path), f"{path}: {name}")
        for name, one in parts["factors"].items()
    }
    unknown = [one.modality for one in factors.values() if one.modality not in (None, *modalities)]
    if unknown:
        raise IdentboxError(
            f"{path}: factors: expected modalities among {', '.join(modalities)}; got {unknown[0]}"
        )
    return MultiviewRecipe(
        name=str(table.get("name", folder.name)),
        description=str(table.get("description", "")),
        splits=parts["splits"],
        modalities=modalities,
        factors=factors,
        made_of=parts["made_of"],
    )


def _table(value: Any, name: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise IdentboxError(f"{path}: {name}: expected a table, got {value!r:.60}")
    return value


def _words(folder: Path, name: str, spec: Any) -> dict[str, Any]:
    """The words of a text, from their own file."""
    if not isinstance(spec, dict) or spec.get("kind") != "text":
        return {}
    path = folder / f"{name}.words.json"
    words = files.read_json(path, "the words of a text")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise IdentboxError(f"{path}: expected a list of words, got {type(words).__name__}")
    return {"words": words}


def open_multiview(folder: Path | str, split: str) -> MultiviewSplit:
    """A split of a dataset folder.

    Raises IdentboxError where the folder is not whole, has no such split, or holds arrays of another shape or type than
    dataset.toml says.

    Example: ``DataLoader(open_multiview("polymnist", "train"), batch_size=256, shuffle=True)``
    """
    folder = Path(folder)
    recipe = read_recipe(folder)
    if split not in recipe.splits:
        raise IdentboxError(
            f"{folder}: expected the split {split}, got {', '.join(recipe.splits) or 'no split'}"
        )
    if not (folder / CHECKSUMS).exists():
        raise IdentboxError(
            f"{folder}: expected a whole dataset, got no {CHECKSUMS}; give the command that made the folder again"
        )
    n, place = recipe.splits[split], folder / split
    arrays = {name: _array(place / f"{name}.npy", n, spec) for name, spec in recipe.modalities.items()}
    factors = read_arrays(place / FACTORS) if recipe.factors else {}
    if set(factors) != set(recipe.factors) or any(column.shape != (n,) for column in factors.values()):
        raise IdentboxError(
            f"{place / FACTORS}: expected {n} values of each of {first_few(recipe.factors)}, got "
            f"{first_few(f'{name} {column.shape}' for name, column in factors.items())}"
        )
    return MultiviewSplit(
        name=split,
        modalities=recipe.modalities,
        arrays=arrays,
        factors={name: factors[name] for name in recipe.factors},
        declared=recipe.factors,
    )


def _array(path: Path, n: int, spec: ModalitySpec) -> np.ndarray:
    values = map_array(path)
    kinds = "u" if spec.kind == "image" else "ui"
    good_type = values.dtype.kind in kinds and (spec.kind == "text" or values.dtype == np.uint8)
    if values.shape != (n, *spec.shape) or not good_type:
        raise IdentboxError(
            f"{path}: expected {'bytes' if spec.kind == 'image' else 'whole numbers'} of shape {(n, *spec.shape)}, "
            f"got {values.dtype} of {values.shape}"
        )
    return values


def multiview_fingerprint(folder: Path) -> str:
    """A hash of what a dataset is and of all its arrays."""
    digest = hashlib.sha256()
    for name in (TOML, CHECKSUMS):
        digest.update(files.read_bytes(folder / name, files.LARGEST_RECORD))
    return digest.hexdigest()


def read_checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every array by its path in the folder."""
    sums = files.read_json(folder / CHECKSUMS, "the checksums of a dataset")
    if not isinstance(sums, dict) or not all(isinstance(value, str) for value in sums.values()):
        raise IdentboxError(f"{folder / CHECKSUMS}: expected a hash for each file, got another form")
    return sums
