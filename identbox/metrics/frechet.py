"""The Frechet distance between two samples of features, as if both were normal (Heusel et al., 2017).

    d^2 = |m_1 - m_2|^2 + tr S_1 + tr S_2 - 2 tr (S_1 S_2)^(1/2)

The last trace is the sum of the singular values of A_1' A_2, where S_i = A_i A_i' by eigenvalues: no square root of a
product is formed, which loses digits and may be complex. It depends on the number of samples, which is to be reported.
With Inception features it is called FID, and with no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError

CLASSIFIER_FEATURES = "Frechet distance (classifier features)"
INCEPTION_FEATURES = "FID"


@dataclass(frozen=True)
class Moments:
    """Mean and covariance (unbiased) of n feature vectors, in float64."""

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    samples: int


class MomentSums:
    """Moments of features that come in parts."""

    def __init__(self) -> None:
        self.samples = 0
        self._shift: Tensor | None = None  # the first mean: sums around it lose no digits
        self._sum: Tensor | None = None
        self._products: Tensor | None = None

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Count some more feature vectors."""
        values = features.detach().double()
        if self._shift is None:
            self._shift = values.mean(0)
            self._sum, self._products = torch.zeros_like(self._shift), values.new_zeros(2 * values.shape[1:])
        assert self._sum is not None
        assert self._products is not None
        values = values - self._shift
        self._sum += values.sum(0)
        self._products += values.T @ values
        self.samples += len(values)

    def moments(self) -> Moments:
        """Raises IdentboxError for fewer than two feature vectors."""
        if self.samples < 2 or self._sum is None or self._products is None or self._shift is None:
            raise IdentboxError(f"features: expected at least 2 samples, got {self.samples}")
        mean = self._sum / self.samples
        covariance = (self._products - self.samples * torch.outer(mean, mean)) / (self.samples - 1)
        return Moments(mean + self._shift, covariance, self.samples)


def moments(features: Float[Tensor, "n d"]) -> Moments:
    """Mean and covariance of feature vectors. Raises IdentboxError for fewer than two."""
    sums = MomentSums()
    sums.add(features)
    return sums.moments()


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared Frechet distance, which papers call the FID for Inception features.

    Raises IdentboxError for features of different sizes, and values that are not finite.

    >>> import torch
    >>> standard = Moments(torch.zeros(2).double(), torch.eye(2).double(), 10)
    >>> round(frechet_distance(standard, Moments(torch.ones(2).double(), 4 * torch.eye(2).double(), 10)), 6)
    4.0
    """
    if one.mean.shape != other.mean.shape:
        raise IdentboxError(
            f"features: expected as many of both samples, got {len(one.mean)} and {len(other.mean)}"
        )
    for each in (one, other):
        if not (each.mean.isfinite().all() and each.covariance.isfinite().all()):
            raise IdentboxError("features: expected finite numbers, got others")
    overlap = torch.linalg.svdvals(_root(one.covariance).T @ _root(other.covariance)).sum()
    distance = (one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace()
    return max(0.0, (distance - 2 * overlap).item())


def _root(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """A with A A' = S; eigenvalues below zero are rounding, and count as zero."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors * values.clamp(min=0).sqrt()
