"""Estimates of differential entropy."""

from __future__ import annotations

import math

import numpy as np
import scipy
import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.learning.distances import _blocks, _similarities

NEIGHBOURS = 3  # of the entropy estimate


def cube_entropy(u: Float[Tensor, "n d"], *, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Differential entropy in nats of a sample in the unit cube, and its standard error.

    The estimate of Kozachenko and Leonenko (1987) with distances on the torus: to glue opposite faces of the cube
    changes no entropy, and takes away the bias that neighbours missing beyond a face cause. For a uniform sample it
    is unbiased. -inf where more than ``neighbours`` samples coincide. Raises IdentboxError for values outside of
    the cube and too few samples.
    """
    n, d = u.shape
    if not 1 <= neighbours < n:
        raise IdentboxError(f"neighbours: expected 1 to {n - 1} for {n} samples, got {neighbours}")
    values = u.detach().double().cpu().numpy()
    if not ((values >= 0) & (values <= 1)).all():
        raise IdentboxError("entropy: expected values in the unit cube, got some outside of it")
    tree = scipy.spatial.cKDTree(values % 1.0, boxsize=1.0)
    radius = tree.query(values % 1.0, k=[neighbours + 1])[0][:, 0]
    if (radius == 0).any():
        return -math.inf, 0.0
    constants = torch.special.digamma(torch.tensor([n, neighbours], dtype=torch.float64))
    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    logs = d * np.log(radius)
    entropy = (constants[0] - constants[1]).item() + ball + logs.mean()
    return float(entropy), float(logs.std() / math.sqrt(n))


def entropy(x: Float[Tensor, "n d"], *, neighbours: int = 3) -> Float[Tensor, ""]:
    """Differential entropy in nats by distances to the k-th neighbour (Kozachenko and Leonenko, 1987).

        psi(n) - psi(k) + log V_d + d/n sum_i log r_i

    with r_i the distance of x_i to its k-th nearest neighbour and V_d the volume of the unit ball. Consistent
    for densities; -inf where k or more samples coincide with another, as the entropy of an atom is. Differentiable
    with respect to x. Raises IdentboxError where there are not more than k samples.
    """
    n, d = x.shape
    if not 1 <= neighbours < n:
        raise IdentboxError(f"neighbours: expected 1 to {n - 1} for {n} samples, got {neighbours}")
    with torch.no_grad():
        neighbour_of = []
        for part in _blocks(n, n, x.device, None):
            distance = _similarities(x[part], x, "euclidean").neg_()
            distance[torch.arange(part.stop - part.start), torch.arange(part.start, part.stop)] = torch.inf
            neighbour_of.append(distance.topk(neighbours, dim=1, largest=False).indices[:, -1])
        nearest = torch.cat(neighbour_of)
    radius = torch.linalg.vector_norm(x - x[nearest], dim=1)
    constant = torch.special.digamma(torch.tensor([n, neighbours], dtype=torch.float64))
    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    return (constant[0] - constant[1]).item() + ball + d * radius.log().mean()
