"""The predictors of probes: least squares, kernel ridge regression, logistic regression, a shallow MLP.

Each is fit on standardised encodings x (n, k) in float64 and predicts for others. All targets share the work: one QR
decomposition for least squares, one Cholesky factor for each point of the kernel's grid, one batched training of the
MLPs. Everything but logistic regression runs on the device of the encodings. Random draws are made on the CPU under the
name of their target, so that neither the device nor another target moves them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.distances import _squared_distances
from identbox.settings import Count, Fraction, Positive, at_least, settings

CHUNK = 4096  # rows of a kernel or of a hidden layer that are held at a time
# on a kernel of landmarks; far above its rounding (1e-12 for 4096) and far below any useful alpha
JITTER = 1e-10


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


def least_squares(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n d"], x_test: Float[Tensor, "m k"]
) -> Float[Tensor, "m d"]:
    """Predictions of ordinary least squares with an intercept; of several solutions the shortest.

    The singular values are those of the small factor of a QR decomposition. Directions that the centred x has by
    rounding alone, as of constant and collinear columns, are left out.
    """
    centre, mean = x.mean(0), y.mean(0)
    q, r = torch.linalg.qr(x - centre)
    u, sizes, v = torch.linalg.svd(r, full_matrices=False)
    kept = sizes > sizes[0] * max(x.shape) * torch.finfo(x.dtype).eps
    inverse = torch.where(kept, 1 / sizes, torch.zeros_like(sizes))
    coefficients = v.T @ (inverse[:, None] * (u.T @ (q.T @ (y - mean))))
    return (x_test - centre) @ coefficients + mean


def kernel_ridge(
    x: Float[Tensor, "n k"],
    blocks: Sequence[Float[Tensor, "n _"]],
    x_test: Float[Tensor, "m k"],
    *,
    settings: PredictorSettings,
    seed: int,
) -> list[tuple[Float[Tensor, "m _"], float, float]]:
    """Predictions of each block of targets, and the alpha and gamma that cross-validation chose for it.

    (K + alpha I) c = y with K_ij = exp(-gamma |x_i - x_j|^2), no intercept. Beyond ``settings.landmarks`` samples
    the choice is made on as many random ones, the landmarks p, and the fit on all samples is Nystroem's:
    (Phi' Phi + alpha I) w = Phi' y with Phi = K_np L^-T and K_pp = L L'.
    """
    landmarks = None
    chosen = blocks
    if len(x) > settings.landmarks:
        order = torch.randperm(len(x), generator=seeding.generator(seed, "probing", "landmarks"))
        rows = order[: settings.landmarks].sort().values.to(x.device)
        landmarks, chosen = x[rows], [block[rows] for block in blocks]
    choices = _choose(x if landmarks is None else landmarks, chosen, settings)
    y = torch.cat(list(blocks), dim=1)
    offset = _offset(y, settings)
    widths = [block.shape[1] for block in blocks]
    predictions: dict[tuple[float, float], Sequence[Tensor]] = {}
    for gamma in dict.fromkeys(gamma for _, gamma in choices):
        alphas = list(dict.fromkeys(alpha for alpha, its_gamma in choices if its_gamma == gamma))
        # Every block is solved for every alpha that any chose: next to the factor, columns cost nothing.
        centres = x if landmarks is None else landmarks
        matrix = _kernel(_squared_distances(centres, centres).fill_diagonal_(0), gamma)
        if landmarks is None:
            coefficients = [torch.cholesky_solve(y - offset, _factor(matrix, alpha)) for alpha in alphas]
        else:
            root = _factor(matrix, JITTER)
            matrix, target = _normal_equations(x, y - offset, landmarks, root, gamma)
            solved = [torch.cholesky_solve(target, _factor(matrix, alpha)) for alpha in alphas]
            coefficients = [torch.linalg.solve_triangular(root.T, w, upper=True) for w in solved]
        side_by_side = torch.cat(coefficients, dim=1)
        fits = [
            _kernel(_squared_distances(rows, centres), gamma) @ side_by_side for rows in x_test.split(CHUNK)
        ]
        for alpha, fit in zip(alphas, torch.cat(fits).split(y.shape[1], dim=1), strict=True):
            predictions[alpha, gamma] = (fit + offset).split(widths, dim=1)
    return [(predictions[choice][place], *choice) for place, choice in enumerate(choices)]


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


def logistic(
    x: Float[Tensor, "n k"], classes: Int[Tensor, " n"], x_test: Float[Tensor, "m k"]
) -> Int[Tensor, " m"]:
    """Predicted classes of scikit-learn's logistic regression with its default penalty (C = 1), on the CPU.

    Classes that do not occur are never predicted.
    """
    from sklearn.linear_model import LogisticRegression  # takes half a second to import

    known = classes.unique()
    if len(known) == 1:
        return known.expand(len(x_test))
    with warnings.catch_warnings():
        # It takes many classes for numbers; here they are classes.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model = LogisticRegression(max_iter=1000, tol=1e-6).fit(x.cpu().numpy(), classes.cpu().numpy())
    return torch.from_numpy(model.predict(x_test.cpu().numpy())).to(x.device)


def shallow_mlp(
    x: Float[Tensor, "n k"],
    labels: Int[Tensor, "h n"],
    sizes: Int[Tensor, " h"],
    x_test: Float[Tensor, "m k"],
    streams: Sequence[torch.Generator],
    *,
    settings: PredictorSettings,
    seed: int,
) -> Int[Tensor, "m h"]:
    """Predicted classes by h networks with one hidden layer, row i of ``labels`` having ``sizes[i]`` classes.

    The networks are the slices of batched weights, and share batches and held-out samples but nothing else: the
    loss is a sum of theirs, Adam works by element, and each keeps its own best weights. ``streams`` draws the
    weights of each.
    """
    absent = (torch.arange(int(sizes.max())) >= sizes[:, None]).to(x.device)
    x, x_test = x.float(), x_test.float()
    parameters = [
        torch.stack([_glorot(*shape, stream) for stream in streams]).to(x.device).requires_grad_()
        for shape in ((x.shape[1], settings.hidden), (settings.hidden, absent.shape[1]))
    ]
    parameters += [
        x.new_zeros(len(streams), 1, width, requires_grad=True)
        for width in (settings.hidden, absent.shape[1])
    ]
    with torch.enable_grad():
        best = _train(parameters, x, labels, absent, settings, seed)
    return torch.cat([_logits(best, rows, absent).argmax(2) for rows in x_test.split(CHUNK)], dim=1).T


def _glorot(rows: int, columns: int, stream: torch.Generator) -> Float[Tensor, "rows columns"]:
    return (torch.rand(rows, columns, generator=stream) * 2 - 1) * math.sqrt(6 / (rows + columns))


def _logits(
    parameters: list[Tensor], x: Float[Tensor, "n k"], absent: Bool[Tensor, "h c"]
) -> Float[Tensor, "h n c"]:
    """The outputs of h networks, minus infinity for classes that a network does not have."""
    inner, outer, inner_bias, outer_bias = parameters
    hidden = torch.relu(torch.baddbmm(inner_bias, x.expand(len(inner), *x.shape), inner))
    return torch.baddbmm(outer_bias, hidden, outer).masked_fill(absent[:, None], -math.inf)


def _train(
    parameters: list[Tensor],
    x: Float[Tensor, "n k"],
    labels: Int[Tensor, "h n"],
    absent: Bool[Tensor, "h c"],
    settings: PredictorSettings,
    seed: int,
) -> list[Tensor]:
    """The parameters of the lowest loss on held-out samples, of each network until its patience is over."""
    stream = seeding.generator(seed, "probing", "mlp batches")

    def losses(rows: Tensor) -> Tensor:
        logits = _logits(parameters, x[rows], absent)
        return functional.cross_entropy(logits.transpose(1, 2), labels[:, rows], reduction="none").mean(1)

    order = torch.randperm(len(x), generator=stream).to(x.device)
    held, rest = order.tensor_split([max(1, round(len(x) * settings.held_out))])
    best = [parameter.detach().clone() for parameter in parameters]
    lowest = torch.full_like(absent[:, 0], math.inf, dtype=x.dtype)
    waited = torch.zeros_like(lowest)
    # scikit-learn's penalty on the weights alone, 1e-4 / 2 |W|^2 over the samples of a batch.
    decay = 1e-4 / min(settings.batch, len(rest))
    groups = [
        {"params": parameters[:2], "weight_decay": decay},
        {"params": parameters[2:], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.Adam(groups, lr=settings.learning_rate)
    for _ in range(settings.epochs):
        for rows in rest[torch.randperm(len(rest), generator=stream).to(x.device)].split(settings.batch):
            optimiser.zero_grad()
            losses(rows).sum().backward()
            optimiser.step()
        with torch.no_grad():
            now = losses(held)
        better = (now < lowest) & (waited < settings.patience)
        lowest = torch.where(better, now, lowest)
        waited = torch.where(better, torch.zeros_like(waited), waited + 1)
        for kept, parameter in zip(best, parameters, strict=True):
            kept[better] = parameter.detach()[better]
        if (waited >= settings.patience).all():
            break
    return best
