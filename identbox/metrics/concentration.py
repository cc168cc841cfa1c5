"""How a matrix of codes by factors is concentrated: what MCC, the gaps, modularity and DCI make of it."""

from __future__ import annotations

import math

import numpy as np
import scipy
from jaxtyping import Float

from identbox.metrics.associations import Associations


def matched(strengths: Associations) -> float:
    """The mean strength of factors with the codes assigned to them; a factor without a code has 0.

    >>> matched(np.array([[0.9, 0.8], [0.7, 0.1]]))
    0.75
    """
    rows, columns = scipy.optimize.linear_sum_assignment(-strengths)
    return float(strengths[rows, columns].sum() / strengths.shape[1])


def gap(strengths: Associations) -> float:
    """The mean over factors of the difference between the two strongest codes; of a single code its strength.

    >>> gap(np.array([[1.0, 0.5], [0.25, 0.5]]))
    0.375
    """
    ordered = np.sort(np.vstack([strengths, np.zeros_like(strengths[:1])]), axis=0)
    return float((ordered[-1] - ordered[-2]).mean())


def modularity(strengths: Associations) -> float:
    """1 - sum over other factors of I^2 / ((f - 1) max I^2), mean over codes with any information; 1 for one factor.

    >>> modularity(np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.5
    """
    squares = np.square(strengths)
    largest = squares.max(1)
    used = largest > 0
    if strengths.shape[1] == 1 or not used.any():
        return 1.0 if used.any() else 0.0
    others = (squares.sum(1) - largest)[used] / ((strengths.shape[1] - 1) * largest[used])
    return float((1 - others).mean())


def disentanglement_of(weights: Associations) -> float:
    """1 - H_f(P_i) of each code, weighted by its share of all importance; 0 where nothing is important.

    >>> disentanglement_of(np.array([[1.0, 0.0], [0.0, 1.0]])), disentanglement_of(np.ones((2, 2)))
    (1.0, 0.0)
    """
    total = weights.sum()
    if total <= 0:
        return 0.0
    return float((_concentrations(weights) * weights.sum(1) / total).sum())


def completeness_of(weights: Associations) -> float:
    """1 - H_k(P_j), the mean over factors; a factor for which no code matters has 0."""
    return float(_concentrations(weights.T).mean())


def _concentrations(weights: Associations) -> Float[np.ndarray, " k"]:
    """1 less the entropy of each row over the log of its length; 0 for a row of zeros, 1 for rows of one number."""
    sums = weights.sum(1, keepdims=True)
    shares = weights / np.where(sums > 0, sums, 1)
    if weights.shape[1] == 1:
        return (sums[:, 0] > 0).astype(float)
    logs = np.log(np.where(shares > 0, shares, 1))
    return np.where(sums[:, 0] > 0, 1 + (shares * logs).sum(1) / math.log(weights.shape[1]), 0.0)
