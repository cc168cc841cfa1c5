"""What could be predicted from content alone, beside the scores of a run: its ceilings, from the process of its record.

They are computed when a report is made, so that records of any age have them. A record without a whole process, and one
of images and text, which has measured ceilings of its own, have none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from identbox.errors import IdentboxError
from identbox.experiments.records import Run

if TYPE_CHECKING:
    from identbox.process.model import Process

CEILING_SAMPLES = 1024  # of a probe on true content, where no closed form is known
Ceilings = Mapping[tuple[str, str, str | None], float]  # by view, label of the target, and intervention


def run_ceilings(run: Run) -> Ceilings:
    """The best scores that content allows; empty where the record does not say enough."""
    process = realised_process(run)
    if process is None:
        return {}
    from identbox.identifiability.ceilings import ceilings

    interventions = any(probe.intervention for probe in run.probes)
    try:
        found = ceilings(process, interventions=interventions, seed=run.seed, samples=CEILING_SAMPLES)
    except IdentboxError:
        return {}
    return {key: ceiling.score for key, ceiling in found.items()}


def realised_process(run: Run) -> Process | None:
    """The process of a record with the random parameters of its seed; None where it has no whole one of its own."""
    if not run.process.get("variables") or run.on_dataset:
        return None
    # The rooms below load torch; a report without processes does without.
    from identbox.process.tables import process_from_table

    try:
        return process_from_table(run.process, "process").realise(seed=run.seed)
    except IdentboxError:
        return None


def block_ceilings(run: Run, ceilings: Ceilings, intervention: str | None) -> dict[tuple[str, str], float]:
    """The ceiling of each (block, metric), averaged as `Run.scores` averages scores."""
    found: dict[tuple[str, str], list[float]] = {}
    for probe in run.probes:
        block, key = run.block(probe), (probe.view, probe.label, probe.intervention)
        if probe.intervention == intervention and probe.nonlinear and block is not None and key in ceilings:
            found.setdefault((block, probe.metric), []).append(ceilings[key])
    return {key: fmean(values) for key, values in found.items()}
