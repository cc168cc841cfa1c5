"""Probing: what can be read from encodings, by a linear predictor and by a nonlinear one (section 2.5.1).

Predictors are fit on one sample and scored on another. Encodings are standardised with the mean and the standard
deviation of the training sample. What a target holds decides on the predictors and on the metric:

    target                 linear                 nonlinear                          metric
    continuous, circular   least squares          kernel ridge regression (RBF)      R2
    discrete               logistic regression    MLP with one hidden layer          accuracy

R2 and accuracy are averaged over the components of a target, and have a bootstrap interval over the test sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.metrics.predictors import (
    PredictorSettings,
    kernel_ridge,
    least_squares,
    logistic,
    r2,
    shallow_mlp,
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
    counts = _resamples(len(test), settings.bootstrap, seed).to(x.device)
    numbers = [target for target in targets if target.kind != "discrete"]
    discrete = [target for target in targets if target.kind == "discrete"]
    scores: dict[tuple[str, Predictor], Score] = {}
    if numbers:
        blocks = [target.columns(target.train.to(x.device)) for target in numbers]
        truths = [target.columns(target.test.to(x.device)) for target in numbers]
    if numbers and "linear" in kinds:
        widths = [block.shape[1] for block in blocks]
        fits = least_squares(x, torch.cat(blocks, dim=1), x_test).split(widths, dim=1)
        for target, truth, fit in zip(numbers, truths, fits, strict=True):
            values = _r2_with_interval(truth, fit, counts, settings.confidence)
            scores[target.label, "linear"] = _score(target, "linear", values)
    if numbers and "nonlinear" in kinds:
        found = kernel_ridge(x, blocks, x_test, settings=settings, seed=seed)
        for target, truth, (fit, alpha, gamma) in zip(numbers, truths, found, strict=True):
            values = _r2_with_interval(truth, fit, counts, settings.confidence)
            scores[target.label, "nonlinear"] = _score(target, "kernel_ridge", values, alpha, gamma)
    for kind in kinds if discrete else ():
        classify = _classify_linearly if kind == "linear" else _classify_by_mlp
        for target, guess in zip(discrete, classify(x, discrete, x_test, settings, seed), strict=True):
            hits = (guess == target.test.to(guess.device)).double()
            values = _accuracy_with_interval(hits, counts, settings.confidence)
            scores[target.label, kind] = _score(target, "linear" if kind == "linear" else "mlp", values)
    return [scores[target.label, kind] for target in targets for kind in kinds]


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


def standardise(
    train: Float[Tensor, "n k"], test: Float[Tensor, "m k"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]]:
    """Both in float64 with the training mean taken off, over the training deviation; a constant column is 0."""
    train, test = train.double(), test.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    # The mean of equal numbers differs from them by rounding, which must not be taken for a spread.
    rounding = 10 * torch.finfo(torch.float64).eps * train.abs().amax(0)
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


def _resamples(m: int, number: int, seed: int) -> Float[Tensor, "b m"]:
    """How often each of m samples is drawn in each of ``number`` resamples of m with replacement."""
    stream = seeding.generator(seed, "probing", "bootstrap")
    drawn = torch.randint(m, (number, m), generator=stream)
    ones = torch.ones((), dtype=torch.float64).expand(number, m)
    return torch.zeros(number, m, dtype=torch.float64).scatter_add_(1, drawn, ones)


def _r2_with_interval(
    y: Float[Tensor, "m d"], fit: Float[Tensor, "m d"], counts: Float[Tensor, "b m"], confidence: float
) -> tuple[float, float, float]:
    centred = y - y.mean(0)
    summed = counts @ torch.cat([(y - fit).square(), centred, centred.square()], dim=1)
    left, first, second = summed.tensor_split(3, dim=1)
    total = second - first.square() / len(y)
    # A resample in which a column is constant has no R2 and is left out.
    values = torch.where(total > 1e-12 * centred.square().sum(0), 1 - left / total, torch.nan).mean(1)
    return float(r2(y, fit).mean()), *_interval(values, confidence)


def _accuracy_with_interval(
    hits: Float[Tensor, "m d"], counts: Float[Tensor, "b m"], confidence: float
) -> tuple[float, float, float]:
    return float(hits.mean()), *_interval((counts @ hits).mean(1) / len(hits), confidence)


def _interval(values: Float[Tensor, " b"], confidence: float) -> tuple[float, float]:
    ends = values.new_tensor([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = values.nanquantile(ends).tolist()
    return low, high


def _score(
    target: Target,
    name: ProbeKind,
    values: tuple[float, float, float],
    alpha: float | None = None,
    gamma: float | None = None,
) -> Score:
    score, low, high = values
    chance = 0.0
    if target.kind == "discrete":
        common = [column.bincount().argmax() for column in target.train.long().cpu().T]
        same = [column == best for column, best in zip(target.test.long().cpu().T, common, strict=True)]
        chance = float(torch.stack(same).double().mean())
    metric: Metric = "accuracy" if target.kind == "discrete" else "r2"
    return Score(
        target=target.name, permuted=target.permuted, role=target.role, probe=name, metric=metric, score=score,
        low=low, high=high, chance=chance, alpha=alpha, gamma=gamma,
    )  # fmt: skip
