"""Distributions of variables, each a deterministic map from standard noise to values.

A distribution draws its noise (``noise``) and turns noise into values (``value``) in two steps, so that a
sample can be recomputed after an intervention with the noise that made it. Noise and values have shape
(n, dim); the values of a discrete distribution are class indices in int64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.seeding import generator as stream

Matrix = tuple[tuple[float, ...], ...]
Covariance = Literal["identity", "wishart", "shared-wishart"] | Matrix


@lru_cache(maxsize=1024)
def constant(values: tuple | float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A parameter as a tensor, copied to its device once."""
    return torch.tensor(values, dtype=dtype, device=device)


@lru_cache(maxsize=256)
def cholesky(covariance: Matrix) -> Matrix:
    """The lower factor L of a covariance, L L^T = covariance.

    Raises IdentboxError where the matrix is not square, symmetric and positive definite.
    """
    if not covariance or any(len(row) != len(covariance) for row in covariance):
        raise IdentboxError(
            f"covariance: expected a square matrix, got rows of {[len(r) for r in covariance]}"
        )
    matrix = torch.tensor(covariance, dtype=torch.float64)
    if not torch.isfinite(matrix).all():
        raise IdentboxError("covariance: expected finite numbers, got one that is not")
    if not torch.allclose(matrix, matrix.T):
        raise IdentboxError(f"covariance: expected a symmetric matrix, got {covariance}")
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        smallest = torch.linalg.eigvalsh(matrix)[0].item()
        raise IdentboxError(
            f"covariance: expected a positive definite matrix, got one with the eigenvalue {smallest:.4g}"
        )
    return tuple(map(tuple, factor.tolist()))


def draw_covariance(kind: Covariance, dim: int, seed: int, name: str) -> Covariance:
    """A covariance in numbers, drawn from the Wishart distribution with identity scale and dim degrees.

    ``wishart`` draws one for each name; ``shared-wishart`` one for each size, as earlier simulation code did.
    Other values are returned as they are.
    """
    if kind not in ("wishart", "shared-wishart"):
        return kind
    key = (name,) if kind == "wishart" else ("shared", dim)
    factor = torch.randn(dim, dim, generator=stream(seed, "covariance", *key), dtype=torch.float64)
    return tuple(map(tuple, (factor.T @ factor).tolist()))


def check_covariance(covariance: Covariance, dim: int) -> None:
    if isinstance(covariance, str):
        return
    if len(covariance) != dim:
        raise IdentboxError(f"covariance: expected {dim} x {dim} numbers, got {len(covariance)} rows")
    cholesky(covariance)


def correlate(noise: Float[Tensor, "n d"], covariance: Covariance) -> Float[Tensor, "n d"]:
    """Standard normal noise with the covariance given to it."""
    if covariance == "identity":
        return noise
    if isinstance(covariance, str):
        raise IdentboxError(f"covariance: expected numbers, got '{covariance}', which Process.realise draws")
    return noise @ constant(cholesky(covariance), noise.dtype, noise.device).T


def _check_dim(dim: int) -> None:
    if dim < 1:
        raise IdentboxError(f"dim: expected at least 1, got {dim}")


@dataclass(frozen=True, kw_only=True)
class Normal:
    """N(mean, covariance) in ``dim`` dimensions (section 8.4.1)."""

    dim: int = 1
    mean: float | tuple[float, ...] = 0.0
    covariance: Covariance = "identity"

    kind: ClassVar[str] = "normal"
    discrete: ClassVar[bool] = False
    uniform_noise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_dim(self.dim)
        if isinstance(self.mean, tuple) and len(self.mean) != self.dim:
            raise IdentboxError(f"mean: expected {self.dim} numbers, got {len(self.mean)}")
        check_covariance(self.covariance, self.dim)

    def realise(self, seed: int, name: str) -> Normal:
        return replace(self, covariance=draw_covariance(self.covariance, self.dim, seed, name))

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.randn(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return correlate(noise, self.covariance) + constant(self.mean, noise.dtype, noise.device)

    def __str__(self) -> str:
        mean = "0" if not self.mean else str(self.mean)
        covariance = {"identity": "I"}.get(str(self.covariance), self.covariance)
        return f"N({mean}, {covariance if isinstance(covariance, str) else 'Σ given'})"


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """Independent Laplace components, mean ``mean`` and scale ``scale``."""

    dim: int = 1
    mean: float = 0.0
    scale: float = 1.0

    kind: ClassVar[str] = "laplace"
    discrete: ClassVar[bool] = False
    uniform_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_dim(self.dim)
        if not self.scale > 0:
            raise IdentboxError(f"scale: expected a positive number, got {self.scale}")

    def realise(self, seed: int, name: str) -> Laplace:
        return self

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.rand(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        # The quantile function; 0 is a possible draw of torch.rand and has no finite quantile.
        p = noise.clamp(min=torch.finfo(noise.dtype).tiny)
        tail = torch.where(p < 0.5, torch.log(2 * p), -torch.log(2 * (1 - p)))
        return self.mean + self.scale * tail

    def __str__(self) -> str:
        return f"Laplace({self.mean:g}, {self.scale:g})"


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Independent components, uniform on [low, high); ``circular`` where both ends are the same point."""

    dim: int = 1
    low: float = 0.0
    high: float = 1.0
    circular: bool = False

    kind: ClassVar[str] = "uniform"
    discrete: ClassVar[bool] = False
    uniform_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_dim(self.dim)
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise IdentboxError(f"low, high: expected low < high, got {self.low} and {self.high}")

    def realise(self, seed: int, name: str) -> Uniform:
        return self

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.rand(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return self.low + (self.high - self.low) * noise

    def __str__(self) -> str:
        return f"U[{self.low:g}, {self.high:g}]{' circular' if self.circular else ''}"


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """Independent components over ``classes`` (a number, or names), uniform or with ``probabilities``."""

    dim: int = 1
    classes: int | tuple[str, ...]
    probabilities: tuple[float, ...] | None = None  # of each class; sums to 1

    kind: ClassVar[str] = "categorical"
    discrete: ClassVar[bool] = True
    uniform_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_dim(self.dim)
        if self.k < 1:
            raise IdentboxError(f"classes: expected at least 1, got {self.k}")
        if isinstance(self.classes, tuple) and len(set(self.classes)) < self.k:
            raise IdentboxError(f"classes: expected different names, got {', '.join(self.classes)}")
        if self.probabilities is not None:
            check_probabilities(self.probabilities, self.k, "probabilities")

    @property
    def k(self) -> int:
        """The number of classes."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    def realise(self, seed: int, name: str) -> Categorical:
        return self

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.rand(n, self.dim, generator=generator, dtype=dtype, device=generator.device)

    def value(
        self, noise: Float[Tensor, "n d"], rows: Float[Tensor, "n d_or_1 k"] | None = None
    ) -> Int[Tensor, "n d"]:
        """Classes by the inverse of the distribution function; ``rows`` replaces the probabilities."""
        if rows is None and self.probabilities is None:
            return (noise * self.k).long().clamp_(max=self.k - 1)
        if rows is None:
            rows = constant(self.probabilities, noise.dtype, noise.device)
        edges = rows.cumsum(-1)[..., :-1]  # the last edge is 1, whatever rounding makes of it
        return (noise.unsqueeze(-1) >= edges).sum(-1)

    def __str__(self) -> str:
        if isinstance(self.classes, tuple) and self.k <= 4:
            return f"{{{', '.join(self.classes)}}}"
        return f"{self.k} classes" + (" (weighted)" if self.probabilities else "")


def check_probabilities(row: tuple[float, ...], k: int, where: str) -> None:
    if len(row) != k:
        raise IdentboxError(f"{where}: expected {k} numbers, one a class, got {len(row)}")
    if any(not 0 <= p <= 1 for p in row) or abs(sum(row) - 1) > 1e-6:
        raise IdentboxError(f"{where}: expected probabilities that sum to 1, got {row}")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The number ``at`` in every component of every sample."""

    dim: int = 1
    at: float = 0.0

    kind: ClassVar[str] = "constant"
    discrete: ClassVar[bool] = True
    uniform_noise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    def realise(self, seed: int, name: str) -> Constant:
        return self

    def noise(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "n d"]:
        return torch.zeros(n, self.dim, dtype=dtype, device=generator.device)

    def value(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return noise + self.at

    def __str__(self) -> str:
        return f"always {self.at:g}"


Distribution = Normal | Laplace | Uniform | Categorical | Constant
DISTRIBUTIONS: dict[str, type[Distribution]] = {
    cls.kind: cls for cls in (Normal, Laplace, Uniform, Categorical, Constant)
}
