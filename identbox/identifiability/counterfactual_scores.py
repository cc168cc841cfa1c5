"""What encodings predict after each intervention: the matrix of counterfactual splits against factors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from identbox import seeding
from identbox.data.factor_columns import content_columns, factors
from identbox.data.factors import CIRCLE, CIRCULAR, role
from identbox.identifiability.counterfactuals import Pairs
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.scores import Score
from identbox.metrics.targets import Target

LEAST = 40  # samples of a counterfactual split, from which probes are fitted on one half of them


def intervention_scores(
    pairs: Sequence[Pairs], *, process: Mapping[str, Any], bootstrap: int, seed: int
) -> list[Score]:
    """Every factor predicted after each intervention: from every view's encodings, and from content (view "content").

    Probes are fitted on the first half of a counterfactual split and scored on the second. A factor that the
    intervention changed is predicted as it was before, and as it is now (``permuted``). The scores from content are the
    ceilings of an encoder of content alone: after a permutation of content, everything else is at chance.
    """
    options = PredictorSettings(bootstrap=bootstrap, centre=True)
    found: list[Score] = []
    for one in pairs:
        n = len(one.after)
        if n < LEAST:
            continue
        half, wanted = n // 2, _evidence_targets(one, process)
        halves = [one.after.rows(0, half), one.after.rows(half, n)]
        inputs = {view: matrix.double() for view, matrix in one.encoded_after.items()}
        learned, held_out = content_columns(halves, [half, n - half], process)
        inputs["content"] = torch.cat([learned, held_out])
        for view, matrix in inputs.items():
            scores = probe_targets(
                matrix[:half].cpu(),
                matrix[half:].cpu(),
                wanted,
                settings=options,
                seed=seeding.derive(seed, "probing", view, str(one.intervention)),
            )
            found += [
                dataclasses.replace(score, view=view, intervention=one.intervention.what) for score in scores
            ]
    return found


def _evidence_targets(one: Pairs, process: Mapping[str, Any]) -> list[Target]:
    """Every factor that varies in both halves: before the intervention, and where that changed it, after."""
    before, after = factors([one.before, one.after])
    targets: list[Target] = []
    for name, column in before.items():
        targets += _versions(name, column, process, permuted=False)
        if not np.array_equal(column, after[name]):
            targets += _versions(name, after[name], process, permuted=True)
    return targets


def _versions(name: str, column: np.ndarray, process: Mapping[str, Any], *, permuted: bool) -> list[Target]:
    """A factor as what probes predict: classes, a number, and for a hue a point on the circle as well."""
    half = len(column) // 2
    if min(len(np.unique(column[:half])), len(np.unique(column[half:]))) < 2:
        return []
    whole = column.dtype.kind == "i"
    numbers = torch.from_numpy(np.unique(column, return_inverse=True)[1] if whole else column)[:, None]
    plain = Target(
        name=name,
        role=role(name, process),
        permuted=permuted,
        train=numbers[:half],
        test=numbers[half:],
        kind="discrete" if whole else "continuous",
    )
    if name not in CIRCULAR:
        return [plain]
    return [plain, dataclasses.replace(plain, name=name + CIRCLE, kind="circular", period=CIRCULAR[name])]
