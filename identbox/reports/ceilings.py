"""What could be predicted from content alone, beside the scores of a run: its ceilings, from the process of its record.

They are computed when a report is made, so that records of any age have them. A record without a whole process, and one
of images and text, which has measured ceilings of its own, have none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from identbox.errors import IdentboxError
from identbox.experiments.records import Run

CEILING_SAMPLES = 1024  # of a probe on true content, where no closed form is known
Ceilings = Mapping[tuple[str, str, str | None], float]  # by view, label of the target, and intervention


def run_ceilings(run: Run) -> Ceilings:
    """The best scores that content allows; empty where the record does not say enough."""
    if not run.process.get("variables") or run.on_dataset:
        return {}
    # The rooms below load torch; a report without ceilings does without.
    from identbox.identifiability.ceilings import ceilings
    from identbox.process.tables import process_from_table

    interventions = any(probe.intervention for probe in run.probes)
    try:
        process = process_from_table(run.process, "process").realise(seed=run.seed)
        found = ceilings(process, interventions=interventions, seed=run.seed, samples=CEILING_SAMPLES)
    except IdentboxError:
        return {}
    return {key: ceiling.score for key, ceiling in found.items()}


def block_ceilings(run: Run, ceilings: Ceilings, intervention: str | None) -> dict[tuple[str, str], float]:
    """The ceiling of each (block, metric), averaged as `Run.scores` averages scores."""
    found: dict[tuple[str, str], list[float]] = {}
    for probe in run.probes:
        block, key = run.block(probe), (probe.view, probe.label, probe.intervention)
        if probe.intervention == intervention and probe.nonlinear and block is not None and key in ceilings:
            found.setdefault((block, probe.metric), []).append(ceilings[key])
    return {key: fmean(values) for key, values in found.items()}
