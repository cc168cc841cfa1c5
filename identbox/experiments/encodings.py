"""Verdicts on encodings in files, made by any framework: of a process with its latents, or of a rendered dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from identbox.data.arrays import expect_arrays, read_arrays
from identbox.data.factors import VIEWS
from identbox.data.folder import Columns, read_latents
from identbox.errors import IdentboxError
from identbox.identifiability.encodings import encoding_matrix
from identbox.identifiability.margins import Margins
from identbox.identifiability.verify import Verdict, verify
from identbox.process.tables import load_process

FITTED_ON, SCORED_ON = "train", "test"  # the splits of a dataset


def verify_files(
    encodings: Path,
    latents: Path,
    process: str,
    *,
    margins: Margins | None = None,
    controls: bool = False,
) -> Verdict:
    """A verdict on encodings in an .npz file, by the latents in another.

    The arrays of the first are named after views. Those of the second are named after variables, or VIEW/VARIABLE
    where a variable differs between views. ``process`` is a name or a TOML file.

    Raises IdentboxError as `verify` does, and for files that cannot be read.
    """
    model = load_process(process)
    return verify(
        model,
        encodings=read_arrays(encodings),
        latents=_nested(read_arrays(latents)),
        margins=margins,
        controls=controls,
    )


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays named VIEW/VARIABLE in mappings of their own, others as they are."""
    nested: dict[str, Any] = {}
    for name, values in arrays.items():
        view, slash, variable = name.partition("/")
        if slash:
            nested.setdefault(view, {})[variable] = values
        else:
            nested[name] = values
    return nested


@dataclass(frozen=True)
class TrueLatents:
    """The latents of one split of a dataset."""

    name: str
    image_latents: Columns
    text_latents: Columns

    def __len__(self) -> int:
        return len(next(iter(self.image_latents.values())))


def verify_dataset(
    encodings: Path, dataset: Path, *, margins: Margins | None = None, controls: bool = False
) -> Verdict:
    """A verdict on encodings of a rendered dataset in an .npz file.

    Its arrays are named SPLIT/VIEW, as ``train/image`` and ``test/text``, and have a row for each sample of the split,
    in order. Those of the test split are judged, which no learner was trained on. Arrays of its counterfactual splits,
    as ``test.permute.object_color/image``, are used where they are there; see `verify`.

    Raises IdentboxError for files that cannot be read, arrays that are missing, and other numbers of rows.
    """
    arrays = read_arrays(encodings)
    splits = {name: _latents_of_split(dataset, name) for name in (FITTED_ON, SCORED_ON)}
    views = [view for view in VIEWS if any(name.endswith(f"/{view}") for name in arrays)]
    expect_arrays(arrays, [f"{split}/{view}" for split in splits for view in views or VIEWS], encodings)
    matrices = {
        (split, view): encoding_matrix(
            arrays[f"{split}/{view}"], f"{encodings}: {split}/{view}", rows=len(latents)
        )
        for split, latents in splits.items()
        for view in views
    }
    known = {f"{split}/{view}": matrix for (split, view), matrix in matrices.items()}
    return verify(
        encodings={name: known.get(name, values) for name, values in arrays.items()},
        dataset=dataset,
        margins=margins,
        controls=controls,
    )


def _latents_of_split(dataset: Path, name: str) -> TrueLatents:
    place = dataset / name
    if not place.is_dir():
        raise IdentboxError(
            f"{dataset}: expected a dataset with the splits train and test, got no folder {name}"
        )
    return TrueLatents(
        name, read_latents(place / "latents_image.csv"), read_latents(place / "latents_text.csv")
    )
