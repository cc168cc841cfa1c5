"""Probing: what can be read from encodings, by a linear predictor and by a nonlinear one (section 2.5.1).

Predictors are fit on one sample and scored on another. Encodings are standardised with the mean and the standard
deviation of the training sample. What a target holds decides on the predictors and on the metric:

    target                 linear                 nonlinear                          metric
    continuous, circular   least squares          kernel ridge regression (RBF)      R2
    discrete               logistic regression    MLP with one hidden layer          accuracy

R2 and accuracy are averaged over the components of a target. Their intervals are those of `intervals`: they are to
cover the score of the best predictor, not only that of the one that was fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.metrics.classifiers import logistic, shallow_mlp
from identbox.metrics.intervals import (
    accuracy_interval,
    bounding_fits,
    components,
    r2_interval,
    rank_normal,
    resamples,
)
from identbox.metrics.normal_scores import ROUNDING
from identbox.metrics.predictors import (
    Fit,
    PredictorSettings,
    fit_kernel_ridge,
    fit_least_squares,
    r2,
)
from identbox.metrics.scores import Metric, ProbeKind, Score
from identbox.metrics.targets import Target

Predictor = Literal["linear", "nonlinear"]


def probe_targets(
    train: Float[Tensor, "n _"],
    test: Float[Tensor, "m _"],
    targets: Sequence[Target],
    *,
    settings: PredictorSettings,
    seed: int,
    kinds: Sequence[Predictor] = ("linear", "nonlinear"),
) -> list[Score]:
    """Predict targets from encodings, fit on ``train`` (n, k) and scored on ``test`` (m, k) (section 2.5.1).

    Returns a score for each target and each of ``kinds``, in that order. Raises IdentboxError for encodings that
    are not finite or too few, and for targets of other lengths or with the same name.
    """
    _check_encodings(train, test, targets, settings, kinds)
    x, x_test = standardise(train.detach(), test.detach())
    counts = resamples(len(test), settings.bootstrap, seed).to(x.device)
    sample = _Samples(x, x_test, counts, settings, seed, rounding_of(train))
    numbers = [target for target in targets if target.kind != "discrete"]
    discrete = [target for target in targets if target.kind == "discrete"]
    scores: dict[tuple[str, Predictor], Score] = {}
    for kind in kinds:
        for some, predict in ((numbers, _predict_numbers), (discrete, _predict_classes)):
            for target, score in zip(some, predict(sample, some, kind) if some else (), strict=True):
                scores[target.label, kind] = score
    return [scores[target.label, kind] for target in targets for kind in kinds]


@dataclass(frozen=True)
class _Samples:
    """The encodings of a probe, standardised, and how it is fitted."""

    x: Float[Tensor, "n k"]
    x_test: Float[Tensor, "m k"]
    counts: Float[Tensor, "b m"]  # resamples of the test sample
    settings: PredictorSettings
    seed: int
    rounding: float  # of the encodings as they were given


def _predict_numbers(sample: _Samples, targets: Sequence[Target], kind: Predictor) -> list[Score]:
    """R2 of each target that is continuous or circular."""
    x, x_test, settings = sample.x, sample.x_test, sample.settings
    blocks = [target.columns(target.train.to(x.device)) for target in targets]
    truths = [target.columns(target.test.to(x.device)) for target in targets]
    linear = _linear_fits(x, blocks, x_test, sample.rounding)
    fits, bounds = linear, [[fit] for fit in linear]
    if kind == "nonlinear":
        fits = fit_kernel_ridge(x, blocks, x_test, settings=settings, seed=sample.seed)
        more = _more_bounds(sample, blocks)
        bounds = [list(some) for some in zip(fits, linear, *more, strict=True)]
    found = []
    for target, y, truth, fit, some in zip(targets, blocks, truths, fits, bounds, strict=True):
        values = components(r2(truth, fit.prediction), target.test.shape[1])
        ends = r2_interval(truth, fit.prediction, y, some, sample.counts, settings.confidence)
        name: ProbeKind = "linear" if kind == "linear" else "kernel_ridge"
        found.append(_score(target, name, values, ends, fit.alpha, fit.gamma))
    return found


def _linear_fits(x: Tensor, blocks: Sequence[Tensor], x_test: Tensor, rounding: float = 0.0) -> list[Fit]:
    fit = fit_least_squares(x, torch.cat(list(blocks), dim=1), x_test, rounding=rounding)
    widths = [block.shape[1] for block in blocks]
    parts = zip(fit.prediction.split(widths, dim=1), fit.residual.split(widths, dim=1), strict=True)
    return [replace(fit, prediction=prediction, residual=residual) for prediction, residual in parts]


def _more_bounds(sample: _Samples, blocks: Sequence[Tensor]) -> list[list[Fit]]:
    """Fits by further kernels, and on the normal quantiles of ranks, that bound the best R2."""
    ranks, x, some = rank_normal(sample.x), sample.x, sample.x[:1]
    kernels = [
        bounding_fits(inputs, blocks, some, settings=sample.settings, seed=sample.seed)
        for inputs in (x, ranks)
    ]
    return [_linear_fits(ranks, blocks, some), *kernels]


def _predict_classes(sample: _Samples, targets: Sequence[Target], kind: Predictor) -> list[Score]:
    """Accuracy of each discrete target."""
    classify = _classify_linearly if kind == "linear" else _classify_by_mlp
    x, settings = sample.x, sample.settings
    both = torch.cat([x, sample.x_test])
    found = []
    for target, guess in zip(targets, classify(x, targets, both, settings, sample.seed), strict=True):
        known = torch.cat([target.train, target.test]).to(guess.device)
        train, test = (guess == known).double().tensor_split([len(x)])
        ends = accuracy_interval(train, test, settings.confidence)
        values = tuple(test.mean(0).tolist())
        found.append(_score(target, "linear" if kind == "linear" else "mlp", values, ends))
    return found


def _check_encodings(
    train: Tensor,
    test: Tensor,
    targets: Sequence[Target],
    settings: PredictorSettings,
    kinds: Sequence[Predictor],
) -> None:
    if train.shape[1] != test.shape[1] or train.shape[1] < 1:
        raise IdentboxError(
            f"encodings: expected as many columns to train as to test, got {train.shape[1]} and {test.shape[1]}"
        )
    for where, encodings in (("training", train), ("test", test)):
        if not torch.isfinite(encodings).all():
            raise IdentboxError(f"{where} encodings: expected finite numbers, got one that is not")
    if not set(kinds) <= set(get_args(Predictor)):
        raise IdentboxError(
            f"kinds: expected some of {', '.join(get_args(Predictor))}; got {', '.join(kinds)}"
        )
    # R2 of a fold needs two samples of it.
    least = 2 * settings.folds if "nonlinear" in kinds else 2
    if len(train) < least or len(test) < 2:
        raise IdentboxError(
            f"encodings: expected at least {least} samples to train and 2 to test, got {len(train)} and {len(test)}"
        )
    names = [target.label for target in targets]
    if len(set(names)) < len(names):
        raise IdentboxError(f"targets: expected different names, got {', '.join(names)}")
    for target in targets:
        if (len(target.train), len(target.test)) != (len(train), len(test)):
            raise IdentboxError(
                f"target {target.label}: expected {len(train)} training and {len(test)} test values, as many as "
                f"encodings, got {len(target.train)} and {len(target.test)}"
            )


def rounding_of(encodings: Tensor) -> float:
    """The relative error of numbers of the type of these; 0 for integers."""
    return torch.finfo(encodings.dtype).eps if encodings.is_floating_point() else 0.0


def standardise(
    train: Float[Tensor, "n k"], test: Float[Tensor, "m k"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]]:
    """Both in float64 with the training mean taken off, over the training deviation.

    A column that is constant but for the rounding of the type in which it comes is not divided: it stays next to 0.
    """
    relative = max(rounding_of(train), torch.finfo(torch.float64).eps)  # that of a mean, for integers
    train, test = train.double(), test.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    rounding = ROUNDING * relative * train.abs().amax(0)
    scale = torch.where(deviation > rounding, deviation, torch.ones_like(deviation))
    return (train - mean) / scale, (test - mean) / scale


def _classify_linearly(
    x: Tensor, targets: Sequence[Target], x_test: Tensor, settings: PredictorSettings, seed: int
) -> list[Tensor]:
    return [
        torch.stack([logistic(x, column, x_test) for column in target.train.to(x.device).long().T], dim=1)
        for target in targets
    ]


def _classify_by_mlp(
    x: Tensor, targets: Sequence[Target], x_test: Tensor, settings: PredictorSettings, seed: int
) -> list[Tensor]:
    """Predicted classes of each target, from one network for each component of each, all trained together."""
    components = [(target, at) for target in targets for at in range(target.train.shape[1])]
    guesses = shallow_mlp(
        x,
        torch.cat([target.train.to(x.device).long() for target in targets], dim=1).T,
        torch.tensor([target.count for target, _ in components]),
        x_test,
        [seeding.generator(seed, "probing", "mlp", target.label, at) for target, at in components],
        settings=settings,
        seed=seed,
    )
    return list(guesses.split([target.train.shape[1] for target in targets], dim=1))


def _score(
    target: Target,
    name: ProbeKind,
    values: tuple[float, ...],
    ends: tuple[float, float],
    alpha: float | None = None,
    gamma: float | None = None,
) -> Score:
    """The score of a target from those of its components."""
    chance = 0.0
    if target.kind == "discrete":
        common = [column.bincount().argmax() for column in target.train.long().cpu().T]
        same = [column == best for column, best in zip(target.test.long().cpu().T, common, strict=True)]
        chance = float(torch.stack(same).double().mean())
    metric: Metric = "accuracy" if target.kind == "discrete" else "r2"
    return Score(
        target=target.name, permuted=target.permuted, role=target.role, probe=name, metric=metric,
        score=fmean(values), low=ends[0], high=ends[1], chance=chance, components=values,
        alpha=alpha, gamma=gamma,
    )  # fmt: skip
