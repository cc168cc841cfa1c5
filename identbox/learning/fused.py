"""Sums over all pairs of encodings on a GPU, each in one kernel: no similarity ever leaves the chip.

Imported only where there are CUDA tensors: Triton comes with PyTorch's CUDA builds alone. Each kernel takes some rows
of ``a`` and goes through all of ``b``. For the columns of the similarities, a and b change places. Nothing is added up
in an order that changes, so that equal inputs give equal results.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

MOST_DIMENSIONS = 15  # of encodings; each is a turn of an unrolled loop
ROWS, COLUMNS = 16, 128  # of similarities at a time; fewer rows would not fill a matrix unit
LOWEST = tl.constexpr(-1e30)  # a logit that counts for nothing


@triton.jit
def _logits(a, b, rows, columns, n, m, factor, SIZE: tl.constexpr, EUCLIDEAN: tl.constexpr):
    """Base-2 logits of some rows and columns, of ``a`` and ``b`` (dimensions, samples); beyond the last one, LOWEST."""
    total = tl.zeros([rows.shape[0], columns.shape[0]], tl.float32)
    for k in tl.static_range(SIZE):
        x = tl.load(a + k * n + rows, mask=rows < n, other=0.0)
        y = tl.load(b + k * m + columns, mask=columns < m, other=0.0)
        if EUCLIDEAN:
            difference = x[:, None] - y[None, :]
            total -= difference * difference
        else:
            total += x[:, None] * y[None, :]
    return tl.where((columns < m)[None, :], total * factor, LOWEST)


@triton.jit
def _sum_kernel(
    a, b, out, n, m, factor,
    SIZE: tl.constexpr, EUCLIDEAN: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    # Of each lane its highest logit, and the sum of exponentials relative to it; lanes meet at the end alone.
    top = tl.full([ROWS, WIDTH], LOWEST, tl.float32)
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for start in range(0, m, WIDTH):
        logits = _logits(a, b, rows, start + tl.arange(0, WIDTH), n, m, factor, SIZE, EUCLIDEAN)
        higher = logits > top
        lesser = tl.exp2(-tl.abs(logits - top))
        total = tl.where(higher, total * lesser + 1.0, total + lesser)
        top = tl.where(higher, logits, top)
    highest = tl.max(top, 1)
    tl.store(out + rows, highest + tl.log2(tl.sum(total * tl.exp2(top - highest[:, None]), 1)), mask=rows < n)


@triton.jit
def _gradient_kernel(
    a, b, out, row_sums, column_sums, row_gradient, column_gradient, n, m, factor,
    SIZE: tl.constexpr, PADDED: tl.constexpr, EUCLIDEAN: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    places = tl.arange(0, PADDED)
    row_sum = tl.load(row_sums + rows, mask=rows < n, other=0.0)
    row_weight = tl.load(row_gradient + rows, mask=rows < n, other=0.0)
    sums = tl.zeros([ROWS, PADDED], tl.float32)
    for start in range(0, m, WIDTH):
        columns = start + tl.arange(0, WIDTH)
        inside = columns < m
        logits = _logits(a, b, rows, columns, n, m, factor, SIZE, EUCLIDEAN)
        column_sum = tl.load(column_sums + columns, mask=inside, other=0.0)
        column_weight = tl.load(column_gradient + columns, mask=inside, other=0.0)
        weights = tl.exp2(logits - row_sum[:, None]) * row_weight[:, None]
        weights += tl.exp2(logits - column_sum[None, :]) * column_weight[None, :]
        kept = inside[:, None] & (places < SIZE)[None, :]
        partners = tl.load(b + places[None, :] * m + columns[:, None], mask=kept, other=0.0)
        # The column after the last dimension sums the weights themselves.
        partners = tl.where((places == SIZE)[None, :], 1.0, partners)
        sums = tl.dot(weights, partners, sums, input_precision="tf32x3")
    if EUCLIDEAN:
        weight = tl.sum(tl.where((places == SIZE)[None, :], sums, 0.0), 1)
        here = (rows < n)[:, None] & (places < SIZE)[None, :]
        sums -= weight[:, None] * tl.load(a + places[None, :] * n + rows[:, None], mask=here, other=0.0)
    kept = (rows < n)[:, None] & (places < SIZE)[None, :]
    tl.store(out + rows[:, None] * SIZE + places[None, :], sums, mask=kept)


def fits(a: Tensor) -> bool:
    """Whether the kernels take encodings of this device, type and size."""
    return a.is_cuda and a.dtype == torch.float32 and 0 < a.shape[1] <= MOST_DIMENSIONS


def log2_sums(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], euclidean: bool, factor: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """log2 sum_l 2^(factor sim(a_k, b_l)) for every k, and log2 sum_k of the same for every l."""
    a, b = a.T.contiguous(), b.T.contiguous()
    sums = []
    for one, other in ((a, b), (b, a)):
        size, n = one.shape
        out = one.new_empty(n)
        _sum_kernel[(triton.cdiv(n, ROWS),)](
            one, other, out, n, other.shape[1], factor, size, euclidean, ROWS, COLUMNS
        )
        sums.append(out)
    return sums[0], sums[1]


def gradients(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    sums: tuple[Float[Tensor, " n"], Float[Tensor, " m"]],
    weights: tuple[Float[Tensor, " n"], Float[Tensor, " m"]],
    euclidean: bool,
    factor: float,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """For a and b, what ``weights`` (the gradients of both results of `log2_sums`, in nats) give for sim itself.

    With w_kl the weight of a pair: sum_l w_kl (b_l - a_k), or sum_l w_kl b_l for cosine; and the same for b.
    """
    a, b = a.T.contiguous(), b.T.contiguous()
    first, second = (tensor.contiguous() for tensor in weights)
    found = []
    for one, other, one_sum, other_sum, one_weight, other_weight in (
        (a, b, *sums, first, second),
        (b, a, *sums[::-1], second, first),
    ):
        size, n = one.shape
        out = one.new_empty(n, size)
        options: tuple[Any, ...] = (size, MOST_DIMENSIONS + 1, euclidean, ROWS, COLUMNS)
        _gradient_kernel[(triton.cdiv(n, ROWS),)](
            one, other, out, one_sum, other_sum, one_weight, other_weight, n, other.shape[1], factor, *options
        )
        found.append(out)
    return found[0], found[1]
