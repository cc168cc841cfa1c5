"""The two stages of a DMVAE as they are trained on the views of a world (section 9.2.5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import seeding
from identbox.experiments.learner import VALIDATION_BATCHES
from identbox.learning.contrastive import Objective
from identbox.learning.dmvae import ConditionalVAE, Embedding, SharedInference, subset_info_nce
from identbox.process.world import World, unique_mixings


class SharedLearner(nn.Module):
    """Stage 1: shared inference by InfoNCE between a random subset of views and all of them (Eq. 9.3)."""

    def __init__(
        self,
        world: World,
        shared: SharedInference,
        objective: Objective,
        *,
        batch: int,
        embedding: Embedding,
    ) -> None:
        super().__init__()
        self.world, self.shared, self.objective = world, shared, objective
        self.batch, self.embedding = batch, embedding
        self.mixings = nn.ModuleDict(unique_mixings(world.mixings))

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The objective on the batch of that step."""
        sample = self.world.sample(self.batch, stream, step)
        generator = seeding.generator(self.world.seed, stream, "embeddings", step, device=self.world.device)
        return subset_info_nce(
            self.shared, sample.x, self.objective, embedding=self.embedding, generator=generator
        )

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The objective on batches that training has not seen."""
        losses = [self.loss(step, "validation") for step in range(VALIDATION_BATCHES)]
        return torch.stack(losses).mean().item()

    def encode(self, x: Float[Tensor, "n x"], view: str) -> Float[Tensor, "n d"]:
        """The embedding c of one view by itself."""
        return self.shared.embed({view: x})

    def context(
        self, x: Mapping[str, Tensor], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n d"]:
        """c given all views, as the second stage is conditioned on it: the mean, or a draw."""
        with torch.no_grad():
            whole = self.shared.product_of(x)
            if self.embedding == "mean" or generator is None:
                return whole.mean
            return whole.from_noise(whole.noise(1, generator))[0]


class SpecificLearner(nn.Module):
    """Stage 2 of one view: its conditional VAE and its discriminator, a step of each in turn.

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
    ) -> None:
        super().__init__()
        self.vae, self.view, self.batch, self.beta, self.delta = vae, view, batch, beta, delta
        self._first = [first.eval().requires_grad_(False)]  # in a list, so that it is no module of this one

    @property
    def first(self) -> SharedLearner:
        """The first stage."""
        return self._first[0]

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        """The regularised bound at even steps, the discriminator's loss on the same data at odd ones."""
        world = self.first.world
        sample = world.sample(self.batch, stream, self.view, step // 2)
        generator = seeding.generator(world.seed, stream, self.view, "embeddings", step, device=world.device)
        x, c = sample.x[self.view], self.first.context(sample.x, generator)
        if step % 2:
            return self.vae.discriminator_loss(x, c, generator=generator)
        return self.vae.negative_bound(x, c, beta=self.beta, delta=self.delta, generator=generator)

    @torch.no_grad()
    def validation_losses(self) -> dict[str, float]:
        """The regularised bound, and the discriminator's loss, on batches that training has not seen."""
        numbers = range(2 * VALIDATION_BATCHES)
        losses = torch.stack([self.loss(step, "validation") for step in numbers]).view(-1, 2).mean(0)
        return dict(zip(("validation", "discriminator"), losses.tolist(), strict=True))

    @torch.no_grad()
    def embed(self, x: Float[Tensor, "n x"]) -> Float[Tensor, "n d"]:
        """The embedding m of the view."""
        return self.vae.posterior(x).mean
