"""Scores: how well a probe predicts a target, and the same as the record of a run has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One score of a run: a target predicted from the encodings of a view, perhaps after an intervention."""

    view: str
    target: str
    intervention: str | None
    probe: str
    metric: str
    score: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one probe predicts one target on the test sample."""

    target: str
    probe: Literal["linear", "kernel_ridge", "mlp"]  # "linear" is logistic regression for a discrete target
    metric: Literal["r2", "accuracy"]
    score: float
    low: float  # the bootstrap interval
    high: float
    chance: float  # of predicting the mean (R2 = 0), or the most frequent class of the training sample
    alpha: float | None = None  # what kernel ridge regression chose
    gamma: float | None = None

    def record(self, view: str, intervention: str | None = None) -> Probe:
        """The score as the record of a run has it: from the encodings of a view, perhaps after an intervention."""
        return Probe(
            view=view,
            target=self.target,
            intervention=intervention,
            probe=self.probe,
            metric=self.metric,
            score=self.score,
            low=self.low,
            high=self.high,
            chance=self.chance,
        )
