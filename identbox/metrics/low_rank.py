"""Kernel matrices of low rank: wide kernels of few inputs say the same of many samples."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.linalg.lapack import dpstrf
from torch import Tensor


def pivoted_root(
    matrix: Float[Tensor, "n n"], tolerance: float
) -> tuple[Float[Tensor, "n r"], Int[Tensor, " r"]]:
    """A root F of a kernel matrix, F F' = matrix, and the r rows that span it, by Cholesky with pivots (LAPACK).

    The row that the rows before leave most of comes next. The end is where they leave no row more than ``tolerance``:
    no entry of F F' is farther from the matrix. F at the r rows is a lower triangle. The matrix is in float64 and has
    no negative eigenvalue but for rounding.

    >>> root, rows = pivoted_root(torch.tensor([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 9.0]]).double(), 1e-9)
    >>> rows.tolist(), (root @ root.T).tolist()
    ([2, 1], [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 9.0]])
    """
    packed, places, rank, _ = dpstrf(matrix.cpu().numpy(), tol=tolerance, lower=1)
    rows = torch.from_numpy(places).long() - 1
    root = torch.empty(len(matrix), int(rank), dtype=matrix.dtype)
    root[rows] = torch.from_numpy(packed)[:, :rank].tril()
    return root.to(matrix.device), rows[:rank].to(matrix.device)
