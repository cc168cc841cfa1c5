"""The part of a training with hard negatives: what is kept of the encoders, and the groups of samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.learning import contrastive, hard_negatives
from identbox.learning.hard_negatives import HardNegatives

AT_A_TIME = 8192  # samples of the pool that are drawn and encoded
STREAM = "hard negatives"  # of what is drawn


class Projected(nn.Module):
    """An encoder with more outputs than encodings have dimensions, and a linear map to these."""

    def __init__(self, wide: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.wide, self.projection = wide, projection

    def forward(self, x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """The encodings."""
        return self.projection(self.wide(x))

    def with_fixed_outputs(self, x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """The encodings, through which a gradient reaches the linear map alone."""
        with torch.no_grad():
            outputs = self.wide(x)
        return self.projection(outputs)


def projection(inputs: int, outputs: int) -> nn.Linear:
    """A linear map that begins as the first dimensions of its inputs."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.eye_(layer.weight)
    return layer


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

    @property
    def steps(self) -> int:
        """How many steps the part has, with those of the linear map."""
        return self.settings.steps + self.settings.projection_steps

    def begin(self, encoders: nn.ModuleDict) -> None:
        """Keep what the encoders are, and let them begin anew, from the weights that they had before any training."""
        untrained = copy.deepcopy(self.first.state_dict())
        self.first.load_state_dict(encoders.state_dict())
        encoders.load_state_dict(untrained)

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
            parts = [draw(count, number) for number, count in enumerate(self._parts())]
            views = [torch.cat(view) for view in zip(*parts, strict=True)]
            encoded = [
                torch.cat([encode(place, part) for part in view.split(AT_A_TIME)])
                for place, view in enumerate(views)
            ]
            whitened = contrastive.whitening(encoded)
            self._pool = Pool(views=views, codes=torch.stack([whitened(z) for z in encoded]).mean(0))
        return self._pool

    def _parts(self) -> Iterator[int]:
        for begin in range(0, self.settings.pool, AT_A_TIME):
            yield min(AT_A_TIME, self.settings.pool - begin)
