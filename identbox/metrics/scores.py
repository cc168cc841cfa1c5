"""Scores: how well a probe predicts a target from the encodings of a view (section 2.5.1)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from identbox.settings import build

ProbeKind = Literal["linear", "kernel_ridge", "mlp"]
Metric = Literal["r2", "accuracy"]
PRIME = "'"  # what a label ends with for values that an intervention put in place, as in Figure A.6


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one probe predicts one target on the test sample, perhaps after an intervention."""

    view: str = ""  # whose encodings were probed; empty for encodings of no view
    target: str  # the name of a variable or of a factor
    permuted: bool = (
        False  # the target holds the values that the intervention put in place, not those before it
    )
    role: str | None = None  # of the target: content, style or specific, where that is known
    intervention: str | None = None  # the block that was permuted before encoding
    probe: ProbeKind  # "linear" is logistic regression for a discrete target
    metric: Metric
    score: float
    low: float  # of the interval of the best possible predictor's score (`metrics.intervals`)
    high: float
    components: tuple[float, ...] = ()  # the score of each component of the target; none in older records
    chance: float  # of predicting the mean (R2 = 0), or the most frequent class of the training sample
    alpha: float | None = None  # the penalty that kernel ridge regression chose
    gamma: float | None = None  # the kernel width that it chose

    @property
    def nonlinear(self) -> bool:
        """Whether the probe is a nonlinear one."""
        return self.probe != "linear"

    @property
    def label(self) -> str:
        """The target as tables print it: with a prime for the values that an intervention put in place.

        >>> values = {"score": 0.9, "low": 0.8, "high": 1.0, "chance": 0.0}
        >>> Score(target="c", permuted=True, probe="linear", metric="r2", **values).label
        "c'"
        """
        return self.target + PRIME * self.permuted

    def record(self) -> dict[str, Any]:
        """The score as results.json holds it."""
        table = {**dataclasses.asdict(self), "components": list(self.components)}
        return {key: value for key, value in table.items() if key not in ("alpha", "gamma")}


def score_of_record(table: dict[str, Any], where: str) -> Score:
    """A score from results.json; in older records the label stands in the place of ``target`` and ``permuted``.

    Raises IdentboxError, with ``where`` in front, for keys and values that do not fit.
    """
    target = table.get("target")
    if "permuted" not in table and isinstance(target, str) and target.endswith(PRIME):
        table = {**table, "target": target.removesuffix(PRIME), "permuted": True}
    return build(Score, table, where)
