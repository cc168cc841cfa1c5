"""The predictors of classes: logistic regression and a shallow MLP.

Each is fit on standardised encodings x (n, k) in float64 and predicts for others. The MLPs of all targets are trained
together, on the device of the encodings; logistic regression runs on the CPU. Random draws are made on the CPU under
the name of their target, so that neither the device nor another target moves them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from identbox import seeding
from identbox.learning.optimizers import Adam
from identbox.metrics.predictors import CHUNK, PredictorSettings


def logistic(
    x: Float[Tensor, "n k"], classes: Int[Tensor, " n"], x_test: Float[Tensor, "m k"]
) -> Int[Tensor, " m"]:
    """Predicted classes of scikit-learn's logistic regression with its default penalty (C = 1), on the CPU.

    Classes that do not occur are never predicted. The prediction of a row depends on no other row of ``x_test``, so
    that training samples may stand below the test samples.
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
    weights of each. As in `logistic`, rows of ``x_test`` do not depend on each other.
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
    optimiser = Adam(groups, lr=settings.learning_rate)
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
