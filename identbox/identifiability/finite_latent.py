"""The least gap E[log p(x)] - E[L] of a mixture-based multimodal VAE over a finite latent space, by optimisation.

Everything is a table: an encoder q_A(z | x_A) for each subset, a prior p(z), and decoders p(x_d | x_c(d), z). The
objectives of Eq. 5.18 and 5.19 are sums over all states of x and z, exact but for rounding. For given encoders the best
prior and decoders are known: the marginal of z, and the conditional distributions, under the mixture r(x, z) = p(x)
sum_A w_A q_A(z | x_A). What is left to optimise is the encoders.

As many latent states as subsets have values together, sum_A |x_A|, are enough: more cannot make the gap smaller
(docs/theorem-1.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import minimize
from scipy.special import log_softmax, xlogy

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.identifiability.discrepancy import DecoderFamily, ObjectiveName
from identbox.learning.posteriors import Subsets
from identbox.process.exact import DiscreteProcess
from identbox.settings import Count, settings

MOST_CELLS = 2_000_000  # states of x times states of z
TINY = 1e-300  # what stands for a probability of 0 in a logarithm
SOFTNESS = 0.1  # of encoders that start near a code: the share that is spread over all latent states


@settings
class Search:
    """How the optimum is searched for."""

    # Latent states at most; as many as are enough where that is fewer.
    latents: Count = 96
    # Random starts, beside two that are made by hand.
    restarts: Count = 8
    # Steps of alternating minimisation from each start.
    steps: Count = 150
    # Best of these that L-BFGS continues from, and its steps.
    polished: Count = 2
    polish_steps: Count = 500


@dataclass(frozen=True)
class LeastGap:
    """The least gap that was found, in nats, and the encoders that reach it, a table (|x_A|, z) for each subset."""

    gap: float
    latents: int
    enough: bool  # whether there are as many latent states as are ever needed
    encoders: tuple[Float[ndarray, "_ z"], ...]


class FiniteLatent:
    """The gap of a model as a function of its encoders, with the best decoders and prior for them."""

    def __init__(
        self, process: DiscreteProcess, subsets: Subsets, decoder: DecoderFamily, objective: ObjectiveName
    ) -> None:
        states, self.p = process.support()
        used = [pair for pair in zip(subsets.members, subsets.weights, strict=True) if pair[1] > 0]
        self.objective = objective
        self.weights = np.array([weight for _, weight in used])
        columns = [[axis for modality in subset for axis in process.blocks[modality]] for subset, _ in used]
        self.values = [_numbered(states[:, axes]) for axes in columns]
        self.sizes = [int(values.max()) + 1 for values in self.values]
        # p(x | x_A), a row for each value of x_A.
        self.given = []
        for values, size in zip(self.values, self.sizes, strict=True):
            table = np.zeros((size, len(self.p)))
            table[values, np.arange(len(self.p))] = self.p
            self.given.append(table / table.sum(1, keepdims=True))
        self.marginals = [
            np.bincount(values, self.p, size) for values, size in zip(self.values, self.sizes, strict=True)
        ]
        powers = _powers(decoder.contexts(process.blocks))
        self.prior_power = powers.pop(())
        places = {axes: _numbered(states[:, list(axes)]) for axes in powers}
        self.factors = [(power, places[axes], _indicator(places[axes])) for axes, power in powers.items()]

    @property
    def enough(self) -> int:
        """As many latent states as are ever needed."""
        return sum(self.sizes)

    def joint(self, encoders: Sequence[Float[ndarray, "*r _ z"]]) -> Float[ndarray, "*r n z"]:
        """q(z | x), the mixture of the encoders, for each state of x."""
        return sum(
            weight * encoder[..., values, :]
            for weight, encoder, values in zip(self.weights, encoders, self.values, strict=True)
        )

    def log_decoded(self, r: Float[ndarray, "*r n z"]) -> Float[ndarray, "*r n z"]:
        """log p(x | z) of the best decoders for r(x, z)."""
        total = self.prior_power * _log(r.sum(-2, keepdims=True))
        for power, places, indicator in self.factors:
            total = total + power * _log(indicator @ r)[..., places, :]
        return total

    def gap(self, encoders: Sequence[Float[ndarray, "*r _ z"]]) -> Float[ndarray, "*r"]:
        """E[log p(x)] - E[L] in nats: KL(p(x) q(z | x) || p(z) p(x | z)), for Eq. 5.19 a mean over subsets of it."""
        mixture = self.joint(encoders)
        r = self.p[:, None] * mixture
        fit = r * (_log(self.p)[:, None] - _log(r.sum(-2, keepdims=True)) - self.log_decoded(r))
        if self.objective == "5.18":
            return np.asarray((fit + xlogy(r, mixture)).sum((-2, -1)))
        apart = sum(
            weight * (marginal[:, None] * xlogy(encoder, encoder)).sum((-2, -1))
            for weight, marginal, encoder in zip(self.weights, self.marginals, encoders, strict=True)
        )
        return np.asarray(fit.sum((-2, -1)) + apart)

    def slopes(self, encoders: Sequence[Float[ndarray, "*r _ z"]]) -> list[Float[ndarray, "*r _ z"]]:
        """The gradient of the gap with respect to q_A(z | x_A), over w_A p(x_A), up to a constant in each row.

        The best decoders and prior are stationary, so that only the encoders' own change counts. The encoder that
        minimises the gap for these decoders and prior (and, for Eq. 5.18, for these posteriors of the subset given x
        and z) is q_A exp(-slope), divided by its sum.
        """
        mixture = self.joint(encoders)
        r = self.p[:, None] * mixture
        gain = _log(r.sum(-2, keepdims=True)) + self.log_decoded(r)
        if self.objective == "5.18":
            lost = _log(mixture) - gain
            return [given @ lost for given in self.given]
        return [_log(encoder) - given @ gain for encoder, given in zip(encoders, self.given, strict=True)]

    def step(self, encoders: Sequence[Float[ndarray, "*r _ z"]]) -> list[Float[ndarray, "*r _ z"]]:
        """One step of alternating minimisation, which never makes the gap larger."""
        return [
            np.exp(log_softmax(_log(encoder) - slope, axis=-1))
            for encoder, slope in zip(encoders, self.slopes(encoders), strict=True)
        ]


def searchable(process: DiscreteProcess, search: Search) -> bool:
    """Whether x and z together have few enough states to optimise over."""
    return np.count_nonzero(process.joint) * search.latents <= MOST_CELLS


def least_gap(
    process: DiscreteProcess,
    subsets: Subsets,
    decoder: DecoderFamily,
    objective: ObjectiveName,
    search: Search,
    *,
    seed: int,
) -> LeastGap:
    """Search for the least gap of a model over a finite latent space. What is found is reached, the least may be less.

    Alternating minimisation from several starts, then L-BFGS from the best. One start gives each value of each subset a
    latent state of its own, which reaches the upper bound of `discrepancy.gap_bounds`. Raises IdentboxError where x and
    z together have too many states.
    """
    if not searchable(process, search):
        raise IdentboxError(
            f"{process.name}: expected at most {MOST_CELLS} states of x and z to optimise over, "
            f"got {np.count_nonzero(process.joint)} times {search.latents}"
        )
    problem = FiniteLatent(process, subsets, decoder, objective)
    latents = min(problem.enough, search.latents)
    encoders = _starts(
        problem, latents, search.restarts, np.random.default_rng(seeding.derive(seed, "least gap"))
    )
    for _ in range(search.steps):
        encoders = problem.step(encoders)
    gaps = problem.gap(encoders)
    found = []
    for place in np.argsort(gaps)[: search.polished]:
        found.append(_polished(problem, [encoder[place] for encoder in encoders], search.polish_steps))
    gap, best = min(found, key=lambda one: one[0])
    return LeastGap(gap=gap, latents=latents, enough=latents >= problem.enough, encoders=tuple(best))


def _starts(
    problem: FiniteLatent, latents: int, restarts: int, generator: np.random.Generator
) -> list[ndarray]:
    """Encoders (start, v, z): random ones, some soft and some near codes, and two in which no subsets share a code."""
    ends = np.cumsum(problem.sizes)
    encoders = []
    for size, end in zip(problem.sizes, ends, strict=True):
        sharpness = np.geomspace(0.5, 8, restarts)[:, None, None]
        random = np.exp(
            log_softmax(sharpness * generator.standard_normal((restarts, size, latents)), axis=-1)
        )
        code = np.eye(latents)[(end - size + np.arange(size)) % latents]
        soft = (1 - SOFTNESS) * code + SOFTNESS * generator.dirichlet(np.ones(latents), size)
        encoders.append(np.concatenate([random, code[None], soft[None]]))
    return encoders


def _polished(problem: FiniteLatent, start: list[ndarray], steps: int) -> tuple[float, list[ndarray]]:
    """The gap and the encoders after L-BFGS on the logits of the encoders; never worse than the start."""
    shapes = [encoder.shape for encoder in start]
    splits = np.cumsum([encoder.size for encoder in start])[:-1]
    mass = [w * p[:, None] for w, p in zip(problem.weights, problem.marginals, strict=True)]

    def encoders_of(logits: ndarray) -> list[ndarray]:
        parts = np.split(logits, splits)
        return [
            np.exp(log_softmax(part.reshape(shape), axis=-1))
            for part, shape in zip(parts, shapes, strict=True)
        ]

    def value(logits: ndarray) -> tuple[float, ndarray]:
        encoders = encoders_of(logits)
        slopes = problem.slopes(encoders)
        gradient = [
            share * q * (slope - (q * slope).sum(-1, keepdims=True))
            for share, q, slope in zip(mass, encoders, slopes, strict=True)
        ]
        return float(problem.gap(encoders)), np.concatenate([one.ravel() for one in gradient])

    # Logits of -30 are probabilities of 1e-13: from lower ones no gradient comes back.
    logits = np.concatenate([np.log(np.maximum(encoder, 1e-13)).ravel() for encoder in start])
    done = minimize(
        value, logits, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxfun": 2 * steps}
    )
    candidates = [start, encoders_of(done.x)]
    gaps = [float(problem.gap(encoders)) for encoders in candidates]
    best = int(np.argmin(gaps))
    return gaps[best], candidates[best]


def _powers(contexts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Powers of the marginals r(x_set, z) in prod_d p(x_d | x_c(d), z), where numerators cancel denominators."""
    powers: dict[tuple[int, ...], int] = {(): 0}
    for component, context in enumerate(contexts):
        for axes, power in (((*context, component), 1), (context, -1)):
            powers[axes] = powers.get(axes, 0) + power
    return {axes: power for axes, power in powers.items() if power or not axes}


def _numbered(states: Int[ndarray, "n d"]) -> Int[ndarray, " n"]:
    """Each row's number among the different rows."""
    return np.unique(states, axis=0, return_inverse=True)[1].reshape(-1)


def _indicator(numbers: Int[ndarray, " n"]) -> Float[ndarray, "v n"]:
    """The matrix that sums over the states of each number."""
    return (numbers == np.arange(numbers.max() + 1)[:, None]).astype(np.float64)


def _log(values: ndarray) -> ndarray:
    return np.log(np.maximum(values, TINY))
