"""Log-likelihoods of multimodal VAEs by importance sampling: log p(x), log p(x_A) and log p(x_B | x_A).

With z_1 .. z_K from a proposal q(z | x_A), the posterior of the model,

    log p(x_A) ~ log 1/K sum_k p(x_A, z_k) / q(z_k | x_A)

is a lower bound in expectation that rises with K to log p(x_A). It is taken with the raw likelihoods and beta 1,
whatever the model was trained with. The value of a sample depends on the seed, its number and its data alone: not on
its place in a batch, on the size of the batch, or on other samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.densities import Density, prior
from identbox.learning.posteriors import Mixture, mixture
from identbox.learning.vae import Data, Encoded, MultimodalVAE, masked

Proposal = Literal["joint", "product", "prior"]
POINTS = 256  # samples of z for each data point at a time
OUTPUTS_AT_A_TIME = 2**24  # at most, of a decoder's outputs at a time: 64 MiB
LEAST_EFFECTIVE = (
    30.0  # effective samples, below which an estimate is marked: its error is then no error of a normal
)


@dataclass(frozen=True, repr=False)
class LogLikelihood:
    """Estimates of n log-likelihoods in nats, with what they rest on."""

    values: Float[Tensor, " n"]
    errors: Float[Tensor, " n"]  # standard errors
    effective: Float[Tensor, " n"]  # effective number of samples: (sum w)^2 / sum w^2
    samples: int  # K
    what: str  # in words: of which modalities, given which, by which proposal
    scales: str  # the likelihoods of the modalities

    @property
    def mean(self) -> float:
        """The mean over the data."""
        return self.values.mean().item()

    @property
    def error(self) -> float:
        """The standard error of `mean` from sampling z; that of the choice of data is not in it."""
        return (self.errors.square().sum().sqrt() / len(self.errors)).item()

    @property
    def too_few(self) -> Bool[Tensor, " n"]:
        """Where K is too small for the estimate to be trusted."""
        return self.effective < LEAST_EFFECTIVE

    def record(self) -> dict[str, float | int | str]:
        """The estimate as results have it."""
        return {
            "what": self.what,
            "likelihoods": self.scales,
            "samples": self.samples,
            "data": len(self.values),
            "mean": self.mean,
            "error": self.error,
            "least_effective": self.effective.min().item(),
            "too_few_samples": int(self.too_few.sum()),
        }

    def __repr__(self) -> str:
        few = int(self.too_few.sum())
        warning = f"; K is too small for {few} of {len(self.values)}" if few else ""
        return (
            f"{self.what} = {self.mean:.4f} ± {self.error:.4f} (K = {self.samples}, {self.scales}{warning})"
        )


@torch.no_grad()
def log_likelihood(
    model: MultimodalVAE,
    x: Data,
    names: Sequence[str] | None = None,
    *,
    given: Sequence[str] = (),
    samples: int = 1000,
    proposal: Proposal = "joint",
    inputs: Sequence[str] | None = None,
    present: Bool[Tensor, "n m"] | None = None,
    seed: int,
    first: int = 0,
) -> LogLikelihood:
    """log p(x_names), or log p(x_names | x_given), of every sample.

    The proposal is the model's own posterior given the modalities in question: ``joint`` the mixture of Definition 6,
    ``product`` the product of all experts, ``prior`` none of them. Specific dimensions come from the posterior of
    their modality. With ``inputs``, shared dimensions are proposed from the joint posterior given these modalities
    alone (Figure 5.1c), whatever the likelihood is of. A conditional is a difference of two such estimates. ``present``
    (n, m) says which modalities each sample has: the others are left out of its likelihood. Without ``names`` it is of
    all modalities in ``x`` that are not given. ``first`` is the number of the first sample, for data in parts.

    Raises IdentboxError for fewer than one of ``samples``, modalities that are not there or both wanted and given, and
    data of another range than their likelihood's.
    """
    wanted = tuple(names) if names is not None else tuple(name for name in x if name not in given)
    n = _expect(model, x, wanted, tuple(given), samples, present)
    if inputs is not None and (proposal != "joint" or given or not inputs or not set(inputs) <= set(wanted)):
        raise IdentboxError(
            f"inputs: expected modalities among {', '.join(wanted)}, nothing given and the proposal joint, "
            f"got {', '.join(inputs) or 'none'}"
        )
    whole = {name: x[name] for name in model.names if name in (*wanted, *given)}
    places = None if inputs is None else tuple(model.names.index(name) for name in inputs)
    estimate = _Estimator(model, samples, proposal, seed, places)
    values, relative, effective = estimate.all(whole, present, n, first)
    errors = relative.square()
    if given:
        condition = {name: x[name] for name in model.names if name in given}
        below, more, fewest = estimate.all(condition, present, n, first)
        values, errors, effective = values - below, errors + more.square(), effective.minimum(fewest)
    text = ", ".join(wanted) + (f" | {', '.join(given)}" if given else "")
    return LogLikelihood(
        values=values,
        errors=errors.sqrt(),
        effective=effective,
        samples=samples,
        what=f"log p({text}) by importance sampling from the {_proposed(proposal, inputs)}",
        scales="; ".join(f"{name}: {model.likelihoods[name]}" for name in whole),
    )


_PROPOSALS = {"joint": "joint posterior", "product": "product of all experts", "prior": "prior"}


def _proposed(proposal: Proposal, inputs: Sequence[str] | None) -> str:
    """The proposal in words."""
    return _PROPOSALS[proposal] if inputs is None else f"joint posterior given {', '.join(inputs)}"


def _expect(
    model: MultimodalVAE,
    x: Data,
    wanted: tuple[str, ...],
    given: tuple[str, ...],
    samples: int,
    present: Tensor | None,
) -> int:
    if samples < 1:
        raise IdentboxError(f"samples: expected at least 1, got {samples}")
    n = model.expect(x, present)
    missing = [name for name in (*wanted, *given) if name not in x]
    if missing or not wanted or set(wanted) & set(given):
        got = f"{', '.join(wanted) or 'none'} given {', '.join(given) or 'none'}"
        raise IdentboxError(
            f"names: expected modalities of the data ({', '.join(x)}), each wanted or given, got {got}"
        )
    if present is None:
        model.expect_range(x)
    else:
        for name, values in x.items():
            there = present[:, model.names.index(name)]
            model.likelihoods[name].expect(values[there.to(values.device)], f"data of {name}")
    return n


@dataclass(frozen=True)
class _Estimator:
    """Importance sampling with K samples of each data point."""

    model: MultimodalVAE
    samples: int
    proposal: Proposal
    seed: int
    inputs: tuple[int, ...] | None = None  # the modalities from which shared dimensions are proposed

    def all(
        self, x: Data, present: Tensor | None, n: int, first: int
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Log-means, their standard errors and effective numbers of samples, block by block of the data."""
        parts = []
        for rows in self._blocks(x, n):
            block = {name: values[rows] for name, values in x.items()}
            there = None if present is None else present[rows]
            parts.append(self._block(block, there, first + rows.start))
        log_mean, effective = (torch.cat(values) for values in zip(*parts, strict=True))
        # By the delta method, from the variance of the weights within the sample.
        errors = (1 / effective - 1 / self.samples).clamp(min=0).sqrt()
        return log_mean, errors, effective

    def _blocks(self, x: Data, n: int) -> Iterator[slice]:
        """Parts of the data, so that the outputs of a decoder for one of them fit into memory."""
        outputs = max(
            math.prod(self.model.likelihoods[name].outputs(tuple(values.shape[1:])))
            for name, values in x.items()
        )
        widest = max(outputs, self.model.latents.parameters)
        size = max(1, OUTPUTS_AT_A_TIME // (widest * min(POINTS, self.samples)))
        return (slice(start, min(start + size, n)) for start in range(0, n, size))

    def _block(self, x: Data, present: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
        """The log-mean of the weights of each sample, and their effective number."""
        encoded = self.model.encode(x, present)
        n = encoded.shared.mean.shape[1]
        streams = [
            seeding.generator(self.seed, "likelihood", first + k, device=self.model.device) for k in range(n)
        ]
        joint = self._proposal(encoded)
        numbers = self._components(joint, streams)
        sums: list[Tensor] = []  # of weights and of their squares, in logarithms
        for start in range(0, self.samples, POINTS):
            log_weights = self._log_weights(x, encoded, joint, numbers[start : start + POINTS], streams)
            sums.append(torch.stack([log_weights.logsumexp(0), (2 * log_weights).logsumexp(0)]))
        total, squares = torch.stack(sums).logsumexp(0)
        return total - math.log(self.samples), (2 * total - squares).exp()

    def _proposal(self, encoded: Encoded) -> Mixture:
        if self.inputs is not None:
            subsets, alone = self.model.subsets.given(self.inputs), self.model.latents.prior_expert
            return mixture(encoded.shared, subsets, present=encoded.present, prior_expert=alone)
        if self.proposal == "joint":
            return self.model.joint(encoded)
        if self.proposal == "product":
            return self.model.product_of_all(encoded)
        standard = prior(self.model.latents.family, encoded.shared.mean[:1])
        return Mixture(standard, encoded.shared.mean.new_zeros(1, 1))

    def _components(self, joint: Mixture, streams: list[torch.Generator]) -> Tensor:
        """The component of each of the K samples (k, n): evenly spread by weight, from a random start.

        Each place k + u of K, with u uniform, falls into each component with the probability of its weight on average
        over k: the mean of the weights keeps its expectation, and no component is favoured.
        """
        n = joint.components.mean.shape[1]
        if len(joint.log_weights) == 1:
            return torch.zeros(self.samples, n, dtype=torch.int64, device=self.model.device)
        start = torch.stack(
            [torch.rand((), generator=g, device=g.device, dtype=torch.float64) for g in streams]
        )
        places = (torch.arange(self.samples, device=start.device) + start[:, None]) / self.samples
        ends = joint.weights.double().expand(-1, n).cumsum(0).T.contiguous()
        ends = ends / ends[:, -1:]
        return torch.searchsorted(ends, places, right=True).clamp(max=len(joint.log_weights) - 1).T

    def _log_weights(
        self,
        x: Data,
        encoded: Encoded,
        joint: Mixture,
        numbers: Tensor,
        streams: list[torch.Generator],
    ) -> Float[Tensor, "k n"]:
        """log p(x, z) - log q(z) at as many samples of z as there are numbers of components."""
        count = len(numbers)
        components = joint.chosen(numbers)
        z = components.from_noise(_noise(components, streams))
        log_weights = prior(self.model.latents.family, z).log_density(z) - joint.log_density(z)
        for place, name in enumerate(self.model.names):
            if name not in x:
                continue
            present = None if encoded.present is None else encoded.present[:, place]
            data = x[name] if present is None else masked(x[name], present)
            if encoded.specific is None:
                term = self.model.log_likelihood(name, z, data)
            else:
                own = encoded.specific.map(itemgetter(place))
                own = own.map(lambda values: values.expand(count, *values.shape))
                m = own.from_noise(_noise(own, streams))
                ratio = prior(own.family, m).log_density(m) - own.log_density(m)
                term = self.model.log_likelihood(name, torch.cat([z, m], -1), data) + ratio
            log_weights = log_weights + (term if present is None else torch.where(present, term, 0.0))
        return log_weights.double()


def _noise(like: Density, streams: list[torch.Generator]) -> Float[Tensor, "k n d"]:
    """Noise for k samples of each data point, from its own stream."""
    rows = [like.map(itemgetter((slice(None), k))).noise(1, stream)[0] for k, stream in enumerate(streams)]
    return torch.stack(rows, 1)
