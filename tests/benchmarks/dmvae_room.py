"""What the shared latents of a DMVAE hold, by how many there are and by what a subset is contrasted with.

    python tests/benchmarks/dmvae_room.py [--seeds 0 1 2] [--sizes 2 6]

The first stage of the quick preset, on the numerical simulation of independent blocks of two dimensions. Eq. 9.3
contrasts a subset of the modalities with all of them (``whole``); the alternative with those not in it (``rest``). A
row is a training: the verdict on c of each view, the largest leak and smallest recovery of the two, and R2 of nonlinear
probes, a mean over both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from identbox import World, probe, verify
from identbox.experiments.dmvae import DMVAESettings
from identbox.experiments.dmvae_learners import SharedLearner
from identbox.experiments.dmvae_runs import world_stages
from identbox.learning.training import minimise

BLOCKS = ("content", "style", "specific")


def trained(size: int, against: str, seed: int) -> tuple[World, SharedLearner]:
    """A world, and the first stage with so many shared dimensions, trained on it."""
    changes = {"encoder": {"encoding_size": size}, "shared": {"against": against}}
    experiment = DMVAESettings.from_preset("quick", changes)
    world = World(experiment.process.make("multimodal"), seed=seed, mixing=experiment.mixing)
    first = world_stages(experiment, world, seed=seed).first
    with tempfile.TemporaryDirectory() as folder:
        minimise(first, first.loss, experiment.shared.training, Path(folder))
    return world, first.eval()


def row(size: int, against: str, seed: int) -> str:
    """What c of each view holds after a training."""
    begun = time.process_time()
    world, first = trained(size, against, seed)
    encoders = {view: lambda x, view=view: first.encode(x, view) for view in world.views}
    verdict = verify(world, encoders, objective=first.objective, seed=seed)
    measures = [c.measure for view in verdict.views for c in view.conditions]
    leak = max(m.value for m in measures if m.quantity == "leak")
    recovery = min(m.value for m in measures if m.quantity == "recovery")
    sample = world.sample(2048, "probed", seed)
    scores = dict.fromkeys(BLOCKS, 0.0)
    for view in world.views:
        targets = {name.removesuffix(f"_{view}"): z for name, z in sample.z[view].items()}
        with torch.no_grad():
            found = probe(first.encode(sample.x[view], view), targets, kinds=["nonlinear"])
        for score in found:
            scores[score.target] += score.score / len(world.views)
    told = " | ".join(f"{scores[name]:.2f}" for name in BLOCKS)
    seconds = time.process_time() - begun
    return f"| {size} | {against} | {seed} | {verdict.outcome} | {leak:.3f} | {recovery:.3f} | {told} | {seconds:.0f} |"


def main() -> None:
    """Print the table, a row for each training."""
    parser = argparse.ArgumentParser(description="what the shared latents of a DMVAE hold")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 6])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"| dimensions of c | contrasted with | seed | verdict | leak | recovery | {' | '.join(BLOCKS)} | seconds |"
    )
    print("| --: | :-- | --: | :-- | --: | --: | --: | --: | --: | --: |")
    for seed in options.seeds:
        for size in options.sizes:
            for against in ("whole", "rest"):
                print(row(size, against, seed), flush=True)


if __name__ == "__main__":
    main()
