"""Estimates with intervals, and the correction for many tests at once; without torch, since tables need them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from scipy.special import betainccinv, betaincinv  # scipy.stats, which has them too, takes a second to load

CONFIDENCE = 0.95  # of all intervals, two-sided


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


def quantile(confidence: float) -> float:
    """The number of standard errors on each side of a two-sided interval."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def share(k: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """k of n as a share, with the exact interval of Clopper and Pearson."""
    tail = (1 - confidence) / 2
    low = betaincinv(k, n - k + 1, tail) if k else 0.0
    high = betainccinv(k + 1, n - k, tail) if k < n else 1.0
    return Estimate(value=k / n, low=float(low), high=float(high))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the i-th smallest of m times m - i + 1, never below a smaller one's.

    >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted
