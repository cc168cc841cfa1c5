"""A multimodal VAE: an encoder, a decoder and a likelihood for each modality, and a joint posterior over subsets.

Latent variables are shared (c, or z where there are no others), and perhaps specific to a modality (m_i): then the
decoder of modality i sees (c, m_i), and its encoder says both (Eq. 6.3 to 6.5). MVAE, MMVAE, MoPoE-VAE and their
partitioned forms differ in the `Subsets` and in the objective (`elbo`), not in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from identbox.errors import IdentboxError
from identbox.learning.decoders import expect_outputs, generate, is_autoregressive
from identbox.learning.densities import Density, Family, density, prior
from identbox.learning.likelihoods import Likelihood
from identbox.learning.posteriors import Mixture, Subsets, mixture, stacked
from identbox.settings import Count, at_least, settings


@settings
class Latents:
    """The latent variables of a multimodal VAE.

    >>> Latents(shared=32, specific=32, family="laplace", prior_expert=False).parameters
    128
    """

    shared: Count  # dimensions that all decoders see
    specific: Annotated[int, at_least(0)] = (
        0  # further dimensions for each modality, which its own decoder sees
    )
    family: Family = "gaussian"  # of priors and posteriors
    prior_expert: bool = True  # whether the prior is a factor of each product of experts

    def __post_init__(self) -> None:
        if self.family == "laplace" and self.prior_expert:
            raise IdentboxError("prior_expert: expected false beside the family laplace, got true")

    @property
    def parameters(self) -> int:
        """Outputs of each encoder: a mean and a log-spread of every dimension, those of shared ones first."""
        return 2 * (self.shared + self.specific)


@dataclass(frozen=True, kw_only=True)
class Modality:
    """The parts of one modality.

    ``encoder`` maps data (n, *shape) to (n, Latents.parameters): means and log-variances (log-scales of Laplace) of
    the shared dimensions, then of the specific ones. ``decoder`` maps latent vectors (N, shared + specific) to the
    parameters of the ``likelihood``.
    """

    encoder: nn.Module
    decoder: nn.Module
    likelihood: Likelihood


@dataclass(frozen=True)
class Encoded:
    """What the encoders say of n samples."""

    shared: Density  # (m, n, shared): an expert of each modality
    specific: Density | None  # (m, n, specific), where there are such dimensions
    present: Bool[Tensor, "n m"] | None  # which modalities a sample has; None where it has all


Data = Mapping[str, Shaped[Tensor, "n ..."]]
SharedPrior = Callable[[int, torch.Generator], Float[Tensor, "n d"]]  # so many draws of the shared dimensions


class MultimodalVAE(nn.Module):
    """A multimodal VAE of any modules: see `Modality` for what they map.

    Raises IdentboxError for other subsets than of its modalities, and subsets that a family has no products for.

    >>> import torch
    >>> from identbox.learning.likelihoods import LocationScale
    >>> def part(): return Modality(encoder=torch.nn.Linear(3, 4), decoder=torch.nn.Linear(2, 3),
    ...                             likelihood=LocationScale(kind="gaussian"))
    >>> vae = MultimodalVAE({"a": part(), "b": part()}, Latents(shared=2), Subsets.powerset(2))
    >>> vae.embed({"a": torch.zeros(5, 3)}).shape
    torch.Size([5, 2])
    """

    def __init__(self, modalities: Mapping[str, Modality], latents: Latents, subsets: Subsets) -> None:
        super().__init__()
        if subsets.modalities != len(modalities):
            raise IdentboxError(
                f"subsets: expected subsets of the {len(modalities)} modalities, got some of {subsets.modalities}"
            )
        missing = [name for name, one in modalities.items() if getattr(one, "likelihood", None) is None]
        if missing:
            raise IdentboxError(f"modality {missing[0]}: expected a likelihood, got none")
        if latents.family == "laplace" and max(map(len, subsets.members)) > 1:
            raise IdentboxError("subsets: expected one modality in each beside the family laplace, got more")
        self.latents, self.subsets = latents, subsets
        self.encoders = nn.ModuleDict({name: one.encoder for name, one in modalities.items()})
        self.decoders = nn.ModuleDict({name: one.decoder for name, one in modalities.items()})
        self.likelihoods = {name: one.likelihood for name, one in modalities.items()}
        # Log-spreads of the auxiliary priors q_psi(m_i), centred at 0 (Eq. 6.24); they start as the prior.
        self.auxiliary = nn.Parameter(torch.zeros(len(modalities), latents.specific))
        # Of a model whose shared dimensions were not trained as a posterior: its embeddings are the means of products
        # of all that is given, and those without any modality are drawn from this prior.
        self.shared_prior: SharedPrior | None = None
        # What decoders of such a model see of the shared dimensions: their direction, perhaps. So do its embeddings.
        self.seen_of_shared: Callable[[Tensor], Tensor] = lambda c: c

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in the order in which subsets number them."""
        return tuple(self.likelihoods)

    @property
    def device(self) -> torch.device:
        return self.auxiliary.device

    def encode(self, x: Data, present: Bool[Tensor, "n m"] | None = None) -> Encoded:
        """The experts of each modality. A modality that ``x`` lacks is missing from all samples.

        ``present`` says which modalities each sample has; its data may be anything where it has them not. Raises
        IdentboxError where ``x`` has no modality, one that the model does not know, or unequal numbers of samples.
        """
        n = self.expect(x, present)
        if len(x) < len(self.names):
            there = torch.tensor([name in x for name in self.names], device=self.device).expand(n, -1)
            present = there if present is None else there & present
        outputs = []
        for place, name in enumerate(self.names):
            if name not in x:
                outputs.append(self.auxiliary.new_zeros(n, self.latents.parameters))
                continue
            values = x[name]
            if present is not None:  # so that what is absent leaves no trace, NaN least of all
                values = masked(values, present[:, place])
            outputs.append(self.encoders[name](values))
        size, family = self.latents.shared, self.latents.family
        parts = [one.split([size, size, *[self.latents.specific] * 2], 1) for one in outputs]
        shared = stacked([density(family, part[0], part[1]) for part in parts])
        specific = stacked([density(family, part[2], part[3]) for part in parts])
        return Encoded(shared, specific if self.latents.specific else None, present)

    def posterior(self, x: Data, present: Bool[Tensor, "n m"] | None = None) -> Mixture:
        """The joint posterior of the shared dimensions given the modalities that are there (Eq. 5.17)."""
        encoded = self.encode(x, present)
        return self.joint(encoded)

    def joint(self, encoded: Encoded) -> Mixture:
        """The joint posterior of experts."""
        if self.shared_prior is not None:
            return self.product_of_all(encoded)
        return mixture(
            encoded.shared, self.subsets, present=encoded.present, prior_expert=self.latents.prior_expert
        )

    def product_of_all(self, encoded: Encoded) -> Mixture:
        """The product of all experts that are there, which is no mixture: the posterior of an MVAE."""
        whole = Subsets.all_modalities(len(self.names)) if self.latents.family == "gaussian" else self.subsets
        prior_expert = self.latents.prior_expert
        return mixture(encoded.shared, whole, present=encoded.present, prior_expert=prior_expert)

    @torch.no_grad()
    def embed(self, x: Data, present: Bool[Tensor, "n m"] | None = None) -> Float[Tensor, "n d"]:
        """The mean of the joint posterior given any modalities: the embedding that is probed."""
        return self.seen_of_shared(self.posterior(x, present).mean)

    def auxiliary_prior(self, place: int) -> Density:
        """The auxiliary prior q_psi(m_i) of a modality's own dimensions (Eq. 6.24)."""
        spread = self.auxiliary[place]
        return density(self.latents.family, torch.zeros_like(spread), spread)

    def log_likelihood(
        self, name: str, z: Float[Tensor, "*more n d"], x: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "*more n"]:
        """log p(x_i | z) of one modality at any number of latent points of each sample: one call of its decoder."""
        flat, decoder = z.reshape(-1, z.shape[-1]), self.decoders[name]
        if is_autoregressive(decoder):
            data = x.expand(*z.shape[:-1], *x.shape[1:]).reshape(len(flat), *x.shape[1:])
            parameters = decoder(flat, data)
        else:
            parameters = decoder(flat)
        expect_outputs(parameters, self.likelihoods[name], x.shape[1:], f"decoder of {name}")
        return self.likelihoods[name].log_density(parameters.view(*z.shape[:-1], *parameters.shape[1:]), x)

    def expect(self, x: Data, present: Tensor | None = None) -> int:
        """The number of samples. Raises IdentboxError for data that are not of this model's modalities."""
        unknown = [name for name in x if name not in self.names]
        if unknown or not x:
            got = ", ".join(unknown) or "none"
            raise IdentboxError(f"data: expected modalities among {', '.join(self.names)}; got {got}")
        sizes = {name: len(values) for name, values in x.items()}
        if len(set(sizes.values())) > 1 or 0 in sizes.values():
            raise IdentboxError(f"data: expected as many samples of each modality, at least one, got {sizes}")
        n = next(iter(sizes.values()))
        if present is not None and tuple(present.shape) != (n, len(self.names)):
            raise IdentboxError(
                f"present: expected the shape {(n, len(self.names))}, got {tuple(present.shape)}"
            )
        return n

    def expect_range(self, x: Data) -> None:
        """Raise IdentboxError where data are of another range than their likelihood's."""
        for name, values in x.items():
            self.likelihoods[name].expect(values, f"data of {name}")

    @torch.no_grad()
    def generate(
        self,
        names: Sequence[str] | None = None,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        given: Data | None = None,
        samples: int = 1,
        generator: torch.Generator,
    ) -> dict[str, Shaped[Tensor, "n ..."]]:
        """Modalities drawn from the model: from the prior, or ``given`` others from their joint posterior.

        Without ``given`` there are ``samples`` of them, otherwise one for each sample of it. Specific dimensions are
        drawn from the prior, also of a modality that is given. ``shapes`` has the shape of a sample of each modality.
        """
        if given is None:
            like = self.auxiliary.new_zeros(samples, self.latents.shared)
            start = prior(self.latents.family, like)
            shared = start.from_noise(start.noise(1, generator)[0])
        else:
            shared = self.posterior(given).sample(1, generator=generator)[0]
        made = {}
        for name in names or self.names:
            own = prior(self.latents.family, shared.new_zeros(len(shared), self.latents.specific))
            z = torch.cat([shared, own.noise(1, generator)[0]], 1)
            made[name] = generate(
                self.decoders[name], self.likelihoods[name], z, shape=shapes[name], generator=generator
            )
        return made


def masked(x: Shaped[Tensor, "n ..."], present: Bool[Tensor, " n"]) -> Shaped[Tensor, "n ..."]:
    """Data with zeros in the rows that are absent."""
    return x.masked_fill(~present.view(-1, *[1] * (x.dim() - 1)), 0)
