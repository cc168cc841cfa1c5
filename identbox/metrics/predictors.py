"""The predictors of numbers: least squares and kernel ridge regression.

Each is fit on standardised encodings x (n, k) in float64 and predicts for others. All targets share the work: one QR
decomposition for least squares, one Cholesky factor for each point of the kernel's grid. It is done on the device of
the encodings. Random draws are made on the CPU, so that the device does not move them. The predictors of classes are in
`classifiers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.distances import _squared_distances
from identbox.metrics.low_rank import pivoted_root
from identbox.settings import Count, Fraction, Positive, at_least, settings

CHUNK = 4096  # rows of a kernel or of a hidden layer that are held at a time
# on a kernel of landmarks; far above its rounding (1e-12 for 4096) and far below any useful alpha
JITTER = 1e-10
ZERO_EIGENVALUE = 1e-6  # of the smallest alpha: the eigenvalues that are not told from zero
SIGNS = 64  # random vectors that estimate a trace: its error is below an eighth of the residuals' own


@settings
class PredictorSettings:
    """How probes are fit; the grid and the folds are those of the published evaluation.

    ``centre`` takes the mean off a target before kernel ridge regression, which has no intercept, and adds it to
    the prediction. It is off, so that choices and scores are those of scikit-learn's GridSearchCV. For targets
    whose mean is within a few deviations of zero it changes R2 by some thousandths; a mean of ten deviations
    costs about 0.01 without it, one of a hundred 0.2 where there are 15 encodings.
    """

    alphas: tuple[Positive, ...] = (1.0, 0.1, 0.01, 0.001)  # kernel ridge: penalties to choose from
    gammas: tuple[Positive, ...] = tuple(
        np.logspace(-2, 2, 4).tolist()
    )  # exp(-gamma |a - b|^2) to choose from
    folds: Annotated[int, at_least(2)] = 3  # contiguous parts of the training sample, to choose both
    # kernel ridge is exact up to this number of training samples; beyond, Nystroem's approximation with as many
    landmarks: Annotated[int, at_least(4)] = 4096
    centre: bool = False
    hidden: Count = 100  # units of the MLP
    epochs: Count = 200  # at most
    patience: Count = 10  # epochs without a lower loss on the part held out, after which an MLP is done
    held_out: Fraction = 0.1  # of the training sample, for that
    batch: Count = 200  # samples
    learning_rate: Positive = 1e-3  # Adam's
    bootstrap: Count = 200  # resamples of the test sample
    confidence: Fraction = 0.95  # of the interval

    def __post_init__(self) -> None:
        for name in ("alphas", "gammas"):
            if not getattr(self, name):
                raise IdentboxError(f"{name}: expected at least one number, got none")
        if self.landmarks < 2 * self.folds:
            raise IdentboxError(f"landmarks: expected at least {2 * self.folds}, got {self.landmarks}")


def r2(y: Float[Tensor, "n d"], fit: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """R2 of each column; of a constant one 1 where it is met and else 0, as scikit-learn has it."""
    left, total = (y - fit).square().sum(0), (y - y.mean(0)).square().sum(0)
    return torch.where(total > 0, 1 - left / total, (left == 0).to(y.dtype))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a linear smoother, whose fitted values are H y, makes of a block of targets.

    ``freedom`` is tr (I - H)' (I - H). Where the smoother does not bend what it fits, the mean of the sum of squared
    residuals is this number times the variance of the noise.
    """

    prediction: Float[Tensor, "m d"]  # for the test sample
    residual: Float[Tensor, "n d"]  # of the training sample
    freedom: float
    alpha: float | None = None  # of kernel ridge regression
    gamma: float | None = None


def least_squares(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n d"], x_test: Float[Tensor, "m k"], *, rounding: float = 0.0
) -> Float[Tensor, "m d"]:
    """Predictions of ordinary least squares with an intercept; see `fit_least_squares`."""
    return fit_least_squares(x, y, x_test, rounding=rounding).prediction


def fit_least_squares(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n d"], x_test: Float[Tensor, "m k"], *, rounding: float = 0.0
) -> Fit:
    """Ordinary least squares with an intercept; of several solutions the shortest.

    The singular values are those of the small factor of a QR decomposition. Directions that the centred x has by
    rounding alone, as of constant and collinear columns, are left out. ``rounding`` is the relative error of what is in
    x where that was made in fewer digits: a network in float32 with units that are always off has encodings in a
    subspace, but for rounding.
    """
    centre, mean = x.mean(0), y.mean(0)
    q, r = torch.linalg.qr(x - centre)
    u, sizes, v = torch.linalg.svd(r, full_matrices=False)
    kept = sizes > sizes[0] * max(max(x.shape) * torch.finfo(x.dtype).eps, x.shape[1] * rounding)
    inverse = torch.where(kept, 1 / sizes, torch.zeros_like(sizes))
    coefficients = v.T @ (inverse[:, None] * (u.T @ (q.T @ (y - mean))))
    return Fit(
        prediction=(x_test - centre) @ coefficients + mean,
        residual=y - mean - (x - centre) @ coefficients,
        freedom=float(len(x) - 1 - int(kept.sum())),
    )


def kernel_ridge(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    x_test: Float[Tensor, "m k"],
    *,
    settings: PredictorSettings,
    seed: int,
) -> list[tuple[Float[Tensor, "m _"], float, float]]:
    """Predictions of each block of targets, and the alpha and gamma that cross-validation chose for it.

    See `fit_kernel_ridge`.
    """
    fits = fit_kernel_ridge(x, blocks, x_test, settings=settings, seed=seed)
    return [(fit.prediction, fit.alpha or 0.0, fit.gamma or 0.0) for fit in fits]


def fit_kernel_ridge(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    x_test: Float[Tensor, "m k"],
    *,
    settings: PredictorSettings,
    seed: int,
) -> list[Fit]:
    """Kernel ridge regression of each block of targets, with the alpha and gamma that cross-validation chose for it.

    (K + alpha I) c = y with K_ij = exp(-gamma |x_i - x_j|^2), no intercept. Beyond ``settings.landmarks`` samples
    the choice is made on as many random ones, the landmarks p, and the fit on all samples is Nystroem's:
    (Phi' Phi + alpha I) w = Phi' y with Phi = K_np L^-T and K_pp = L L'.
    """
    landmarks = _landmarks(x, settings, seed)
    chosen = blocks if landmarks is None else [block[landmarks] for block in blocks]
    choices = _choose(x if landmarks is None else x[landmarks], chosen, settings)
    return fit_kernels(x, blocks, x_test, choices, settings=settings, seed=seed)


def _landmarks(x: Float[Tensor, "n k"], settings: PredictorSettings, seed: int) -> Int[Tensor, " p"] | None:
    """The rows of Nystroem's landmarks; None where all rows are used."""
    if len(x) <= settings.landmarks:
        return None
    order = torch.randperm(len(x), generator=seeding.generator(seed, "probing", "landmarks"))
    return order[: settings.landmarks].sort().values.to(x.device)


def fit_kernels(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    x_test: Float[Tensor, "m k"],
    choices: Sequence[tuple[float, float]],
    *,
    settings: PredictorSettings,
    seed: int,
) -> list[Fit]:
    """Kernel ridge regression of each block with the alpha and gamma that ``choices`` has for it."""
    rows = _landmarks(x, settings, seed)
    landmarks = None if rows is None else x[rows]
    y = torch.cat(list(blocks), dim=1)
    offset = _offset(y, settings)
    widths = [block.shape[1] for block in blocks]
    fits: dict[tuple[float, float], list[Fit]] = {}
    for gamma in dict.fromkeys(gamma for _, gamma in choices):
        # Every block is solved for every alpha that any chose: next to the factor, columns cost nothing.
        alphas = list(dict.fromkeys(alpha for alpha, its_gamma in choices if its_gamma == gamma))
        coefficients, freedoms = _solve(x, y - offset, landmarks, gamma, alphas, settings, seed)
        side_by_side, centres = torch.cat(coefficients, dim=1), x if landmarks is None else landmarks
        new, own = (_kernel_sums(rows, centres, gamma, side_by_side) for rows in (x_test, x))
        parts = zip(*(values.split(y.shape[1], dim=1) for values in (new, own)), strict=True)
        for alpha, freedom, (predicted, fitted) in zip(alphas, freedoms, parts, strict=True):
            both = ((predicted + offset).split(widths, dim=1), (y - offset - fitted).split(widths, dim=1))
            fits[alpha, gamma] = [
                Fit(prediction=p, residual=r, freedom=freedom, alpha=alpha, gamma=gamma)
                for p, r in zip(*both, strict=True)
            ]
    return [fits[choice][place] for place, choice in enumerate(choices)]


def _kernel_sums(
    x: Float[Tensor, "n k"], centres: Float[Tensor, "p k"], gamma: float, coefficients: Float[Tensor, "p d"]
) -> Float[Tensor, "n d"]:
    """Sums of kernels around the centres, in chunks of rows."""
    parts = [_kernel(_squared_distances(rows, centres), gamma) @ coefficients for rows in x.split(CHUNK)]
    return torch.cat(parts)


def choose_by_gcv(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    alphas: Sequence[float],
    gammas: Sequence[float],
) -> list[tuple[float, float]]:
    """For each block the alpha and gamma of the lowest sum over columns of |(I - H) y|^2 / (tr (I - H))^2 / Var(y).

    This is generalised cross-validation (Golub, Heath and Wahba, 1979): one eigendecomposition for each gamma, of the
    part of the kernel matrix that rounding does not swallow. Of the rest I - H is 1.
    """
    y = torch.cat(list(blocks), dim=1)
    y = y - y.mean(0)
    y = y / y.norm(dim=0).clamp(min=torch.finfo(y.dtype).tiny)
    distances = _squared_distances(x, x).fill_diagonal_(0)
    losses, negligible = x.new_zeros(len(alphas), len(gammas), y.shape[1]), ZERO_EIGENVALUE * min(alphas)
    for j, gamma in enumerate(gammas):
        root, _ = pivoted_root(_kernel(distances, gamma), negligible)
        values, vectors = torch.linalg.eigh(root.T @ root)
        values, vectors = values[values > negligible], vectors[:, values > negligible]
        squared = (vectors.T @ (root.T @ y)).square() / values[:, None]
        beyond, spare = y.square().sum(0) - squared.sum(0), len(x) - len(values)
        for i, alpha in enumerate(alphas):
            left = alpha / (values + alpha)
            losses[i, j] = (left.square() @ squared + beyond) / (left.sum() + spare).square()
    best = [part.sum(2).argmin().item() for part in losses.split([b.shape[1] for b in blocks], dim=2)]
    return [(alphas[int(at) // len(gammas)], gammas[int(at) % len(gammas)]) for at in best]


def _solve(
    x: Float[Tensor, "n k"],
    y: Float[Tensor, "n d"],
    landmarks: Float[Tensor, "p k"] | None,
    gamma: float,
    alphas: Sequence[float],
    settings: PredictorSettings,
    seed: int,
) -> tuple[list[Float[Tensor, "p d"]], list[float]]:
    """Coefficients of the kernels around each landmark, or each x, and the degrees of freedom, for each alpha.

    With M the inverse that is solved for, I - H is alpha M, and for Nystroem's features tr (I - H)^2 is
    n - p + alpha^2 tr M^2. The trace is the mean of |M v|^2 over random signs v. A mean that was taken off before
    takes one more away, less what H takes away itself.
    """
    centres = x if landmarks is None else landmarks
    matrix = _kernel(_squared_distances(centres, centres).fill_diagonal_(0), gamma)
    target, root, spare = y, None, 0
    if landmarks is not None:
        root, spare = _factor(matrix, JITTER), len(x) - len(landmarks)
        matrix, target = _normal_equations(x, y, landmarks, root, gamma)
    stream = seeding.generator(seed, "probing", "freedom")
    signs = torch.randint(2, (len(centres), SIGNS), generator=stream).to(y) * 2 - 1
    ones = torch.ones_like(signs[:, :1])
    coefficients, freedoms = [], []
    for alpha in alphas:
        factor = _factor(matrix, alpha)
        solved = torch.cholesky_solve(target, factor)
        if root is not None:
            solved = torch.linalg.solve_triangular(root.T, solved, upper=True)
        coefficients.append(solved)
        left = (alpha * torch.cholesky_solve(torch.cat([ones, signs], dim=1), factor)).square().sum(0)
        lost = 0.0 if not settings.centre else 1.0 if landmarks is not None else float(left[0]) / len(x)
        freedoms.append(spare + float(left[1:].mean()) - lost)
    return coefficients, freedoms


def _choose(
    x: Float[Tensor, "n k"], blocks: Sequence[Float[Tensor, "n _"]], settings: PredictorSettings
) -> list[tuple[float, float]]:
    """For each block the alpha and gamma of the highest mean R2 over the folds, the first ones among equals."""
    y = torch.cat(list(blocks), dim=1)
    distances = _squared_distances(x, x).fill_diagonal_(0)
    rows = torch.arange(len(x), device=x.device)
    scores = x.new_zeros(len(settings.alphas), len(settings.gammas), y.shape[1])
    for j, gamma in enumerate(settings.gammas):
        kernel = _kernel(distances, gamma)
        for fold in rows.tensor_split(settings.folds):
            rest = rows[(rows < fold[0]) | (rows > fold[-1])]
            inner, across = kernel[rest][:, rest], kernel[fold][:, rest]
            offset = _offset(y[rest], settings)
            for i, alpha in enumerate(settings.alphas):
                coefficients = torch.cholesky_solve(y[rest] - offset, _factor(inner, alpha))
                scores[i, j] += r2(y[fold], across @ coefficients + offset) / settings.folds
    best = [part.mean(2).argmax().item() for part in scores.split([b.shape[1] for b in blocks], dim=2)]
    return [
        (settings.alphas[int(at) // scores.shape[1]], settings.gammas[int(at) % scores.shape[1]])
        for at in best
    ]


def _offset(y: Float[Tensor, "n d"], settings: PredictorSettings) -> Float[Tensor, " d"]:
    return y.mean(0) if settings.centre else y.new_zeros(y.shape[1])


def _kernel(distances: Float[Tensor, "n p"], gamma: float) -> Float[Tensor, "n p"]:
    return (distances * -gamma).exp_()


def _factor(matrix: Float[Tensor, "n n"], ridge: float) -> Float[Tensor, "n n"]:
    """The Cholesky factor of matrix + ridge I, where the matrix has no negative eigenvalue but for rounding.

    A ridge that rounding swallows grows tenfold until there is a factor. The matrix is as before afterwards.
    """
    diagonal = matrix.diagonal().clone()
    failed = True
    while failed:
        matrix.diagonal().copy_(diagonal + ridge)
        factor, info = torch.linalg.cholesky_ex(matrix)
        failed = bool(info)
        ridge *= 10
    matrix.diagonal().copy_(diagonal)
    return factor


def _normal_equations(
    x: Float[Tensor, "n k"],
    y: Float[Tensor, "n d"],
    landmarks: Float[Tensor, "p k"],
    root: Float[Tensor, "p p"],
    gamma: float,
) -> tuple[Float[Tensor, "p p"], Float[Tensor, "p d"]]:
    """Phi' Phi and Phi' y of Nystroem's features Phi = K_np root^-T, summed over chunks of rows."""
    matrix, target = torch.zeros_like(root), y.new_zeros(len(landmarks), y.shape[1])
    for rows, values in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        kernel = _kernel(_squared_distances(landmarks, rows), gamma)
        features = torch.linalg.solve_triangular(root, kernel, upper=False)
        matrix.addmm_(features, features.T)
        target.addmm_(features, values)
    return matrix, target
