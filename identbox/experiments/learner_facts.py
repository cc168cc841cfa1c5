"""What the record of a run says of its learner, as the assumptions of Theorem 2 need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from identbox.experiments.optimum import Optimum
from identbox.experiments.records import IMAGE_TEXT
from identbox.experiments.trials import Trial
from identbox.identifiability.learner_rules import LearnerFacts, TrainingChange

FULL_CIRCLE = 0.5  # turns in either direction, with which a hue is drawn anew from the whole circle
HUES = ("object_color", "spotlight_color", "background_color")


def learner_facts(trial: Trial, best: Optimum | None = None) -> LearnerFacts:
    """The facts of a finished run; ``best`` is the run beside the oracle, where that is known.

    Encodings are read as the objective sees them: of length 1 where it compares by the cosine. Sentences beyond the
    batch's own are candidates in one direction alone and do not count.
    """
    config = trial.record["config"]
    training = config.get("training") or {}
    of_images = trial.record.get("kind") == IMAGE_TEXT
    return LearnerFacts(
        encoding_size=trial.encoding_size,
        objective=trial.objective,
        batch=training.get("batch"),
        steps=trial.record.get("steps", training.get("steps")),
        alignment=None if best is None else best.trained.alignment,
        entropy=None if best is None else min(best.trained.entropies),
        leak_cost=None if best is None else best.leak_cost,
        normalised=True,
        changes=training_changes(config.get("data") or {}) if of_images else (),
    )


def training_changes(data: Mapping[str, Any]) -> tuple[TrainingChange, ...]:
    """What the training on images changes in them at random, by its keys ``hue``, ``light`` and ``shift``."""
    changes = []
    if hue := data.get("hue"):
        what = f"hues are turned by up to {hue:g} turns"
        changes.append(TrainingChange(view="image", what=what, variables=HUES, anew=hue >= FULL_CIRCLE))
    if light := data.get("light"):
        changes.append(
            TrainingChange(view="image", what=f"one side is brighter, by a logarithm of up to {light:g}")
        )
    if shift := data.get("shift"):
        changes.append(TrainingChange(view="image", what=f"images are moved by up to {shift} pixels"))
    return tuple(changes)
