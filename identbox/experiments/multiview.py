"""The data of a multimodal VAE: a dataset of any modalities, or the image-text pairs of a rendered one, all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from identbox.data import celeba
from identbox.data.multiview import (
    MultiviewSplit,
    is_multiview,
    multiview_fingerprint,
    open_multiview,
    read_recipe,
)
from identbox.data.pairs import sentence_of_words, split_of_pairs
from identbox.data.pixels import Split
from identbox.data.recipe import Recipe
from identbox.data.text import parse_sentence
from identbox.errors import IdentboxError
from identbox.experiments import image_text
from identbox.experiments.pair_learner import DataSettings
from identbox.process.presets import SHAPE_NAMES
from identbox.process.tables import process_from_table

DataKind = Literal["simulation", "law", "pairs", "multiview"]
Parser = Callable[[str], Mapping[str, int]]  # the classes that a text names, by factor; raises IdentboxError


@dataclass(frozen=True, kw_only=True)
class MultiviewData:
    """The splits of a dataset, and how its texts are parsed."""

    folder: Path
    sha256: str
    train: MultiviewSplit
    validation: MultiviewSplit  # the test split, where the dataset has none for validation
    test: MultiviewSplit
    parsers: Mapping[str, Parser] = field(default_factory=dict)  # of texts whose factors can be read exactly
    pairs: image_text.Data | None = None  # of a rendered dataset: its splits as contrastive encoders see them

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return tuple(self.train.modalities)

    def only(self, names: tuple[str, ...]) -> MultiviewData:
        """The same data with some of the modalities alone; all of them without names."""
        if not names or names == self.names:
            return self
        if unknown := [name for name in names if name not in self.names]:
            raise IdentboxError(
                f"modalities: expected some of {', '.join(self.names)}; got {', '.join(unknown)}"
            )
        train, validation, test = (_only(one, names) for one in (self.train, self.validation, self.test))
        return replace(self, train=train, validation=validation, test=test, pairs=None)

    @property
    def content_size(self) -> int:
        """Dimensions of the content of a rendered dataset by its process; 1 where nothing says it."""
        if self.pairs is None:
            return 1
        return process_from_table(self.pairs.process, f"{self.folder}: process").content_size

    def expect_batch(self, size: int) -> None:
        """Raise IdentboxError where a batch has more samples than the split train."""
        if size > len(self.train):
            raise IdentboxError(
                f"training.batch: expected at most the {len(self.train)} samples of the split train, got {size}"
            )

    def facts(self) -> dict[str, Any]:
        """What the record of a run says of its data."""
        return {
            "dataset": {
                "folder": str(self.folder),
                "sha256": self.sha256,
                "train": len(self.train),
                "modalities": list(self.names),
            },
            "process": self.process_table(),
        }

    def process_table(self) -> dict[str, Any]:
        """Roles and modalities of all factors, as the table of a process has them."""
        if self.pairs is not None:
            return self.pairs.process
        return {
            "variables": {
                name: {"role": one.role, **({"view": one.modality} if one.modality else {})}
                for name, one in self.train.declared.items()
            }
        }


def _only(split: MultiviewSplit, names: tuple[str, ...]) -> MultiviewSplit:
    declared = {name: one for name, one in split.declared.items() if one.modality in (None, *names)}
    return replace(
        split,
        modalities={name: split.modalities[name] for name in names},
        arrays={name: split.arrays[name] for name in names},
        factors={name: split.factors[name] for name in declared},
        declared=declared,
    )


def data_kind(dataset: Path | None) -> DataKind:
    """What a model is trained on: a simulation where no dataset is given."""
    if dataset is None:
        return "simulation"
    return "multiview" if is_multiview(dataset) else "pairs"


def open_multiview_data(dataset: Path, settings: DataSettings, **options: Any) -> MultiviewData:
    """Open a dataset of either kind; ``options`` are those of `image_text.open_data`.

    Raises IdentboxError where a split is missing or broken.
    """
    if not is_multiview(dataset):
        return data_of_pairs(image_text.open_data(dataset, settings, **options))
    recipe = read_recipe(dataset)
    missing = [split for split in ("train", "test") if split not in recipe.splits]
    if missing:
        raise IdentboxError(f"{dataset}: expected the splits train and test, got no {missing[0]}")
    splits = {name: open_multiview(dataset, name) for name in recipe.splits}
    parser = celeba.parse_attributes if recipe.made_of.get("maker") == celeba.CELEBA_MAKER else None
    texts = [name for name, spec in recipe.modalities.items() if spec.kind == "text"]
    return MultiviewData(
        folder=dataset,
        sha256=multiview_fingerprint(dataset),
        train=splits["train"],
        validation=splits.get("val", splits["test"]),
        test=splits["test"],
        parsers={name: parser for name in texts if parser is not None},
    )


def two_modalities(split: Split, data: image_text.Data) -> MultiviewSplit:
    """A split of a rendered dataset, perhaps a counterfactual one, with sentences as long as those of its training."""
    return split_of_pairs(split, data.process, data.train.tokens.shape[1])


def data_of_pairs(data: image_text.Data) -> MultiviewData:
    """Image-text pairs as a dataset of two modalities."""
    recipe = Recipe.read(data.folder)
    shapes = SHAPE_NAMES if recipe is None else recipe.shape_names

    def parse(text: str) -> dict[str, int]:
        found = parse_sentence(sentence_of_words(text), shapes)
        return {name: value for name, value in found.items() if isinstance(value, int)}

    splits = [two_modalities(split, data) for split in (data.train, data.val, data.test)]
    return MultiviewData(
        folder=data.folder,
        sha256=data.sha256,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        parsers={"text": parse},
        pairs=data,
    )
