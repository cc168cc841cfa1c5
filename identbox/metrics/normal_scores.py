"""Numbers by their ranks, as normal scores, and directions of unit variance among them.

Scores do not change when a component is mapped by any increasing function, so that what is measured with them is a
matter of what an encoding tells, not of the scale on which it tells it.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

ROUNDING = 10.0  # spacings of floating point numbers: components that vary by less are constant
NEGLIGIBLE = 1e-4  # of the variance of one component: directions that vary by less are left out
HEAVY = 4.0  # excess kurtosis: beyond it a component has tails that a regression cannot follow
FARTHEST = 4.0  # standard deviations, at which numbers are clipped that come by their values


def varying(values: Float[Tensor, "n k"]) -> Float[Tensor, "n _"]:
    """The components that are not constant but for rounding, in float64."""
    given = values.detach().cpu()
    spread, largest = given.double().std(0, correction=0), given.double().abs().amax(0)
    return given[:, spread > ROUNDING * torch.finfo(given.dtype).eps * largest].double()


def normal_scores(
    values: Float[Tensor, "n k"], more: Float[Tensor, "m k"] | None = None
) -> Float[Tensor, "n_and_m _"]:
    """Each component by its ranks as standard normal numbers, of mean 0 and variance 1; equal values have one rank.

    The map is that of ``values``; ``more`` rows are mapped by it as well, linearly between the values, so that rows
    that differ by rounding stay close. Components that are constant but for rounding are left out: there may be none.
    """
    rows = varying(values if more is None else torch.cat([values, more]))
    columns = []
    for column in rows.numpy().T:
        known, counts = np.unique(column[: len(values)], return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(values)
        columns.append(torch.from_numpy(np.interp(column, known, ndtri(ranks))))
    # A component may vary in the further rows alone: then it has no scores, and stays as it is.
    scores = [column if column.std() > 0 else rows[:, i] for i, column in enumerate(columns)]
    return standardised(torch.stack(scores, dim=1)) if scores else rows


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
