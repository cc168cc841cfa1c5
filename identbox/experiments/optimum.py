"""A trained run beside the optimum of the theorem's proof: Eq. 8.9, and InfoNCE at the same scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments.learner import Learner
from identbox.identifiability import oracle
from identbox.identifiability.blocks import invariant
from identbox.identifiability.learner_rules import PLANTED
from identbox.identifiability.oracle import Oracle
from identbox.learning import contrastive
from identbox.learning.contrastive import Objective
from identbox.metrics.normal_scores import normal_scores, standardised, varying
from identbox.process.model import Sample


@dataclass(frozen=True, kw_only=True)
class EqualScale:
    """InfoNCE of a learner and of the oracle at the same scale, on the same batches; means over them, in nats."""

    trained: float
    oracle: float
    spread: float  # mean squared norm of the centred encodings, of both
    error: float  # standard error of the difference over batches

    @property
    def cost(self) -> float:
        """What imperfect alignment costs the learner."""
        return self.trained - self.oracle


@torch.no_grad()
def equal_scale(learner: Learner, oracle: Oracle, *, batches: int = 8) -> EqualScale | None:
    """Compare a learner's loss with that of the oracle, rescaled to the mean squared norm of its encodings.

    InfoNCE with unbounded encoders has no floor: scaling aligned encodings up drives it to 0. So both are centred,
    and the oracle gets the learner's scale. Of whitened encodings normal ones are best, and so those of the oracle,
    which are uniform, are made normal. None for cosine similarity, which knows no scale, and for encodings of another
    size than content.
    """
    objective, batch = learner.objective, learner.batch
    drawn = [
        [learner.world.sample(batch, "verify", part, number) for number in range(batches)]
        for part in ("anchors", "negatives")[: 1 + (objective.negatives == "same-view")]
    ]
    trained = [[[v.double() for v in learner.encodings(s)] for s in samples] for samples in drawn]
    perfect = [[_best_form(oracle.encodings(s.latent), objective) for s in samples] for samples in drawn]
    if objective.similarity == "cosine" or trained[0][0][0].shape[1] != oracle.dim:
        return None
    spread = _spread(trained[0])
    factor = math.sqrt(spread / _spread(perfect[0]))
    pairs = []
    for number in range(batches):
        losses = []
        for encoded, scale in ((trained, 1.0), (perfect, factor)):
            # InfoNCE with distances does not change when all encodings are shifted, so none is centred here.
            views, *again = [[scale * view for view in samples[number]] for samples in encoded]
            losses.append(
                contrastive.info_nce(views, objective, negatives=again[0] if again else None).item()
            )
        pairs.append(losses)
    means, gaps = np.mean(pairs, axis=0), np.subtract.reduce(pairs, axis=1)
    return EqualScale(
        trained=float(means[0]),
        oracle=float(means[1]),
        spread=spread,
        error=float(gaps.std(ddof=1) / math.sqrt(batches)),
    )


def _best_form(views: Sequence[Float[Tensor, "n d"]], objective: Objective) -> list[Float[Tensor, "n d"]]:
    """Encodings that are uniform on the cube, as the objective would have them."""
    return [torch.special.ndtri(view) if objective.encodings == "whitened" else view for view in views]


def _spread(batches: Sequence[Sequence[Float[Tensor, "n d"]]]) -> float:
    """Mean squared norm of centred encodings, a mean over views."""
    views = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    return sum((view - view.mean(0)).square().sum(1).mean().item() for view in views) / len(views)


GAP_SAMPLES = 8192  # of the estimates of Eq. 8.9


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """A run beside the oracle: Eq. 8.9, and InfoNCE at equal scale (None where it is not compared)."""

    seed: int
    how: str  # the oracle's Darmois construction was made
    oracle: oracle.Value
    trained: oracle.Value
    equal_scale: EqualScale | None
    # The alignment of encodings of content that leak PLANTED of something else (`leak_cost`).
    leak_cost: float | None = None
    # Whether the run's value is that of its encodings whitened, as its objective compares them. Earlier records of such
    # objectives have the value of encodings as they are.
    whitened: bool = False

    @property
    def gap(self) -> float:
        """How far the run is from the minimum of Eq. 8.9, in nats."""
        return self.trained.value - self.oracle.value


def optimum(seed: int, learner: Learner, *, samples: int = GAP_SAMPLES) -> Optimum | str:
    """Hold a learner against the oracle of its process and mixings; the reason in words where there is none.

    Encodings are whitened first where the objective compares whitened ones. Nothing of that objective depends on how
    the components of encodings are correlated, so that this is no distance from its minimum. On the unit cube it would
    be one: of normal content, encoded with a correlation of 0.9, the entropy of two components is -0.83 instead of 0.
    """
    try:
        perfect = Oracle(learner.world)
    except IdentboxError as error:
        return str(error)
    sample = learner.world.sample(samples, "verify", "optimum")
    with torch.no_grad():
        encodings, whitened = learner.encodings(sample), learner.objective.encodings == "whitened"
        if whitened:
            white = contrastive.whitening(encodings)
            encodings = [white(view) for view in encodings]
        return Optimum(
            seed=seed,
            how=perfect.how,
            oracle=oracle.functional(perfect.encodings(sample.latent)),
            trained=oracle.trained_value(encodings),
            equal_scale=equal_scale(learner, perfect),
            leak_cost=leak_cost(sample.latent),
            whitened=whitened,
        )


def leak_cost(sample: Sample) -> float | None:
    """The alignment of encodings of content of which each component leaks ``PLANTED`` of what differs between views.

    Each component takes the leak that costs least, over the components of style and of what is specific to a view. None
    where nothing differs.
    """
    first, second, *_ = sample.process.views
    content = normal_scores(torch.cat([sample.values[v.name] for v in invariant(sample.process)], dim=1))
    cheapest = None
    for role in ("style", "specific"):
        pairs = zip(*(_standard_columns(sample.block(view, role)) for view in (first, second)), strict=False)
        for leaks in pairs:
            mixed = [math.sqrt(1 - PLANTED) * content + math.sqrt(PLANTED) * leak[:, None] for leak in leaks]
            apart = (torch.special.ndtr(mixed[0]) - torch.special.ndtr(mixed[1])).norm(dim=1).mean().item()
            if apart > 0 and (cheapest is None or apart < cheapest):
                cheapest = apart
    return cheapest


def _standard_columns(block: Float[Tensor, "n d"]) -> list[Float[Tensor, " n"]]:
    """Columns of mean 0 and variance 1; those that are constant are left out."""
    return list(standardised(varying(block)).T)


def optimum_record(best: Optimum) -> dict[str, Any]:
    """An optimum as results.json holds it."""
    table = config.toml_values(dataclasses.asdict(best))
    for who in ("oracle", "trained"):  # encodings with atoms have no finite entropy, and JSON no such number
        table[who]["entropies"] = [h if math.isfinite(h) else None for h in table[who]["entropies"]]
    return table


def optimum_of_record(table: Any, where: str) -> Optimum | str:
    """An optimum from results.json, or the reason why there is none. Raises IdentboxError where it is damaged."""
    if isinstance(table, str):
        return table
    try:
        scale = table.get("equal_scale")
        return Optimum(
            seed=table["seed"],
            how=table["how"],
            oracle=_value_of_record(table["oracle"]),
            trained=_value_of_record(table["trained"]),
            equal_scale=None if scale is None else EqualScale(**scale),
            leak_cost=table.get("leak_cost"),
            whitened=table.get("whitened", False),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IdentboxError(f"{where}: optimum: expected that of a run, got {error!r}") from error


def _value_of_record(table: dict[str, Any]) -> oracle.Value:
    entropies = tuple(-math.inf if h is None else float(h) for h in table["entropies"])
    return oracle.Value(alignment=table["alignment"], entropies=entropies, error=table["error"])
