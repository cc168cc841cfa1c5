"""The parts of a training with hard negatives: what is kept of the encoders, the groups of samples, the decoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.learning import contrastive, hard_negatives
from identbox.learning.encoders import MLP, MLPSettings, whitening_axes
from identbox.learning.hard_negatives import HardNegatives
from identbox.learning.training import TrainingSettings

AT_A_TIME = 8192  # samples of the pool that are drawn and encoded
WHITENED_BY = 8192  # samples, of which a new linear map undoes mean and covariance
STREAM = "hard negatives"  # of what is drawn
DECODER = MLPSettings(widths=(20, 20, 20), start="he")


class Projection(nn.Module):
    """A linear map of outputs to encodings of fewer dimensions; it begins as the first of the outputs."""

    mean: Float[Tensor, " w"]
    whitener: Float[Tensor, "w w"]

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(outputs, inputs))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("whitener", torch.eye(inputs))

    def begin(self, outputs: Sequence[Float[Tensor, "_ w"]], generator: torch.Generator) -> None:
        """Undo mean and covariance of such outputs before the map, and map to random directions at right angles.

        Weights and what they are multiplied with have then the same size, whatever that of the outputs is: it grows to
        a hundred thousand, since nothing of the loss depends on it, and one step would leave nothing of weights that
        made up for it.
        """
        mean, directions, scales = whitening_axes(torch.cat(list(outputs)), least=1e-12)
        start = nn.init.orthogonal_(torch.empty(self.weight.shape), generator=generator)
        with torch.no_grad():
            self.mean.copy_(mean)
            self.whitener.copy_(directions * scales)
            self.weight.copy_(start)

    def whitened(self, outputs: Float[Tensor, "n w"]) -> Float[Tensor, "n w"]:
        """Outputs, their mean and covariance undone."""
        return (outputs - self.mean) @ self.whitener

    def forward(self, outputs: Float[Tensor, "n w"]) -> Float[Tensor, "n d"]:
        return self.whitened(outputs) @ self.weight.T


class Projected(nn.Module):
    """An encoder with more outputs than encodings have dimensions, and a linear map to these."""

    def __init__(self, wide: nn.Module, projection: Projection) -> None:
        super().__init__()
        self.wide, self.projection = wide, projection

    def forward(self, x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """The encodings."""
        return self.projection(self.wide(x))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Samples among which groups are found."""

    views: list[Float[Tensor, "n _"]]  # observations
    codes: Float[Tensor, "n d"]  # what first encoders tell of them, a mean over views, whitened


class HardStage(nn.Module):
    """What the parts with hard negatives keep.

    ``first`` are the encoders as they are when hard negatives begin: what they tell finds the groups, in a pool of
    samples. ``kept`` are those as they are when the decoder begins: their outputs are what it is to tell. ``encoders``
    are `Projected` with one linear map for all. Checkpoints have both and the decoder, and not the pool.
    """

    def __init__(self, settings: HardNegatives, encoders: nn.ModuleDict, *, seed: int) -> None:
        super().__init__()
        self.settings, self.seed = settings, seed
        self.first = copy.deepcopy(encoders).requires_grad_(False)
        self.kept = copy.deepcopy(encoders).requires_grad_(False)
        size, outputs = _projection(encoders).weight.shape
        self.decoder = MLP(size, outputs, DECODER, seed=seed, name="decoder")
        self._pool: Pool | None = None

    def begin(self, encoders: nn.ModuleDict) -> None:
        """Find groups by what the encoders are now; let them go on, or begin anew from what they were untrained."""
        untrained = copy.deepcopy(self.first.state_dict())
        self.first.load_state_dict(encoders.state_dict())
        if self.settings.start == "anew":
            encoders.load_state_dict(untrained)

    def begin_decoding(self, encoders: nn.ModuleDict, outputs: Sequence[Float[Tensor, "n w"]]) -> None:
        """Give the encoders, which have such outputs, a linear map that is new, and keep what they are then."""
        _projection(encoders).begin(outputs, seeding.generator(self.seed, STREAM, "projection"))
        self.kept.load_state_dict(encoders.state_dict())

    def decoding_loss(
        self, encodings: Sequence[Float[Tensor, "n d"]], outputs: Sequence[Float[Tensor, "n w"]]
    ) -> Float[Tensor, ""]:
        """The squared error of the outputs of kept encoders, whitened, that the decoder tells from encodings of a view.

        Of the outputs of all views it is the mean that is to be told.
        """
        wanted = torch.stack([_projection(self.kept).whitened(each) for each in outputs]).mean(0)
        return torch.stack([(self.decoder(z) - wanted).square().mean() for z in encodings]).mean()

    def parts(self, training: TrainingSettings, plain_steps: int) -> tuple[TrainingSettings, ...]:
        """Plain steps, hard negatives, decoded and joint steps, and those that remain, each with its own schedule."""
        hard = self.settings
        rest = training.steps - plain_steps - hard.all_steps
        return (
            replace(training, steps=plain_steps),
            replace(training, steps=hard.steps, learning_rate=hard.learning_rate or training.learning_rate),
            replace(training, steps=hard.decoded_steps),
            replace(training, steps=hard.joint_steps, learning_rate=hard.joint_learning_rate),
            replace(training, steps=rest, learning_rate=hard.last_learning_rate),
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
        ``encode(place, x)`` what the first encoders make of those of the view at that place.
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


def _projection(encoders: nn.ModuleDict) -> Projection:
    """The linear map that the encoders of all views share."""
    encoder = next(iter(encoders.values()))
    assert isinstance(encoder, Projected)
    return encoder.projection
