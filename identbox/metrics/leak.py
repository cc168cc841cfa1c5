"""Leak: the share of an encoding, in its worst direction, that something else than content moves.

leak = max over directions u of the encoding of E Var(u | c) / Var(u), the half of Definition 8 that says "of content
alone". Where everything but content can be drawn anew, half the covariance of the differences is E Cov(h | c), whatever
the way in which the encoding depends on the rest. From arrays it has an upper bound, what a regression on content does
not explain, and a lower one, what the other variables explain of the remainder.

Encodings enter by the ranks of their components; directions of negligible variance are left out (`normal_scores`).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.metrics.directions import largest_share
from identbox.metrics.estimates import CONFIDENCE, Estimate
from identbox.metrics.normal_scores import by_ranks, tempered
from identbox.metrics.smoothing import smooth


def redrawn_leak(
    first: Float[Tensor, "n k"], second: Float[Tensor, "n k"], confidence: float = CONFIDENCE
) -> Estimate:
    """The leak from encodings of the same content with everything else drawn twice, independently."""
    n = len(first)
    directions = by_ranks(torch.cat([first, second]))
    half = (directions[:n] - directions[n:]) / 2**0.5
    return largest_share(half, (directions[:n], directions[n:]), confidence=confidence)


def regressed_leak(
    encodings: Float[Tensor, "n k"],
    content: Float[Tensor, "n c"],
    others: Float[Tensor, "n o"],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The leak from arrays: numbers of content and of all other variables, as `Distribution.features` gives them.

    ``high`` counts all that a smooth regression on content leaves. ``low`` counts what the others explain of it, after
    what content tells of them is taken off: only that is certainly no lack of the regression. ``value`` is what is left
    after correction for the regression's degrees of freedom.
    """
    directions = by_ranks(encodings)
    left = smooth(content, directions)
    upper = largest_share(left.left_out, (directions,), confidence=confidence)
    value = largest_share(left.corrected, (directions,), confidence=confidence).value
    low = 0.0
    if others.shape[1] and directions.shape[1]:
        freed = smooth(content, tempered(others), network=False).left_out
        rest = smooth(torch.cat([freed, content], dim=1), left.left_out, network=False)
        explained = largest_share(left.left_out, (directions,), less=rest.left_out, confidence=confidence)
        low = explained.low
    return Estimate(value=max(min(value, upper.high), low), low=max(0.0, low), high=upper.high)


def freedom(content: Float[Tensor, "n c"], others: Float[Tensor, "n o"]) -> float:
    """The smallest share of variance, over directions of other variables, that content leaves them.

    An encoding of that direction alone has so small a leak on observed data: a leak of observed data says nothing of
    what would happen if the variable varied freely, unless it is divided by this share.
    """
    directions = tempered(others)
    if directions.shape[1] == 0:
        return 1.0
    left = smooth(content, directions, network=False).corrected
    return torch.linalg.eigvalsh(left.T @ left / len(left))[0].clamp(1e-6, 1).item()
