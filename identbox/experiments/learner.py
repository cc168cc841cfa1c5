"""A contrastive learner on a world: an encoder for each view, and the loss of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox.experiments.hard_stage import STREAM, WHITENED_BY, HardStage, Projected
from identbox.experiments.records import SCORES_KEY
from identbox.learning import contrastive
from identbox.learning.contrastive import Objective
from identbox.learning.graphs import DrawnLoss
from identbox.learning.hard_negatives import HardNegatives, info_nce_in_groups
from identbox.learning.training import Precision, TrainingSettings
from identbox.metrics.curves import curve_scores, is_due
from identbox.process.world import Observed, World, unique_mixings

# Of the validation loss; each has the training's batch size, since the loss depends on it.
VALIDATION_BATCHES = 4


class Placed(nn.Module):
    """A module that says where its parameters are."""

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device


class Learner(Placed):
    """Encoders that are trained on the views of a world.

    ``encoders`` has a module for each view, or one alone that all views share. The mixings of the world are
    registered as well. They have no parameters, only buffers: a checkpoint holds them, and an optimiser does not.
    The first ``plain_steps`` steps minimise the loss of Eq. 8.2 as it is, whatever the objective says of temperature,
    whitening and decoupling. Those of ``hard_negatives`` follow, where there are any; encoders are `Projected` then,
    and `HardNegatives` says which of their outputs plain steps have.
    """

    def __init__(
        self,
        world: World,
        encoders: Mapping[str, nn.Module],
        *,
        objective: Objective,
        batch: int,
        precision: Precision = "float32",
        plain_steps: int = 0,
        hard_negatives: HardNegatives | None = None,
    ) -> None:
        super().__init__()
        self.plain_steps = plain_steps
        self.world, self.objective, self.batch, self.precision = world, objective, batch, precision
        self.mixings = nn.ModuleDict(unique_mixings(world.mixings))
        self.encoders = nn.ModuleDict(dict(encoders))
        self.hard: HardStage | None = None
        if hard_negatives is not None and hard_negatives.steps:
            self.hard = HardStage(hard_negatives, self.encoders, seed=world.seed)

    def encode(
        self, x: Float[Tensor, "n x"], view: str, among: nn.ModuleDict | None = None
    ) -> Float[Tensor, "n d"]:
        """g(x) of a view, in float32 whatever the precision inside; by its encoder or by one of ``among``."""
        return self.run(self.encoder(view, among), x)

    def encoder(self, view: str, among: nn.ModuleDict | None = None) -> nn.Module:
        """The encoder of a view: its own, or the one that all views share."""
        encoders = among or self.encoders
        return encoders[view if view in encoders else self.world.views[0]]

    def run(self, network: Callable[[Tensor], Tensor], x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """What a network makes of observations, in float32 whatever the precision inside."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return network(x).float()

    def encodings(self, sample: Observed) -> list[Float[Tensor, "n d"]]:
        """The encodings of all views of a sample."""
        return [self.encode(x, view) for view, x in sample.x.items()]

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The objective on a fresh batch, the one of that step's number."""
        return self.loss_of(self.drawn(step, stream))

    def training_loss(self, step: int) -> Float[Tensor, ""]:
        """What a step minimises: at first Eq. 8.2 as it is, and at last the objective; hard negatives come between."""
        if step < self.plain_steps:
            return self.loss_of(self.drawn(step), self.plain, self._plain_outputs)
        if self.hard is not None and step < self.plain_steps + self.hard.settings.all_steps:
            return self._hard_loss(self.hard, step - self.plain_steps)
        return self.loss_of(self.drawn(step))

    def parts(self, training: TrainingSettings) -> tuple[TrainingSettings, ...]:
        """The parts of a training with schedules of their own: with hard negatives five, else one."""
        return (training,) if self.hard is None else self.hard.parts(training, self.plain_steps)

    def _hard_loss(self, stage: HardStage, step: int) -> Float[Tensor, ""]:
        """What a step minimises between the plain and the last ones, counted from the first of them."""
        hard = stage.settings
        if step == 0:
            stage.begin(self.encoders)
        if step < hard.steps:
            return self._loss_in_groups(stage, step, self._outputs)
        decoding = self._decoding_loss(stage, step - hard.steps)
        if step < hard.steps + hard.decoded_steps:
            return decoding
        return hard.decoder_weight * decoding + self._loss_in_groups(stage, step, self.encode)

    def _loss_in_groups(
        self, stage: HardStage, step: int, encode: Callable[[Tensor, str], Tensor]
    ) -> Float[Tensor, ""]:
        """The loss with hard negatives of what ``encode`` makes of views, in a step counted from the first of them."""
        views = self.world.views
        pool = stage.pool(
            lambda count, number: self.paired(self._observations(count, STREAM, number), number, STREAM),
            lambda place, x: self._plain_outputs(x, views[place], stage.first),
        )
        observed, near = stage.groups(step, pool, seed=self.world.seed, batch=self.batch)
        encoded = [encode(x, view) for view, x in zip(views, observed, strict=True)]
        return info_nce_in_groups([z.unflatten(0, near.shape) for z in encoded], self.objective)

    def _decoding_loss(self, stage: HardStage, step: int) -> Float[Tensor, ""]:
        """How far the decoder is from the kept outputs, in a step counted from the first with a decoder."""
        views = self.world.views
        if step == 0:
            with torch.no_grad():
                drawn = self._observations(WHITENED_BY, f"{STREAM}/whitening", 0)
                outputs = [self._outputs(x, view) for view, x in zip(views, drawn, strict=True)]
            stage.begin_decoding(self.encoders, outputs)
        observed = self.paired(self._observations(self.batch, f"{STREAM}/decoded", step), step, STREAM)
        pairs = list(zip(observed, views, strict=True))
        with torch.no_grad():
            outputs = [self._outputs(x, view, stage.kept) for x, view in pairs]
        return stage.decoding_loss([self.encode(x, view) for x, view in pairs], outputs)

    def _plain_outputs(
        self, x: Float[Tensor, "n x"], view: str, among: nn.ModuleDict | None = None
    ) -> Float[Tensor, "n w"]:
        """What plain steps compare: encodings, or all outputs, where encoders go on from them with hard negatives."""
        if self.hard is not None and self.hard.settings.start == "on":
            return self._outputs(x, view, among)
        return self.encode(x, view, among)

    def _outputs(
        self, x: Float[Tensor, "n x"], view: str, among: nn.ModuleDict | None = None
    ) -> Float[Tensor, "n w"]:
        """All outputs of a view's encoder, which its linear map makes encodings of."""
        encoder = self.encoder(view, among)
        assert isinstance(encoder, Projected)
        return self.run(encoder.wide, x)

    def _observations(self, count: int, stream: str, number: int) -> list[Float[Tensor, "n _"]]:
        """What all views show of so many samples."""
        return list(self.world.sample(count, stream, number).x.values())

    @property
    def plain(self) -> Objective:
        """The objective with whose similarity and negatives Eq. 8.2 is minimised as it is."""
        return replace(self.objective, temperature=1.0, encodings=None, decoupled=False)

    def drawn(self, step: int, stream: str = "train") -> list[Float[Tensor, "n _"]]:
        """The observations of a step: of every view, and where negatives are drawn apart, of every view once more."""
        views = self.paired(self._observations(self.batch, stream, step), step, stream)
        if self.objective.negatives == "same-view":
            views += self._observations(self.batch, f"{stream}/negatives", step)
        return views

    def loss_of(
        self,
        drawn: Sequence[Float[Tensor, "n _"]],
        objective: Objective | None = None,
        encode: Callable[[Tensor, str], Tensor] | None = None,
    ) -> Float[Tensor, ""]:
        """The objective, or another one, on what a step draws; of encodings, or of what ``encode`` makes of views."""
        views, count = self.world.views, len(self.world.views)
        # Where negatives are drawn apart, all views come twice.
        encode = encode or self.encode
        encoded = [encode(x, views[place % count]) for place, x in enumerate(drawn)]
        return contrastive.info_nce(
            encoded[:count], objective or self.objective, negatives=encoded[count:] or None
        )

    def drawn_loss(self) -> Callable[[int], Tensor]:
        """The loss of a training's step; in two parts, of which a GPU records the second, where all steps are alike."""
        if self.plain_steps or self.hard is not None:
            return self.training_loss
        return DrawnLoss(
            draw=self.drawn, of=lambda drawn, generator: self.loss_of(drawn), seed=lambda step: 0
        )

    def paired(self, views: list[Float[Tensor, "n _"]], step: int, stream: str) -> list[Float[Tensor, "n _"]]:
        """The observations as the loss pairs them: row by row."""
        return views

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The objective on batches that training has not seen, of its batch size (section 8.4.3)."""
        losses = [self.loss(step, "validation") for step in range(VALIDATION_BATCHES)]
        return torch.stack(losses).mean().item()

    def curves(self, step: int, training: TrainingSettings) -> dict[str, Any]:
        """The scores of every variable, for about 20 of the steps of a training; see `metrics.curves`.

        Encoders are in evaluation mode meanwhile, so that the training goes on as if nobody had looked.
        """
        if not is_due(step, steps=training.steps, log_every=training.log_every):
            return {}
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            return {SCORES_KEY: curve_scores(self.world, self.encode)}
        finally:
            for module, mode in modes.items():
                module.training = mode

    def chance_loss(self) -> float:
        """The loss of constant encodings."""
        more = (self.objective.negatives == "same-view") - self.objective.decoupled
        return torch.tensor(self.batch + more, dtype=torch.float64).log().item()
