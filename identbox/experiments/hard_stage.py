"""The part of a training with hard negatives: what is kept of the encoders, and the groups of samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.learning import contrastive, hard_negatives
from identbox.learning.hard_negatives import HardNegatives
from identbox.learning.optimizers import Adam
from identbox.learning.training import TrainingSettings

AT_A_TIME = 8192  # samples of the pool that are drawn and encoded
STREAM = "hard negatives"  # of what is drawn
STARTS, PROJECTION_RATE = 4, 0.02  # of linear maps, and Adam's for them
JUDGED_BY = 4  # batches


class Projected(nn.Module):
    """An encoder with more outputs than encodings have dimensions, and a linear map to these."""

    def __init__(self, wide: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.wide, self.projection = wide, projection

    def forward(self, x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """The encodings."""
        return self.projection(self.wide(x))


def projection(inputs: int, outputs: int) -> nn.Linear:
    """A linear map that begins as the first dimensions of its inputs."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.eye_(layer.weight)
    return layer


def fitted_projection(
    outputs: Callable[[int], Sequence[Float[Tensor, "n w"]]],
    loss: Callable[[Sequence[Float[Tensor, "n d"]]], Float[Tensor, ""]],
    *,
    size: int,
    steps: int,
    seed: int,
) -> Float[Tensor, "d w"]:
    """The linear map of outputs to ``size`` dimensions by which a loss of the encodings is least, of several starts.

    ``outputs(number)`` returns what encoders make of a batch, the same one whenever it is asked for that number. The
    starts are random directions, at right angles once the covariance of a batch is undone. Adam moves each of them by
    the same ``steps`` batches, at a rate that falls along half a cosine; the best of further batches is returned.
    """
    first = outputs(0)
    whitened = contrastive.whitening(first)
    origin, axes = first[0].new_zeros(1, first[0].shape[1]), torch.eye(first[0].shape[1]).to(first[0])
    whitener = whitened(axes) - whitened(origin)  # row by row what becomes of each output
    generator = seeding.generator(seed, STREAM, "projections")
    starts = [nn.init.orthogonal_(torch.empty(size, len(axes)), generator=generator) for _ in range(STARTS)]
    maps = [nn.Parameter(start.to(whitener)) for start in starts]
    training = TrainingSettings(steps=steps, learning_rate=PROJECTION_RATE, schedule="cosine")
    adam = Adam(maps, lr=training.learning_rate)
    for step in range(steps):
        adam.param_groups[0]["lr"] = training.rate(step)
        views = [z @ whitener for z in outputs(step)]
        adam.zero_grad()
        torch.stack([loss([z @ turn.T for z in views]) for turn in maps]).sum().backward()
        adam.step()
    with torch.no_grad():
        batches = [[z @ whitener for z in outputs(steps + more)] for more in range(JUDGED_BY)]
        reached = [sum(loss([z @ turn.T for z in views]).item() for views in batches) for turn in maps]
        return maps[reached.index(min(reached))] @ whitener.T


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Samples among which groups are found."""

    views: list[Float[Tensor, "n _"]]  # observations
    codes: Float[Tensor, "n d"]  # what first encoders tell of them, a mean over views, whitened


class HardStage(nn.Module):
    """What the part with hard negatives keeps: the encoders as they are when it begins, and a pool of samples.

    ``encoders`` are `Projected`, and untrained. Checkpoints have the encoders that are kept, and not the pool.
    """

    def __init__(self, settings: HardNegatives, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.settings = settings
        self.first = copy.deepcopy(encoders).requires_grad_(False)
        self._pool: Pool | None = None

    def begin(self, encoders: nn.ModuleDict) -> None:
        """Keep what the encoders are, and let them begin anew, from the weights that they had before any training."""
        untrained = copy.deepcopy(self.first.state_dict())
        self.first.load_state_dict(encoders.state_dict())
        encoders.load_state_dict(untrained)

    def parts(self, training: TrainingSettings, plain_steps: int) -> tuple[TrainingSettings, ...]:
        """Plain steps, hard negatives, and the steps that remain, each with a schedule of its own."""
        rest = training.steps - plain_steps - self.settings.steps
        return (
            replace(training, steps=plain_steps),
            replace(training, steps=self.settings.steps),
            replace(training, steps=rest, learning_rate=self.settings.last_learning_rate),
        )

    def groups(
        self, step: int, pool: Pool, *, seed: int, batch: int
    ) -> tuple[list[Float[Tensor, "n _"]], Int[Tensor, "g k"]]:
        """The observations of a step, view by view, and the places in the pool of its groups, one after the other."""
        generator = seeding.generator(seed, STREAM, "anchors", step, device=pool.codes.device)
        count = max(1, batch // self.settings.group)
        anchors = torch.randint(len(pool.codes), (count,), generator=generator, device=pool.codes.device)
        near = hard_negatives.nearest(pool.codes, anchors, self.settings.group)
        return [view[near.flatten()] for view in pool.views], near

    @torch.no_grad()
    def pool(
        self,
        draw: Callable[[int, int], Sequence[Float[Tensor, "n _"]]],
        encode: Callable[[int, Tensor], Tensor],
    ) -> Pool:
        """The samples among which groups are found; the same ones whenever a training is continued.

        ``draw(count, number)`` returns observations of all views, those of part ``number`` of the pool, and
        ``encode(place, x)`` what the kept encoders make of those of the view at that place.
        """
        if self._pool is None:
            counts = [min(AT_A_TIME, self.settings.pool - k) for k in range(0, self.settings.pool, AT_A_TIME)]
            parts = [draw(count, number) for number, count in enumerate(counts)]
            views = list(zip(*parts, strict=True))  # of each view its parts
            encoded = [torch.cat([encode(place, x) for x in view]) for place, view in enumerate(views)]
            whitened = contrastive.whitening(encoded)
            codes = torch.stack([whitened(z) for z in encoded]).mean(0)
            self._pool = Pool(views=[torch.cat(view) for view in views], codes=codes)
        return self._pool
