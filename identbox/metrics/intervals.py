"""Intervals of scores, which are to cover the score of the best possible predictor.

A probe is fitted to a sample, so that its score on a test sample lies below that of the best predictor: by the error of
the fit. An interval around the test score alone would nearly always lie too low. So the two ends come from two places.
The lower end is that of the test score. The upper end comes from the training sample. Let H be the matrix that takes
the training values y to the fitted ones. The residuals (I - H) y estimate the variance of what cannot be predicted,

    sigma^2 = |(I - H) y|^2 / tr (I - H)' (I - H),        R2 = 1 - sigma^2 / Var(y),

and a probe that smooths too much overestimates sigma^2. Several probes therefore give several such estimates, none of
them too high but for chance, and the upper end is the highest of their upper ends and of that of the test score. They
are the probe itself, least squares on the encodings and on the normal quantiles of their ranks, and kernel ridge
regression on both that smooths less than is best for prediction. A linear probe is bounded by itself alone: its
interval is for the best linear predictor.

For classes, training accuracy is as much too high as test accuracy is too low, as far as first orders go (Efron 2004).
The upper end is that of their mean. Ends of accuracies are Wilson's (1927).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.metrics.estimates import quantile
from identbox.metrics.normal_scores import unit_ranks
from identbox.metrics.predictors import Fit, PredictorSettings, choose_by_gcv, fit_kernels

GCV_ROWS = 400  # of the training sample, on which a bounding fit is chosen
GCV_WIDTHS = (0.1, 0.3, 1.0, 3.0)
GCV_ALPHAS = (1.0, 0.1, 0.01, 0.001, 0.0001)
UNDERSMOOTHING = 0.01  # what the chosen alpha is multiplied by
Ends = tuple[float, float]


def resamples(m: int, number: int, seed: int) -> Float[Tensor, "b m"]:
    """How often each of m samples is drawn in each of ``number`` resamples of m with replacement."""
    stream = seeding.generator(seed, "probing", "bootstrap")
    drawn = torch.randint(m, (number, m), generator=stream)
    ones = torch.ones((), dtype=torch.float64).expand(number, m)
    return torch.zeros(number, m, dtype=torch.float64).scatter_add_(1, drawn, ones)


def r2_interval(
    y_test: Float[Tensor, "m d"],
    prediction: Float[Tensor, "m d"],
    y: Float[Tensor, "n d"],
    fits: Sequence[Fit],
    counts: Float[Tensor, "b m"],
    confidence: float,
) -> Ends:
    """The interval of the mean R2 over d columns of the best predictor.

    ``prediction`` is the scored one, ``counts`` are `resamples` of the test sample, and ``fits`` are those whose
    training residuals bound the best R2 from above.
    """
    low, high = _resampled_r2(y_test, prediction, counts, confidence)
    deviations = quantile(confidence)
    for fit in fits:
        estimate, error = corrected_r2(y, fit)
        high = max(high, estimate + deviations * error)
    return low, min(high, 1.0)


def corrected_r2(y: Float[Tensor, "n d"], fit: Fit) -> tuple[float, float]:
    """R2 by the training residuals, corrected for degrees of freedom, with its standard error; means over columns.

    The error is the deviation of the influences e^2 n / freedom - (1 - R2) (y - mean)^2 over the variance, divided by
    the root of the degrees of freedom. Without degrees of freedom the estimate is minus infinity: it bounds nothing.
    """
    if fit.freedom < 1e-9 * len(y):
        return -math.inf, 0.0
    squared = fit.residual.square() * (len(y) / fit.freedom)
    spread = (y - y.mean(0)).square()
    variance = spread.sum(0) / (len(y) - 1)
    rest = squared.mean(0) / variance
    influence = ((squared - rest * spread) / variance).mean(1)
    error = influence.std(correction=0) / math.sqrt(min(fit.freedom, len(y)))
    return float(1 - rest.mean()), float(error)


def _resampled_r2(
    y: Float[Tensor, "m d"], fit: Float[Tensor, "m d"], counts: Float[Tensor, "b m"], confidence: float
) -> Ends:
    """Quantiles of the mean R2 over resamples; a resample in which a column is constant is left out."""
    centred = y - y.mean(0)
    summed = counts @ torch.cat([(y - fit).square(), centred, centred.square()], dim=1)
    left, first, second = summed.tensor_split(3, dim=1)
    total = second - first.square() / len(y)
    values = torch.where(total > 1e-12 * centred.square().sum(0), 1 - left / total, torch.nan).mean(1)
    ends = values.new_tensor([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = values.nanquantile(ends).tolist()
    return low, high


def accuracy_interval(train: Float[Tensor, "n d"], test: Float[Tensor, "m d"], confidence: float) -> Ends:
    """The interval of the mean accuracy over d components of the best predictor.

    The arguments are the hits (1) and misses (0) of a predictor on the training and on the test sample.
    """
    deviations = quantile(confidence)
    trials = _trials(test)
    low, high = wilson(float(test.mean()), trials, deviations)
    # The mean of two proportions has a quarter of the sum of their variances.
    both = 4 / (1 / _trials(train) + 1 / trials)
    return low, max(high, wilson(float(train.mean() + test.mean()) / 2, both, deviations)[1])


def wilson(share: float, trials: float, deviations: float) -> Ends:
    """Wilson's interval of a probability, from the share of trials that came true."""
    weight = 1 + deviations**2 / trials
    middle = share + deviations**2 / (2 * trials)
    half = deviations * math.sqrt(share * (1 - share) / trials + deviations**2 / (4 * trials**2))
    return max((middle - half) / weight, 0.0), min((middle + half) / weight, 1.0)


def _trials(hits: Float[Tensor, "n d"]) -> float:
    """The number of trials at which a binomial share varies as the mean of all hits does: between n and n d.

    Components that are hit together are worth less than d trials.
    """
    n, d = hits.shape
    p, variance = float(hits.mean()), float(hits.mean(1).var(correction=0))
    return n * float(min(max(p * (1 - p) / variance, 1.0), d)) if variance > 0 else float(n)


def bounding_fits(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    x_test: Float[Tensor, "m k"],
    *,
    settings: PredictorSettings,
    seed: int,
) -> list[Fit]:
    """Kernel ridge regression with widths between those of the published grid, to bound the best score from above.

    The widths go by the number k of encodings, since |a - b|^2 is 2k on average. Generalised cross-validation on some
    of the rows chooses alpha and gamma. An alpha that is right for few rows is right for many: it is the ratio of the
    variances of noise and signal. It is then made smaller, which costs a little variance and takes most of the bias.
    """
    rows = slice(None, None, -(-len(x) // GCV_ROWS))
    gammas = [width / (2 * x.shape[1]) for width in GCV_WIDTHS]
    choices = [
        (alpha * UNDERSMOOTHING, gamma)
        for alpha, gamma in choose_by_gcv(x[rows], [block[rows] for block in blocks], GCV_ALPHAS, gammas)
    ]
    return fit_kernels(x, blocks, x_test, choices, settings=replace(settings, centre=True), seed=seed)


def rank_normal(x: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Each column replaced by the normal quantiles of its ranks, ties by their mean rank.

    What lies close together, as at the flat ends of a sigmoid, is moved apart. The information is the same.
    """
    return torch.special.ndtri(unit_ranks(x))


def components(values: Float[Tensor, " columns"], count: int) -> tuple[float, ...]:
    """One number for each of ``count`` components, from one for each column of `Target.columns`."""
    return tuple(values.reshape(-1, count).mean(0).tolist())
