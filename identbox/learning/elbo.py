"""Objectives of multimodal VAEs: one function for the ELBOs of chapters 5 and 6, and their importance-weighted forms.

With S the set of subsets, w_A their weights, and z ~ q_A(z | x_A):

    5.18    sum_A w_A E log p(x | z) - beta KL(sum_A w_A q_A || p)        the divergence by Monte Carlo
    5.19    sum_A w_A { E log p(x | z) - beta KL(q_A || p) }              a lower bound of 5.18, in closed form
    IWAE    sum_A w_A E log 1/K sum_k p(x, z_k) / q(z_k)                  q the mixture, or q_A, as above

With specific dimensions m_i, decoders see (c, m_i), and each m_i has a divergence of its own (Eq. 6.17, 6.20). For a
modality that is not in A, MMVAE+ draws m_i from an auxiliary prior q_psi instead of q(m_i | x_i) (Eq. 6.22). As
printed, 6.22 lacks -KL(q_psi || p), and is no lower bound of log p(x): `strict` has that term, `published` has not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.learning.densities import Density, joined, prior
from identbox.learning.posteriors import Mixture, product
from identbox.learning.vae import Data, Encoded, MultimodalVAE, masked
from identbox.settings import Count, NonNegative, Positive, at_least, settings

Divergence = Literal["mixture", "components"]
Draws = Literal["all", "one", "each"]
Bound = Literal["elbo", "iwae", "dreg"]
Crossmodal = Literal["posterior", "published", "strict"]


@settings
class VaeObjective:
    """Which bound is maximised, and how it is estimated.

    Raises IdentboxError for choices that do not fit together.

    >>> print(VaeObjective(divergence="components", beta=2.5))
    ELBO with the divergences of components (Eq. 5.19), all subsets, K = 1, beta 2.5
    """

    # KL of the mixture by Monte Carlo (5.18), or the weighted sum of those of its components (5.19)
    divergence: Divergence = "components"
    bound: Bound = (
        "elbo"  # or importance weighted; dreg has the value of iwae, and gradients of less variance
    )
    # all subsets in turn; one drawn for each data point; or one for each of its K samples, which for iwae and dreg is
    # another, tighter bound: samples of the mixture itself
    subsets: Draws = "all"
    samples: Count = 1  # K
    beta: NonNegative = 1.0  # weight of the divergences
    weights: Mapping[str, Positive] = field(
        default_factory=dict
    )  # of modalities' likelihoods; 1 where not named
    crossmodal: Crossmodal = "posterior"  # specific dimensions of modalities that are not in the subset
    decoded: Literal["all", "own"] = "all"  # own: each subset reconstructs its own modalities alone
    # ELBOs that are added to that of all modalities (Wu and Goodman, 2018): of each modality, and of random subsets
    unimodal: bool = False
    random_subsets: Annotated[int, at_least(0)] = 0

    def __post_init__(self) -> None:
        if self.sub_sampling and (self.bound, self.divergence, self.subsets) != ("elbo", "components", "all"):
            raise IdentboxError(
                "unimodal, random_subsets: expected bound elbo, divergence components and all subsets beside them, "
                f"got {self.bound}, {self.divergence} and {self.subsets}"
            )

    @property
    def sub_sampling(self) -> bool:
        """Whether ELBOs of fewer modalities are added."""
        return self.unimodal or self.random_subsets > 0

    def expect_exact_gradients(self, subsets: int) -> None:
        """Raise IdentboxError where doubly reparametrised gradients would be biased.

        The identity behind them needs samples of the density that is in the weights: a component with its own
        density, or the mixture with independent draws from it.
        """
        if self.bound != "dreg" or self.divergence == "components" or subsets == 1:
            return
        if self.subsets != "each" or self.crossmodal != "posterior":
            raise IdentboxError(
                "bound: expected dreg beside the divergence components, or with a subset drawn for each sample and "
                f"crossmodal posterior, got {self.subsets} and {self.crossmodal}: its gradient would be biased"
            )

    def __str__(self) -> str:
        """The objective in words, as results name it."""
        equation = {"mixture": "5.18", "components": "5.19"}[self.divergence]
        kind = {
            "elbo": "ELBO",
            "iwae": "importance-weighted bound",
            "dreg": "importance-weighted bound (DReG)",
        }
        divergence = (
            "divergences of components" if self.divergence == "components" else "mixture's divergence"
        )
        draws = {"all": "all subsets", "one": "one subset a sample", "each": "a subset for each of K samples"}
        parts = [f"{kind[self.bound]} with the {divergence} (Eq. {equation})", draws[self.subsets]]
        parts += [f"K = {self.samples}", f"beta {self.beta:g}"]
        parts += [f"weight of {name} {weight:g}" for name, weight in self.weights.items()]
        if self.crossmodal != "posterior":
            parts.append(f"crossmodal from auxiliary priors, {self.crossmodal} (Eq. 6.22)")
        parts += ["own modalities decoded"] if self.decoded == "own" else []
        parts += ["unimodal ELBOs added"] if self.unimodal else []
        parts += [f"{self.random_subsets} random ELBOs added"] if self.random_subsets else []
        return ", ".join(parts)


@dataclass(frozen=True)
class BoundTerms:
    """A bound of n samples, and its terms before weights and beta."""

    value: Float[Tensor, " n"]  # the objective, to be maximised
    reconstruction: dict[str, Float[Tensor, " n"]]  # expected log p(x_i | z), by modality
    shared: Float[Tensor, " n"]  # divergence of the shared dimensions
    specific: dict[str, Float[Tensor, " n"]]  # and of each modality's own

    def terms(self) -> dict[str, Float[Tensor, " n"]]:
        """Every term by a name that a person can read."""
        return {
            **{f"reconstruction of {name}": values for name, values in self.reconstruction.items()},
            "divergence of the shared dimensions": self.shared,
            **{f"divergence of the dimensions of {name}": values for name, values in self.specific.items()},
        }


def bound(
    model: MultimodalVAE,
    x: Data,
    objective: VaeObjective,
    *,
    generator: torch.Generator,
    present: Bool[Tensor, "n m"] | None = None,
) -> BoundTerms:
    """The objective of each sample, by one call of every encoder and decoder.

    ``x`` has the modalities that are there, and ``present`` (n, m) says which of them each sample has. What is missing
    is neither encoded nor reconstructed. Raises IdentboxError for data that do not fit the model.
    """
    objective.expect_exact_gradients(len(model.subsets))
    encoded = model.encode(x, present)
    strata = _strata(model, encoded, objective, generator)
    estimate = _Estimate(model, x, objective, encoded, strata, generator)
    z = estimate.points()
    hooked, specific, log_likelihood = [z], {}, {}
    for place, name in enumerate(model.names):
        if name not in x:
            continue
        latent = z
        if encoded.specific is not None:
            m, reparametrised, specific[name] = estimate.specific(place, z.shape[:-1])
            hooked.append(reparametrised)
            latent = torch.cat([z, m], -1)
        log_likelihood[name] = estimate.reconstruction(place, latent)
    return estimate.bound(log_likelihood, estimate.shared_ratio(z), specific, hooked)


@dataclass(frozen=True)
class _Strata:
    """Components from which z is drawn, beside each other: r of them for each of n samples."""

    components: Density  # (r, n, d), or (k, r, n, d)
    weights: Tensor  # (r, n) or (r, 1), of each in the objective
    inside: Bool[Tensor, "*k r _ m"]  # whether a modality is in the subset of a component
    extra: int = 0  # the last so many are ELBOs of their own: they reconstruct their own modalities alone


def _strata(
    model: MultimodalVAE, encoded: Encoded, objective: VaeObjective, generator: torch.Generator
) -> _Strata:
    """The components to draw from: all of the mixture, or those drawn by weight; then ELBOs that are added."""
    joint = model.joint(encoded)
    there = _there(model.subsets.mask_on(model.device), encoded)
    if objective.subsets == "all":
        strata = _Strata(joint.components, joint.weights, there)
        return _with_extra(model, encoded, objective, strata, generator) if objective.sub_sampling else strata
    drawn = joint.draw_subsets(objective.samples if objective.subsets == "each" else 1, generator)  # (k, n)
    n = drawn.shape[1]
    inside = there.expand(-1, n, -1)[drawn, torch.arange(n, device=drawn.device)]
    components, one = joint.chosen(drawn), joint.weights.new_ones(1, 1)
    if objective.subsets == "one":
        return _Strata(components, one, inside)
    return _Strata(components.map(lambda values: values[:, None]), one, inside[:, None])


def _with_extra(
    model: MultimodalVAE,
    encoded: Encoded,
    objective: VaeObjective,
    strata: _Strata,
    generator: torch.Generator,
) -> _Strata:
    """The strata, and those of ELBOs of single modalities and of random subsets."""
    m, n, device = len(model.names), encoded.shared.mean.shape[1], model.device
    single = torch.eye(m, dtype=torch.bool, device=device)[: m * objective.unimodal]
    # Any subset but the empty one and the whole is as probable as another.
    size = (objective.random_subsets, 1)
    numbers = torch.randint(1, max(2, 2**m - 1), size, generator=generator, device=device)
    mask = torch.cat([single, (numbers >> torch.arange(m, device=device)) % 2 == 1])
    more = product(encoded.shared, mask, present=encoded.present, prior_expert=model.latents.prior_expert)
    inside = _there(mask, encoded).expand(-1, n, -1)
    weights = inside.any(-1).to(strata.weights)
    return _Strata(
        joined(strata.components, more),
        torch.cat([strata.weights.expand(-1, n), weights]),
        torch.cat([strata.inside.expand(-1, n, -1), inside]),
        extra=len(mask),
    )


def _there(mask: Bool[Tensor, "s m"], encoded: Encoded) -> Bool[Tensor, "s _ m"]:
    """Which modalities of each subset a sample has."""
    return mask[:, None] if encoded.present is None else mask[:, None] & encoded.present


@dataclass(frozen=True)
class _Estimate:
    """One estimate of a bound: what it is of, and where its latent points come from."""

    model: MultimodalVAE
    x: Data
    objective: VaeObjective
    encoded: Encoded
    strata: _Strata
    generator: torch.Generator

    @property
    def closed(self) -> bool:
        """Whether divergences of densities that are no mixtures are taken in closed form."""
        return self.objective.bound == "elbo"

    def points(self) -> Float[Tensor, "k r n d"]:
        """K samples of every stratum; of strata that are drawn for each of the K, one."""
        components = self.strata.components
        if components.mean.dim() == 4:
            return components.from_noise(components.noise(1, self.generator)[0])
        return components.from_noise(components.noise(self.objective.samples, self.generator))

    def shared_ratio(self, z: Float[Tensor, "k r n d"]) -> Float[Tensor, "*k r n"]:
        """log q(z) - log p(z) at the samples, or its expectation in closed form."""
        if self.objective.divergence == "components":
            return (
                self.strata.components.kl_to_prior()
                if self.closed
                else self._ratio(self.strata.components, z)
            )
        joint = self.model.joint(self.encoded)
        q = Mixture(joint.components.map(self._constant), joint.log_weights)
        return q.log_density(z) - prior(self.model.latents.family, z).log_density(z)

    def specific(
        self, place: int, shape: torch.Size
    ) -> tuple[Float[Tensor, "k r n s"], Tensor, Float[Tensor, "*k r n"]]:
        """Samples of a modality's own dimensions, those whose gradients DReG changes, and log q(m) - log p(m)."""
        assert self.encoded.specific is not None
        posterior = self.encoded.specific.map(lambda values: values[place])
        rows = posterior.map(lambda values: values.expand(*shape, -1))
        noise = rows.noise(1, self.generator)[0]
        m = hooked = rows.from_noise(noise)
        own = self.strata.inside[..., place]
        crossmodal = self.objective.crossmodal
        if crossmodal == "posterior":
            ratio = self._ratio(posterior, m)
        else:
            auxiliary = self.model.auxiliary_prior(place)
            m = torch.where(own[..., None], m, auxiliary.from_noise(noise))
            other = self._ratio(auxiliary, m) if crossmodal == "strict" else m.new_zeros(())
            # The published weights do not have the density of an auxiliary prior: its gradient is the plain one.
            hooked = m if crossmodal == "strict" else hooked
            ratio = torch.where(own, self._ratio(posterior, m), other)
        wanted = self._wanted(place)
        if wanted is not None:
            ratio = torch.where(wanted, ratio, 0.0)
        return m, hooked, ratio.expand(shape if ratio.dim() > 2 else shape[1:])

    def reconstruction(self, place: int, latent: Float[Tensor, "k r n d"]) -> Float[Tensor, "k r n"]:
        """log p(x_i | z) at the samples; 0 where it is not wanted."""
        name, wanted = self.model.names[place], self._wanted(place)
        x = self.x[name]
        if self.encoded.present is not None:
            x = masked(x, self.encoded.present[:, place])
        if wanted is None:
            return self.model.log_likelihood(name, latent, x)
        values = latent.new_zeros(latent.shape[:-1])
        # Strata that nothing of this modality is wanted from do not go through its decoder.
        rows = wanted.any(-1).nonzero()[:, 0] if wanted.dim() == 2 else torch.arange(latent.shape[1])
        rows = rows.to(latent.device)
        values = values.index_copy(1, rows, self.model.log_likelihood(name, latent[:, rows], x))
        return torch.where(wanted, values, 0.0)

    def _wanted(self, place: int) -> Bool[Tensor, "*k r _"] | None:
        """Of which strata and samples a modality is reconstructed; None where of all."""
        present, inside = self.encoded.present, self.strata.inside[..., place]
        if self.objective.decoded == "own":
            return inside
        there = None if present is None else present[:, place].expand(len(inside), -1)
        if not self.strata.extra:
            return there
        wanted = inside.clone()
        wanted[: -self.strata.extra] = True if there is None else there[: -self.strata.extra]
        return wanted

    def _ratio(self, q: Density, m: Tensor) -> Tensor:
        """log q(m) - log p(m) at the samples, or for an ELBO its expectation in closed form."""
        if self.closed:
            return q.kl_to_prior()
        return q.map(self._constant).log_density(m) - prior(q.family, m).log_density(m)

    def _constant(self, values: Tensor) -> Tensor:
        """In the weights of DReG densities are constants: gradients come through the samples alone."""
        return values.detach() if self.objective.bound == "dreg" else values

    def bound(
        self,
        log_likelihood: dict[str, Tensor],
        shared: Tensor,
        specific: dict[str, Tensor],
        hooked: list[Tensor],
    ) -> BoundTerms:
        """The bound from its terms at the samples."""
        objective, weights = self.objective, self.strata.weights
        weighted = sum(objective.weights.get(name, 1.0) * one for name, one in log_likelihood.items())
        log_weight = weighted - objective.beta * (shared + sum(specific.values()))  # (k, r, n)
        if objective.bound == "elbo":
            values = log_weight.mean(0)
        else:
            values = log_weight.logsumexp(0) - math.log(len(log_weight))
        if objective.bound == "dreg":
            _reparametrise_twice(hooked, log_weight.detach().softmax(0), objective.beta)

        def mean(term: Tensor) -> Tensor:
            """Over the samples and the strata, without the ELBOs that are added."""
            averaged = term if term.dim() == 2 else term.mean(0)
            kept = len(averaged) - self.strata.extra
            return (weights[:kept] * averaged[:kept]).sum(0).detach()

        return BoundTerms(
            value=(weights * values).sum(0),
            reconstruction={name: mean(term) for name, term in log_likelihood.items()},
            shared=mean(shared),
            specific={name: mean(term) for name, term in specific.items()},
        )


def _reparametrise_twice(points: list[Tensor], weights: Float[Tensor, "k r n"], beta: float) -> None:
    """Make the gradients that reach samples doubly reparametrised (Tucker et al., 2019).

    With w_k the normalised weights, the gradient of the log-mean-exp reaches sample k times w_k. Its other part, that
    of the density in the weights, has the same expectation as -beta w_k (1 - w_k) d/dz log p(x, z_k)/q(z_k) through the
    sample: together the factor 1 - beta (1 - w_k), which for beta 1 is w_k.
    """
    factor = (1 - beta * (1 - weights))[..., None]
    for one in points:
        if one.requires_grad:
            one.register_hook(lambda gradient: gradient * factor)
