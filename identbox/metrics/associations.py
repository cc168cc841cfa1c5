"""How strongly each code goes with each factor: matrices (codes, factors) that the usual scores are made from.

A factor is a number, a point on a circle, or a class. Where a definition in the literature knows only one kind, the
others have the nearest measure in the same range, from 0 to 1:

    measure               number              circle                            class
    pearson               |r|                 R of cosine and sine (Mardia)     correlation ratio, square root
    spearman              |r| of ranks        the same, ranks of the code       the same, ranks of the code
    separation (SAP)      r^2                 R^2                               accuracy of the nearest class mean
    information (MIG)     mutual information over the factor's entropy, both in bins of equal frequency
    continuous (MIG)      sqrt(1 - exp(-2 I)) of Linfoot, I by Kraskov's nearest neighbours, of numbers and circles
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped

from identbox.errors import IdentboxError
from identbox.process.distributions import DomainKind

BINS = 20  # of a continuous variable, as in the published code of MIG
NEAREST = 3  # of Kraskov's estimator


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One factor of variation: n values, and what kind they are.

    Raises IdentboxError for values that do not vary, and for numbers that are not finite.
    """

    name: str
    values: Shaped[np.ndarray, " n"]
    kind: DomainKind = "continuous"
    period: float = 1.0  # of a circle

    def __post_init__(self) -> None:
        if not np.isfinite(self.values).all():
            raise IdentboxError(f"factor {self.name}: expected finite numbers, got one that is not")
        if len(np.unique(self.values)) < 2:
            raise IdentboxError(f"factor {self.name}: expected values that vary, got one alone")

    @property
    def columns(self) -> Float[np.ndarray, "n c"]:
        """The factor as numbers: itself, cosine and sine, or a column of 0 and 1 for each class but the first."""
        if self.kind == "circular":
            angle = 2 * math.pi * self.values / self.period
            return np.stack([np.cos(angle), np.sin(angle)], axis=1)
        if self.kind == "discrete":
            return np.eye(len(np.unique(self.values)))[self.classes][:, 1:]
        return self.values.astype(float)[:, None]

    @property
    def classes(self) -> Int[np.ndarray, " n"]:
        """Classes from 0, or the bin of each number."""
        if self.kind == "discrete":
            return np.unique(self.values, return_inverse=True)[1].reshape(-1)
        return binned(self.values)

    def rows(self, rows: np.ndarray) -> Factor:
        """The factor in some of the rows."""
        return Factor(name=self.name, values=self.values[rows], kind=self.kind, period=self.period)


Codes = Float[np.ndarray, "n k"]
Associations = Float[np.ndarray, "k f"]


def correlations(codes: Codes, factors: Sequence[Factor], *, ranks: bool = False) -> Associations:
    """The correlation of each code with each factor, from 0 to 1; 0 for a code that is constant."""
    used = np.stack([scipy.stats.rankdata(code) for code in codes.T], axis=1) if ranks else codes
    found = []
    for factor in factors:
        columns = factor.columns
        if ranks and factor.kind == "continuous":
            columns = scipy.stats.rankdata(columns[:, 0])[:, None]
        found.append(np.sqrt(explained(used, columns)))
    return np.stack(found, axis=1)


def explained(codes: Codes, columns: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " k"]:
    """The share of each code's variance that a linear regression on some columns explains.

    For one number that is r^2, for cosine and sine the squared linear-circular correlation (Mardia and Jupp,
    Directional Statistics, 2000, section 11.2), and for classes the correlation ratio.
    """
    inputs = columns - columns.mean(0)
    centred = codes - codes.mean(0)
    basis, sizes, _ = np.linalg.svd(inputs, full_matrices=False)
    basis = basis[:, sizes > 1e-9 * max(sizes.max(), 1e-300)]
    whole = np.square(centred).sum(0)
    part = np.square(basis.T @ centred).sum(0)
    varies = whole > 1e-20 * np.maximum(1, np.square(codes).sum(0))
    return np.where(varies, part / np.where(varies, whole, 1), 0.0).clip(0, 1)


def separations(codes: Codes, factors: Sequence[Factor]) -> Associations:
    """How well each code by itself predicts each factor, linearly: the matrix of SAP."""
    found = []
    for factor in factors:
        if factor.kind == "discrete":
            found.append([_nearest_mean(code, factor.classes) for code in codes.T])
        else:
            found.append(list(explained(codes, factor.columns)))
    return np.array(found).T


def _nearest_mean(code: Float[np.ndarray, " n"], classes: Int[np.ndarray, " n"]) -> float:
    """The accuracy of the class whose mean is nearest, from 0 for the most frequent class to 1."""
    counts = np.bincount(classes)
    means = np.bincount(classes, weights=code) / counts
    guess = np.abs(code[:, None] - means).argmin(1)
    return max(0.0, above_chance(float((guess == classes).mean()), float(counts.max() / len(classes))))


def above_chance(accuracy: float, chance: float) -> float:
    """An accuracy on the scale where the most frequent class is 0 and no mistake is 1."""
    return (accuracy - chance) / (1 - chance)


def information(codes: Codes, factors: Sequence[Factor]) -> Associations:
    """I(code; factor) / H(factor), with continuous variables in BINS bins of equal frequency."""
    binned_codes = [binned(code) for code in codes.T]
    found = []
    for factor in factors:
        classes = factor.classes
        entropy = entropy_of_counts(np.bincount(classes))
        found.append([mutual_information(code, classes) / entropy for code in binned_codes])
    return np.array(found).T


def mutual_information(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """The mutual information of two classifications, in nats."""
    width = int(b.max()) + 1
    joint = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).reshape(-1, width)
    return max(
        0.0, entropy_of_counts(joint.sum(1)) + entropy_of_counts(joint.sum(0)) - entropy_of_counts(joint)
    )


def entropy_of_counts(counts: np.ndarray) -> float:
    """The entropy in nats of the distribution that counts of any shape are proportional to."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def binned(values: Shaped[np.ndarray, " n"], bins: int = BINS) -> Int[np.ndarray, " n"]:
    """Bins of equal frequency; equal values share one. Fewer values than bins are classes of their own."""
    known, inverse = np.unique(values, return_inverse=True)
    if len(known) <= bins:
        return inverse.reshape(-1)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def continuous_information(codes: Codes, factors: Sequence[Factor], seed: int = 0) -> Associations:
    """Linfoot's informational correlation of each code with each factor that is a number or on a circle.

    sqrt(1 - exp(-2 I)), |r| for jointly normal variables (Linfoot, An informational measure of correlation, 1957), with
    I by nearest neighbours of ranks (Kraskov et al., Estimating mutual information, 2004). A circle has the larger of
    the values of its cosine and its sine.
    """
    from sklearn.feature_selection import mutual_info_regression

    ranked = np.stack([scipy.stats.rankdata(code) / len(code) for code in codes.T], axis=1)
    found = []
    for factor in factors:
        values = [
            mutual_info_regression(
                ranked, scipy.stats.rankdata(column), n_neighbors=NEAREST, random_state=seed
            )
            for column in factor.columns.T
        ]
        found.append(np.sqrt(1 - np.exp(-2 * np.max(values, axis=0).clip(min=0))))
    return np.stack(found, axis=1)
