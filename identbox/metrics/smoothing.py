"""Regressions that tell what can be predicted of numbers, and how much of the remainder is their own error.

The first regression is smooth and in closed form. Its features are the inputs and normal kernels at up to ``LANDMARKS``
of the samples (Nystroem's). For each target the ridge penalty, the width of the kernels and the form of the inputs
(their values, or normal scores) are chosen by the leave-one-out error, which is known exactly. So no row that scores
was fitted, and all rows do both.

Where that leaves more than ``ENOUGH`` of a target, scikit-learn's network of two hidden layers is fitted as well, on
some folds of the rows to predict the others. It takes the place of the first regression where it predicts better.

What is left is known from two sides. Residuals of rows that were left out are too large by the error of the fit. The
residuals of the fit, corrected for its degrees of freedom, estimate what no regression could explain:
RSS / (n - tr(2 H - H H')), with H the matrix that takes targets to fitted values (Hastie and Tibshirani, Generalized
Additive Models, 1990, section 3.5).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.metrics.low_rank import pivoted_root
from identbox.metrics.normal_scores import by_ranks, by_values

LANDMARKS = 512
NEGLIGIBLE_KERNEL = (
    1e-8  # of a kernel at a sample, which is 1: what the others leave of it, below which it is left out
)
KERNEL_WIDTHS = (0.1, 0.5, 2.0)  # |x - x'|^2 is divided by twice the number of inputs and multiplied by this
RIDGES = tuple(10.0**power for power in (-6, -5, -4, -3, -2, -1, 0, 1))  # of n
LINEAR = 3.0  # the scale of the inputs among the features: a linear part costs little
ENOUGH = 0.01  # of a target's variance: where less is left, no network is fitted
FOLDS = 4
UNITS = (128, 128)
EPOCHS = 60  # with 4096 rows, and accordingly more with fewer
MOST = 6  # times as many
FEWEST = 400  # rows, below which no network is fitted


@dataclass(frozen=True, kw_only=True)
class Smooth:
    """What a regression leaves of each target, in the target's unit."""

    left_out: Float[Tensor, "n q"]  # residuals of rows that were left out of the fit
    corrected: Float[Tensor, "n q"]  # residuals of the fit, corrected for its degrees of freedom


@torch.no_grad()
def smooth(inputs: Float[Tensor, "n k"], targets: Float[Tensor, "n q"], *, network: bool = True) -> Smooth:
    """Regress targets (float64) on numbers, which may be constant: then every prediction is the mean.

    Without ``network`` the regression in closed form is all.
    """
    n = len(targets)
    centred = targets - targets.mean(0)
    best = Smooth(left_out=centred * n / (n - 1), corrected=centred * (n / (n - 1)) ** 0.5)
    forms = [form for form in (by_ranks(inputs), by_values(inputs)) if form.shape[1]]
    for form in forms:
        for features in _features(form):
            for candidate in _ridges(features, centred):
                best = _better(best, candidate)
    if network and forms and n >= FEWEST:
        open_ = best.left_out.square().mean(0) > ENOUGH * centred.square().mean(0)
        if open_.any():
            residuals = _fit_network(torch.cat(forms, dim=1), centred[:, open_], best.left_out[:, open_])
            best = _where(open_, residuals, best)
    return best


def _where(open_: Tensor, residuals: Float[Tensor, "n o"] | None, old: Smooth) -> Smooth:
    """The better residuals of the targets that are open; a network has no degrees of freedom to correct for."""
    if residuals is None:
        return old
    every = old.left_out.clone()
    every[:, open_] = residuals
    return _better(old, Smooth(left_out=every, corrected=every))


def _better(old: Smooth, new: Smooth) -> Smooth:
    """Of each target the residuals of the smaller leave-one-out error."""
    better = new.left_out.square().mean(0) < old.left_out.square().mean(0)
    return Smooth(
        left_out=torch.where(better, new.left_out, old.left_out),
        corrected=torch.where(better, new.corrected, old.corrected),
    )


def _features(inputs: Float[Tensor, "n k"]) -> Iterator[Float[Tensor, "n f"]]:
    """The features of each kernel width, centred."""
    n, k = inputs.shape
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    centres = inputs[order[: min(LANDMARKS, n)]]
    distances = torch.cdist(inputs, centres).square() / (2 * k)
    among = torch.cdist(centres, centres).square() / (2 * k)
    for width in KERNEL_WIDTHS:
        root, kept = pivoted_root((-width * among).exp(), NEGLIGIBLE_KERNEL)
        near = (-width * distances[:, kept]).exp()
        kernels = torch.linalg.solve_triangular(root[kept], near.T, upper=False).T
        features = torch.cat([LINEAR * inputs, kernels], dim=1)
        yield features - features.mean(0)


def _ridges(features: Float[Tensor, "n f"], targets: Float[Tensor, "n q"]) -> Iterator[Smooth]:
    """The residuals of ridge regressions of every penalty; both are centred."""
    n = len(features)
    values, vectors = torch.linalg.eigh(features.T @ features)
    values, rotated = values.clamp(min=0), features @ vectors
    # Of every penalty at once: the columns of products.
    shrunk = 1 / (values[:, None] + n * torch.tensor(RIDGES, dtype=values.dtype))
    leverages = (rotated.square() @ shrunk + 1 / n).clamp(max=1 - 1e-6)
    coefficients = shrunk[:, :, None] * (rotated.T @ targets)[:, None]
    fitted = (rotated @ coefficients.flatten(1)).unflatten(1, coefficients.shape[1:])
    kept = values[:, None] * shrunk
    degrees = 1 + (2 * kept - kept.square()).sum(0)
    for number, left in enumerate((n - degrees).clamp(min=1).tolist()):
        residuals = targets - fitted[:, number]
        yield Smooth(
            left_out=residuals / (1 - leverages[:, number, None]), corrected=residuals * (n / left) ** 0.5
        )


def _fit_network(
    inputs: Float[Tensor, "n k"], targets: Float[Tensor, "n q"], known: Float[Tensor, "n q"]
) -> Float[Tensor, "n q"] | None:
    """The residuals of scikit-learn's network, each row predicted by the one that was not fitted to it.

    None where the network of the first fold leaves more than ``known`` of every target: others would too.
    """
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1))
    folds: Sequence[Tensor] = order.tensor_split(FOLDS)
    residuals = torch.empty_like(targets)
    for number, fold in enumerate(folds):
        rest = torch.cat([other for at, other in enumerate(folds) if at != number])
        residuals[fold] = targets[fold] - _predicted(inputs, targets, rest, fold, number)
        if number == 0 and (residuals[fold].square().mean(0) >= known[fold].square().mean(0)).all():
            return None
    return residuals


def _predicted(
    inputs: Float[Tensor, "n k"], targets: Float[Tensor, "n q"], rest: Tensor, fold: Tensor, seed: int
) -> Float[Tensor, "m q"]:
    """The rows ``fold`` as a network predicts them that is fitted to ``rest``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=UNITS,
        learning_rate_init=3e-3,
        max_iter=EPOCHS * min(max(1, 4096 // len(inputs)), MOST),
        early_stopping=True,
        random_state=seed,
    )
    x, y = inputs.float().numpy(), targets.float().squeeze(1).numpy()  # in half the time of float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is the setting
        model.fit(x[rest], y[rest])
    return torch.from_numpy(model.predict(x[fold])).reshape(len(fold), -1).to(targets.dtype)
