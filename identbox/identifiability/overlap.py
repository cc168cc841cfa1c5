"""How much of what can be combined with content occurs together with it in the data.

The objective is a mean over the data (Eq. 8.9), so that training says nothing of an encoder elsewhere. Where content
causes style with little noise, most combinations of content and style hardly ever occur. Theorem 2 allows this, since
a normal density is positive everywhere; but only an exact minimum is determined where the density is next to nothing.
So it is measured how many combinations lie outside the data: of samples whose content is cut from what depends on it
(appendix A.6), the share beyond the region that has 99% of the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from identbox import seeding
from identbox.identifiability.measures import dependents, numbers_of
from identbox.metrics.normal_scores import whitening
from identbox.process.interventions import Intervention, Set
from identbox.process.model import Process, Sample, Variable

DATA_SAMPLES = 2048  # that stand for the data
NEIGHBOUR = 5  # the distance to this nearest of them tells whether a sample lies among the data
ROUNDED = 1e-10  # of the variance of a component: directions that vary by less are rounding
SHARE_INSIDE = 0.99  # of the data count as inside


def outside(process: Process, block: Sequence[Variable], *, seed: int) -> float:
    """Of samples with ``block`` cut from what depends on it, the share that lies outside the data; worst over views.

    A sample lies outside if the fifth nearest of 2048 samples of the data is farther than it is for 99% of other
    samples of the data. Distances are Euclidean, among the block and what depends on it, whitened together. About 0.01
    where nothing depends on the block. Raises IdentboxError for a process whose random parameters are not drawn.
    """
    reference, data, other = (
        process.sample(DATA_SAMPLES, generator=seeding.generator(seed, "overlap", part))
        for part in ("reference", "data", "other")
    )
    held: list[Intervention] = [Set(v.name, data.values[v.name]) for v in block]
    cut = process.intervene(other, *held, recompute=False)
    shares = [0.0]
    for view in process.views:
        seen = dependents(process, view, block)
        if seen:
            variables = [*block, *seen]
            known, fresh, combined = (_numbers(one, view, variables) for one in (reference, data, cut))
            shares.append(_outside(known, fresh, combined))
    return max(shares)


def _numbers(sample: Sample, view: str, variables: Sequence[Variable]) -> Float[Tensor, "n f"]:
    return numbers_of(variables, sample.views[view]).double()


def _outside(
    reference: Float[Tensor, "n f"], data: Float[Tensor, "n f"], combined: Float[Tensor, "n f"]
) -> float:
    """The share of ``combined`` that is farther from ``reference`` than nearly all of ``data`` is."""
    varies = reference.std(0, correction=0) > 0
    mean, scale = reference[:, varies].mean(0), reference[:, varies].std(0, correction=0)
    known, *others = ((one[:, varies] - mean) / scale for one in (reference, data, combined))
    directions = whitening(known, ROUNDED)
    tree = cKDTree((known @ directions).numpy())
    fresh, cut = (tree.query((one @ directions).numpy(), [NEIGHBOUR])[0] for one in others)
    return float(np.mean(cut > np.quantile(fresh, SHARE_INSIDE)))
