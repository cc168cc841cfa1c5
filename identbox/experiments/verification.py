"""Verdicts on groups of finished runs, and the number of content factors from their losses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from identbox.experiments.optimum import Optimum, optimum
from identbox.experiments.own_encoders import OWN_ENCODERS
from identbox.experiments.trials import Trial, groups
from identbox.identifiability.assumptions import Assumption, LearnerFacts, assumptions, effective_dimensions
from identbox.identifiability.predictions import predict
from identbox.identifiability.verdicts import Judgement, Margins, judge
from identbox.metrics import elbow
from identbox.process.world import unique_mixings


@dataclass(frozen=True, kw_only=True)
class GroupFinding:
    """All that is found of one group of runs."""

    name: str
    control: str | None
    seeds: tuple[int, ...]
    encoding_size: int | None
    assumptions: tuple[Assumption, ...]  # for the first seed
    effective: dict[str, tuple[int, float]]  # dimensions and effective ones of each block, mean over seeds
    judgements: tuple[Judgement, ...]  # the first is of the content as declared
    optima: tuple[Optimum, ...]
    without: str | None  # why a run has no optimum
    provenance: dict[str, Any]

    @property
    def failure(self) -> str | None:
        """Why the group fails the verification, or None."""
        if self.control is not None and self.judgements[0].outcome == "identified":
            return f"the control {self.control} is called identified"
        for judgement in self.judgements:
            block = " and ".join(judgement.prediction.block)
            if judgement.came_true is False:
                return f"{block}: {judgement.prediction.outcome} predicted, {judgement.outcome} found"
            if judgement.came_true is None and judgement.prediction.outcome and self.control is None:
                return f"{block}: {judgement.prediction.outcome} predicted, undecided"
        return None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What is found of several groups of runs, their controls among them."""

    margins: Margins
    runs: tuple[Trial, ...]  # without the controls
    groups: dict[str, list[Trial]]
    findings: tuple[GroupFinding, ...]
    factors: elbow.Elbow | None  # the number of content factors, where the runs show it

    @property
    def failures(self) -> list[str]:
        """Why the verification fails, one line for each group that does."""
        return [f"{finding.name}: {finding.failure}" for finding in self.findings if finding.failure]


def verify_trials(runs: Sequence[Trial], controls: Sequence[Trial], margins: Margins) -> Verification:
    """Judge finished runs, each configuration over its seeds, and their controls; nothing is trained.

    Raises IdentboxError where a configuration and seed come twice, and for damaged checkpoints.
    """
    named = groups([*runs, *controls])
    return Verification(
        margins=margins,
        runs=tuple(runs),
        groups=named,
        findings=tuple(verify_group(name, members, margins) for name, members in named.items()),
        factors=content_factors(runs),
    )


def verify_group(name: str, trials: Sequence[Trial], margins: Margins) -> GroupFinding:
    """Judge a group of runs of one configuration, without training anything."""
    learners = [trial.learner() for trial in trials]
    first = trials[0]
    world = first.world() if learners[0] is None else learners[0].world
    control = first.record.get("control")
    assumed = assumptions(
        first.process,
        mixings=None if world is None else unique_mixings(world.mixings),
        learner=LearnerFacts(encoding_size=first.encoding_size),
        seed=first.seed,
    )
    predictions = predict(first.process, assumed)
    if first.from_content:  # which is of the content as declared
        predictions = predictions[:1]
    if control in DEFECTS:
        # The defect of such a control violates no assumption on the process. It is that its encoders do not minimise
        # the objective on true pairs.
        predictions = [
            replace(p, outcome="not identified" if p is predictions[0] else None, reason=DEFECTS[control])
            for p in predictions
        ]
    blocks = [effective_dimensions(trial.process, seed=trial.seed) for trial in trials]
    optima = [
        _without_learner(trial) if learner is None else optimum(trial, learner)
        for trial, learner in zip(trials, learners, strict=True)
    ]
    reasons = [o for o in optima if isinstance(o, str)]
    return GroupFinding(
        name=name,
        control=control,
        seeds=tuple(trial.seed for trial in trials),
        encoding_size=first.encoding_size,
        assumptions=tuple(assumed),
        effective={key: (dim, fmean(b[key][1] for b in blocks)) for key, (dim, _) in blocks[0].items()},
        judgements=tuple(judge(trials, prediction, margins) for prediction in predictions),
        optima=tuple(o for o in optima if isinstance(o, Optimum)),
        without=reasons[0] if reasons else None,
        provenance={key: first.record.get(key) for key in ("identbox", "versions", "machine", "steps")},
    )


def _without_learner(trial: Trial) -> str:
    """Why a run cannot be compared with the oracle."""
    if trial.record.get("kind") == OWN_ENCODERS:
        return "own encoders, whose code is not in the record"
    return "no checkpoint of a simulation"


DEFECTS = {
    "untrained": "an encoder that was never trained minimises nothing",
    "shuffled-pairs": "in shuffled pairs nothing is invariant",
    "singular-mixing": "a mixing that loses a content variable cannot be inverted",
}


def content_factors(trials: Iterable[Trial]) -> elbow.Elbow | None:
    """The number of content factors from validation losses over encoding sizes (section 8.4.3).

    None where there are not the `validation_losses` of at least four sizes.
    """
    found = validation_losses(trials)
    seeds, sizes = sorted({seed for seed, _ in found}), sorted({size for _, size in found})
    if len(sizes) < elbow.LEAST:
        return None
    return elbow.estimate(sizes, np.array([[found[seed, size] for size in sizes] for seed in seeds]))


def validation_losses(trials: Iterable[Trial]) -> dict[tuple[int, int], float]:
    """The validation loss in nats of every seed and encoding size, for runs that differ in these alone.

    Empty where there are several configurations, or seeds that lack a size.
    """
    losses: dict[str, dict[tuple[int, int], float]] = {}
    for trial in trials:
        size, loss = trial.encoding_size, trial.record["losses"].get("validation")
        if size is not None and loss is not None:
            rest = json.dumps(_without_size(trial.record["config"]), sort_keys=True)
            losses.setdefault(rest, {})[trial.seed, size] = loss
    if len(losses) != 1:
        return {}
    (found,) = losses.values()
    seeds, sizes = {seed for seed, _ in found}, {size for _, size in found}
    return found if len(found) == len(seeds) * len(sizes) else {}


def _without_size(table: Mapping[str, Any]) -> dict[str, Any]:
    encoder = {key: value for key, value in table["encoder"].items() if key != "encoding_size"}
    return {**table, "encoder": encoder}
