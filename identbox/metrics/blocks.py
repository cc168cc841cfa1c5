"""R2 of one block of numbers from another, linear or nonlinear, with its standard error.

1 - E |y - f(x)|^2 / E |y - E y|^2 over standardised columns y, by predictions of rows that were left out of the fit.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.metrics.normal_scores import standardised
from identbox.metrics.smoothing import smooth


def block_r2(
    inputs: Float[Tensor, "n k"], wanted: Float[Tensor, "n q"], *, linear: bool
) -> tuple[float, float]:
    """R2, the mean over the columns of ``wanted`` that vary, and its standard error; 0 where none varies."""
    varying = wanted.std(0) > 1e-10 * wanted.abs().amax(0).clamp(min=1e-300)
    if not varying.any():
        return 0.0, 0.0
    targets = standardised(wanted[:, varying])
    left = left_out_linear(inputs, targets) if linear else smooth(inputs, targets, network=False).left_out
    rows = left.square().mean(1)
    whole = targets.square().mean(1)
    value = 1 - (rows.mean() / whole.mean()).item()
    error = (rows - (1 - value) * whole).std().item() / math.sqrt(len(rows))
    return max(0.0, value), error


def left_out_linear(inputs: Float[Tensor, "n k"], targets: Float[Tensor, "n q"]) -> Float[Tensor, "n q"]:
    """The residuals of least squares with an intercept, each of a fit without its row (the hat matrix gives them)."""
    n = len(inputs)
    centred = inputs.double() - inputs.double().mean(0)
    basis, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes.max().clamp(min=1e-300)]
    leverage = (basis.square().sum(1) + 1 / n).clamp(max=1 - 1e-6)
    centre = targets - targets.mean(0)
    return (centre - basis @ (basis.T @ centre)) / (1 - leverage)[:, None]
