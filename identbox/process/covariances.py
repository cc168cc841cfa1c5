"""Covariances of the components of a variable: given, or drawn by seed; and parameters as tensors."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.seeding import generator as stream

Matrix = tuple[tuple[float, ...], ...]
Covariance = Literal["identity", "wishart", "shared-wishart"] | Matrix


@lru_cache(maxsize=1024)
def parameter(values: tuple | float, dtype: torch.dtype, device: torch.device) -> Tensor:
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
    """Raise IdentboxError for a matrix that is not the covariance of ``dim`` components."""
    if isinstance(covariance, str):
        return
    if len(covariance) != dim:
        raise IdentboxError(f"covariance: expected {dim} x {dim} numbers, got {len(covariance)} rows")
    cholesky(covariance)


def covariance_matrix(covariance: Covariance, dim: int) -> Float[Tensor, "d d"]:
    """A covariance as a tensor in float64. Raises IdentboxError for one that is still to be drawn."""
    if covariance == "identity":
        return torch.eye(dim, dtype=torch.float64)
    return torch.tensor(covariance_numbers(covariance), dtype=torch.float64)


def correlate(noise: Float[Tensor, "n d"], covariance: Covariance) -> Float[Tensor, "n d"]:
    """Standard normal noise with the covariance given to it."""
    if covariance == "identity":
        return noise
    return noise @ parameter(cholesky(covariance_numbers(covariance)), noise.dtype, noise.device).T


def covariance_numbers(covariance: Covariance) -> Matrix:
    """A covariance as a matrix of numbers. Raises IdentboxError for one that is still to be drawn."""
    if isinstance(covariance, str):
        raise IdentboxError(f"covariance: expected numbers, got '{covariance}', which Process.realise draws")
    return covariance
