"""The encoders of the theorem's proof, built, and what they attain (Theorem 2, Step 1; Eq. 8.9 to 8.15).

The oracle of a view is the exact inverse of its mixing, of which the content is kept, followed by the Darmois
construction d, which makes content uniform on the unit cube: u_i = F(c_i | c_1, ..., c_{i-1}). Where the causes of
content are content and every variable of it is continuous, d is the structural equations solved for their noise,
in closed form; for Gaussian content of any covariance these are the normal distribution functions of each component
given those before it. Where something else causes content the conditional distribution functions are estimated
from a sample of it (`ConditionalRanks`). Discrete content has no such encoder, since atoms cannot be spread.

"Content" is here all that is the same in every view: style that never changes is content.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.identifiability.blocks import invariant
from identbox.learning.entropy import cube_entropy
from identbox.metrics.normal_scores import unit_ranks
from identbox.process.distributions import Draw
from identbox.process.mixing import SINGULAR
from identbox.process.model import ROLES, Process, Sample, Variable
from identbox.process.world import Observed, World

REFERENCE_SAMPLES = 4096  # samples from which conditional distribution functions are estimated
PERMUTATIONS = 4  # by which the bias of ranks is estimated
INSIDE = 2.0**-40  # distance kept from the faces of the cube, which is open


@dataclass(frozen=True, kw_only=True)
class Value:
    """Eq. 8.9 estimated on a sample: alignment minus the mean entropy, in nats."""

    alignment: float  # E |g_1(x_1) - g_2(x_2)|_2, a mean over pairs of views
    entropies: tuple[float, ...]  # of each view; -inf where encodings have atoms
    error: float  # standard error of the value

    @property
    def value(self) -> float:
        """0 at best."""
        return self.alignment - sum(self.entropies) / len(self.entropies)


class Oracle:
    """The encoders g*_i = d o (f_i^-1)_{1:n_c} of Eq. 8.10 and 8.11, in float64.

    >>> from identbox import Mixing, Oracle, World, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> oracle = Oracle(world)
    >>> encoding = oracle.encode(world.sample(100).x["1"], view="1")
    >>> encoding.shape, bool(((encoding > 0) & (encoding < 1)).all())
    (torch.Size([100, 1]), True)
    """

    def __init__(self, world: World) -> None:
        """Build it for the process and the mixings of a world.

        Where there is no closed form, conditional distribution functions are estimated from a sample by the seed of the
        world. Raises IdentboxError for content that is missing or discrete, and for singular mixings.
        """
        self.process = process = world.process
        # On the CPU, as what is known of the process's content is.
        self.mixings = {view: copy.deepcopy(mixing).cpu().double() for view, mixing in world.mixings.items()}
        for view, mixing in self.mixings.items():
            if not (torch.linalg.cond(mixing.weights) < SINGULAR).all():
                raise IdentboxError(
                    f"oracle: expected an invertible mixing of view {view}, got a singular one"
                )
        self.content = invariant(process)
        self.darmois, self.how = darmois(process, seed=world.seed)

    @property
    def dim(self) -> int:
        """The number of content variables, n_c."""
        return sum(variable.distribution.dim for variable in self.content)

    def encode(self, x: Float[Tensor, "n x"], view: str) -> Float[Tensor, "n c"]:
        """g*(x) of a view, in the open unit cube, on the device of x."""
        z = self.mixings[view].inverse(x.double().cpu())
        return self.darmois(z[:, _latent_columns(self.process, view, self.content)]).to(x.device)

    def encodings(self, sample: Sample | Observed) -> list[Float[Tensor, "n c"]]:
        """The encodings of all views of a sample of the process or of the world, without rounding to float32."""
        sample = sample.latent if isinstance(sample, Observed) else sample
        found = []
        for view in self.process.views:
            latents = sample.latents(view)
            x = self.mixings[view](latents.double().cpu())
            found.append(self.encode(x, view).to(latents.device))
        return found


Darmois = Callable[[Tensor], Tensor]  # content (n, n_c) to the unit cube (n, n_c)


def darmois(process: Process, *, seed: int = 0) -> tuple[Darmois, str]:
    """The Darmois construction of a process's content, and how it was made: ``closed form`` or ``ranks``.

    Raises IdentboxError where content is missing or discrete.
    """
    content = invariant(process)
    names = {variable.name for variable in content}
    discrete = [variable.name for variable in content if variable.distribution.discrete]
    if not content or discrete:
        got = f"the discrete {', '.join(discrete)}" if discrete else "none"
        raise IdentboxError(f"oracle: expected continuous content, got {got}")
    if all(set(v.effects) <= names and all(e.additive for e in v.effects.values()) for v in content):
        return lambda values: _uniform_noise(content, values.double()), "closed form"
    sample = process.sample(
        REFERENCE_SAMPLES, generator=seeding.generator(seed, "oracle", "reference"), dtype=torch.float64
    )
    return ConditionalRanks(torch.cat([sample.values[v.name] for v in content], dim=1)), "ranks"


def _uniform_noise(content: Sequence[Variable], values: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """The uniform noise that makes content values, variable by variable in causal order."""
    sizes = [variable.distribution.dim for variable in content]
    parts = dict(zip([v.name for v in content], values.split(sizes, dim=1), strict=True))
    distributions = {variable.name: variable.distribution for variable in content}
    uniform = []
    for variable in content:
        distribution, rest = variable.distribution, parts[variable.name]
        for parent, effect in variable.effects.items():
            # Additive effects add to a value, whatever its noise: what they add is taken off again.
            shift = effect.apply(Draw(noise=rest), parts[parent], distribution, distributions[parent]).shift
            rest = rest if shift is None else rest - shift
        uniform.append(distribution.cdf(rest))
    return torch.cat(uniform, dim=1).clamp(INSIDE, 1 - INSIDE)


class ConditionalRanks:
    """The Darmois construction from a sample: smooth conditional ranks, u_i = F(c_i | c_1, ..., c_{i-1}).

    What c_i is beyond its linear prediction from the components before it is ranked among the reference sample,
    with weights that fall with the distance of the components before (normal kernels, bandwidths by Scott's rule).
    A rank counts each reference value by a narrow normal distribution function, so that u is smooth in c and
    increases with c_i, as the theorem asks of encoders.
    """

    def __init__(self, reference: Float[Tensor, "n c"]) -> None:
        self.mean, self.scale = reference.mean(0), reference.std(0)
        self.reference = (reference - self.mean) / self.scale
        self.predictors = [
            torch.linalg.lstsq(self.reference[:, :i], self.reference[:, i]).solution
            for i in range(reference.shape[1])
        ]

    def __call__(self, values: Float[Tensor, "m c"]) -> Float[Tensor, "m c"]:
        scaled = (values.double() - self.mean) / self.scale
        # Blocks of rows bound the memory: it is that of reference x rows numbers.
        return torch.cat([self._block(rows) for rows in scaled.split(512)]).clamp(INSIDE, 1 - INSIDE)

    def _block(self, rows: Float[Tensor, "m c"]) -> Float[Tensor, "m c"]:
        n = len(self.reference)
        ranks = []
        for i, predictor in enumerate(self.predictors):
            left = rows[:, i] - rows[:, :i] @ predictor
            known = self.reference[:, i] - self.reference[:, :i] @ predictor
            narrow = known.std() * n ** (-1 / 3)
            counts = torch.special.ndtr((left[:, None] - known) / narrow)
            distance = torch.cdist(rows[:, :i], self.reference[:, :i]) if i else torch.zeros_like(counts)
            weights = torch.softmax(-0.5 * (distance / n ** (-1 / (i + 4))).square(), dim=1)
            ranks.append((weights * counts).sum(1))
        return torch.stack(ranks, dim=1)


def _latent_columns(process: Process, view: str, variables: Sequence[Variable]) -> list[int]:
    """The columns of some variables among a view's latents, in the order of the variables."""
    start, places = 0, dict[str, range]()
    for role in ROLES:
        for variable in process.seen_by(view):
            if variable.role == role:
                places[variable.name] = range(start, start + variable.distribution.dim)
                start += variable.distribution.dim
    return [column for variable in variables for column in places[variable.name]]


def functional(views: Sequence[Float[Tensor, "n d"]]) -> Value:
    """Eq. 8.9 estimated for encodings in the unit cube, with the entropy of `cube_entropy`.

    Raises IdentboxError for fewer than two views, unequal shapes, and values outside of the cube.
    """
    if len(views) < 2 or len({view.shape for view in views}) > 1:
        raise IdentboxError(
            f"Eq. 8.9: expected at least two views of one shape, got {[tuple(view.shape) for view in views]}"
        )
    gaps = torch.stack(
        [torch.linalg.vector_norm((a - b).double(), dim=1) for a, b in itertools.combinations(views, 2)]
    ).mean(0)
    estimates = [cube_entropy(view) for view in views]
    own = gaps.std().item() / math.sqrt(len(gaps))
    # Views are nearly copies of each other, so the error of their mean entropy is not smaller than that of one.
    error = math.hypot(own, sum(e for _, e in estimates) / len(estimates))
    return Value(alignment=gaps.mean().item(), entropies=tuple(h for h, _ in estimates), error=error)


def trained_value(views: Sequence[Float[Tensor, "n d"]]) -> Value:
    """Eq. 8.9 of a trained learner's encodings, mapped to the unit cube by their marginal ranks.

    Ranks are more regular than a sample, which biases the estimate of entropy upwards (0.015 nats for 8192 samples
    of 2 components). So the estimate for the same ranks with components permuted independently is taken off, whose
    entropy is 0.
    """
    mapped = [unit_ranks(view) for view in views]
    estimated = functional(mapped)
    null = [_independent_entropy(view) for view in mapped]
    entropies = [
        h - bias if math.isfinite(h) else h for h, bias in zip(estimated.entropies, null, strict=True)
    ]
    return Value(alignment=estimated.alignment, entropies=tuple(entropies), error=estimated.error)


def _independent_entropy(u: Float[Tensor, "n d"]) -> float:
    """The entropy estimated for components permuted independently, a mean over permutations; 0 where it has atoms."""
    generator = seeding.generator(0, "oracle", "permutations")
    estimates = []
    for _ in range(PERMUTATIONS):
        orders = torch.rand(u.shape, generator=generator).argsort(0)
        estimates.append(cube_entropy(u.gather(0, orders.to(u.device)))[0])
    mean = sum(estimates) / len(estimates)
    return mean if math.isfinite(mean) else 0.0
