"""DMVAE (two-stage): shared latents by contrastive learning, then a conditional VAE for each modality (chapter 9).

Stage 1 trains q(c | x_A), a mixture of products of experts over all subsets of modalities, by InfoNCE between the
embedding of a random subset and that of all modalities (Eq. 9.1 to 9.3), or of the others alone. Stage 2 leaves it as
it is, and trains for each modality by itself q(m_i | x_i) and p(x_i | c, m_i), with a penalty on the mutual information
of c and m_i (Eq. 9.4, 9.8). Two other models are called DMVAE as well; this one has two stages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from identbox.errors import IdentboxError
from identbox.learning import contrastive
from identbox.learning.contrastive import Objective
from identbox.learning.decoders import is_autoregressive
from identbox.learning.densities import Density, density
from identbox.learning.likelihoods import Likelihood
from identbox.learning.mutual_information import Discriminator, discriminator_information, discriminator_loss
from identbox.learning.posteriors import Mixture, Subsets, mixture, stacked
from identbox.learning.vae import Data

Embedding = Literal["sample", "mean"]
# What the embedding of a subset is contrasted with: that of all modalities, or of those not in the subset.
Contrast = Literal["whole", "rest"]


class SharedInference(nn.Module):
    """q(c | x_A) for any subset A of modalities.

    ``encoders`` map data (n, *shape) to (n, 2 size): means, then log-variances. Raises IdentboxError for subsets of
    another number of modalities.
    """

    def __init__(
        self, encoders: Mapping[str, nn.Module], subsets: Subsets, *, prior_expert: bool = True
    ) -> None:
        super().__init__()
        if subsets.modalities != len(encoders):
            raise IdentboxError(
                f"subsets: expected subsets of the {len(encoders)} modalities, got some of {subsets.modalities}"
            )
        self.encoders = nn.ModuleDict(dict(encoders))
        self.subsets, self.prior_expert = subsets, prior_expert

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in the order in which subsets number them."""
        return tuple(self.encoders)

    def posterior(self, x: Data) -> Mixture:
        """The mixture over all subsets of the modalities that ``x`` has (Eq. 9.1)."""
        return self._over(self.subsets, *self.experts(x))

    def product_of(self, x: Data) -> Density:
        """The product (n, d) of the experts of all modalities that ``x`` has (Eq. 9.2)."""
        return self._product_of(*self.experts(x))

    def experts(self, x: Data) -> tuple[Density, Bool[Tensor, "n m"] | None]:
        """The expert (m, n, d) of each modality, and which are there where ``x`` lacks some.

        Raises IdentboxError where ``x`` has no modality, or one that the model does not know.
        """
        unknown = [name for name in x if name not in self.encoders]
        if unknown or not x:
            raise IdentboxError(
                f"x: expected some of {', '.join(self.names)}; got {', '.join(unknown) or 'none'}"
            )
        outputs = {name: self.encoders[name](values) for name, values in x.items()}
        nothing = torch.zeros_like(next(iter(outputs.values())))
        parts = [outputs.get(name, nothing).chunk(2, dim=1) for name in self.names]
        experts = stacked([density("gaussian", mean, log_variance) for mean, log_variance in parts])
        if len(x) == len(self.names):
            return experts, None
        there = torch.tensor([name in x for name in self.names], device=nothing.device)
        return experts, there.expand(len(nothing), -1)

    def _over(self, subsets: Subsets, experts: Density, present: Bool[Tensor, "n m"] | None) -> Mixture:
        return mixture(experts, subsets, present=present, prior_expert=self.prior_expert)

    def _product_of(self, experts: Density, present: Bool[Tensor, "n m"] | None) -> Density:
        whole = Subsets.all_modalities(len(self.names))
        return self._over(whole, experts, present).components.map(itemgetter(0))

    def subset_and_whole(self, x: Data, *, generator: torch.Generator) -> tuple[Density, Density]:
        """The products (n, d) of a random subset, drawn for each sample by its weight, and of all modalities."""
        experts, present = self.experts(x)
        parts = self._over(self.subsets, experts, present)
        chosen = parts.chosen(parts.draw_subsets(1, generator))
        return chosen.map(itemgetter(0)), self._product_of(experts, present)

    def subset_and_rest(self, x: Data, *, generator: torch.Generator) -> tuple[Density, Density]:
        """The products (n, d) of a random subset of the modalities, and of those that are not in it.

        One subset is drawn for all samples, by its weight among those that leave something out. Were it drawn for each
        sample, the number of experts alone would tell which embeddings belong together. Raises IdentboxError where
        ``x`` lacks a modality, and where no subset leaves one out.
        """
        mask = self.subsets.mask
        weights = torch.tensor(self.subsets.weights) * ~mask.all(1)
        if not weights.any():
            raise IdentboxError("subsets: expected one that leaves a modality out, got none")
        experts, present = self.experts(x)
        if present is not None:
            raise IdentboxError(f"x: expected {', '.join(self.names)}; got {', '.join(x)}")
        drawn = torch.multinomial(weights.to(generator.device), 1, generator=generator).cpu()
        inside = mask[drawn].to(experts.mean.device).expand(experts.mean.shape[1], -1)
        return self._product_of(experts, inside), self._product_of(experts, ~inside)

    @torch.no_grad()
    def embed(self, x: Data) -> Float[Tensor, "n d"]:
        """The mean of the product of the modalities that ``x`` has: the embedding that is probed."""
        return self.product_of(x).mean


def subset_info_nce(
    shared: SharedInference,
    x: Data,
    objective: Objective,
    *,
    embedding: Embedding,
    generator: torch.Generator,
    against: Contrast = "whole",
) -> Float[Tensor, ""]:
    """InfoNCE between a random subset of modalities and all of them (Eq. 9.3), a mean over samples in nats.

    The subset is drawn for each sample by the weights of the mixture. An embedding is the mean of its product of
    experts, or one draw from it. Anchors are the subsets' embeddings, and negatives those of all modalities.

    All modalities contain the subset. So whatever a modality shows helps to tell its own sample from others, and
    embeddings with room for it hold it. ``against`` the ``rest``, the modalities that are not in the subset, only what
    modalities share does.
    """
    pair = shared.subset_and_whole if against == "whole" else shared.subset_and_rest
    parts, others = pair(x, generator=generator)
    if embedding == "sample":
        anchors, targets = (one.from_noise(one.noise(1, generator))[0] for one in (parts, others))
    else:
        anchors, targets = parts.mean, others.mean
    return contrastive.one_sided_info_nce(anchors, targets, objective)


def directions(c: Float[Tensor, "n s"]) -> Float[Tensor, "n s"]:
    """Each c at length sqrt(s), so that its components have about unit variance, as those of m have.

    An objective that compares by the cosine leaves the length of c to chance.
    """
    return nn.functional.normalize(c, dim=1) * math.sqrt(c.shape[1])


class OfDirections(nn.Module):
    """A decoder of (c, m) that reads the direction of c alone; c has the first ``shared`` dimensions."""

    def __init__(self, decoder: nn.Module, shared: int) -> None:
        super().__init__()
        self.decoder, self.shared = decoder, shared

    @property
    def autoregressive(self) -> bool:
        """Whether the decoder sees the data beside its latent variables."""
        return is_autoregressive(self.decoder)

    def order(self) -> Iterator[tuple[int, ...]]:
        """The places of the components of an autoregressive decoder, first to last."""
        order: Iterator[tuple[int, ...]] = self.decoder.order()  # type: ignore[operator]
        return order

    def forward(self, z: Float[Tensor, "n d"], *x: Shaped[Tensor, "n ..."]) -> Tensor:
        """What the decoder makes of it, and of the data that an autoregressive one sees."""
        seen = torch.cat([directions(z[:, : self.shared]), z[:, self.shared :]], 1)
        made: Tensor = self.decoder(seen, *x)
        return made


class ConditionalVAE(nn.Module):
    """q(m | x) and p(x | c, m) of one modality, and the discriminator of its penalty.

    ``encoder`` maps data (n, *shape) to (n, 2 specific): means, then log-variances. ``decoder`` maps (n, shared +
    specific), c first, to the parameters of the ``likelihood``.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, discriminator: Discriminator
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.discriminator = encoder, decoder, discriminator
        self.likelihood = likelihood

    def posterior(self, x: Shaped[Tensor, "n ..."]) -> Density:
        """q(m | x)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return density("gaussian", mean, log_variance)

    def negative_bound(
        self,
        x: Shaped[Tensor, "n ..."],
        c: Float[Tensor, "n s"],
        *,
        beta: float,
        delta: float,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """-E log p(x | c, m) + beta KL(q(m | x) || p(m)) + delta I(c; m), a mean over samples (section 9.2.5).

        Neither c nor the discriminator gets gradients.
        """
        q = self.posterior(x)
        m = q.from_noise(q.noise(1, generator))[0]
        fit = self.likelihood.log_density(self.decode(c.detach(), m, x), x)
        loss = (beta * q.kl_to_prior() - fit).mean()
        return loss + delta * discriminator_information(self.discriminator, c, m) if delta else loss

    def discriminator_loss(
        self, x: Shaped[Tensor, "n ..."], c: Float[Tensor, "n s"], *, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """The discriminator's loss on a draw of m (Eq. 9.7)."""
        with torch.no_grad():
            q = self.posterior(x)
            m = q.from_noise(q.noise(1, generator))[0]
        return discriminator_loss(self.discriminator, c, m, generator=generator)

    def decode(
        self, c: Float[Tensor, "n s"], m: Float[Tensor, "n t"], x: Shaped[Tensor, "n ..."] | None = None
    ) -> Float[Tensor, "n ..."]:
        """The parameters of p(x | c, m); an autoregressive decoder needs the data ``x``."""
        seen = (x,) if is_autoregressive(self.decoder) else ()
        return self.decoder(torch.cat([c, m], 1), *seen)
