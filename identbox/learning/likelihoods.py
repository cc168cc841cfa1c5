"""Likelihoods: what the output of a decoder says of a modality, in nats and summed over its components.

A likelihood takes parameters (..., n, *outputs), for any number of latent points of each sample, and data (n, *shape).
Values are raw: weights of modalities and beta belong to an objective, never to a likelihood.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from identbox.errors import IdentboxError
from identbox.settings import Positive, at_least, settings

LikelihoodKind = Literal["gaussian", "laplace", "bernoulli", "categorical", "tokens"]


@runtime_checkable
class Likelihood(Protocol):
    """p(x | z) of a modality, given what a decoder makes of z."""

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a decoder's output for one sample of data of that shape."""

    def log_density(
        self, parameters: Float[Tensor, ...], x: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "*more n"]:
        """log p(x | z) of each sample, summed over its components."""

    def mean(self, parameters: Float[Tensor, ...]) -> Shaped[Tensor, ...]:
        """The expected data; of classes, the most probable one."""

    def sample(self, parameters: Float[Tensor, ...], generator: torch.Generator) -> Shaped[Tensor, ...]:
        """Data drawn from p(x | z)."""

    def expect(self, x: Shaped[Tensor, "n ..."], where: str) -> None:
        """Raise IdentboxError where data are of another range or type."""

    def __str__(self) -> str:
        """What it is, with its settings, as results name it."""


@settings
class LikelihoodSettings:
    """The likelihood of a modality, as a table of TOML."""

    kind: LikelihoodKind
    scale: Positive = 1.0  # of gaussian (standard deviation) and laplace, in units of the data
    classes: Annotated[int, at_least(2)] = 256  # of categorical and tokens
    padding: Annotated[int, at_least(0)] | None = None  # of tokens: the index that fills a sentence up

    def make(self) -> Likelihood:
        """The likelihood itself."""
        if self.kind in ("gaussian", "laplace"):
            return LocationScale(kind=self.kind, scale=self.scale)
        if self.kind == "bernoulli":
            return Bernoulli()
        return Classes(classes=self.classes, padding=self.padding if self.kind == "tokens" else None)


@settings
class LocationScale:
    """Normal or Laplace components around the decoder's output, of a fixed scale.

    >>> import torch
    >>> LocationScale(kind="laplace", scale=0.75).log_density(torch.zeros(1, 2), torch.zeros(1, 2))
    tensor([-0.8109])
    """

    kind: Literal["gaussian", "laplace"]
    scale: Positive = 1.0  # the standard deviation of a Gaussian

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def log_density(
        self, parameters: Float[Tensor, ...], x: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "*more n"]:
        size = x[0].numel()
        distance = (parameters - x).flatten(-x.dim() + 1) if x.dim() > 1 else (parameters - x)[..., None]
        if self.kind == "laplace":
            return distance.abs().sum(-1) / -self.scale - size * math.log(2 * self.scale)
        constant = size * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))
        return distance.square().sum(-1) / (-2 * self.scale**2) - constant

    def mean(self, parameters: Float[Tensor, ...]) -> Float[Tensor, ...]:
        return parameters

    def sample(self, parameters: Float[Tensor, ...], generator: torch.Generator) -> Float[Tensor, ...]:
        if self.kind == "gaussian":
            return parameters + self.scale * torch.empty_like(parameters).normal_(generator=generator)
        size = torch.empty_like(parameters).exponential_(generator=generator)
        sign = torch.empty_like(parameters).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        return parameters + self.scale * size * sign

    def expect(self, x: Shaped[Tensor, "n ..."], where: str) -> None:
        if not x.is_floating_point():
            raise IdentboxError(f"{where}: expected real numbers for a {self.kind} likelihood, got {x.dtype}")
        _expect_all(x.isfinite(), x, where, "finite numbers")

    def __str__(self) -> str:
        return f"{self.kind} of scale {self.scale:g}"


@settings
class Bernoulli:
    """Components of 0 or 1, or in between as mean intensities; the decoder's output is a logit."""

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def log_density(
        self, parameters: Float[Tensor, ...], x: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "*more n"]:
        # x log p + (1 - x) log(1 - p), for logits of any size.
        terms = parameters * x - functional.softplus(parameters)
        return terms.flatten(-x.dim() + 1).sum(-1) if x.dim() > 1 else terms

    def mean(self, parameters: Float[Tensor, ...]) -> Float[Tensor, ...]:
        return parameters.sigmoid()

    def sample(self, parameters: Float[Tensor, ...], generator: torch.Generator) -> Float[Tensor, ...]:
        return torch.bernoulli(parameters.sigmoid(), generator=generator)

    def expect(self, x: Shaped[Tensor, "n ..."], where: str) -> None:
        _expect_all((x >= 0) & (x <= 1), x, where, "values in [0, 1] for a bernoulli likelihood")

    def __str__(self) -> str:
        return "bernoulli"


@settings
class Classes:
    """Components that are one of several classes: bytes of an image, words of a sentence.

    Data are whole numbers (n, *shape), and the decoder's output logits (..., n, classes, *shape). Components equal to
    ``padding`` are not there: they add nothing to a likelihood.
    """

    classes: Annotated[int, at_least(2)] = 256
    padding: Annotated[int, at_least(0)] | None = None

    def __post_init__(self) -> None:
        if self.padding is not None and self.padding >= self.classes:
            raise IdentboxError(f"padding: expected a class below {self.classes}, got {self.padding}")

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.classes, *shape)

    def log_density(
        self, parameters: Float[Tensor, ...], x: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "*more n"]:
        axis = parameters.dim() - x.dim()  # that of the classes, after the samples
        index = x.long().unsqueeze(1).expand(*parameters.shape[:axis], 1, *x.shape[1:])
        terms = parameters.gather(axis, index).squeeze(axis) - parameters.logsumexp(axis)
        if self.padding is not None:
            terms = terms.masked_fill(x == self.padding, 0.0)
        return terms.flatten(-x.dim() + 1).sum(-1) if x.dim() > 1 else terms

    def mean(self, parameters: Float[Tensor, "n c *shape"]) -> Shaped[Tensor, "n ..."]:
        return parameters.argmax(1)

    def sample(
        self, parameters: Float[Tensor, "n c *shape"], generator: torch.Generator
    ) -> Shaped[Tensor, "n ..."]:
        # The largest logit after Gumbel noise is a draw from the softmax.
        noise = torch.empty_like(parameters).exponential_(generator=generator).log_()
        return (parameters - noise).argmax(1)

    def expect(self, x: Shaped[Tensor, "n ..."], where: str) -> None:
        if x.is_floating_point() or x.is_complex():
            raise IdentboxError(f"{where}: expected whole numbers for {self.classes} classes, got {x.dtype}")
        _expect_all((x >= 0) & (x < self.classes), x, where, f"classes of 0 to {self.classes - 1}")

    def __str__(self) -> str:
        masked = "" if self.padding is None else f", {self.padding} masked"
        return f"{self.classes} classes{masked}"


@settings
class Components:
    """Components that are one of several classes each, of different numbers of classes.

    Data are whole numbers (n, components), and the decoder's output logits (..., n, most classes, components). Those of
    classes that a component has not are left out.

    >>> import torch
    >>> Components(sizes=(2, 3)).log_density(torch.zeros(1, 3, 2), torch.tensor([[1, 2]])).exp() * 6
    tensor([1.0000])
    """

    sizes: tuple[Annotated[int, at_least(1)], ...]

    @property
    def classes(self) -> Classes:
        """The same, as if each component had the most classes."""
        return Classes(classes=max(2, *self.sizes))

    def outputs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.classes.outputs(shape)

    def log_density(
        self, parameters: Float[Tensor, "*more n classes components"], x: Shaped[Tensor, "n components"]
    ) -> Float[Tensor, "*more n"]:
        return self.classes.log_density(self._possible(parameters), x)

    def mean(self, parameters: Float[Tensor, "n classes components"]) -> Shaped[Tensor, "n components"]:
        return self.classes.mean(self._possible(parameters))

    def sample(
        self, parameters: Float[Tensor, "n classes components"], generator: torch.Generator
    ) -> Shaped[Tensor, "n components"]:
        return self.classes.sample(self._possible(parameters), generator)

    def expect(self, x: Shaped[Tensor, "n components"], where: str) -> None:
        if x.shape[1:] != (len(self.sizes),):
            raise IdentboxError(f"{where}: expected {len(self.sizes)} components, got {tuple(x.shape[1:])}")
        for place, size in enumerate(self.sizes):
            Classes(classes=max(2, size)).expect(x[:, place], f"{where}, component {place}")

    def __str__(self) -> str:
        return f"classes ({', '.join(map(str, self.sizes))})"

    def _possible(self, parameters: Float[Tensor, "*more classes components"]) -> Float[Tensor, ...]:
        sizes = torch.tensor(self.sizes, device=parameters.device)
        beyond = torch.arange(parameters.shape[-2], device=parameters.device)[:, None] >= sizes
        return parameters.masked_fill(beyond, -torch.inf)


def _expect_all(holds: Tensor, x: Tensor, where: str, what: str) -> None:
    if not holds.all():
        place = int(holds.flatten().int().argmin())
        raise IdentboxError(f"{where}: expected {what}, got {x.flatten()[place].item():g}")
