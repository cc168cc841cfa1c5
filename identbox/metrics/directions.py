"""The largest share of a covariance over all directions, with an interval.

The largest of many shares is found too large on the sample that chose it. So the two ends of an interval come from
two estimates: the upper end from the direction that is worst on the whole sample, the lower end from directions that
one half of the sample chose and the other half measured. Both ends err, if at all, on the side that makes the interval
wider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.metrics.estimates import CONFIDENCE, Estimate, quantile

# Of standard errors below an estimate: scores of a sample are rougher than the map that they estimate, so that shares
# come out too large by 1 to 3% of themselves at 512 samples, and half of that at 1024.
ROUGHNESS = 1.2


def upper_end(value: float, error: float, confidence: float = CONFIDENCE) -> float:
    """The upper end for a share of variance: on the scale of logarithms where that is the larger one.

    Shares of variance are skewed: a sample that happens to have few large squares has a small error as well.
    """
    half = quantile(confidence) * error
    return value + half if value <= 0 else max(value + half, value * math.exp(min(half / value, 50.0)))


def largest_share(
    parts: Float[Tensor, "n q"],
    wholes: Sequence[Float[Tensor, "n q"]],
    *,
    less: Float[Tensor, "n q"] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The largest over directions v of E (v . part)^2, less E (v . less)^2, as a share of E (v . whole)^2.

    ``wholes`` are scores of unit variance in every direction, by whose sample variance they were scaled: their
    squares enter the error of the share.
    """
    if parts.shape[1] == 0:
        return Estimate(value=0.0, low=0.0, high=0.0)
    sample = _Shares(parts, wholes, less)
    n = len(parts)
    every = torch.arange(n)
    value, influence = sample.along(sample.worst(every), every)
    high = upper_end(value, influence.std().item() / math.sqrt(n), confidence)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    held = []
    for choose, measure in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        held.append(sample.along(sample.worst(choose), measure))
    error = torch.cat([influence for _, influence in held]).std().item() / math.sqrt(n)
    low = sum(one for one, _ in held) / 2 - ROUGHNESS * quantile(confidence) * error
    value = min(max(value, 0.0), 1.0)
    return Estimate(value=value, low=min(max(low, 0.0), value), high=max(min(high, 1.0), value))


@dataclass(frozen=True)
class _Shares:
    parts: Tensor
    wholes: Sequence[Tensor]
    less: Tensor | None

    def worst(self, rows: Tensor) -> Float[Tensor, " q"]:
        """The direction of the largest share on some rows, of which nothing else enters: not the scale either."""
        matrix = self.parts[rows].T @ self.parts[rows]
        if self.less is not None:
            matrix = matrix - self.less[rows].T @ self.less[rows]
        scale = torch.stack([one[rows].T @ one[rows] for one in self.wholes]).mean(0)
        jitter = 1e-9 * scale.diagonal().mean() * torch.eye(len(scale), dtype=scale.dtype)
        root = torch.linalg.cholesky(scale + jitter)
        inner = torch.linalg.solve_triangular(root, matrix, upper=False)
        inner = torch.linalg.solve_triangular(root, inner.T, upper=False)
        chosen = torch.linalg.eigh((inner + inner.T) / 2).eigenvectors[:, -1:]
        return torch.linalg.solve_triangular(root.T, chosen, upper=True)[:, 0]

    def along(self, direction: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        """The share along a direction on some rows, and what each row contributes to its error."""
        squares = (self.parts[rows] @ direction).square()
        if self.less is not None:
            squares = squares - (self.less[rows] @ direction).square()
        whole = torch.stack([(one[rows] @ direction).square() for one in self.wholes]).mean(0)
        share = (squares.mean() / whole.mean()).item()
        return share, (squares - share * whole) / whole.mean()
