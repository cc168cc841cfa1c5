"""The two stages of a DMVAE as they are trained, on the views of a world or on the modalities of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import seeding
from identbox.data.multiview import MultiviewSplit
from identbox.experiments.learner import VALIDATION_BATCHES, Placed
from identbox.experiments.vae_learners import EpochBatches
from identbox.learning.contrastive import Objective
from identbox.learning.dmvae import (
    ConditionalVAE,
    Contrast,
    Embedding,
    SharedInference,
    directions,
    subset_info_nce,
)
from identbox.learning.mutual_information import discriminator_information
from identbox.learning.vae import Data
from identbox.process.world import World


@runtime_checkable
class BatchSource(Protocol):
    """Where the data of a step come from."""

    seed: int

    def batch(self, size: int, stream: str, step: int, device: torch.device) -> Data:
        """Samples of a step, by its number; ``stream`` is ``train`` or ``validation``."""


class WorldSource:
    """Fresh samples of a world."""

    def __init__(self, world: World) -> None:
        self.world, self.seed = world, world.seed

    def batch(self, size: int, stream: str, step: int, device: torch.device) -> Data:
        return {view: x.to(device) for view, x in self.world.sample(size, stream, step).x.items()}


class DatasetSource:
    """The training split of a dataset in a new order each epoch, and its validation split."""

    def __init__(self, train: MultiviewSplit, validation: MultiviewSplit, seed: int) -> None:
        self.splits = {"train": train, "validation": validation}
        self.seed = seed
        self._batches = EpochBatches(self.splits, seed)

    def batch(self, size: int, stream: str, step: int, device: torch.device) -> Data:
        return self.splits[stream].batch(self._batches.rows(stream, step, size), device=device)


class SharedLearner(Placed):
    """Stage 1: shared inference by InfoNCE between a random subset of modalities and all of them, or the others."""

    def __init__(
        self,
        source: BatchSource,
        shared: SharedInference,
        objective: Objective,
        *,
        batch: int,
        embedding: Embedding,
        against: Contrast = "whole",
    ) -> None:
        super().__init__()
        self.source, self.shared, self.objective = source, shared, objective
        self.batch, self.embedding, self.against = batch, embedding, against

    @property
    def of_directions(self) -> bool:
        """Whether the second stage sees the direction of c alone: the cosine leaves its length to chance."""
        return self.objective.similarity == "cosine"

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The objective on the batch of that step."""
        x = self.source.batch(self.batch, stream, step, self.device)
        generator = seeding.generator(self.source.seed, stream, "embeddings", step, device=self.device)
        return subset_info_nce(
            self.shared,
            x,
            self.objective,
            embedding=self.embedding,
            generator=generator,
            against=self.against,
        )

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The objective on batches that training has not seen."""
        losses = [self.loss(step, "validation") for step in range(VALIDATION_BATCHES)]
        return torch.stack(losses).mean().item()

    def encode(self, x: Float[Tensor, "n x"], view: str) -> Float[Tensor, "n d"]:
        """The embedding c of one modality by itself."""
        return self.shared.embed({view: x})

    @torch.no_grad()
    def context(self, x: Mapping[str, Tensor], generator: torch.Generator) -> Float[Tensor, "n d"]:
        """c given all modalities, as the second stage is conditioned on it: the mean, or a draw."""
        whole = self.shared.product_of(x)
        c = whole.mean if self.embedding == "mean" else whole.from_noise(whole.noise(1, generator))[0]
        return directions(c) if self.of_directions else c


class SpecificLearner(nn.Module):
    """Stage 2 of one modality: its conditional VAE and its discriminator, a step of each in turn.

    The first stage is no part of the model: it is neither trained nor kept in checkpoints.
    """

    def __init__(
        self,
        first: SharedLearner,
        view: str,
        vae: ConditionalVAE,
        *,
        batch: int,
        beta: float,
        delta: float,
        warmup: int = 0,
    ) -> None:
        super().__init__()
        self.vae, self.view, self.batch, self.beta, self.delta = vae, view, batch, beta, delta
        self.warmup = warmup
        self._first = [first]  # in a list, so that it is no module of this one

    @property
    def first(self) -> SharedLearner:
        """The first stage."""
        return self._first[0]

    def drawn(self, step: int, stream: str) -> tuple[Tensor, Float[Tensor, "n s"], torch.Generator]:
        """The modality's data of a step, c, and the generator of its draws."""
        device = self.first.device
        generator = seeding.generator(
            self.first.source.seed, stream, self.view, "embeddings", step, device=device
        )
        x = self.first.source.batch(self.batch, stream, step // 2, device)
        return x[self.view], self.first.context(x, generator), generator

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The regularised bound at even steps, the discriminator's loss on the same data at odd ones."""
        x, c, generator = self.drawn(step, stream)
        if step % 2:
            return self.vae.discriminator_loss(x, c, generator=generator)
        growing = step < self.warmup and stream == "train"
        delta = self.delta * step / self.warmup if growing else self.delta
        return self.vae.negative_bound(x, c, beta=self.beta, delta=delta, generator=generator)

    @torch.no_grad()
    def validation_losses(self) -> dict[str, float]:
        """The regularised bound, and the discriminator's loss, on batches that training has not seen."""
        numbers = range(2 * VALIDATION_BATCHES)
        losses = torch.stack([self.loss(step, "validation") for step in numbers]).view(-1, 2).mean(0)
        return dict(zip(("validation", "discriminator"), losses.tolist(), strict=True))

    @torch.no_grad()
    def penalty(self) -> float:
        """The discriminator's estimate of I(c; m) in nats, on batches that training has not seen."""
        estimates = []
        for number in range(VALIDATION_BATCHES):
            x, c, generator = self.drawn(2 * number, "validation")
            q = self.vae.posterior(x)
            m = q.from_noise(q.noise(1, generator))[0]
            estimates.append(discriminator_information(self.vae.discriminator, c, m))
        return torch.stack(estimates).mean().item()

    @torch.no_grad()
    def embed(self, x: Tensor) -> Float[Tensor, "n d"]:
        """The embedding m of the modality."""
        return self.vae.posterior(x).mean

    @torch.no_grad()
    def draw(self, x: Tensor) -> Float[Tensor, "n d"]:
        """A draw of m for each sample, with the same noise in every call: draws of two inputs differ by these alone."""
        q = self.vae.posterior(x)
        generator = seeding.generator(
            self.first.source.seed, "draws of m", self.view, device=self.first.device
        )
        return q.from_noise(q.noise(1, generator))[0]
