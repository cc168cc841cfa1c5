"""Similarities and distances between encodings, in blocks of rows."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def _squared_distances(a: Float[Tensor, "n k"], b: Float[Tensor, "p k"]) -> Float[Tensor, "n p"]:
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return squares.addmm_(a, b.T, alpha=-2).clamp_(min=0)


Similarity = Literal["euclidean", "cosine"]

BLOCK_ELEMENTS = {
    "cpu": 2**19,
    "cuda": 2**25,
}  # similarities at a time: what a core's cache, a GPU's memory holds
# Up to so many dimensions squared distances are summed from differences. Beyond, from inner products, whose
# rounding error grows with the norms; both are then about equally fast.
EXACT_DIMENSIONS = 16


def _paired(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], similarity: Similarity) -> Float[Tensor, " n"]:
    return (a * b).sum(1) if similarity == "cosine" else -(a - b).square().sum(1)


def _blocks(n: int, m: int, device: torch.device, block: int | None) -> list[slice]:
    """Slices of n rows, each of at most ``block`` (or as many as suit the device)."""
    size = block or max(1, BLOCK_ELEMENTS.get(device.type, BLOCK_ELEMENTS["cuda"]) // max(m, 1))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _similarities(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], similarity: Similarity) -> Tensor:
    """Similarities of every pair, (n, m), in memory of their own."""
    if similarity == "cosine":
        return a @ b.T
    if a.shape[1] > EXACT_DIMENSIONS:
        return torch.addmm(-b.square().sum(1), a, b.T, alpha=2).sub_(a.square().sum(1, keepdim=True))
    total = a.new_empty(len(a), len(b))
    difference = torch.empty_like(total)
    columns = b.T.contiguous()  # twice as fast to go through
    for k, (x, y) in enumerate(zip(a.T, columns, strict=True)):
        torch.sub(x[:, None], y, out=difference)
        if k == 0:
            torch.mul(difference, difference, out=total).neg_()
        else:
            total.addcmul_(difference, difference, value=-1)
    return total
