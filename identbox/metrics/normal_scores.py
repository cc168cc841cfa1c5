"""Numbers by their ranks, as normal scores, and directions of unit variance among them.

Scores do not change when a component is mapped by any increasing function, so that what is measured with them is a
matter of what an encoding tells, not of the scale on which it tells it.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

ROUNDING = 10.0  # spacings of floating point numbers: components that vary by less are constant
NEGLIGIBLE = 1e-4  # of the variance of one component: directions that vary by less are left out
KNOTS = 0.75  # between the knots of the map from normal scores to values
FINE = 1024  # points at which that map is inverted
FEW_VALUES = 30  # different values, up to which each is a knot
HEAVY = 4.0  # excess kurtosis: beyond it a component has tails that a regression cannot follow
FARTHEST = 4.0  # standard deviations, at which numbers are clipped that come by their values


def varying(values: Float[Tensor, "n k"]) -> Float[Tensor, "n _"]:
    """The components that are not constant but for rounding, in float64."""
    given = values.detach().cpu()
    if given.shape[1] == 0:
        return given.double()
    spread, largest = given.double().std(0, correction=0), given.double().abs().amax(0)
    return given[:, spread > ROUNDING * torch.finfo(given.dtype).eps * largest].double()


def unit_ranks(values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """(rank - 1/2) / n of each component, in float64 and between 0 and 1; equal values share their mean rank.

    The map increases in each component, so that it loses no information.
    """
    columns = []
    for column in values.T:
        _, place, count = column.unique(sorted=True, return_inverse=True, return_counts=True)
        rank = count.cumsum(0) - (count - 1) / 2.0
        columns.append((rank[place].double() - 0.5) / len(values))
    return torch.stack(columns, dim=1)


def normal_scores(values: Float[Tensor, "n k"]) -> Float[Tensor, "n _"]:
    """Each component by its ranks as standard normal numbers, of mean 0 and variance 1; equal values have one rank.

    The quantile function is a monotone cubic between knots that are ``KNOTS`` apart as scores: ranks themselves are
    rough, so that neighbours would seem farther apart than they are. Components that are constant but for rounding are
    left out: there may be none.
    """
    rows = varying(values)
    columns = [torch.from_numpy(_scores(column)) for column in rows.numpy().T]
    return standardised(torch.stack(columns, dim=1)) if columns else rows


def _scores(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The normal scores of one component."""
    known, counts = np.unique(column, return_counts=True)
    scores = ndtri((np.cumsum(counts) - counts / 2) / len(column))
    if len(known) <= FEW_VALUES:
        return np.interp(column, known, scores)
    knots = np.linspace(scores[0], scores[-1], 1 + math.ceil((scores[-1] - scores[0]) / KNOTS))
    quantiles = scipy.interpolate.PchipInterpolator(knots, np.interp(knots, scores, known))
    fine = np.linspace(scores[0], scores[-1], FINE)
    points, first = np.unique(quantiles(fine), return_index=True)
    return np.interp(column, points, fine[first])


def standardised(values: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Components of mean 0 and variance 1, in float64; each must vary."""
    if values.shape[1] == 0:
        return values.double()
    values = values.double()
    return (values - values.mean(0)) / values.std(0, correction=0)


def whitening(scores: Float[Tensor, "n k"], negligible: float = NEGLIGIBLE) -> Float[Tensor, "k r"]:
    """The map from standardised components to uncorrelated directions of unit variance.

    Directions whose variance is below ``negligible`` of one component's are left out: where a component repeats
    others, what is left of it is rounding.
    """
    if scores.shape[1] == 0:
        return scores.new_zeros(0, 0)
    values, vectors = torch.linalg.eigh(scores.T @ scores / len(scores))
    kept = values > negligible
    return vectors[:, kept] / values[kept].sqrt()


def whitened(scores: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """Standardised components as uncorrelated directions of unit variance; see `whitening`."""
    return scores @ whitening(scores)


def by_values(values: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """Directions of the numbers themselves, clipped far out: what ranks distort, where directions vary little."""
    return whitened(standardised(varying(values))).clamp(-FARTHEST, FARTHEST)


def by_ranks(values: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """Directions of the numbers by their normal scores."""
    return whitened(normal_scores(values))


def tempered(values: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """Directions of the numbers as what is to be predicted: themselves, or normal scores where tails are heavy."""
    numbers = standardised(varying(values))
    heavy = numbers.pow(4).mean(0) - 3 > HEAVY
    return whitened(torch.where(heavy, normal_scores(numbers), numbers)) if numbers.shape[1] else numbers
