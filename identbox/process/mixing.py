"""Mixing functions: invertible multilayer perceptrons that make observations of latents (section 8.4.1).

A mixing has square layers with LeakyReLU between them. Its layers are random matrices of a small condition
number, found as in earlier work on nonlinear independent component analysis: the threshold is a quantile of the
condition numbers of a pool of random matrices. Which matrices lie below it is decided exactly, and most of the
others are ruled out without their singular values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.settings import Count, between, settings

# Matrix entries handled at once: the memory is that of some such blocks, however large the pool.
BLOCK_ENTRIES = 2**17
# A matrix of a larger condition number is singular to the precision in which layers are stored: it is never used.
SINGULAR = 1 / torch.finfo(torch.float32).eps


@settings
class Mixing:
    """How mixing functions are drawn (section 8.4.1, Table A.2a).

    >>> from identbox import Mixing, World, numerical_simulation
    >>> world = World(numerical_simulation(), seed=0, mixing=Mixing(layers=2, pool=100))
    >>> world.mixings["1"].weights.shape
    torch.Size([2, 15, 15])
    """

    layers: Count = 3
    # Of LeakyReLU below 0; 1 makes the mixing linear.
    slope: Annotated[float, between(0, 1, without="low")] = 0.2
    # A layer's condition number lies among this fraction of the smallest of the pool.
    ratio: Annotated[float, between(0, 1, without="low")] = 1e-3
    # The number of random matrices from which the threshold is taken.
    pool: Count = 25_000
    # Whether layers are drawn from the Haar measure instead. Their condition number is 1.
    orthogonal: bool = False

    @property
    def rank(self) -> int:
        """The place, from 1, of the threshold among the sorted condition numbers of the pool."""
        return max(1, int(self.pool * self.ratio))


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Condition numbers in the 2-norm: of a mixing's Jacobian over samples, and of each of its layers."""

    minimum: float
    median: float
    maximum: float
    layers: tuple[float, ...]


class InvertibleMLP(nn.Module):
    """f(z) = W_L a(... a(W_2 a(W_1 z))) with a(h) = max(h, slope h), a bijection of R^d.

    Both ``weights``, of shape (layers, d, d), and ``slope`` are buffers: a state_dict has them, and an optimiser
    does not move them. Every method raises IdentboxError for an input of another width than d.
    """

    weights: Tensor
    slope: Tensor

    def __init__(self, weights: Float[Tensor, "l d d"], slope: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("slope", torch.tensor(slope, dtype=weights.dtype, device=weights.device))

    @property
    def dim(self) -> int:
        return self.weights.shape[-1]

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Observations of latents."""
        self._expect_width(z, "latents")
        first, *others = self.weights
        h = z @ first.T
        for weight in others:
            h = torch.maximum(h, self.slope * h) @ weight.T
        return h

    def inverse(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The latents of observations, inverse(forward(z)) = z but for the rounding of forward."""
        self._expect_width(x, "observations")
        # In float64, because each layer multiplies errors by up to its condition number and 1 / slope.
        *others, last = self.weights.double()
        h = torch.linalg.solve(last, x.double().T)
        for weight in reversed(others):
            h = torch.linalg.solve(weight, torch.minimum(h, h / self.slope))
        return h.T.to(x.dtype)

    def log_determinant(self, z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log |det Jf(z)| of each sample: the layers' own, and log(slope) for each hidden unit below 0."""
        below = sum((flags.sum(1) for flags in self._below(z)), z.new_zeros(len(z)))
        return torch.linalg.slogdet(self.weights).logabsdet.sum() + below * self.slope.log()

    def jacobian(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d d"]:
        """Jf(z) of each sample, [n, i, j] the derivative of x_i by z_j."""
        first, *others = self.weights
        product = first.expand(len(z), -1, -1)
        for weight, below in zip(others, self._below(z), strict=True):
            product = weight @ torch.where(below, self.slope, 1.0).unsqueeze(-1).mul(product)
        return product

    def conditioning(self, z: Float[Tensor, "n d"]) -> Conditioning:
        """How evenly the mixing stretches space around some latents.

        A condition number is the ratio of the largest to the smallest singular value. Raises IdentboxError
        for no sample.
        """
        if not len(z):
            raise IdentboxError("conditioning: expected at least 1 sample, got none")
        blocks = z.split(_block_size(self.dim))
        numbers = torch.cat([condition_numbers(self.jacobian(block)) for block in blocks])
        return Conditioning(
            minimum=numbers.min().item(),
            median=numbers.quantile(0.5).item(),
            maximum=numbers.max().item(),
            layers=tuple(condition_numbers(self.weights).tolist()),
        )

    def _below(self, z: Float[Tensor, "n d"]) -> list[Bool[Tensor, "n d"]]:
        """Which hidden units are below 0, where a has the derivative ``slope``, layer by layer."""
        self._expect_width(z, "latents")
        below = []
        for weight in self.weights[:-1]:
            h = z @ weight.T
            below.append(h < 0)
            z = torch.maximum(h, self.slope * h)
        return below

    def _expect_width(self, values: Float[Tensor, "n w"], what: str) -> None:
        if values.shape[-1] != self.dim:
            raise IdentboxError(f"mixing: expected {what} of width {self.dim}, got {values.shape[-1]}")

    def extra_repr(self) -> str:
        return f"dim={self.dim}, layers={len(self.weights)}, slope={self.slope.item():g}"


def draw(dim: int, settings: Mixing, *, seed: int, name: str = "mixing") -> InvertibleMLP:
    """A mixing of ``dim`` dimensions in float32, from the stream of ``seed`` and ``name`` alone.

    Raises IdentboxError for fewer than one dimension.

    >>> mixing = draw(3, Mixing(pool=1000), seed=0)
    >>> z = torch.ones(2, 3)
    >>> torch.allclose(mixing.inverse(mixing(z)), z, atol=1e-4)
    True
    """
    if dim < 1:
        raise IdentboxError(f"dim: expected at least 1, got {dim}")
    stream = seeding.generator(seed, name)
    find = _orthogonal if settings.orthogonal else _well_conditioned
    with _one_thread():
        weights = find(dim, settings, stream)
    return InvertibleMLP(weights, settings.slope)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch's operations in this block.

    Many operations on small matrices: threads gain little, and on a busy machine their waiting for each other at
    the end of every operation takes many times as long as the work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _orthogonal(dim: int, settings: Mixing, stream: torch.Generator) -> Float[Tensor, "l d d"]:
    """Orthogonal matrices from the Haar measure: QR of normal matrices, with the diagonal of R made positive."""
    normal = torch.randn(settings.layers, dim, dim, generator=stream, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    return (q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)).float()


def _well_conditioned(dim: int, settings: Mixing, stream: torch.Generator) -> Float[Tensor, "l d d"]:
    """The first matrices of the stream whose condition number is not above the threshold.

    The threshold is the ``settings.rank``-th smallest condition number of the first ``settings.pool`` matrices.
    Blocks of matrices are examined one after the other, by the threshold of those before. It only falls, so that no
    matrix below the last threshold is lost. Drawing goes on beyond the pool until there are enough layers.
    """
    kept = torch.empty(0, dim, dim)
    numbers = torch.empty(0, dtype=torch.float64)
    threshold, left = SINGULAR, settings.pool
    while left or len(kept) < settings.layers:
        matrices = random_matrices(min(left, _block_size(dim)) or _block_size(dim), dim, stream)
        judged = condition_numbers_up_to(matrices, threshold)
        within = judged <= threshold
        kept, numbers = torch.cat([kept, matrices[within]]), torch.cat([numbers, judged[within]])
        if left and len(numbers) >= settings.rank:
            threshold = numbers.kthvalue(settings.rank).values.item()
            within = numbers <= threshold
            kept, numbers = kept[within], numbers[within]
        left -= min(left, len(matrices))
    return kept[: settings.layers].clone()


def random_matrices(n: int, dim: int, stream: torch.Generator) -> Float[Tensor, "n d d"]:
    """Matrices with entries uniform on [-1, 1), columns then scaled to length 1. A column of zeros stays one."""
    matrices = torch.rand(n, dim, dim, generator=stream).mul_(2).sub_(1)
    lengths = matrices.square().sum(1, keepdim=True).sqrt_()
    return matrices.div_(lengths.clamp_(min=torch.finfo(torch.float32).tiny))


def condition_numbers_up_to(matrices: Float[Tensor, "n d d"], threshold: float) -> Float[Tensor, " n"]:
    """Condition numbers in float64 up to the threshold; infinity for those above it.

    That a number is above the threshold t is mostly found without singular values. With G = W^T W and m the largest
    eigenvalue of G, the condition number is above t if and only if G - m/t^2 I is not positive semidefinite. A
    Cholesky factorisation shows this about ten times as fast, with tr(G^2) / tr(G) <= m in the place of m. Rounding
    is allowed for, so that no matrix at or below the threshold is ever ruled out.
    """
    w = matrices.double()
    n, dim, _ = w.shape
    gram = w.mT @ w
    squares = gram.square().sum((1, 2))
    diagonal = gram.diagonal(dim1=1, dim2=2)
    bound = (squares / diagonal.sum(1)).nan_to_num_(0.0)  # 0/0 where W = 0
    # Forming G and factorising it err by about dim^2 eps times the largest entry, which the norm of G is not below.
    slack = 8 * dim**2 * torch.finfo(w.dtype).eps * squares.sqrt()
    diagonal.sub_((bound / threshold**2 - slack).unsqueeze(1))
    likely = torch.linalg.cholesky_ex(gram).info == 0
    numbers = w.new_full((n,), math.inf)
    numbers[likely] = condition_numbers(w[likely])
    return numbers.masked_fill_(~(numbers <= threshold), math.inf)


def condition_numbers(matrices: Float[Tensor, "n d d"]) -> Float[Tensor, " n"]:
    """Condition numbers in the 2-norm, computed in float64; infinity for singular matrices."""
    values = torch.linalg.svdvals(matrices.double())
    return (values[:, 0] / values[:, -1]).nan_to_num_(math.inf)  # 0/0 where W = 0


def _block_size(dim: int) -> int:
    """The number of matrices, or Jacobians, handled at once."""
    return max(32, BLOCK_ENTRIES // dim**2)
