"""Generating some modalities from any others: every encoder is called once, whatever number of subsets is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.learning.decoders import expect_outputs, generate, is_autoregressive
from identbox.learning.densities import prior
from identbox.learning.posteriors import Mixture, Subsets, mixture
from identbox.learning.vae import Data, Encoded, MultimodalVAE


@dataclass(frozen=True)
class Inference:
    """What the encoders say of n samples, and from it the posterior given any of their modalities."""

    model: MultimodalVAE
    encoded: Encoded

    @staticmethod
    @torch.no_grad()
    def of(model: MultimodalVAE, x: Data) -> Inference:
        """One pass of every encoder. Raises IdentboxError for data that are not of the model's modalities."""
        return Inference(model, model.encode(x))

    def given(self, names: Sequence[str]) -> Mixture:
        """The joint posterior of the shared dimensions given these modalities alone (Eq. 5.17).

        Raises IdentboxError for a name that is not a modality of the data, and where no subset of the model has one.
        """
        known = self.model.names
        if unknown := [name for name in names if name not in known]:
            raise IdentboxError(
                f"given: expected modalities among {', '.join(known)}; got {', '.join(unknown)}"
            )
        places = tuple(known.index(name) for name in names)
        subsets = self.model.subsets.given(places)
        if self.model.shared_prior is not None:
            subsets = Subsets(len(known), (places,))
        present = self.encoded.present
        prior_expert = self.model.latents.prior_expert
        return mixture(self.encoded.shared, subsets, present=present, prior_expert=prior_expert)

    def embedding(self, names: Sequence[str]) -> Float[Tensor, "n d"]:
        """The mean of the joint posterior given these modalities."""
        return self.model.seen_of_shared(self.given(names).mean)

    def shared(self, names: Sequence[str], *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """A draw from the joint posterior given these modalities; where embeddings are means, that mean."""
        if self.model.shared_prior is not None:
            return self.embedding(names)
        return self.given(names).sample(1, generator=generator)[0]

    def own(self, name: str, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """A draw of the dimensions of one modality's own, given its data; none where there are no such dimensions."""
        if self.encoded.specific is None:
            return self.encoded.shared.mean.new_zeros(self.encoded.shared.mean.shape[1], 0)
        density = self.encoded.specific.map(itemgetter(self.model.names.index(name)))
        return density.from_noise(density.noise(1, generator)[0])

    def made(
        self,
        name: str,
        shared: Float[Tensor, "n d"],
        *,
        shape: tuple[int, ...],
        reconstruct: bool = False,
        scale: float = 1.0,
        generator: torch.Generator,
    ) -> Shaped[Tensor, "n ..."]:
        """A modality from shared dimensions: the mean of its likelihood; see `decoded`.

        Its own dimensions are those of its data (``reconstruct``), or drawn from the prior times ``scale``.
        """
        own = (
            self.own(name, generator=generator)
            if reconstruct
            else own_from_prior(self.model, len(shared), scale, generator=generator)
        )
        return decoded(self.model, name, torch.cat([shared, own], 1), shape=shape, generator=generator)


def own_from_prior(
    model: MultimodalVAE, n: int, scale: float = 1.0, *, generator: torch.Generator
) -> Float[Tensor, "n d"]:
    """Dimensions of a modality's own, drawn from their prior times ``scale`` (alpha in Figure 6.7)."""
    density = prior(model.latents.family, model.auxiliary.new_zeros(n, model.latents.specific))
    return scale * density.noise(1, generator)[0]


def shared_from_prior(model: MultimodalVAE, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Shared dimensions drawn from their prior."""
    if model.shared_prior is not None:
        return model.shared_prior(n, generator)
    density = prior(model.latents.family, model.auxiliary.new_zeros(n, model.latents.shared))
    return density.noise(1, generator)[0]


@torch.no_grad()
def decoded(
    model: MultimodalVAE,
    name: str,
    z: Float[Tensor, "n d"],
    *,
    shape: tuple[int, ...],
    generator: torch.Generator,
) -> Shaped[Tensor, "n ..."]:
    """A modality from latent vectors: the mean of its likelihood, or the most probable classes.

    An autoregressive decoder has no such mean: its components are drawn one after the other.
    """
    decoder, likelihood = model.decoders[name], model.likelihoods[name]
    if is_autoregressive(decoder):
        return generate(decoder, likelihood, z, shape=shape, generator=generator)
    parameters = decoder(z)
    expect_outputs(parameters, likelihood, shape, f"decoder of {name}")
    return likelihood.mean(parameters)
