"""Checks a whole dataset of any modalities: its files, the ranges of its factors, and the classes of its splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from identbox import files
from identbox.data.checks import DatasetFinding
from identbox.data.multiview import MultiviewSplit, open_multiview, read_checksums, read_recipe
from identbox.errors import IdentboxError, first_few

FEWEST_IMAGES = 1000  # of each modality that are looked at for being all alike


def check_multiview(folder: Path) -> Iterator[DatasetFinding]:
    """Check everything in a dataset folder; yields one finding for each check."""
    recipe = read_recipe(folder)
    splits: dict[str, MultiviewSplit] = {}
    for name in recipe.splits:
        try:
            splits[name] = open_multiview(folder, name)
        except IdentboxError as error:
            yield DatasetFinding(name, "files", False, str(error))
            continue
        yield _check_content(folder, name)
        yield _check_factors(splits[name])
        yield _check_values(splits[name])
    if len(splits) > 1:
        yield from _check_classes(splits)


def _check_content(folder: Path, split: str) -> DatasetFinding:
    """Whether every array has the hash that it had when it was written."""
    wrong = []
    sums = {name: value for name, value in read_checksums(folder).items() if name.startswith(f"{split}/")}
    for name, wanted in sums.items():
        if files.sha256(files.inside(folder, name, str(folder))) != wanted:
            wrong.append(name)
    detail = f"changed: {first_few(wrong)}" if wrong else f"{len(sums)} arrays as they were written"
    return DatasetFinding(split, "content", not wrong, detail)


def _check_factors(split: MultiviewSplit) -> DatasetFinding:
    """Whether classes are whole numbers that have a name, and numbers are finite."""
    wrong = []
    for name, one in split.declared.items():
        column = split.factors[name]
        if one.kind == "discrete":
            most = len(one.names) or np.inf
            good = column.dtype.kind in "iu" and column.min() >= 0 and column.max() < most
        else:
            good = column.dtype.kind == "f" and bool(np.isfinite(column).all())
        if not good:
            wrong.append(name)
    detail = (
        f"wrong type or range: {first_few(wrong)}" if wrong else f"{len(split.declared)} factors in range"
    )
    return DatasetFinding(split.name, "factors", not wrong, detail)


def _check_values(split: MultiviewSplit) -> DatasetFinding:
    """Whether words have a number in the list of words, and images are not all alike."""
    wrong = []
    for name, spec in split.modalities.items():
        values = split.arrays[name]
        if spec.kind == "text":
            wrong += [f"{name}: a word without a number"] * bool(values.max() >= len(spec.words))
        elif len(values) > 1:
            few = values[:FEWEST_IMAGES]
            wrong += [f"{name}: all images are equal"] * bool((few == few[0]).all())
    return DatasetFinding(
        split.name,
        "values",
        not wrong,
        first_few(wrong) if wrong else f"{len(split)} samples of each modality",
    )


def _check_classes(splits: dict[str, MultiviewSplit]) -> Iterator[DatasetFinding]:
    """Whether the splits have the same classes of each factor; of birds they have not, and need not have."""
    first = next(iter(splits.values()))
    for name, one in first.declared.items():
        if one.kind != "discrete":
            continue
        known = {split: set(np.unique(data.factors[name]).tolist()) for split, data in splits.items()}
        every = set.union(*known.values())
        lacking = [f"{split} lacks {len(every - own)}" for split, own in known.items() if every - own]
        if lacking:
            yield DatasetFinding("all", f"classes of {name}", None, "; ".join(lacking))
