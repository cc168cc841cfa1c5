"""Probing arrays from anywhere: latents predicted from encodings, with a table of the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from identbox import arrays, seeding
from identbox.errors import IdentboxError
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import Predictor, probe_targets
from identbox.metrics.scores import Score
from identbox.metrics.targets import Target
from identbox.process.distributions import DomainKind
from identbox.tables import ShownAsTable, Table


class Scores(ShownAsTable, tuple[Score, ...]):
    """Scores that print as a table, and show as HTML in a notebook."""

    def table(self) -> Table:
        """Targets below each other; the nonlinear and the linear score of each, and chance."""
        targets = list(dict.fromkeys((score.label, score.metric) for score in self))
        rows = []
        for label, metric in targets:
            own = {score.nonlinear: score for score in self if (score.label, score.metric) == (label, metric)}
            shown = own.get(True) or own[False]
            rows.append((
                label,
                {"r2": "R²", "accuracy": "accuracy"}[metric],
                *(f"{own[kind].score:.3f}" if kind in own else "–" for kind in (True, False)),
                f"[{shown.low:.3f}, {shown.high:.3f}]",
                f"{shown.chance:.3f}",
            ))  # fmt: skip
        columns = ("target", "metric", "nonlinear", "linear", "95% interval", "chance")
        return Table("Predicted from the encodings", columns, rows, align="llrrrr", dense=True)


def probe(
    encodings: Any,
    latents: Mapping[str, Any],
    *,
    test_encodings: Any = None,
    test_latents: Mapping[str, Any] | None = None,
    periods: Mapping[str, float] | None = None,
    kinds: Sequence[Predictor] = ("linear", "nonlinear"),
    settings: PredictorSettings | None = None,
    seed: int = 0,
) -> Scores:
    """Predict latents from encodings, and say how well: R2 for numbers, accuracy for classes (section 2.5.1).

    ``encodings`` is an array (n, k) and ``latents`` has arrays (n,) or (n, d) by name. Integers and booleans are
    classes, other numbers are continuous, and those of ``periods`` lie on a circle of that length. Without test
    arrays, one half of the rows fits the probes and the other half scores them; ``seed`` chooses the halves.

    Raises IdentboxError for arrays of unequal length, numbers that are not finite, and fewer rows than a probe needs.

    >>> import numpy as np
    >>> from identbox import probe
    >>> z = np.random.default_rng(0).normal(size=(400, 2))
    >>> scores = probe(z @ [[1.0, 2.0], [0.0, 1.0]], {"content": z, "noise": np.random.default_rng(1).normal(size=400)})
    >>> [(score.target, score.score > 0.99) for score in scores if not score.nonlinear]
    [('content', True), ('noise', False)]
    """
    if (test_encodings is None) != (test_latents is None):
        raise IdentboxError("probe: expected test_encodings and test_latents together, got one of them")
    matrix = arrays.matrix(encodings, "encodings")
    given = {name: arrays.matrix(z, f"latents {name}", rows=len(matrix)) for name, z in latents.items()}
    if test_encodings is None or test_latents is None:
        order = torch.randperm(len(matrix), generator=seeding.generator(seed, "probe", "halves"))
        fit, rest = order.tensor_split(2)
        train, test = matrix[fit], matrix[rest]
        pairs = {name: (z[fit], z[rest]) for name, z in given.items()}
    else:
        train, test = matrix, arrays.matrix(test_encodings, "test encodings", columns=matrix.shape[1])
        if set(test_latents) != set(given):
            raise IdentboxError(f"test latents: expected {', '.join(given)}; got {', '.join(test_latents)}")
        others = {n: arrays.matrix(z, f"test latents {n}", rows=len(test)) for n, z in test_latents.items()}
        pairs = {name: (z, others[name]) for name, z in given.items()}
    targets = [_target_of_arrays(name, *both, (periods or {}).get(name)) for name, both in pairs.items()]
    chosen = settings or PredictorSettings(centre=True)
    return Scores(
        probe_targets(_floating(train), _floating(test), targets, settings=chosen, seed=seed, kinds=kinds)
    )


def _target_of_arrays(name: str, train: Tensor, test: Tensor, period: float | None) -> Target:
    """What probes predict of a variable: classes where its values are integers or booleans, otherwise numbers."""
    if not train.is_floating_point() and period is None:
        return Target(name=name, train=train.long(), test=test.long(), kind="discrete")
    numbers = _floating(train), _floating(test)
    kind: DomainKind = "continuous" if period is None else "circular"
    return Target(name=name, train=numbers[0], test=numbers[1], kind=kind, period=period or 1.0)


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.double()
