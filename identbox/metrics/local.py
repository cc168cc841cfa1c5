"""Where an encoding does not move with content: local degeneracy.

A global score may be high although an encoding is constant over a region. So content is moved by half a standard
deviation along each of its whitened axes, everything else following as the process has it. The smallest singular value
of the encoding's response says how far it moves in the direction that it tells least; 1 is what it does on average.
Samples are degenerate where it is below ``LEAST_MOVEMENT``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.metrics.estimates import CONFIDENCE, Estimate, share
from identbox.metrics.normal_scores import by_ranks, tempered
from identbox.metrics.smoothing import smooth

STEP = 0.25  # standard deviations of content, to each side
LEAST_MOVEMENT = 0.02  # of the average movement
ANCHORS = 512  # samples at which arrays are looked at
ALIKE = 40  # neighbours by encoding, over which what is not recovered is averaged


def degenerate_by_moves(
    below: Float[Tensor, "q n k"],
    above: Float[Tensor, "q n k"],
    lengths: Float[Tensor, "q n"],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The share of samples where encodings do not follow content.

    ``below`` and ``above`` are encodings with content moved along each of q axes, ``lengths`` how far apart they are
    in standard deviations.
    """
    q, n, k = below.shape
    if k == 0:
        return share(n, n, confidence)
    directions = by_ranks(torch.cat([below.reshape(-1, k), above.reshape(-1, k)]))
    moved = (directions[q * n :] - directions[: q * n]).reshape(q, n, -1)
    slopes = (moved / lengths[:, :, None]).permute(1, 2, 0)  # of each sample: directions by axes
    return share(int((_smallest_slope(slopes) < LEAST_MOVEMENT).sum()), n, confidence)


def degenerate_by_neighbours(
    encodings: Float[Tensor, "n k"], content: Float[Tensor, "n c"], confidence: float = CONFIDENCE
) -> Estimate:
    """The same from arrays: slopes of a linear regression among the nearest neighbours by content.

    With few samples and much content neighbourhoods are wide, and a collapsed region is not seen by its slopes. There
    content is not recovered. So ``high`` also counts the samples among whose neighbours by encoding a regression leaves
    more than ``STEP`` of the standard deviation of content in some direction. This may be the regression's own fault.
    """
    directions, places = by_ranks(encodings), tempered(content)
    anchors = torch.linspace(0, len(places) - 1, min(ANCHORS, len(places))).long()
    count = min(len(places), 6 * (places.shape[1] + 1))
    near = torch.cdist(places[anchors], places).topk(count, largest=False).indices
    x, y = places[near], directions[near]
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    slopes = torch.linalg.lstsq(x, y).solution.transpose(1, 2)
    seen = share(int((_smallest_slope(slopes) < LEAST_MOVEMENT).sum()), len(anchors), confidence)
    missed = smooth(encodings, places, network=False).left_out
    alike = torch.cdist(directions[anchors], directions).topk(min(len(places), ALIKE), largest=False).indices
    around = missed[alike]
    worst = torch.linalg.eigvalsh(around.transpose(1, 2) @ around / alike.shape[1])[:, -1]
    lost = share(int((worst > STEP**2).sum()), len(anchors), confidence)
    return Estimate(value=seen.value, low=seen.low, high=max(seen.high, lost.high))


def _smallest_slope(slopes: Float[Tensor, "n r q"]) -> Float[Tensor, " n"]:
    """The smallest singular value of each map from q axes to r directions; 0 where r < q."""
    n, r, q = slopes.shape
    if r < q:
        return torch.zeros(n, dtype=slopes.dtype)
    gram = slopes.transpose(1, 2) @ slopes
    return torch.linalg.eigvalsh(gram)[:, 0].clamp(min=0).sqrt()


def axes(content: Float[Tensor, "n c"]) -> Float[Tensor, "c r"]:
    """Moves of content, one for each column, that are one standard deviation of it along a whitened axis."""
    centred = content.double() - content.double().mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    kept = values > 1e-12 * values[-1]
    return vectors[:, kept] * values[kept].sqrt()
