"""What each assumption of Theorem 2 says of a process, of its mixings and of a learner (sections 8.2 and 8.3)."""

from __future__ import annotations

from collections.abc import Mapping

from identbox import seeding
from identbox.identifiability.blocks import (
    EVALUATION_SAMPLES,
    effective_dimension,
    effective_dimensions,
    invariant,
    never_changing,
)
from identbox.identifiability.learner_rules import LearnerFacts, TrainingChange, learner_rows
from identbox.identifiability.process_rules import mixing_rows, process_rows, singular_values
from identbox.identifiability.rows import ASSUMPTION_NAMES, Assumption, AssumptionKey, AssumptionVerdict
from identbox.process.mixing import InvertibleMLP
from identbox.process.model import Process

__all__ = [
    "ASSUMPTION_NAMES",
    "Assumption",
    "AssumptionKey",
    "AssumptionVerdict",
    "LearnerFacts",
    "TrainingChange",
    "assumptions",
    "effective_dimension",
    "effective_dimensions",
    "invariant",
    "never_changing",
    "singular_values",
]


def assumptions(
    process: Process,
    *,
    mixings: Mapping[str, InvertibleMLP] | None = None,
    learner: LearnerFacts | None = None,
    seed: int = 0,
) -> list[Assumption]:
    """The hypotheses of Theorem 2 for a process, the mixing of each view, and what is known of a learner.

    What needs facts that are not given is unknown. With ``mixings`` (one for every view, or one by the name of the
    first view that all share) the process must be realised; Jacobians are then evaluated at ``EVALUATION_SAMPLES``
    draws from a stream of ``seed``. The last row lists what none of the others looks at.
    """
    learner = learner or LearnerFacts()
    sample = None
    if mixings is not None:
        sample = process.sample(EVALUATION_SAMPLES, generator=seeding.generator(seed, "assumptions"))
    return [
        *process_rows(process, learner.drawn_anew, seed=seed),
        *mixing_rows(process, mixings, sample),
        *learner_rows(process, learner),
    ]
