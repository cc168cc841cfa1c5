"""Densities of latent vectors with independent components: what an encoder says of z, and the prior.

All functions sum over the last dimension, the components of z, and broadcast over the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Family = Literal["gaussian", "laplace"]
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """Normal components: a mean and the logarithm of a variance each.

    >>> import torch
    >>> standard = Gaussian(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> standard.kl_to_prior(), standard.variance
    (tensor([0.]), tensor([[1., 1.]]))
    """

    mean: Float[Tensor, "*shape d"]
    log_variance: Float[Tensor, "*shape d"]
    family: Family = "gaussian"

    @property
    def variance(self) -> Float[Tensor, "*shape d"]:
        return self.log_variance.exp()

    def noise(self, samples: int, generator: torch.Generator) -> Float[Tensor, "k *shape d"]:
        """Standard normal noise for that many samples of each row."""
        return _empty(self.mean, samples).normal_(generator=generator)

    def from_noise(self, noise: Float[Tensor, "k *shape d"]) -> Float[Tensor, "k *shape d"]:
        """z = mean + standard deviation x noise: differentiable in the parameters."""
        return torch.addcmul(self.mean, (self.log_variance / 2).exp(), noise)

    def log_density(self, z: Float[Tensor, "*more d"]) -> Float[Tensor, "*rows"]:
        """log q(z), summed over components."""
        # The difference is scaled before it is squared: its square would overflow or vanish first.
        scaled = (z - self.mean) * (-self.log_variance / 2).exp()
        return -0.5 * (scaled.square() + self.log_variance + LOG_2PI).sum(-1)

    def kl_to_prior(self) -> Float[Tensor, "*shape"]:
        """KL(q || N(0, 1)) in closed form."""
        # expm1 keeps the digits of a variance close to 1.
        return 0.5 * (self.mean.square() + self.log_variance.expm1() - self.log_variance).sum(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> Gaussian:
        """Both parameters changed alike: rows selected, detached, moved."""
        return Gaussian(change(self.mean), change(self.log_variance))


@dataclass(frozen=True)
class Laplace:
    """Laplace components: a location and the logarithm of a scale each."""

    mean: Float[Tensor, "*shape d"]
    log_scale: Float[Tensor, "*shape d"]
    family: Family = "laplace"

    @property
    def variance(self) -> Float[Tensor, "*shape d"]:
        return 2 * (2 * self.log_scale).exp()

    def noise(self, samples: int, generator: torch.Generator) -> Float[Tensor, "k *shape d"]:
        """Standard Laplace noise for that many samples of each row."""
        magnitude = _empty(self.mean, samples).exponential_(generator=generator)
        sign = _empty(self.mean, samples).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        return magnitude.mul_(sign)

    def from_noise(self, noise: Float[Tensor, "k *shape d"]) -> Float[Tensor, "k *shape d"]:
        """z = location + scale x noise: differentiable in the parameters."""
        return torch.addcmul(self.mean, self.log_scale.exp(), noise)

    def log_density(self, z: Float[Tensor, "*more d"]) -> Float[Tensor, "*rows"]:
        """log q(z), summed over components."""
        return -(((z - self.mean) * (-self.log_scale).exp()).abs() + self.log_scale + math.log(2)).sum(-1)

    def kl_to_prior(self) -> Float[Tensor, "*shape"]:
        """KL(q || Laplace(0, 1)) in closed form: |m| + s exp(-|m| / s) - 1 - log s."""
        size = self.mean.abs()
        tail = (self.log_scale - size * (-self.log_scale).exp()).exp()
        return (size + tail - 1 - self.log_scale).sum(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> Laplace:
        """Both parameters changed alike: rows selected, detached, moved."""
        return Laplace(change(self.mean), change(self.log_scale))


Density = Gaussian | Laplace


def density(
    family: Family, mean: Float[Tensor, "*shape d"], log_spread: Float[Tensor, "*shape d"]
) -> Density:
    """A density of a family: ``log_spread`` is the log-variance of a Gaussian, and the log-scale of a Laplace."""
    return Gaussian(mean, log_spread) if family == "gaussian" else Laplace(mean, log_spread)


def spread(given: Density) -> Float[Tensor, "*shape d"]:
    """The second parameter of a density, as `density` takes it."""
    return given.log_variance if isinstance(given, Gaussian) else given.log_scale


def joined(one: Density, other: Density) -> Density:
    """Two densities of a family one after the other, along the first dimension."""
    log_spread = torch.cat([spread(one), spread(other)])
    return density(one.family, torch.cat([one.mean, other.mean]), log_spread)


def prior(family: Family, like: Shaped[Tensor, "*shape d"]) -> Density:
    """The prior of that family, of mean 0 and scale 1, with the shape, type and device of a tensor."""
    zeros = torch.zeros_like(like)
    return density(family, zeros, zeros)


def _empty(like: Tensor, samples: int) -> Tensor:
    return torch.empty((samples, *like.shape), dtype=like.dtype, device=like.device)
