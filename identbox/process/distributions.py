"""Distributions of variables, each a deterministic map from standard noise to values.

A distribution draws its noise (``noise``) and turns noise into values (``value``) in two steps, so that a
sample can be recomputed after an intervention with the noise that made it. Noise and values have shape
(n, dim); the values of a discrete distribution are class indices in int64.

A distribution of your own is one class (docs/processes.md). Files in TOML know it by its ``kind`` as soon as the
class exists.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.process.covariances import (
    Covariance,
    check_covariance,
    cholesky,
    correlate,
    covariance_matrix,
    covariance_numbers,
    draw_covariance,
    parameter,
)
from identbox.settings import Count, Positive, Probability, settings, table_of

DomainKind = Literal["continuous", "circular", "discrete"]

DISTRIBUTIONS: dict[str, type[Distribution]] = {}  # every distribution that a file can name, by its kind


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What kind of values a distribution has, and so how they are predicted and scored."""

    kind: DomainKind = "continuous"
    period: float = 1.0  # length of a circle on which both ends are the same point, in the unit of the values
    classes: int | None = None  # their number, for each component of discrete values


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What the value of a variable is computed from. Effects turn one draw into another."""

    noise: Float[Tensor, "n d"]
    # What is added to the value.
    shift: Float[Tensor, "n d"] | None = None
    # The probabilities of the classes of a discrete variable, in the place of its own.
    probabilities: Float[Tensor, "n d_or_1 k"] | None = None

    def shifted(self, by: Float[Tensor, "n d"]) -> Draw:
        """The draw with something more added to the value."""
        return replace(self, shift=by if self.shift is None else self.shift + by)


def register(registry: dict[str, Any], cls: type) -> None:
    """Enter a class into a registry by its ``kind``. A class without a ``kind`` of its own is left out.

    A class that is defined once more (a cell of a notebook that is run again) takes the place of the first.
    Raises IdentboxError where another class has the same kind.
    """
    kind = cls.__dict__.get("kind")
    if kind is None:
        return
    other = registry.get(kind, cls)
    if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise IdentboxError(
            f"{cls.__qualname__}.kind: expected a kind that no other class has, "
            f"got '{kind}', which is that of {other.__qualname__}"
        )
    registry[kind] = cls


@settings
class Distribution(ABC):
    """The distribution of a variable with ``dim`` components.

    A subclass says its ``kind``, its ``value``, its ``cdf`` and its ``variance``. As it stands its noise is uniform
    on [0, 1), its values are continuous, and its components are independent.
    """

    dim: Count = 1

    # The name in files.
    kind: ClassVar[str]
    # Whether values are classes, or one constant: nothing can be added to them.
    discrete: ClassVar[bool] = False
    # Whether every sample is the same, so that there is nothing to predict.
    constant: ClassVar[bool] = False
    # Whether the noise is uniform on [0, 1), and ``value`` the quantile function of each component.
    uniform_noise: ClassVar[bool] = True
    # Whether values that linear effects connect are jointly Gaussian (a constant counts as such).
    gaussian: ClassVar[bool] = False
    # Whether the density jumps at the ends of an interval, or is continuous and has a kink.
    bounded: ClassVar[bool] = False
    kinked: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(DISTRIBUTIONS, cls)

    @abstractmethod
    def value(self, noise: Float[Tensor, "n d"]) -> Shaped[Tensor, "n d"]:
        """The values that some noise makes."""

    @abstractmethod
    def cdf(self, values: Shaped[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """F(v_i | v_1, ..., v_{i-1}): the distribution function of each component, given those before it."""

    @property
    @abstractmethod
    def variance(self) -> float | Float[Tensor, " d"]:
        """The variance of each component (of its class indices where the distribution is discrete)."""

    @property
    def domain(self) -> Domain:
        """What kind of values it has."""
        return Domain()

    @property
    def chance(self) -> float:
        """The score of the best constant prediction: 0 for R2, or the accuracy of the most frequent class."""
        return 0.0

    def realise(self, seed: int, name: str) -> Distribution:
        """The distribution with its random parameters drawn from the seed, for the variable ``name``."""
        return self

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        """The noise of n samples, on the generator's device."""
        return torch.rand(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def solve(self, draw: Draw) -> Shaped[Tensor, "n d"]:
        """The values of a draw, after all effects of the variable's parents."""
        if draw.probabilities is not None:
            return _classes_of(draw.noise, draw.probabilities)
        value = self.value(draw.noise)
        return value if draw.shift is None else value + draw.shift

    def own_covariance(self) -> Float[Tensor, "d d"]:
        """The covariance of the values without any effect, in float64; infinite variances are in it as they are."""
        return torch.as_tensor(self.variance, dtype=torch.float64).expand(self.dim).diag()

    def features(self, values: Shaped[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Values as a regression takes them best: classes one-hot, points on a circle as cosine and sine."""
        domain = self.domain
        if domain.classes is not None:
            return torch.nn.functional.one_hot(values, domain.classes).flatten(1).double()
        if domain.kind == "circular":
            angles = 2 * torch.pi * values.double() / domain.period
            return torch.cat([angles.cos(), angles.sin()], dim=1)
        return values.double()

    def __str__(self) -> str:
        shown = ", ".join(f"{key} {value}" for key, value in table_of(self).items() if key != "dim")
        return f"{self.kind}({shown})"


@settings
class Normal(Distribution):
    """N(mean, covariance) in ``dim`` dimensions (section 8.4.1).

    >>> from identbox import Normal
    >>> Normal(dim=2, mean=(0.0, 1.0), covariance=((2.0, 0.5), (0.5, 1.0))).variance
    tensor([2., 1.], dtype=torch.float64)
    """

    mean: float | tuple[float, ...] = 0.0
    covariance: Covariance = "identity"

    kind: ClassVar[str] = "normal"
    uniform_noise: ClassVar[bool] = False
    gaussian: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.mean, tuple) and len(self.mean) != self.dim:
            raise IdentboxError(f"mean: expected {self.dim} numbers, got {len(self.mean)}")
        check_covariance(self.covariance, self.dim)

    def realise(self, seed: int, name: str) -> Normal:
        return replace(self, covariance=draw_covariance(self.covariance, self.dim, seed, name))

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.randn(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return correlate(noise, self.covariance) + parameter(self.mean, noise.dtype, noise.device)

    def cdf(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        rest = values - parameter(self.mean, values.dtype, values.device)
        if self.covariance != "identity":
            factor = parameter(cholesky(covariance_numbers(self.covariance)), rest.dtype, rest.device)
            rest = torch.linalg.solve_triangular(factor, rest.T, upper=False).T
        return torch.special.ndtr(rest)

    @property
    def variance(self) -> Float[Tensor, " d"]:
        return self.own_covariance().diagonal()

    def own_covariance(self) -> Float[Tensor, "d d"]:
        return covariance_matrix(self.covariance, self.dim)

    def __str__(self) -> str:
        mean = "0" if not self.mean else str(self.mean)
        covariance = {"identity": "I"}.get(str(self.covariance), self.covariance)
        return f"N({mean}, {covariance if isinstance(covariance, str) else 'Σ given'})"


@settings
class Laplace(Distribution):
    """Independent Laplace components, mean ``mean`` and scale ``scale``.

    >>> from identbox import Laplace
    >>> Laplace(scale=3.0).variance
    18.0
    """

    mean: float = 0.0
    scale: Positive = 1.0

    kind: ClassVar[str] = "laplace"
    kinked: ClassVar[bool] = True

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        # The quantile function; 0 is a possible draw of torch.rand and has no finite quantile.
        p = noise.clamp(min=torch.finfo(noise.dtype).tiny)
        tail = torch.where(p < 0.5, torch.log(2 * p), -torch.log(2 * (1 - p)))
        return self.mean + self.scale * tail

    def cdf(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        t = (values - self.mean) / self.scale
        tail = torch.exp(-t.abs()) / 2
        return torch.where(t < 0, tail, 1 - tail)

    @property
    def variance(self) -> float:
        return 2 * self.scale**2

    def __str__(self) -> str:
        return f"Laplace({self.mean:g}, {self.scale:g})"


@settings
class Uniform(Distribution):
    """Independent components, uniform on [low, high); ``circular`` where both ends are the same point.

    Raises IdentboxError unless low < high.

    >>> from identbox import Uniform
    >>> print(Uniform(high=2.0, circular=True))
    U[0, 2] circular
    """

    low: float = 0.0
    high: float = 1.0
    circular: bool = False

    kind: ClassVar[str] = "uniform"
    bounded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise IdentboxError(f"low, high: expected low < high, got {self.low} and {self.high}")

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return self.low + (self.high - self.low) * noise

    def cdf(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return (values - self.low) / (self.high - self.low)

    @property
    def variance(self) -> float:
        return (self.high - self.low) ** 2 / 12

    @property
    def domain(self) -> Domain:
        return Domain(kind="circular", period=self.high - self.low) if self.circular else Domain()

    def __str__(self) -> str:
        return f"U[{self.low:g}, {self.high:g}]{' circular' if self.circular else ''}"


@settings
class Categorical(Distribution):
    """Independent components over ``classes`` (a number, or names), uniform or with ``probabilities``.

    Raises IdentboxError for names that are equal, and for probabilities that do not sum to 1.

    >>> from identbox import Categorical
    >>> Categorical(classes=("heads", "tails"), probabilities=(0.75, 0.25)).chance
    0.75
    """

    classes: Count | tuple[str, ...]
    # Of each class; they sum to 1.
    probabilities: tuple[Probability, ...] | None = None

    kind: ClassVar[str] = "categorical"
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise IdentboxError("classes: expected at least 1 name, got none")
        if isinstance(self.classes, tuple) and len(set(self.classes)) < self.k:
            raise IdentboxError(f"classes: expected different names, got {', '.join(self.classes)}")
        if self.probabilities is not None:
            check_probabilities(self.probabilities, self.k, "probabilities")

    @property
    def k(self) -> int:
        """The number of classes."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def domain(self) -> Domain:
        return Domain(kind="discrete", classes=self.k)

    @property
    def chance(self) -> float:
        return max(self.probabilities or (1 / self.k,))

    def value(self, noise: Float[Tensor, "n d"]) -> Int[Tensor, "n d"]:
        """Classes by the inverse of the distribution function."""
        if self.probabilities is None:
            return (noise * self.k).long().clamp_(max=self.k - 1)
        return _classes_of(noise, parameter(self.probabilities, noise.dtype, noise.device))

    def cdf(self, values: Int[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return parameter(self._all_probabilities, torch.float64, values.device).cumsum(0)[values]

    @property
    def variance(self) -> float:
        mean = sum(i * p for i, p in enumerate(self._all_probabilities))
        return sum((i - mean) ** 2 * p for i, p in enumerate(self._all_probabilities))

    @property
    def _all_probabilities(self) -> tuple[float, ...]:
        return self.probabilities or (1 / self.k,) * self.k

    def __str__(self) -> str:
        if isinstance(self.classes, tuple) and self.k <= 4:
            return f"{{{', '.join(self.classes)}}}"
        return f"{self.k} classes" + (" (weighted)" if self.probabilities else "")


def _classes_of(noise: Float[Tensor, "n d"], probabilities: Float[Tensor, "*rows k"]) -> Int[Tensor, "n d"]:
    """Classes by the inverse of the distribution function of given probabilities."""
    # The last edge is left out: it is 1, whatever rounding makes of the sum.
    edges = probabilities.cumsum(-1)[..., :-1]
    return (noise.unsqueeze(-1) >= edges).sum(-1)


def check_probabilities(row: tuple[float, ...], k: int, where: str) -> None:
    """Raise IdentboxError for numbers that are not the probabilities of k classes."""
    if len(row) != k:
        raise IdentboxError(f"{where}: expected {k} numbers, one a class, got {len(row)}")
    if any(not 0 <= p <= 1 for p in row) or abs(sum(row) - 1) > 1e-6:
        raise IdentboxError(f"{where}: expected probabilities that sum to 1, got {row}")


@settings
class Constant(Distribution):
    """The number ``at`` in every component of every sample.

    >>> from identbox import Constant
    >>> print(Constant(at=2.0), Constant(at=2.0).variance)
    always 2 0.0
    """

    at: float = 0.0

    kind: ClassVar[str] = "constant"
    discrete: ClassVar[bool] = True
    constant: ClassVar[bool] = True
    uniform_noise: ClassVar[bool] = False
    gaussian: ClassVar[bool] = True

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.zeros(n, self.dim, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return noise + self.at

    def cdf(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return (values >= self.at).to(values.dtype)

    @property
    def variance(self) -> float:
        return 0.0

    def __str__(self) -> str:
        return f"always {self.at:g}"
