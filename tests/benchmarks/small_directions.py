"""Which directions of content and style are encoded: python tests/benchmarks/small_directions.py [--seeds 0 1 2]

Of the row of Table 8.1 with statistical dependence (multi-view, p(chg.) = 0.75, encoders and mixings of Table A.2a).
A covariance drawn from a Wishart distribution has directions of very different size. Each row that is printed trains
the same encoder in one way, with SOAP and batches of 1 024:

- labels: the squared error of the directions of content, each of variance 1. No contrastive learner has them. The row
  says what such an encoder can tell after so many steps.
- as they are: Eq. 8.2 on encodings as they are.
- laptop: the preset, which whitens encodings after 400 such steps.
- hard negatives: the preset with 2 000 steps in which the negatives of a sample are those that the plain steps put
  beside it, of 4 200 steps in all.
- labels, then laptop: the preset's objective alone, at a low rate, from the weights that the first row ends with.

Columns: the validation loss by the preset's objective, whatever was minimised; the distance from the minimum of
Eq. 8.9 in nats; R2 of kernel ridge regression for the components of content and of style, a mean; then for each
direction of content, the largest first, and for each canonical direction of style, those that agree most between views
first. All are means over views. The lines above have the standard deviations and correlations of these directions, and
the R2 of content's components where all but its smallest direction is known.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.experiments.learner import Learner
from identbox.experiments.optimum import Optimum, optimum
from identbox.experiments.simulation import Simulation, learner_of
from identbox.learning.hard_negatives import HardNegatives
from identbox.learning.training import TrainingSettings, minimise
from identbox.metrics.predictors import PredictorSettings, kernel_ridge, r2
from identbox.metrics.probing import standardise
from identbox.process.world import Observed

SAMPLES = 2048  # to fit on, and as many to score on
FEW_KERNELS = PredictorSettings(alphas=(0.1, 0.01), gammas=(0.01, 0.05, 0.2))
ROW = {"process": {"statistical": True, "change_probability": 0.75}, "setting": "multiview"}
HARD_STEPS, STEPS_WITH_HARD = 2000, 4200
LAST_STEPS, LOW_RATE = 300, 3e-3


@dataclass(frozen=True)
class Directions:
    """Linear maps from a block to uncorrelated directions of variance 1."""

    mean: Float[Tensor, " d"]
    map: Float[Tensor, "d d"]

    def of(self, block: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The directions of a block's values."""
        return (block.double() - self.mean) @ self.map


def principal(block: Float[Tensor, "n d"]) -> tuple[Directions, Float[Tensor, " d"]]:
    """The principal directions of a block, the largest first, and their standard deviations."""
    block = block.double()
    variances, vectors = torch.linalg.eigh(block.T.cov())
    deviations = variances.flip(0).sqrt()
    return Directions(block.mean(0), vectors.flip(1) / deviations), deviations


def canonical(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"]
) -> tuple[Directions, Float[Tensor, " d"]]:
    """The canonical directions of a block between two views, as the first view has them, and their correlations."""
    (one, _), (other, _) = principal(first), principal(second)
    turn, correlations, _ = torch.linalg.svd(one.of(first).T @ other.of(second) / len(first))
    return Directions(one.mean, one.map @ turn), correlations


def trained(learner: Learner, loss: Callable[[int], Tensor], training: TrainingSettings) -> float:
    """Minimise a loss over the encoders, and the minutes it took."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        minimise(learner, loss, training, Path(folder), parts=learner.parts(training))
    learner.eval()
    return (time.monotonic() - begun) / 60


def numbers(values: Float[Tensor, " k"], digits: int = 2) -> str:
    """Numbers in one cell of the table."""
    return " ".join(f"{value:.{digits}f}" for value in values.tolist())


class Row:
    """One seed of the row: its world, and what its directions are."""

    def __init__(self, seed: int, steps: int) -> None:
        training = {"steps": steps, "log_every": steps}
        self.simulation = Simulation.from_preset("laptop", {**ROW, "training": training})
        self.seed = seed
        self.world = learner_of(self.simulation, seed=seed).world
        sample = self.world.sample(8 * SAMPLES, "directions").latent
        first, second = self.world.views
        content = sample.block(first, "content")
        self.content, self.deviations = principal(content)
        self.style, self.correlations = canonical(sample.block(first, "style"), sample.block(second, "style"))
        # A component's share of variance that lies along the smallest direction.
        along = torch.linalg.inv(self.content.map)[-1].square() / content.double().var(0)
        self.without_smallest = 1 - along.mean().item()

    def learner(self, plain_steps: int, hard_steps: int = 0) -> Learner:
        """An untrained learner of the row, for as many steps as any way takes."""
        simulation = replace(
            self.simulation,
            plain_steps=plain_steps,
            hard_negatives=HardNegatives(steps=hard_steps),
            training=replace(self.simulation.training, steps=STEPS_WITH_HARD),
        )
        return learner_of(simulation, seed=self.seed, world=self.world)

    def label_loss(self, learner: Learner) -> Callable[[int], Tensor]:
        """The squared error of content's directions, a mean over them and over views."""

        def loss(step: int) -> Tensor:
            sample = self.world.sample(learner.batch, "train", step)
            wanted = self.content.of(sample.latent.block(self.world.views[0], "content")).float()
            return torch.stack([(z - wanted).square().mean() for z in learner.encodings(sample)]).mean()

        return loss

    @torch.no_grad()
    def line(self, way: str, learner: Learner, steps: int, minutes: float) -> str:
        """What a trained learner's encodings tell, as a row of the table."""
        sample = self.world.sample(2 * SAMPLES, "scores")
        blocks = self._blocks(sample)
        found = []
        for view, encodings in zip(self.world.views, learner.encodings(sample), strict=True):
            x, x_test = standardise(encodings[:SAMPLES], encodings[SAMPLES:])
            targets = [block[view] for block in blocks]
            fits = kernel_ridge(x, [y[:SAMPLES] for y in targets], x_test, settings=FEW_KERNELS, seed=0)
            found.append([r2(y[SAMPLES:], fit) for y, (fit, _, _) in zip(targets, fits, strict=True)])
        content, style, large_to_small, agreeing = (
            torch.stack(scores).mean(0) for scores in zip(*found, strict=True)
        )
        best = optimum(self.seed, learner)
        gap = f"{best.gap:.2f}" if isinstance(best, Optimum) else best
        return (
            f"| {way} | {steps} | {minutes:.0f} | {learner.validation_loss():.2f} | {gap} | {content.mean():.2f} |"
            f" {style.mean():.2f} | {numbers(large_to_small)} | {numbers(agreeing)} |"
        )

    def _blocks(self, sample: Observed) -> list[dict[str, Tensor]]:
        """What is predicted of each view: components, then directions, of content and of style."""
        latent, views = sample.latent, self.world.views
        content = {view: latent.block(view, "content").double() for view in views}
        style = {view: latent.block(view, "style").double() for view in views}
        return [
            content,
            style,
            {view: self.content.of(values) for view, values in content.items()},
            {view: self.style.of(values) for view, values in style.items()},
        ]


def compare(seed: int, steps: int) -> None:
    """Print a table for one seed."""
    row = Row(seed, steps)
    print(f"Seed {seed}. Standard deviations of content's directions: {numbers(row.deviations)}.")
    print(f"Canonical correlations of style between views: {numbers(row.correlations)}.")
    print(f"R2 of content, all but its smallest direction known: {row.without_smallest:.3f}.\n")
    head = ["trained by", "steps", "minutes", "loss", "distance", "content", "style"]
    print(f"| {' | '.join([*head, 'directions of content', 'directions of style'])} |")
    print("| :-- | --: | --: | --: | --: | --: | --: | :-- | :-- |", flush=True)
    labelled = row.learner(plain_steps=0)
    minutes = trained(labelled, row.label_loss(labelled), row.simulation.training)
    print(row.line("labels", labelled, steps, minutes), flush=True)
    plain = row.simulation.plain_steps
    ways = {
        "as they are": (steps, row.learner(steps)),
        "laptop": (steps, row.learner(plain)),
        "hard negatives": (STEPS_WITH_HARD, row.learner(plain, HARD_STEPS)),
    }
    for way, (count, learner) in ways.items():
        training = replace(row.simulation.training, steps=count)
        minutes = trained(learner, learner.training_loss, training)
        print(row.line(way, learner, count, minutes), flush=True)
    learner = row.learner(plain_steps=0)
    learner.load_state_dict(copy.deepcopy(labelled.state_dict()))
    low = replace(row.simulation.training, steps=LAST_STEPS, learning_rate=LOW_RATE)
    minutes = trained(learner, learner.training_loss, low)
    print(row.line("labels, then laptop", learner, LAST_STEPS, minutes) + "\n", flush=True)


def main() -> None:
    """Print a table for each seed."""
    parser = argparse.ArgumentParser(description="directions of content and style that encoders tell")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        compare(seed, options.steps)


if __name__ == "__main__":
    main()
