"""Verdicts on encoders or encodings of a rendered dataset, by its test split and its counterfactual splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from identbox.data.dataset import Multimodal3DIdent
from identbox.data.factor_columns import numbers
from identbox.data.factors import VIEWS
from identbox.data.formats import sentences_of
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.identifiability.counterfactuals import Pairs, content_redrawn, read_pairs
from identbox.identifiability.encodings import Encoder, encoded, encoding_matrix
from identbox.process import presets
from identbox.process.model import Process

JUDGED = "test"  # the split, which no learner was trained on
BATCH = 256  # samples that an encoder gets at a time

EncodeViews = Callable[[str], dict[str, Tensor]]  # a split -> encodings by view


@dataclass(frozen=True, kw_only=True)
class DatasetEvidence:
    """What a dataset gives for a verdict on encoders, or on encodings, of it."""

    process: Process
    encodings: dict[str, Tensor]  # of the test split, by view
    latents: dict[str, np.ndarray]
    redrawn: Mapping[str, Tensor] | None  # of the same content with everything else redrawn
    pairs: tuple[Pairs, ...]  # the counterfactual splits
    note: str  # what it is, in words


def dataset_evidence(
    dataset: Path,
    *,
    encoders: Mapping[str, Encoder] | None = None,
    encodings: Mapping[str, Any] | None = None,
) -> DatasetEvidence:
    """Encode the test split of a dataset and its counterfactual splits, or take encodings of them.

    An encoder of ``image`` takes images (n, 3, h, w) in [0, 1], one of ``text`` the indices of words (n, length);
    ``encodings`` has arrays named SPLIT/VIEW. Raises IdentboxError for other views and other numbers of rows.
    """
    process = process_of_dataset(dataset)
    encode = _of_encoders(dataset, encoders) if encoders is not None else _of_arrays(dataset, encodings or {})
    data = Multimodal3DIdent(dataset, JUDGED)
    matrices = encode(JUDGED)
    if not matrices:
        raise IdentboxError(f"encodings: expected {JUDGED}/image or {JUDGED}/text, got neither")
    named = set(encodings or {})
    pairs = read_pairs(
        dataset,
        encode,
        of=JUDGED,
        wanted=lambda one: encodings is None or any(f"{one.name}/{view}" in named for view in matrices),
    )
    exact = content_redrawn(pairs, process)
    columns = {**data.text_latents, **data.image_latents}
    known = {v.name: columns[v.name] for v in process.variables if v.name in columns}
    return DatasetEvidence(
        process=process,
        encodings=matrices,
        latents=numbers(known),
        redrawn=None if exact is None else exact.encoded_after,
        pairs=tuple(pairs),
        note=f"those of the {JUDGED} split" + ("" if exact is None else f" and of {exact.intervention}"),
    )


def process_of_dataset(dataset: Path) -> Process:
    """The process of a dataset; that of the published one where there is no recipe."""
    recipe = Recipe.read(dataset)
    return presets.multimodal3dident() if recipe is None else recipe.process.realise(seed=recipe.seed)


def _of_arrays(dataset: Path, encodings: Mapping[str, Any]) -> EncodeViews:
    """The arrays of a split, those that are there, checked."""

    def encode(name: str) -> dict[str, Tensor]:
        rows = len(sentences_of(dataset, name))
        return {
            view: encoding_matrix(
                encodings[f"{name}/{view}"], f"encodings: {name}/{view}", rows=rows
            ).double()
            for view in VIEWS
            if f"{name}/{view}" in encodings
        }

    return encode


def _of_encoders(dataset: Path, encoders: Mapping[str, Encoder]) -> EncodeViews:
    """The encodings of a split by callables, batch by batch."""
    unknown = [view for view in encoders if view not in VIEWS]
    if unknown or not encoders:
        raise IdentboxError(
            f"encoders: expected views among {', '.join(VIEWS)}; got {', '.join(unknown) or 'none'}"
        )

    def encode(name: str) -> dict[str, Tensor]:
        data = Multimodal3DIdent(dataset, name, length=longest)
        found: dict[str, list[Tensor]] = {view: [] for view in encoders}
        for start in range(0, len(data), BATCH):
            rows = range(start, min(start + BATCH, len(data)))
            for view, encoder in encoders.items():
                found[view].append(encoded(encoder, _inputs(data, view, rows), f"encoder of view {view}"))
        return {view: torch.cat(parts).double() for view, parts in found.items()}

    longest = longest_sentence(dataset)
    return encode


def longest_sentence(dataset: Path) -> int:
    """The number of tokens that the sentences of all splits need."""
    from identbox.data.counterfactuals import counterfactuals_of

    names = [JUDGED, *(one.name for one in counterfactuals_of(dataset))]
    return max(Multimodal3DIdent(dataset, name).length for name in names)


def _inputs(data: Multimodal3DIdent, view: str, rows: range) -> Shaped[Tensor, "n ..."]:
    if view == "text":
        return data.tokens[rows.start : rows.stop]
    return torch.stack([data.sample(row)["image"] for row in rows])
