"""Multimodal VAEs as they are trained and read: on the views of a world, or on the modalities of a dataset."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.data.multiview import MultiviewSplit
from identbox.errors import first_few
from identbox.experiments.learner import VALIDATION_BATCHES
from identbox.experiments.records import SCORES_KEY
from identbox.experiments.run import Trainable
from identbox.learning.elbo import BoundTerms, VaeObjective, bound
from identbox.learning.graphs import DrawnLoss
from identbox.learning.training import Trained, TrainingSettings
from identbox.learning.vae import Data, MultimodalVAE
from identbox.metrics.curves import curve_scores, is_due
from identbox.process.world import World, unique_mixings


class VaeLearner(nn.Module):
    """A model with its objective; which data a step has, those who inherit say."""

    def __init__(
        self, vae: MultimodalVAE, objective: VaeObjective, training: TrainingSettings, seed: int
    ) -> None:
        super().__init__()
        self.vae, self.objective, self.training_settings, self.seed = vae, objective, training, seed
        self._terms: list[str] = []
        self._broken: Tensor | None = None  # by term, the first step at which it was not finite, or -1

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.vae.device

    def data(self, step: int, stream: str) -> Data:
        """The data of a step."""
        raise NotImplementedError

    def terms(self, step: int, stream: str = "train") -> BoundTerms:
        """The bound of every sample of a step."""
        generator = torch.Generator(self.device).manual_seed(self._stream(step, stream))
        return self._terms_of(self.data(step, stream), generator)

    def _stream(self, step: int, stream: str = "train") -> int:
        """The seed of a step's latent variables."""
        return seeding.derive(self.seed, stream, "latents", step)

    def _terms_of(self, x: Data, generator: torch.Generator) -> BoundTerms:
        low = self.training_settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            return bound(self.vae, x, self.objective, generator=generator)

    def loss(self, step: int) -> Float[Tensor, ""]:
        """The negative bound, a mean over the step's batch."""
        return self.drawn_loss()(step)

    def drawn_loss(self) -> DrawnLoss:
        """The loss in two parts, of which a GPU records the second."""

        def draw(step: int) -> list[Tensor]:
            x = self.data(step, "train")
            return [torch.full((), step, device=self.device), *(x[name] for name in self.vae.names)]

        def loss_of(drawn: Sequence[Tensor], generator: torch.Generator) -> Tensor:
            step, *values = drawn
            terms = self._terms_of(dict(zip(self.vae.names, values, strict=True)), generator)
            self._note(terms, step)
            return -terms.value.mean()

        return DrawnLoss(draw=draw, of=loss_of, seed=self._stream)

    def _note(self, terms: BoundTerms, step: Int[Tensor, ""]) -> None:
        """Remember on the device which terms were not finite first: no number is copied for it."""
        named = terms.terms()
        finite = torch.stack([values.isfinite().all() for values in named.values()])
        if self._broken is None or len(self._terms) != len(named):
            self._terms, self._broken = list(named), finite.new_full(finite.shape, -1, dtype=torch.int64)
        self._broken.copy_(torch.where((self._broken < 0) & ~finite, step, self._broken))

    def explain(self, step: int) -> str:
        """Which terms of a step's loss were not finite."""
        if self._broken is None:
            return ""
        broken = [name for name, at in zip(self._terms, self._broken.tolist(), strict=True) if at == step]
        return f"not finite: {first_few(broken)}" if broken else "its terms are finite"

    def trainable(self, measure: Callable[[Trained], dict[str, Any]]) -> Trainable:
        """What a run trains; ``measure`` has the keys that it adds to its record."""
        return Trainable(
            model=self,
            loss=self.drawn_loss(),
            settings=self.training_settings,
            watch=lambda: {"validation_loss": self.validation_loss()},
            explain=self.explain,
            measure=measure,
        )

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The negative bound on batches that training has not seen."""
        return self._in_evaluation(
            lambda: torch.stack(
                [-self.terms(step, "validation").value.mean() for step in range(VALIDATION_BATCHES)]
            ).mean().item()
        )  # fmt: skip

    def _in_evaluation(self, action: Any) -> Any:
        """What ``action`` returns in evaluation mode; modules are then in the mode in which they were."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            return action()
        finally:
            for module, mode in modes.items():
                module.training = mode


class WorldVae(VaeLearner):
    """A multimodal VAE of the views of a world. Its checkpoint holds the mixings as well."""

    def __init__(
        self, world: World, vae: MultimodalVAE, objective: VaeObjective, training: TrainingSettings
    ) -> None:
        super().__init__(vae, objective, training, world.seed)
        self.world = world
        self.mixings = nn.ModuleDict(unique_mixings(world.mixings))

    def data(self, step: int, stream: str) -> Data:
        return self.world.sample(self.training_settings.batch, stream, step).x

    def encode(self, x: Float[Tensor, "n x"], view: str) -> Float[Tensor, "n d"]:
        """The embedding of one view by itself: the mean of the joint posterior given that view alone."""
        return self.vae.embed({view: x})

    def curves(self, step: int) -> dict[str, Any]:
        """The scores of every variable, for about 20 of the steps of a training; see `metrics.curves`."""
        settings = self.training_settings
        if not is_due(step, steps=settings.steps, log_every=settings.log_every):
            return {}
        return {SCORES_KEY: self._in_evaluation(lambda: curve_scores(self.world, self.encode))}


class EpochBatches:
    """Which rows of a dataset a step has: every epoch goes through the training split once, in an order of its own."""

    def __init__(self, splits: Mapping[str, MultiviewSplit], seed: int) -> None:
        self._sizes = {name: len(split) for name, split in splits.items()}
        self._seed = seed
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def rows(self, stream: str, step: int, size: int) -> Int[Tensor, " n"]:
        """The rows of a step by its number; other splits than ``train`` are read from front to back."""
        length = self._sizes[stream]
        if stream != "train":
            return torch.arange(step * size, (step + 1) * size) % length
        epoch, place = divmod(step, length // size)
        if self._order[0] != epoch:
            order = torch.randperm(length, generator=seeding.generator(self._seed, "order", epoch))
            self._order = epoch, order
        return self._order[1][place * size : (place + 1) * size]


class DatasetVae(VaeLearner):
    """A multimodal VAE of the modalities of a dataset: images in [0, 1], texts as whole numbers."""

    def __init__(
        self,
        splits: Mapping[str, MultiviewSplit],
        vae: MultimodalVAE,
        objective: VaeObjective,
        training: TrainingSettings,
        *,
        seed: int,
    ) -> None:
        """``splits`` has the data of each stream: ``train`` and ``validation``."""
        super().__init__(vae, objective, training, seed)
        self.splits = dict(splits)
        self._batches = EpochBatches(self.splits, seed)

    def data(self, step: int, stream: str) -> Data:
        rows = self._batches.rows(stream, step, self.training_settings.batch)
        return self.read(self.splits[stream], rows)

    def read(self, split: MultiviewSplit, indices: Int[Tensor, " n"]) -> dict[str, Tensor]:
        """Some samples of a split, on the device of the model."""
        return split.batch(indices, device=self.device)

    def batches(self, split: MultiviewSplit, n: int, size: int | None = None) -> Iterator[dict[str, Tensor]]:
        """The first n samples of a split, batch by batch."""
        return (
            self.read(split, rows) for rows in torch.arange(n).split(size or self.training_settings.batch)
        )

    @torch.no_grad()
    def encodings(
        self, split: MultiviewSplit, n: int, train_mode: bool = False
    ) -> dict[str, Float[Tensor, "n d"]]:
        """The embeddings of the first n samples given each modality and all; and specific dimensions."""
        parts: dict[str, list[Tensor]] = {}

        def read_all() -> None:
            self.train(train_mode)
            for rows in torch.arange(n).tensor_split(math.ceil(n / self.training_settings.batch)):
                for name, values in embeddings(self.vae, self.read(split, rows)).items():
                    parts.setdefault(name, []).append(values)

        buffers = [buffer.clone() for buffer in self.buffers()]
        self._in_evaluation(read_all)
        for buffer, value in zip(self.buffers(), buffers, strict=True):
            buffer.copy_(value)
        return {name: torch.cat(values) for name, values in parts.items()}


@torch.no_grad()
def embeddings(vae: MultimodalVAE, x: Data) -> dict[str, Float[Tensor, "n d"]]:
    """The embeddings of each modality, of all together, and of the dimensions that are specific to each.

    They are named as in a record: ``image``, ``image+text``, ``image, specific``.
    """
    made = {name: vae.embed({name: values}) for name, values in x.items()}
    made["+".join(x)] = vae.embed(x)
    specific = vae.encode(x).specific
    if specific is not None:
        for place, name in enumerate(vae.names):
            made[f"{name}, specific"] = specific.mean[place]
    return made
