"""Cheap scores of every variable during training, so that a reader sees whether it had converged.

They are for the eye: a few hundred samples, always the same ones, and one kernel for all variables. What a run ended
with is measured afterwards, by the probes of `probing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from identbox.metrics.interventional import Encode
from identbox.metrics.predictors import PredictorSettings, fit_kernels, least_squares, r2
from identbox.metrics.probing import rounding_of, standardise
from identbox.metrics.scores import ProbeKind
from identbox.metrics.targets import Target, seen, target_of
from identbox.process.world import World

TIMES = 20  # that scores are taken in a training
SAMPLES = 300  # to fit on, and as many to score on
# Of the kernel: exp(-KERNEL_WIDTH |a - b|^2 / 2k), where |a - b|^2 is 2k on average.
KERNEL_ALPHA, KERNEL_WIDTH = 0.1, 0.3


def is_due(step: int, *, steps: int, log_every: int) -> bool:
    """Whether scores are taken after a step that a line of metrics follows: the last step, and about 20 in all.

    It depends on the step alone, so that a run that was interrupted takes them at the same steps.

    >>> [step for step in range(100, 3001, 100) if is_due(step, steps=3000, log_every=100)][:5]
    [200, 300, 500, 600, 800]
    """
    before = (step - 1) // log_every * log_every
    return step * TIMES // steps > before * TIMES // steps


@torch.no_grad()
def curve_scores(world: World, encode: Encode) -> list[dict[str, Any]]:
    """The scores of every variable but constants from the encodings of every view, linear and by one kernel.

    They are those of `cheap_scores`. The samples are of a stream of their own, so that no other draw moves.
    """
    sample = world.sample(2 * SAMPLES, "curves")
    found = []
    for view in world.views:
        targets = []
        for variable in world.process.variables:
            if not variable.distribution.constant:
                values = seen(sample.latent, view, variable)
                targets.append(target_of(variable, values[:SAMPLES], values[SAMPLES:]))
        encodings = encode(sample.x[view], view)
        found += cheap_scores(view, encodings[:SAMPLES], encodings[SAMPLES:], targets)
    return found


@torch.no_grad()
def cheap_scores(
    view: str, train: Float[Tensor, "n k"], test: Float[Tensor, "m k"], targets: Sequence[Target]
) -> list[dict[str, Any]]:
    """The scores of targets from the encodings of a view, fitted on n rows and taken on m others.

    Each is a table ``{"view", "target", "probe", "metric", "score"}``, as in the record of a run. Classes are predicted
    by regression of their indicators.
    """
    x, x_test = standardise(train, test)
    found = []
    for probe, predictions in _predictions(
        x, x_test, [_columns(target) for target in targets], rounding_of(train)
    ):
        for target, prediction in zip(targets, predictions, strict=True):
            metric, score = _cheap_score(target, prediction)
            named = {"view": view, "target": target.name, "probe": probe, "metric": metric}
            found.append({**named, "score": score})
    return found


def _columns(target: Target) -> Float[Tensor, "n columns"]:
    """What is regressed: the columns of numbers, the indicators of the classes of each component."""
    if target.kind != "discrete":
        return target.columns(target.train)
    return functional.one_hot(target.train.long(), target.count).double().flatten(1)


def _predictions(
    x: Float[Tensor, "n k"],
    x_test: Float[Tensor, "m k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    rounding: float,
) -> list[tuple[ProbeKind, Sequence[Tensor]]]:
    linear = least_squares(x, torch.cat(list(blocks), dim=1), x_test, rounding=rounding)
    choice = KERNEL_ALPHA, KERNEL_WIDTH / (2 * x.shape[1])
    settings = PredictorSettings(centre=True)
    kernel = fit_kernels(x, blocks, x_test, [choice] * len(blocks), settings=settings, seed=0)
    return [
        ("linear", linear.split([block.shape[1] for block in blocks], dim=1)),
        ("kernel_ridge", [fit.prediction for fit in kernel]),
    ]


def _cheap_score(target: Target, prediction: Float[Tensor, "m columns"]) -> tuple[str, float]:
    if target.kind != "discrete":
        return "r2", float(r2(target.columns(target.test), prediction).mean())
    guess = prediction.unflatten(1, (-1, target.count)).argmax(2)
    return "accuracy", float((guess == target.test).double().mean())
