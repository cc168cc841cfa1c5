"""The joint posterior of a multimodal VAE: a mixture of products of experts over subsets (Definition 6).

Each modality's encoder is an expert, a density of z. The experts of a subset A, and the prior as one more, make a
product q_A(z | x_A), and the posterior is the mixture sum_A w_A q_A(z | x_A). The set of subsets and their weights say
which model it is: all modalities (MVAE), each alone (MMVAE), every subset (MoPoE-VAE), or any others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from operator import itemgetter
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from identbox.errors import IdentboxError
from identbox.learning.densities import Density, Gaussian, Laplace, density, prior, spread
from identbox.settings import Count, Probability, settings

MOST_MODALITIES = 12  # of the powerset, which then has 4095 subsets
WEIGHT_TOLERANCE = 1e-6  # by which the sum of weights may differ from 1
# Logarithms of precisions are kept within these bounds: their products with means then neither overflow float32 nor
# lose digits near its smallest numbers. Log-variances from -64 on need no shift, and those from -40 to 100 are exact.
HIGHEST, LOWEST = 64.0, -76.0


@settings(kw_only=False)
class Subsets:
    """Subsets of M modalities, numbered from 0, and the weight of each in the mixture (Definition 6).

    Without weights all subsets weigh the same. Raises IdentboxError for a subset that is empty, names a modality
    twice or one that there is not, for two equal subsets, and for weights that do not sum to one.

    >>> Subsets.powerset(2)
    Subsets(modalities=2, members=((0,), (1,), (0, 1)), weights=(0.333..., 0.333..., 0.333...))
    >>> Subsets(3, [(0,), (0, 2)], [0.25, 0.75]).mask
    tensor([[ True, False, False],
            [ True, False,  True]])
    """

    modalities: Count
    members: tuple[tuple[int, ...], ...]
    weights: tuple[Probability, ...] = ()

    def __post_init__(self) -> None:
        if not self.members:
            raise IdentboxError("subsets: expected at least one, got none")
        for place, subset in enumerate(self.members):
            if not subset:
                raise IdentboxError(f"subsets[{place}]: expected at least one modality, got none")
            if len(set(subset)) < len(subset) or not 0 <= min(subset) <= max(subset) < self.modalities:
                raise IdentboxError(
                    f"subsets[{place}]: expected different modalities of 0 to {self.modalities - 1}, "
                    f"got {', '.join(map(str, subset))}"
                )
        if len({frozenset(subset) for subset in self.members}) < len(self.members):
            raise IdentboxError("subsets: expected different ones, got one twice")
        weights = self.weights or (1 / len(self.members),) * len(self.members)
        if len(weights) != len(self.members):
            raise IdentboxError(
                f"weights: expected one for each of {len(self.members)} subsets, got {len(weights)}"
            )
        if abs(math.fsum(weights) - 1) > WEIGHT_TOLERANCE:
            raise IdentboxError(f"weights: expected a sum of 1, got {math.fsum(weights):g}")
        object.__setattr__(self, "weights", weights)

    @staticmethod
    def all_modalities(modalities: int) -> Subsets:
        """The one subset of all modalities: MVAE."""
        return Subsets(modalities, (tuple(range(modalities)),))

    @staticmethod
    def single(modalities: int) -> Subsets:
        """Each modality alone: MMVAE."""
        return Subsets(modalities, tuple((k,) for k in range(modalities)))

    @staticmethod
    def powerset(modalities: int) -> Subsets:
        """Every subset but the empty one, small ones first: MoPoE-VAE."""
        if modalities > MOST_MODALITIES:
            raise IdentboxError(
                f"subsets: expected at most {MOST_MODALITIES} modalities for all of their subsets, got {modalities}"
            )
        sizes = range(1, modalities + 1)
        return Subsets(
            modalities, tuple(one for size in sizes for one in combinations(range(modalities), size))
        )

    @staticmethod
    def of_names(
        names: Sequence[str], lists: Sequence[Sequence[str]], weights: Sequence[float] = ()
    ) -> Subsets:
        """Subsets from lists of the modalities' names, as a TOML file has them."""
        known = {name: place for place, name in enumerate(names)}
        for place, subset in enumerate(lists):
            unknown = [name for name in subset if name not in known]
            if unknown:
                raise IdentboxError(
                    f"subsets[{place}]: expected modalities among {', '.join(names)}; got {', '.join(unknown)}"
                )
        members = tuple(tuple(known[name] for name in subset) for subset in lists)
        return Subsets(len(names), members, tuple(weights))

    def given(self, known: Sequence[int]) -> Subsets:
        """The subsets when only the modalities ``known`` are there: each keeps those of them, and equal ones are one.

        A subset that keeps none is left out, and the others share its weight in proportion to theirs. Raises
        IdentboxError where none is left.

        >>> Subsets.powerset(3).given([0, 2])
        Subsets(modalities=3, members=((0,), (2,), (0, 2)), weights=(0.333..., 0.333..., 0.333...))
        """
        weights: dict[tuple[int, ...], float] = {}
        for subset, weight in zip(self.members, self.weights, strict=True):
            kept = tuple(sorted(set(subset) & set(known)))
            if kept:
                weights[kept] = weights.get(kept, 0.0) + weight
        total = math.fsum(weights.values())
        if not total > 0:
            raise IdentboxError(f"subsets: expected one with a modality among {list(known)}, got none")
        ordered = sorted(weights, key=lambda one: (len(one), one))
        return Subsets(self.modalities, tuple(ordered), tuple(weights[one] / total for one in ordered))

    def __len__(self) -> int:
        return len(self.members)

    @property
    def mask(self) -> Bool[Tensor, "s m"]:
        """Which modalities are in which subset."""
        mask = torch.zeros(len(self), self.modalities, dtype=torch.bool)
        for place, subset in enumerate(self.members):
            mask[place, list(subset)] = True
        return mask

    def mask_on(self, device: torch.device | str) -> Bool[Tensor, "s m"]:
        """`mask` on a device, where it is kept; nobody may change it."""
        return _mask_on(self, torch.device(device))

    def names(self, modalities: Sequence[str]) -> list[str]:
        """The name of each subset: those of its modalities, joined by +."""
        return ["+".join(modalities[k] for k in subset) for subset in self.members]

    def log_weights_on(self, device: torch.device | str) -> Float[Tensor, "s 1"]:
        """`log_weights` of complete samples on a device, where they are kept; nobody may change them."""
        return _log_weights_on(self, torch.device(device))

    def log_weights(self, present: Bool[Tensor, "n m"] | None = None) -> Float[Tensor, "s _"]:
        """Logarithms of the weights: (s, 1), or (s, n) where modalities are missing.

        Of a sample, each subset keeps the modalities that are present. A subset that keeps none has weight 0, and the
        others share its weight in proportion to theirs. Every weight is 0 where no modality is present.
        """
        weights = torch.tensor(self.weights, dtype=torch.float64)
        if present is None:
            return weights.log()[:, None]
        left = self.mask_on(present.device).double() @ present.double().T > 0
        shares = left * weights.to(present.device)[:, None]
        return (shares / shares.sum(0).clamp(min=torch.finfo(shares.dtype).tiny)).log()


@cache
def _mask_on(subsets: Subsets, device: torch.device) -> Tensor:
    return subsets.mask.to(device)


@cache
def _log_weights_on(subsets: Subsets, device: torch.device) -> Tensor:
    return subsets.log_weights().to(device)


def product(
    experts: Density,
    mask: Bool[Tensor, "s m"] | Bool[Tensor, "s n m"],
    *,
    present: Bool[Tensor, "n m"] | None = None,
    prior_expert: bool = True,
) -> Density:
    """The products of experts of several subsets at once: (s, n, d) from experts (m, n, d).

    For Gaussian experts, with p_i the precision of expert i, and 1 that of the prior expert:

        precision_A = 1 + sum_{i in A} p_i        mean_A = sum_{i in A} p_i mean_i / precision_A

    ``mask`` says which modalities are in which subset, for all samples alike (s, m) or for each (s, n, m); ``present``
    says which modalities a sample has. What is absent may be any number, NaN included. A subset without experts
    is the prior. Parameters of 16 bits are computed, and returned, in float32.

    Laplace experts have no product of their own family: there subsets have one modality each and no prior expert.
    """
    if experts.mean.dtype in (torch.float16, torch.bfloat16):
        experts = experts.map(Tensor.float)
    if present is not None:
        absent = ~present.T[..., None]
        experts = experts.map(lambda values: values.masked_fill(absent, 0.0))
    if isinstance(experts, Laplace):
        return _selected(experts, mask, present, prior_expert)
    precision, shift = _precisions(experts, present, prior_expert)
    of_prior = (-shift).exp() if prior_expert else torch.zeros_like(shift)
    empty = None if prior_expert else _without_experts(mask, present)[..., None]
    if mask.dim() == 2:
        chosen = mask.to(precision)
        return Gaussian(*_Products.apply(precision, precision * experts.mean, chosen, of_prior, shift, empty))
    total, weighted = _summed(mask, precision) + of_prior, _summed(mask, precision * experts.mean)
    if empty is None:
        return Gaussian(weighted / total, -(total.log() + shift))
    total = total.masked_fill(empty, 1.0)
    return Gaussian(weighted / total, (-(total.log() + shift)).masked_fill(empty, 0.0))


class _Products(torch.autograd.Function):
    """Means and log-variances of all subsets, in the memory of the two results alone.

    Ten times as large as the experts, a further tensor costs more time than what is computed in it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        precision: Tensor,
        weighted: Tensor,
        mask: Tensor,
        of_prior: Tensor,
        shift: Tensor,
        empty: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        shape = (len(mask), *precision.shape[1:])
        total = (mask @ precision.flatten(1)).view(shape).add_(of_prior)
        if empty is not None:
            total.masked_fill_(empty, 1.0)
        mean = (mask @ weighted.flatten(1)).view(shape).div_(total)
        log_variance = total.log_().add_(shift).neg_()
        if empty is not None:
            log_variance.masked_fill_(empty, 0.0)
        ctx.save_for_backward(mean, log_variance, mask, shift)
        return mean, log_variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_mean: Tensor, for_log_variance: Tensor) -> Any:
        mean, log_variance, mask, shift = ctx.saved_tensors
        inverse = (log_variance + shift).exp_()  # 1 / total
        for_weighted = inverse * for_mean
        for_total = inverse.mul_(for_log_variance).addcmul_(for_weighted, mean).neg_()
        parts = (mask.T @ part.flatten(1) for part in (for_total, for_weighted))
        return (*(part.view(-1, *mean.shape[1:]) for part in parts), None, None, None, None)


def _precisions(experts: Gaussian, present: Tensor | None, prior_expert: bool) -> tuple[Tensor, Tensor]:
    """exp(log precision - shift) of each expert (m, n, d), and the shift (n, d) that keeps it within bounds."""
    log_precision = -experts.log_variance
    with torch.no_grad():
        high = log_precision.amax(0)
        if prior_expert:
            shift = (high - HIGHEST).clamp(min=0)
        else:
            shift = torch.maximum(high - HIGHEST, (log_precision.amin(0) - LOWEST).clamp(max=0))
    precision = (log_precision - shift).exp()
    if present is not None:
        precision = precision * present.T[..., None]
    return precision, shift


def _summed(mask: Tensor, values: Tensor) -> Tensor:
    """Sums of values (m, n, d) over the modalities of each subset: (s, n, d)."""
    chosen = mask.to(values.device, values.dtype)
    if chosen.dim() == 2:
        return (chosen @ values.flatten(1)).view(len(chosen), *values.shape[1:])
    return torch.einsum("snm,mnd->snd", chosen, values)


def _without_experts(mask: Tensor, present: Tensor | None) -> Tensor:
    """Which subsets have no modality of a sample: (s, 1) or (s, n)."""
    there = mask if mask.dim() == 3 else mask[:, None]
    if present is not None:
        there = there.to(present.device) & present
    return ~there.any(-1)


def _selected(experts: Laplace, mask: Tensor, present: Tensor | None, prior_expert: bool) -> Laplace:
    """The one expert of each subset; the prior where it is missing."""
    if prior_expert:
        raise IdentboxError("experts: expected no prior expert beside Laplace experts, got one")
    if int(mask.sum(-1).max()) > 1:
        raise IdentboxError(
            "subsets: expected one modality in each of Laplace experts, got more: their product is no Laplace density"
        )
    # Where no expert is left, sums over none give the prior: mean 0 and log-scale 0.
    return Laplace(_summed(mask, experts.mean), _summed(mask, experts.log_scale))


@dataclass(frozen=True)
class Mixture:
    """A mixture of densities: q(z) = sum_A w_A q_A(z), for n samples (Eq. 5.17)."""

    components: Density  # (s, n, d)
    log_weights: Float[Tensor, "s _"]  # (s, n), or (s, 1) where they are the same for all samples

    @property
    def weights(self) -> Float[Tensor, "s _"]:
        return self.log_weights.exp()

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        """The mean of each sample's mixture."""
        return (self.weights[..., None] * self.components.mean).sum(0)

    def log_density(self, z: Float[Tensor, "*more n d"]) -> Float[Tensor, "*more n"]:
        """log q(z) of any number of points for each sample."""
        # One component at a time: a tensor of all points and components may not fit into memory.
        parts = [
            self.components.map(itemgetter(k)).log_density(z) + self.log_weights[k]
            for k in range(len(self.log_weights))
        ]
        return torch.stack(parts).logsumexp(0)

    def draw_subsets(self, samples: int, generator: torch.Generator) -> Int[Tensor, "k n"]:
        """The number of a component for each of k points of each sample, with the probability of its weight."""
        n = self.components.mean.shape[1]
        weights = self.weights.double().expand(-1, n).T.contiguous()
        if samples == 1:  # what multinomial does then, without its look at the weights, which waits for a GPU
            return (weights / torch.empty_like(weights).exponential_(generator=generator)).argmax(1)[None]
        return torch.multinomial(weights, samples, replacement=True, generator=generator).T

    def chosen(self, subsets: Int[Tensor, "k n"]) -> Density:
        """The components of those numbers: (k, n, d)."""
        index = subsets[..., None].expand(*subsets.shape, self.components.mean.shape[-1])
        return self.components.map(lambda values: values.gather(0, index))

    def sample(self, samples: int, *, generator: torch.Generator) -> Float[Tensor, "k n d"]:
        """Independent points from the mixture, each from a component drawn by weight."""
        chosen = self.chosen(self.draw_subsets(samples, generator))
        return chosen.from_noise(chosen.noise(1, generator)[0])

    def mean_component_kl(self) -> Float[Tensor, " n"]:
        """sum_A w_A KL(q_A || p) in closed form: an upper bound of KL(q || p) (Eq. 5.10)."""
        return (self.weights * self.components.kl_to_prior()).sum(0)

    def kl_to_prior(self, samples: int, *, generator: torch.Generator) -> Float[Tensor, " n"]:
        """KL(q || p) by Monte Carlo, with ``samples`` points from every component (Eq. 5.18)."""
        z = self.components.from_noise(self.components.noise(samples, generator))
        ratio = self.log_density(z) - prior(self.components.family, z).log_density(z)
        return (self.weights * ratio.mean(0)).sum(0)


def mixture(
    experts: Density,
    subsets: Subsets,
    *,
    present: Bool[Tensor, "n m"] | None = None,
    prior_expert: bool = True,
) -> Mixture:
    """The joint posterior (Eq. 5.17) of experts (m, n, d), for samples that may lack modalities.

    A sample without any modality has the prior as its posterior.
    """
    device = experts.mean.device
    components = product(experts, subsets.mask_on(device), present=present, prior_expert=prior_expert)
    log_weights = subsets.log_weights_on(device) if present is None else subsets.log_weights(present)
    if present is not None:  # the product of no experts is the prior already
        nothing = ~present.any(1)
        log_weights = log_weights.masked_fill(nothing, -math.log(len(subsets)))
    return Mixture(components, log_weights.to(components.mean))


def stacked(experts: Sequence[Density]) -> Density:
    """Experts (n, d) of several modalities as one density (m, n, d)."""
    means = torch.stack([expert.mean for expert in experts])
    return density(experts[0].family, means, torch.stack([spread(expert) for expert in experts]))
