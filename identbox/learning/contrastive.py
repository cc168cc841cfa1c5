"""Contrastive objectives: the InfoNCE family (section 3.4, Eq. 8.1 and 8.2) and its asymptotic form (Eq. 8.3, 8.9).

Between n encodings of one view and m of another stand n x m similarities. They are never kept: the forward pass
goes through blocks of rows and keeps the log-sum-exp of every row and every column, and the backward pass makes each
block once more. One pass over the blocks serves both directions of the symmetrised loss. On a GPU, kernels of their own
do the same without any block (`fused`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.learning.distances import Similarity, _blocks, _paired, _similarities
from identbox.learning.entropy import entropy
from identbox.settings import Positive, settings

Negatives = Literal["other-view", "same-view"]
# Exponentials are of base 2, which a CPU raises twice as fast as e. What is below 2^-100 of the largest is taken as
# that much: too little to count in a sum, and a CPU is ten times slower where the results are next to zero.
LOG2_E, LN_2 = math.log2(math.e), math.log(2)
LOWEST_EXPONENT = -100
LEAST_LEFT = 1e-5  # of a sum without its positive pair, relative to the sum with it
LEAST_DIRECTION = 1e-6  # of a whitened direction, relative to the mean over dimensions


@settings
class Objective:
    """Which contrastive loss is minimised.

    ``euclidean`` is sim(a, b) = -|a - b|^2, ``cosine`` the cosine of the angle. ``other-view`` takes the negatives
    from the other view of the same batch (Eq. 8.1); ``same-view`` from a second draw of the anchor's own view, as
    earlier simulation code did.

    ``encodings`` are compared as they are, or ``whitened``: after the mean and the covariance of all views of the
    batch together are undone. Then the loss is the same for all invertible linear maps of the encodings. As they are,
    it falls towards 0 while they grow, until only the nearest negatives count, and for long it is content with few of
    their dimensions.

    ``decoupled`` leaves the positive pair out of the sums over negatives (Yeh et al., 2022). With many negatives that
    changes nothing. Where few are near, the pair itself outweighs them, and the sum of their similarities is made small
    instead of its logarithm: the encodings are then spread as Renyi's entropy of order 2 has it, not as Eq. 8.9.

    >>> from identbox import Objective
    >>> Objective(similarity="cosine", temperature=0.5).negatives
    'other-view'
    """

    similarity: Similarity = "euclidean"
    temperature: Positive = 1.0
    negatives: Negatives = "other-view"
    encodings: Literal["whitened"] | None = None  # without it, as they are
    decoupled: bool = False

    def __post_init__(self) -> None:
        if self.similarity == "cosine" and self.encodings is not None:
            raise IdentboxError(
                "encodings: expected whitened ones for Euclidean distances alone, got cosine similarity"
            )

    def encoding_size(self, content: int) -> int:
        """Dimensions of an encoding that can hold ``content`` dimensions: cosine similarity ignores the length."""
        return content + 1 if self.similarity == "cosine" else content


def info_nce(
    views: Sequence[Float[Tensor, "n d"]],
    objective: Objective,
    *,
    negatives: Sequence[Float[Tensor, "m d"]] | None = None,
    further: Sequence[Float[Tensor, "_ d"] | None] | None = None,
    block: int | None = None,
) -> Float[Tensor, ""]:
    """The symmetrised InfoNCE loss of aligned encodings, a mean over samples, directions and pairs of views.

    For views a and b, with sim the similarity over the temperature (Eq. 8.1, 8.2; the thesis writes the sum over
    the batch where this is the mean):

        1/2n sum_k [ log sum_l exp sim(a_k, b_l) + log sum_l exp sim(a_l, b_k) ] - 1/n sum_k sim(a_k, b_k)

    With ``negatives`` (one tensor a view, encodings of a second draw) the denominator of anchor a_k is instead
    exp sim(a_k, b_k) + sum_l exp sim(a_k, a'_l). With ``further`` (for each view one tensor, or None: encodings of
    samples without the other view) the sums over l go through those as well. Where encodings are whitened, it is by the
    mean and covariance of ``views``. Where the objective is decoupled, exp sim(a_k, b_k) is taken off the denominators.
    ``block`` is the number of rows at a time; it changes the memory used, and the result by rounding alone. Constant
    encodings give log n (or log(m + 1)), and where decoupled log(n - 1) (or log m).

    Raises IdentboxError for fewer than two views, encodings of unequal shape, where ``negatives`` are given or
    missing against the objective's own, and for ``further`` ones beside them or not of each view.
    """
    _check(views, objective, negatives)
    if further is not None and (len(further) != len(views) or negatives is not None):
        got = f"{len(further)} beside negatives" if negatives is not None else f"{len(further)}"
        raise IdentboxError(
            f"info_nce: expected further encodings, or None, of {len(views)} views; got {got}"
        )
    seen = _seen_by(objective, views)
    views, negatives = [seen(view) for view in views], negatives and [seen(view) for view in negatives]
    others = [view if more is None else torch.cat([view, seen(more)])
              for view, more in zip(views, further or [None] * len(views), strict=True)]  # fmt: skip
    scale = 1 / objective.temperature
    losses = []
    for (i, a), (j, b) in itertools.combinations(enumerate(views), 2):
        positive = _paired(a, b, objective.similarity) * scale
        if further is not None:
            rows = log_sum_exp(a, others[j], objective.similarity, scale, block)[0]
            columns = log_sum_exp(b, others[i], objective.similarity, scale, block)[0]
        elif negatives is None:
            rows, columns = log_sum_exp(a, b, objective.similarity, scale, block)
        else:
            rows = torch.logaddexp(
                positive, log_sum_exp(a, negatives[i], objective.similarity, scale, block)[0]
            )
            columns = torch.logaddexp(
                positive, log_sum_exp(b, negatives[j], objective.similarity, scale, block)[0]
            )
        if objective.decoupled:
            rows, columns = _without(rows, positive), _without(columns, positive)
        losses.append((rows.mean() + columns.mean()) / 2 - positive.mean())
    return torch.stack(losses).mean()


def _without(sums: Float[Tensor, " n"], part: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """log(exp sums - exp part): the logarithm of a sum without one of its terms.

    What is left is taken as at least ``LEAST_LEFT`` of the whole, below which it is rounding.
    """
    left = -torch.expm1(part - sums)
    return sums + left.clamp(min=LEAST_LEFT).log()


def one_sided_info_nce(
    anchors: Float[Tensor, "n d"], targets: Float[Tensor, "n d"], objective: Objective
) -> Float[Tensor, ""]:
    """InfoNCE of anchors against their targets (Eq. 9.3), in nats, a mean over anchors:

        1/n sum_k [ log sum_l exp sim(a_k, b_l) - sim(a_k, b_k) ]

    The negatives of an anchor are the targets of all other samples; an anchor is no negative. Raises IdentboxError as
    `info_nce` does.
    """
    _check((anchors, targets), objective, None)
    seen = _seen_by(objective, (anchors, targets))
    anchors, targets = seen(anchors), seen(targets)
    scale = 1 / objective.temperature
    rows, _ = log_sum_exp(anchors, targets, objective.similarity, scale)
    positive = _paired(anchors, targets, objective.similarity) * scale
    return ((_without(rows, positive) if objective.decoupled else rows) - positive).mean()


def of_length_one(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Encodings at length 1. In one dimension that is their sign, without a gradient: not with one of rounding.

    Adam and SOAP would scale that to full steps, and an encoder would walk at random.
    """
    return z.sign() if z.shape[1] == 1 else torch.nn.functional.normalize(z, dim=1)


def _seen_by(objective: Objective, views: Sequence[Float[Tensor, "n d"]]) -> Callable[[Tensor], Tensor]:
    """What the objective does to encodings before it compares them; differentiable."""
    if objective.similarity == "cosine":
        return of_length_one
    return whitening(views) if objective.encodings == "whitened" else lambda z: z


def whitening(views: Sequence[Float[Tensor, "n d"]]) -> Callable[[Tensor], Tensor]:
    """The map z -> L^-1 (z - m), with m the mean and L L^T the covariance of all ``views`` together; differentiable.

    A little is added to the variance of each dimension, so that constant ones stay constant.
    """
    every = torch.cat(list(views))
    mean = every.mean(0)
    covariance = (every - mean).T @ (every - mean) / len(every)
    little = LEAST_DIRECTION * covariance.diagonal().mean() + torch.finfo(every.dtype).tiny ** 0.5
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    # Without torch's check, which waits for the device: numbers that are not finite are found with the loss.
    factor = torch.linalg.cholesky_ex(covariance + little * identity).L
    return lambda z: torch.linalg.solve_triangular(factor, (z - mean).T, upper=False).T


def _check(views: Sequence[Tensor], objective: Objective, negatives: Sequence[Tensor] | None) -> None:
    if len(views) < 2:
        raise IdentboxError(f"info_nce: expected encodings of at least two views, got {len(views)}")
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1 or 0 in min(shapes):
        raise IdentboxError(
            f"info_nce: expected non-empty encodings of one shape, got {' and '.join(map(str, sorted(shapes)))}"
        )
    if (negatives is not None) != (objective.negatives == "same-view"):
        raise IdentboxError(
            f"info_nce: expected a second draw for same-view negatives and none for other-view ones, "
            f"got {'one' if negatives else 'none'} for {objective.negatives}"
        )
    if negatives is not None and len(negatives) != len(views):
        raise IdentboxError(
            f"info_nce: expected negatives of {len(views)} views, got those of {len(negatives)}"
        )


def log_sum_exp(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    similarity: Similarity,
    scale: float,
    block: int | None = None,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """log sum_l exp(scale sim(a_k, b_l)) for every k, and log sum_k of the same for every l.

    For ``cosine`` the rows of a and b are expected to have norm 1. Needs memory for one block, forward and backward;
    on a GPU for none, unless ``block`` is given.
    """
    if similarity == "euclidean":
        # Distances do not change, and the rounding of inner products falls with the norms.
        centre = b.detach().mean(0)
        a, b = a - centre, b - centre
    return _LogSumExp.apply(a, b, similarity, scale, block)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, similarity: Similarity, scale: float, block: int | None
    ) -> tuple[Tensor, Tensor]:
        ctx.kernels = _kernels(a) if block is None else None
        ctx.settings = similarity, scale, block
        if ctx.kernels is not None:
            sums = ctx.kernels.log2_sums(a, b, similarity == "euclidean", scale * LOG2_E)
        else:
            sums = _log2_sums(a, b, similarity, scale, block)
        ctx.save_for_backward(a, b, *sums)
        return sums[0] * LN_2, sums[1] * LN_2

    @staticmethod
    def backward(ctx: Any, row_gradient: Tensor, column_gradient: Tensor) -> Any:
        a, b, rows, columns = ctx.saved_tensors
        similarity, scale, block = ctx.settings
        euclidean = similarity == "euclidean"
        if ctx.kernels is not None:
            gradients = (row_gradient, column_gradient)
            grad_a, grad_b = ctx.kernels.gradients(
                a, b, (rows, columns), gradients, euclidean, scale * LOG2_E
            )
            factor = 2 * scale if euclidean else scale
            return factor * grad_a, factor * grad_b, None, None, None
        # With w_kl = dloss/dlogit_kl the gradients are sums over weighted partners, and for distances
        # -2 (a_k w_k. - sum_l w_kl b_l): a column of ones beside the partners sums the weights as well.
        ones_a, ones_b = a.new_ones(len(a), 1), b.new_ones(len(b), 1)
        partners_a, partners_b = torch.cat([a, ones_a], 1), torch.cat([b, ones_b], 1)
        for_a, for_b = torch.empty_like(partners_a), b.new_zeros(b.shape[1] + 1, len(b))
        for part in _blocks(len(a), len(b), a.device, block):
            logits = _similarities(a[part], b, similarity).mul_(scale * LOG2_E)
            weights = _exp2_(logits - columns).mul_(column_gradient)
            weights += _exp2_(logits.sub_(rows[part, None])).mul_(row_gradient[part, None])
            torch.mm(weights, partners_b, out=for_a[part])
            for_b.addmm_(partners_a[part].T, weights)
        for_b = for_b.T
        if not euclidean:
            return scale * for_a[:, :-1], scale * for_b[:, :-1], None, None, None
        grad_a = (2 * scale) * (for_a[:, :-1] - a * for_a[:, -1:])
        grad_b = (2 * scale) * (for_b[:, :-1] - b * for_b[:, -1:])
        return grad_a, grad_b, None, None, None


def _kernels(a: Tensor) -> ModuleType | None:
    """The kernels of `learning.fused`, where they take encodings like ``a``."""
    if not a.is_cuda:
        return None
    try:
        from identbox.learning import fused
    except ImportError:  # a build of PyTorch without Triton
        return None
    return fused if fused.fits(a) else None


def _log2_sums(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], similarity: Similarity, scale: float, block: int | None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """The results of `log_sum_exp` over log 2, block by block."""
    rows = a.new_empty(len(a))
    # The columns grow with every block: a running maximum, and the sum of exponentials relative to it.
    highest = a.new_full((len(b),), -torch.inf)
    total = a.new_zeros(len(b))
    for part in _blocks(len(a), len(b), a.device, block):
        logits = _similarities(a[part], b, similarity).mul_(scale * LOG2_E)
        top = logits.amax(1, keepdim=True)
        rows[part] = top[:, 0] + _exp2_(torch.sub(logits, top)).sum(1).log2_()
        higher = torch.maximum(highest, logits.amax(0))
        total.mul_(torch.exp2(highest - higher)).add_(_exp2_(logits.sub_(higher)).sum(0))
        highest = higher
    return rows, highest + total.log2_()


def _exp2_(x: Tensor) -> Tensor:
    """2^x in place, for x of at most about 0; see LOWEST_EXPONENT."""
    return x.clamp_(min=LOWEST_EXPONENT).exp2_()


def asymptotic(views: Sequence[Float[Tensor, "n d"]], *, neighbours: int = 3) -> Float[Tensor, ""]:
    """What the symmetrised InfoNCE loss becomes with many negatives: alignment minus entropy (Eq. 8.3, 8.9).

        E |g_1(x_1) - g_2(x_2)|_2 - 1/2 (H(g_1(x_1)) + H(g_2(x_2)))

    in nats, a mean over pairs of views. Encodings in (0, 1)^d attain 0 at best (Theorem 2). Differentiable.
    """
    _check(views, Objective(), None)
    alignments = [torch.linalg.vector_norm(a - b, dim=1).mean() for a, b in itertools.combinations(views, 2)]
    entropies = [entropy(view, neighbours=neighbours) for view in views]
    return torch.stack(alignments).mean() - torch.stack(entropies).mean()
