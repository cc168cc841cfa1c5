"""Every ground-truth factor of a rendered dataset (Table 4.1), predicted from the encodings of images and sentences."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox import seeding
from identbox.data.factor_columns import LatentSplit, content_columns, factors, numbers
from identbox.data.factors import CIRCLE, CIRCULAR
from identbox.experiments.identification import block_record
from identbox.identifiability.encodings import latents_of
from identbox.identifiability.measures import (
    VariableValues,
    measured_from_arrays,
    weakness,
    with_weakness,
)
from identbox.identifiability.predictions import beside_content, declared
from identbox.identifiability.verify import LEAST_ROWS
from identbox.metrics import predictors, probing
from identbox.metrics.targets import Target
from identbox.process.model import Process
from identbox.settings import Count, at_least, settings


@settings
class FactorProbeSettings:
    """How encodings are probed: fitted on training samples, scored on the test split."""

    samples: Annotated[int, at_least(10)] = 4096  # at most, of each
    bootstrap: Count = 200  # resamples of the intervals
    train_mode: bool = False  # once more with batch norm in training mode, as earlier code left it


# the first n samples of a split, perhaps with batch norm in training mode -> encodings (n, d) by view
EncodeSplit = Callable[[Any, int, bool], Mapping[str, Tensor]]


def probes(
    encode: EncodeSplit,
    train: LatentSplit,
    test: LatentSplit,
    settings: FactorProbeSettings,
    *,
    process: Mapping[str, Any] | None = None,
    seed: int,
) -> dict[str, Any]:
    """Predict every factor from the encodings of every view, fitted on training and scored on test samples.

    ``encode`` gives each view's encodings (n, d) of the first n samples of a split, with batch norm in training mode
    or not. ``process`` is the table of the process that made the data, and says which factors are content (default:
    those of the published dataset). Returns ``probes``, where asked for ``probes_train_mode``, and ``from_content``:
    how well content alone predicts each factor, by the same predictors.
    """
    fit, score = (min(len(split), settings.samples) for split in (train, test))
    wanted = targets(train, test, fit, score)
    options = predictors.PredictorSettings(bootstrap=settings.bootstrap, centre=True)
    records: dict[str, Any] = {}
    for key, mode in (("probes", False), ("probes_train_mode", True)):
        if mode and not settings.train_mode:
            continue
        learned = encode(train, fit, mode)
        held_out = encode(test, score, mode)
        records[key] = [
            dataclasses.replace(one, view=view).record()
            for view in learned
            for one in probing.probe_targets(
                learned[view],
                held_out[view],
                wanted,
                settings=options,
                seed=seeding.derive(seed, "probing", view),
            )
        ]
    learned_content, held_out_content = content_columns([train, test], [fit, score], process)
    records["from_content"] = []
    if learned_content.shape[1]:  # where no content factor varies, content predicts nothing
        records["from_content"] = [
            dataclasses.replace(one, view="content").record()
            for one in probing.probe_targets(
                learned_content,
                held_out_content,
                wanted,
                settings=options,
                seed=seeding.derive(seed, "probing", "content"),
            )
        ]
    return records


def targets(train: LatentSplit, test: LatentSplit, fit: int, score: int) -> list[Target]:
    """What probes predict: every factor that varies, of the first ``fit`` and ``score`` samples.

    Whole numbers are classes, those that occur. A hue is predicted as a number and as a point on the circle.
    """
    factors_to_predict = []
    learned_from, held_out = factors([train, test])
    for name, column in learned_from.items():
        one, other = column[:fit], held_out[name][:score]
        if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
            continue
        if column.dtype.kind == "i":
            # Numbered anew: of a thousand names of colours one in ten occurs, and the others would cost as much.
            classes = torch.from_numpy(np.unique(np.concatenate([one, other]), return_inverse=True)[1])
            learned, held = classes[:, None].split([len(one), len(other)])
            factors_to_predict.append(Target(name=name, train=learned, test=held, kind="discrete"))
            continue
        learned, held = torch.from_numpy(one)[:, None], torch.from_numpy(other)[:, None]
        factors_to_predict.append(Target(name=name, train=learned, test=held))
        if name in CIRCULAR:
            period = CIRCULAR[name]
            factors_to_predict.append(
                Target(name=name + CIRCLE, train=learned, test=held, kind="circular", period=period)
            )
    return factors_to_predict


def split_latents(process: Process, split: LatentSplit) -> dict[str, Shaped[np.ndarray, " n"]]:
    """The variables of a process that a split has columns of, by name: classes as whole numbers."""
    columns = {**split.text_latents, **split.image_latents}
    return {v.name: columns[v.name] for v in process.variables if v.name in numbers(columns)}


def identification_of_split(
    process: Process,
    encodings: Mapping[str, Float[Tensor, "n d"]],
    split: LatentSplit,
    redrawn: Mapping[str, Float[Tensor, "m d"]] | None = None,
) -> list[dict[str, Any]]:
    """Leak, recovery and local degeneracy of content in each view's encodings, as the record has them.

    ``redrawn`` has, where there are some, encodings of the first rows with everything but content drawn anew: leak is
    exact then. Otherwise it rests on regressions. Empty where there are too few rows, and where no content varies.
    """
    content, latents = declared(process), split_latents(process, split)
    varies = any(v.name in latents and len(np.unique(latents[v.name])) > 1 for v in content)
    if not varies or min(map(len, encodings.values())) < LEAST_ROWS:
        return []
    measures = []
    for view, matrix in encodings.items():
        values = _seen_latents(process, latents, view, rows=len(matrix))
        again = None if redrawn is None else redrawn[view].cpu()
        found = measured_from_arrays(process, view, matrix.cpu(), values, content, redrawn=again)
        measures += with_weakness(found, functools.partial(weakness, content, values))
    return [block_record([v.name for v in content], measures)]


def specific_identification_of_split(
    process: Process, view: str, m: Float[Tensor, "n d"], split: LatentSplit
) -> dict[str, Any] | None:
    """How much of content leaks into latents of a view alone, and how much they have of all else that it shows.

    Both rest on regressions. None where there are too few rows, or nothing but content varies.
    """
    latents = split_latents(process, split)
    varying = [name for name, values in latents.items() if len(np.unique(values)) > 1]
    block = [v for v in beside_content(process, view) if v.name in varying]
    if not block or len(m) < LEAST_ROWS:
        return None
    values = _seen_latents(process, latents, view, rows=len(m))
    shown = {v.name: values[v.name] for v in process.seen_by(view) if v.name in values}
    found = measured_from_arrays(process, view, m.cpu(), shown, block)
    found = with_weakness(found, functools.partial(weakness, block, shown))
    return block_record([v.name for v in block], [one for one in found if one.quantity != "degenerate"])


def _seen_latents(
    process: Process, latents: Mapping[str, Shaped[np.ndarray, " every"]], view: str, *, rows: int
) -> VariableValues:
    """The latents of the first rows, as a view sees them."""
    known = {name: values[:rows] for name, values in latents.items()}
    return latents_of(process, known, view, rows=rows)
