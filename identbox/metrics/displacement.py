"""Displacement: how far an intervention on a variable moves an encoding, beside the distance of random pairs.

displacement = max over directions u of the encoding of E (u . h - u . h')^2 / E (u . h - u . h'')^2

with h of a sample, h' of the same sample after the intervention, and h'' of another sample. It is the leak of a
verdict (`leak.redrawn_leak`), variable by variable, and no probe is fitted. It is 0 where nothing moves, and 1 where
some direction of the encoding is of the variable alone, so that a permuted value moves it as far as another sample is
away. Its mean over the directions of the whitened encoding is the share of the encoding that the variable moves: the
shares of independent variables of which an encoding is a sum add up to 1.

Encodings enter by the ranks of their components, whitened (`normal_scores`). Both figures hold for interventions that
leave a variable its distribution (permute, resample, redraw).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.metrics.directions import upper_end
from identbox.metrics.displacement_records import Displacement
from identbox.metrics.estimates import CONFIDENCE, Estimate, quantile
from identbox.metrics.interventional import Encode
from identbox.metrics.leak import redrawn_leak
from identbox.metrics.normal_scores import by_ranks
from identbox.process.interventions import Permute
from identbox.process.world import World


def displacement(
    before: Float[Tensor, "n k"], after: Float[Tensor, "n k"], *, view: str = "", intervention: str = ""
) -> Displacement:
    """How far encodings move from ``before`` to ``after``; row i of both is of the same sample.

    Raises IdentboxError for fewer than two rows.

    >>> z = torch.tensor([[1.0], [-1.0]]).repeat(50, 1)  # an encoding that is the variable itself
    >>> permuted = torch.cat([z[:50], -z[50:]])
    >>> round(displacement(z, permuted).value, 9), displacement(z, z).value
    (1.0, 0.0)
    """
    if len(before) < 2:
        raise IdentboxError(f"displacement: expected at least 2 rows, got {len(before)}")
    worst = redrawn_leak(before, after)
    mean = mean_displacement(before, after)
    return Displacement(
        view=view,
        intervention=intervention,
        samples=len(before),
        value=worst.value,
        low=worst.low,
        high=worst.high,
        mean=mean.value,
        mean_low=mean.low,
        mean_high=mean.high,
    )


def mean_displacement(
    before: Float[Tensor, "n k"], after: Float[Tensor, "n k"], confidence: float = CONFIDENCE
) -> Estimate:
    """The mean over the directions of the whitened encoding, with a normal interval over samples."""
    n = len(before)
    directions = by_ranks(torch.cat([before, after]))
    if directions.shape[1] == 0:
        return Estimate(value=0.0, low=0.0, high=0.0)
    squares = (directions[:n] - directions[n:]).square().mean(1) / 2
    whole = (directions[:n].square().mean(1) + directions[n:].square().mean(1)) / 2
    value = (squares.mean() / whole.mean()).item()
    error = ((squares - value * whole).std() / whole.mean()).item() / math.sqrt(n)
    low = max(0.0, value - quantile(confidence) * error)
    return Estimate(value=value, low=low, high=upper_end(value, error, confidence))


@torch.no_grad()
def displacements_in_world(
    world: World,
    encode: Encode,
    *,
    samples: int,
    views: Sequence[str] | None = None,
    stream: Sequence[str | int] = ("displacement",),
) -> list[Displacement]:
    """The displacement of every view's encodings when each variable that varies is permuted by itself.

    What the variable causes stays as it was (the cut of appendix A.6). Samples are of the world's stream of that name.

    >>> from identbox import Mixing, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> content = lambda x, view: world.invert(x, view=view)["content"]
    >>> [(d.intervention, round(d.value, 1)) for d in displacements_in_world(world, content, samples=500, views=["1"])]
    [('permute:content', 1.0), ('permute:style', 0.0), ('permute:specific_1', 0.0), ('permute:specific_2', 0.0)]
    """
    sample = world.sample(samples, *stream)
    chosen = tuple(views or world.views)
    before = {view: encode(sample.x[view], view) for view in chosen}
    found = []
    for variable in world.process.variables:
        if variable.distribution.constant:
            continue
        after = world.intervene(sample, Permute(variable.name), stream=(*stream, variable.name))
        found += [
            displacement(
                before[view],
                encode(after.x[view], view),
                view=view,
                intervention=f"permute:{variable.name}",
            )
            for view in chosen
        ]
    return found
