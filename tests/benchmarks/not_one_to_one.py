"""Encoders that attain the minimum of Eq. 8.9 and are not one-to-one: python tests/benchmarks/not_one_to_one.py

In the multi-view simulation with independent latents, at its published size, each encoder is the exact inverse of the
mixing, then a map of content that is uniform on the cube. Such maps change the first or the first two of its five
dimensions and keep the others. docs/verification.md says why they attain the minimum, or come near it.

Columns: Eq. 8.9 by its formula; Eq. 8.9 as it is estimated for a run; the loss of the laptop preset, with encodings
made normal by the quantile function; what `verify` finds: the smallest recovery among the directions of content, and
the outcome.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import verify
from identbox.experiments.simulation import Simulation, learner_of
from identbox.identifiability.oracle import Oracle, trained_value
from identbox.learning.contrastive import info_nce

SAMPLES, BATCHES = 8192, 8
INSIDE = 1e-12  # distance kept from the faces of the cube, where a quantile is not finite
Map = Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]]


def folded(u: Float[Tensor, "n d"], smoothing: float = 0.0) -> Float[Tensor, "n d"]:
    """|2 u - 1| of the first dimension, or sqrt(((2 u - 1)^2 + e^2) / (1 + e^2)), which is smooth."""
    square = (2 * u[:, :1] - 1).square()
    fold = ((square + smoothing**2) / (1 + smoothing**2)).sqrt()
    return torch.cat([fold, u[:, 1:]], dim=1)


def cost_of_smoothing(smoothing: float) -> float:
    """Eq. 8.9 of the smooth fold, in nats."""
    return math.log1p(smoothing**2) + smoothing * math.atan(1 / smoothing)


def wound(u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The square of the first two dimensions, twice around a disc, and the disc to the square; smooth."""
    angle, radius = 4 * math.pi * u[:, 0], u[:, 1].sqrt()
    x, y = radius * angle.cos(), radius * angle.sin()
    # Darmois' construction of the uniform distribution on the disc: x first, then y given x.
    height = (1 - x.square()).sqrt()
    first, second = 0.5 + (x * height + x.asin()) / math.pi, (y / height + 1) / 2
    return torch.cat([first[:, None], second[:, None], u[:, 2:]], dim=1).clamp(INSIDE, 1 - INSIDE)


def rows() -> list[tuple[str, float, Map]]:
    """What is done to content, Eq. 8.9 by its formula, and the map."""
    smooth = [
        (f"fold, smooth: e = {e}", cost_of_smoothing(e), lambda u, e=e: folded(u, e))
        for e in (0.3, 0.1, 0.03)
    ]
    return [("nothing", 0.0, lambda u: u), ("fold", 0.0, folded), *smooth, ("wound twice", 0.0, wound)]


def compare(seed: int) -> None:
    """Print the table of one seed."""
    simulation = Simulation.from_preset("laptop", {"setting": "multiview"})
    learner = learner_of(simulation, seed=seed)
    world, perfect = learner.world, Oracle(learner.world)

    def content(count: int, *stream: str | int) -> list[Tensor]:
        """Content on the cube, as each view's encoder finds it."""
        return [perfect.encode(x, view) for view, x in world.sample(count, *stream).x.items()]

    sample = content(SAMPLES, "estimate")
    batches = [content(learner.batch, "loss", number) for number in range(BATCHES)]
    print("| content | Eq. 8.9, formula | estimate | loss | recovery, worst direction | verdict |")
    print("| :-- | --: | --: | --: | --: | :-- |")
    for name, formula, changed in rows():

        def encoded(u: Tensor, changed: Map = changed) -> Tensor:
            return torch.special.ndtri(changed(u))

        estimate = trained_value([encoded(u) for u in sample]).value
        losses = [info_nce([encoded(u) for u in views], learner.objective).item() for views in batches]
        verdict = verify(world, {"1": lambda x, of=encoded: of(perfect.encode(x, "1"))}, seed=seed)
        recovery = min(
            c.measure.value
            for view in verdict.views
            for c in view.conditions
            if c.measure.quantity == "recovery"
        )
        loss = sum(losses) / BATCHES
        print(
            f"| {name} | {formula:.3f} | {estimate:.3f} | {loss:.3f} | {recovery:.2f} | {verdict.outcome} |",
            flush=True,
        )


def main() -> None:
    """Print the table, a row for each map."""
    parser = argparse.ArgumentParser(description="encoders at the minimum that are not one-to-one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    compare(options.seed)


if __name__ == "__main__":
    main()
