"""Contrastive learning with hard negatives: of an anchor, the samples that a first encoder hardly tells from it.

The sums over negatives of InfoNCE (Eq. 8.1) are ruled by what varies most. A direction of content with little variance
adds next to nothing to them. But among samples to which a first encoder gives nearly the same encodings, the large
directions are the same, and what views still agree on is what that encoder has missed. What it has and views do not
share, like style that changes a little, is then noise as large as the differences within a group. So a second training
within such groups finds small directions of content, and loses style.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.learning.contrastive import Objective, whitening
from identbox.settings import Count, Positive, at_least, settings


@settings
class HardNegatives:
    """Parts of the training in which negatives are samples that plain steps have made nearly the same of.

    In ``steps`` the loss with hard negatives compares all outputs of the encoders, which are ``extra`` more than
    encodings have dimensions: curved functions of large directions and style that nearly agrees come first, and would
    take the place of small directions. Encoders ``start`` "anew" from untrained weights, or go "on" from plain steps,
    which have all outputs then. After that a linear map makes encodings of as many dimensions as they are to have. In
    ``decoded_steps`` all weights are trained together with a small decoder, which tells all outputs as they were from
    the encodings: so different outputs get different encodings. In ``joint_steps`` the loss with hard negatives is
    added, of encodings, which have no place for both style and small directions. The last steps minimise the objective.

    Each of these parts, and the plain steps before them, has a learning rate that follows the schedule of the training
    over its own steps, and an optimiser that begins anew. Plain and decoded steps begin with that of the training.
    """

    steps: Annotated[int, at_least(0)] = 0  # with hard negatives and all outputs; 0: no such parts
    start: Literal["anew", "on"] = "anew"
    decoded_steps: Count = 600  # with a decoder
    joint_steps: Annotated[int, at_least(0)] = 0  # with hard negatives and a decoder
    decoder_weight: Positive = 3.0  # of the decoder's loss in joint steps, beside that with hard negatives
    learning_rate: Positive | None = None  # of the steps with hard negatives; none: that of the training
    joint_learning_rate: Positive = 5e-3
    last_learning_rate: Positive = 3e-3
    extra: Annotated[int, at_least(0)] = 3  # outputs more than encodings have dimensions
    group: Annotated[int, at_least(2)] = 64  # samples, each other's negatives
    pool: Count = 262_144  # samples among which groups are found

    @property
    def all_steps(self) -> int:
        """Steps between the plain ones and the last."""
        return self.steps + self.decoded_steps + self.joint_steps

    def __post_init__(self) -> None:
        if self.steps and self.pool < self.group:
            raise IdentboxError(
                f"pool: expected at least the {self.group} samples of a group, got {self.pool}"
            )


def nearest(encodings: Float[Tensor, "n d"], anchors: Int[Tensor, " g"], size: int) -> Int[Tensor, "g size"]:
    """The samples nearest to each anchor, the anchor among them, by Euclidean distance of whitened encodings."""
    return torch.cdist(encodings[anchors], encodings).topk(size, largest=False).indices


def info_nce_in_groups(views: Sequence[Float[Tensor, "g k d"]], objective: Objective) -> Float[Tensor, ""]:
    """InfoNCE with Euclidean distances, where the negatives of an anchor are the k samples of its own group.

    Of g groups, a mean over them, over samples, directions and pairs of views, as in `contrastive.info_nce`. Encodings
    are compared after the covariance within groups, of all views and groups together, is undone: the loss is then the
    same for all invertible linear maps, and large differences between groups do not count.
    """
    mean = torch.stack([view.mean(1, keepdim=True) for view in views]).mean(0)
    centred = [view - mean for view in views]
    whitened = whitening([view.flatten(0, 1) for view in centred])
    seen = [whitened(view.flatten(0, 1)).view_as(view) for view in centred]
    losses = []
    for a, b in itertools.combinations(seen, 2):
        logits = (
            -torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / objective.temperature
        )
        positive = logits.diagonal(dim1=1, dim2=2)
        if (
            objective.decoupled
        ):  # left out, not taken off a sum: the pair may outweigh its group beyond rounding
            itself = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill(itself, -torch.inf)
        rows, columns = logits.logsumexp(2), logits.logsumexp(1)
        losses.append((rows.mean() + columns.mean()) / 2 - positive.mean())
    return torch.stack(losses).mean()
