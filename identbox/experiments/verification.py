"""Verdicts on finished runs, each by itself, and the number of content factors from their losses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from identbox.errors import IdentboxError, first_few
from identbox.experiments.identification import (
    SPECIFIC_IDENTIFICATION,
    Blocks,
    blocks_of_record,
    drawn_leaks,
    measured_blocks,
    mixing_rows_of_record,
    with_freedom,
)
from identbox.experiments.learner import Learner
from identbox.experiments.learner_facts import learner_facts
from identbox.experiments.optimum import Optimum, optimum, optimum_of_record
from identbox.experiments.own_encoders import OWN_ENCODERS
from identbox.experiments.records import DMVAE, GENERATIVE, SHUFFLED_PAIRS, SIMULATION
from identbox.experiments.trials import Trial, groups
from identbox.identifiability.assumptions import Assumption, assumptions, effective_dimensions
from identbox.identifiability.ceilings import Ceiling
from identbox.identifiability.controls import Power, power_in_world
from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import Encode, Measure, measured_in_world
from identbox.identifiability.predictions import Prediction, declared, predict
from identbox.identifiability.verdicts import Found, Judgement, ViewVerdict, judge, undecided
from identbox.learning.contrastive import Objective
from identbox.metrics import elbow
from identbox.metrics.scores import Score
from identbox.process.world import World, unique_mixings
from identbox.settings import build


@dataclass(frozen=True, kw_only=True)
class ScoreBesideCeiling:
    """A score of a run's probes beside the ceiling that a perfect encoding of content would reach."""

    score: Score
    ceiling: Ceiling
    encoded: bool  # whether it is of content, as it is in what was encoded

    @property
    def excess(self) -> float:
        """How far the score is beyond its ceiling."""
        return self.score.score - self.ceiling.score


@dataclass(frozen=True, kw_only=True)
class SeedFinding:
    """All that is found of one run: a process of its own, with its own assumptions, predictions and verdicts."""

    seed: int
    assumptions: tuple[Assumption, ...]
    effective: dict[str, tuple[int, float]]  # dimensions and effective ones of each block
    judgements: tuple[Judgement, ...]  # the first is of the content as declared
    scores: tuple[ScoreBesideCeiling, ...]
    optimum: Optimum | None
    without: str | None  # why there is no optimum
    # Of a DMVAE: what the latents of each modality have of content, and of all else that it shows.
    specific: tuple[ViewVerdict, ...] = ()
    # The leak of content into draws of these latents: of no weight in the verdict, which is on their means.
    draws: tuple[Measure, ...] = ()

    @property
    def gap(self) -> float | None:
        """How far the run is from the optimum of Eq. 8.9, in nats."""
        return None if self.optimum is None else self.optimum.gap


Came = Literal["came true", "refuted", "undecided", "nothing predicted"]
CAME: tuple[Came, ...] = ("came true", "refuted", "undecided", "nothing predicted")


def came(judgement: Judgement) -> Came:
    """What became of a prediction."""
    if judgement.prediction.outcome is None:
        return "nothing predicted"
    return {True: CAME[0], False: CAME[1], None: CAME[2]}[judgement.came_true]


@dataclass(frozen=True, kw_only=True)
class GroupFinding:
    """All that is found of the runs of one configuration, seed by seed. No mean over seeds decides anything."""

    name: str
    control: str | None
    encoding_size: int | None
    seeds: tuple[SeedFinding, ...]
    provenance: dict[str, Any]

    @property
    def blocks(self) -> list[tuple[str, ...]]:
        """The blocks that were judged, that of the content as declared first."""
        return list(dict.fromkeys(j.prediction.block for seed in self.seeds for j in seed.judgements))

    def of_block(self, block: tuple[str, ...]) -> dict[int, Judgement]:
        """The judgements on a block by seed."""
        return {s.seed: j for s in self.seeds for j in s.judgements if j.prediction.block == block}

    def found(self, block: tuple[str, ...]) -> list[Found]:
        """What was found of each seed."""
        return [judgement.found for judgement in self.of_block(block).values()]

    def tally(self) -> dict[Came, int]:
        """How many predictions, over seeds and blocks, came true, were refuted, are undecided, or were none."""
        came_of = [came(judgement) for seed in self.seeds for judgement in seed.judgements]
        return {word: came_of.count(word) for word in CAME}

    @property
    def failure(self) -> str | None:
        """Why the group fails the verification, or None."""
        if self.control is not None:
            fooled = [s.seed for s in self.seeds if s.judgements[0].outcome == "identified"]
            if fooled:
                return f"the control {self.control} is called identified (seeds {first_few(fooled, 5)})"
        for block in self.blocks:
            judged = self.of_block(block)
            refuted = [seed for seed, j in judged.items() if j.came_true is False]
            if refuted:
                one = judged[refuted[0]]
                return (
                    f"{' and '.join(block)}: {one.prediction.words} predicted, {one.found} found for "
                    f"{len(refuted)} of {len(judged)} seeds ({first_few(refuted, 5)})"
                )
        return None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What is found of several groups of runs, their controls among them."""

    margins: Margins
    runs: tuple[Trial, ...]  # without the controls
    groups: dict[str, list[Trial]]
    findings: tuple[GroupFinding, ...]
    factors: elbow.Elbow | None  # the number of content factors, where the runs show it
    # By group, what a verdict on its first run would have seen, where that was asked for.
    power: dict[str, Power]

    @property
    def failures(self) -> list[str]:
        """Why the verification fails, one line for each group that does."""
        return [f"{finding.name}: {finding.failure}" for finding in self.findings if finding.failure]

    def tally(self) -> dict[Came, int]:
        """What became of the predictions on runs; those on controls have their own rule."""
        return total(finding for finding in self.findings if finding.control is None)

    @property
    def exit_code(self) -> int:
        """0: every prediction that was made came true. 2: one was refuted. 3: none was made, or one is undecided."""
        if self.failures:
            return 2
        tally = self.tally()
        return 0 if tally["came true"] and not tally["undecided"] else 3


def total(findings: Iterable[GroupFinding]) -> dict[Came, int]:
    """The tallies of several groups together."""
    counts = dict.fromkeys(CAME, 0)
    for finding in findings:
        for word, n in finding.tally().items():
            counts[word] += n
    return counts


def verify_trials(
    runs: Sequence[Trial], controls: Sequence[Trial], margins: Margins, *, power: bool = False
) -> Verification:
    """Judge finished runs, each by itself, and their controls; nothing is trained.

    With ``power`` encodings of known quality go through the same measurements, in the world of each group's first run.

    Raises IdentboxError where a configuration and seed come twice, and for damaged checkpoints.
    """
    named = groups([*runs, *controls])
    return Verification(
        margins=margins,
        runs=tuple(runs),
        groups=named,
        findings=tuple(verify_group(name, members, margins) for name, members in named.items()),
        factors=content_factors(runs),
        power=powers(runs, margins) if power else {},
    )


def powers(runs: Sequence[Trial], margins: Margins) -> dict[str, Power]:
    """What a verdict on the first run of each group would have seen; once where groups share world and probes."""
    known: dict[str, Power] = {}
    named = {}
    for name, members in groups(runs).items():
        record = members[0].record
        key = json.dumps([record["process"], record["seed"], record["config"].get("probes")], sort_keys=True)
        if key not in known:
            known[key] = named[name] = power_of(members[0], margins)
    return named


def power_of(trial: Trial, margins: Margins) -> Power:
    """What a verdict on a run would have seen. Raises IdentboxError for runs whose observations cannot be drawn."""
    if trial.record.get("kind") not in SIMULATED or trial.from_content:
        raise IdentboxError(f"{trial.where}: --controls: expected a run in a world of its own, got another")
    world = World(trial.process, seed=trial.seed)

    def measured(encode: Encode, views: Sequence[str]) -> list[Measure]:
        return measured_in_world(
            world,
            encode,
            declared(world.process),
            views=views,
            **_sampling(trial),
        )

    return power_in_world(world, measured, margins, samples=_sampling(trial)["samples"])


SIMULATED = (SIMULATION, OWN_ENCODERS, GENERATIVE, DMVAE)  # kinds of runs, where they are not on images


def verify_group(name: str, trials: Sequence[Trial], margins: Margins) -> GroupFinding:
    """Judge a group of runs of one configuration, each by itself."""
    first = trials[0]
    return GroupFinding(
        name=name,
        control=first.record.get("control"),
        encoding_size=first.encoding_size,
        seeds=tuple(verify_trial(trial, margins) for trial in trials),
        provenance={
            key: first.record.get(key) for key in ("identbox", "commit", "versions", "machine", "steps")
        },
    )


def verify_trial(trial: Trial, margins: Margins) -> SeedFinding:
    """Judge one run by what its record holds; where that is older, by its checkpoint.

    A run of which neither is there is undecided: averages of scores do not tell what a verdict needs.
    """
    learner = None
    if "identification" not in trial.record or "optimum" not in trial.record:
        learner = trial.learner()
    best = _optimum_of(trial, learner)
    assumed = _assumed(trial, learner, best if isinstance(best, Optimum) else None)
    control = trial.record.get("control")
    predictions = predict(trial.process, assumed)
    if trial.from_content:  # which is of the content as declared
        predictions = predictions[:1]
    if control in DEFECTS:
        # The defect of such a control violates no assumption on the process. It is that its encoders do not minimise
        # the objective on true pairs.
        predictions = [
            replace(p, outcome="not identified" if p is predictions[0] else None, reason=DEFECTS[control])
            for p in predictions
        ]
    measured = _measured(trial, learner)
    return SeedFinding(
        seed=trial.seed,
        assumptions=tuple(assumed),
        effective=effective_dimensions(trial.process, seed=trial.seed),
        judgements=tuple(_judged(trial, p, measured.get(p.block, []), margins) for p in predictions),
        scores=tuple(_comparisons(trial)),
        optimum=best if isinstance(best, Optimum) else None,
        without=best if isinstance(best, str) else None,
        specific=tuple(
            verdict
            for measures in blocks_of_record(trial.record, trial.where, SPECIFIC_IDENTIFICATION).values()
            for verdict in judge(measures, margins)
        ),
        draws=tuple(drawn_leaks(trial.record, trial.where)),
    )


def _judged(trial: Trial, prediction: Prediction, measures: Sequence[Measure], margins: Margins) -> Judgement:
    if measures:
        return Judgement(prediction=prediction, verdicts=judge(measures, margins))
    probed = dict.fromkeys(score.view for score in trial.probes)
    return Judgement(prediction=prediction, verdicts=tuple(undecided(view, UNMEASURED) for view in probed))


UNMEASURED = (
    "the record holds averages of scores alone, and no checkpoint is there to measure leak and recovery"
)


def _measured(trial: Trial, learner: Learner | None) -> Blocks:
    """Leak and recovery of each block, from the record or else from the learner."""
    if "identification" in trial.record or learner is None:
        return with_freedom(blocks_of_record(trial.record, trial.where), trial.process, seed=trial.seed)
    return measured_blocks(learner.world, learner.encode, objective=learner.objective, **_sampling(trial))


def _sampling(trial: Trial) -> dict[str, Any]:
    """How many samples a run's own measures were taken on, and whether with interventions, by its configuration."""
    probes = trial.record["config"].get("probes", {})
    return {"samples": 2 * probes.get("samples", 1024), "interventions": probes.get("interventions", True)}


def _optimum_of(trial: Trial, learner: Learner | None) -> Optimum | str:
    """The run beside the oracle, or why there is none."""
    if "optimum" in trial.record:
        return optimum_of_record(trial.record["optimum"], trial.where)
    if learner is not None:
        return optimum(trial.seed, learner)
    if trial.record.get("kind") == OWN_ENCODERS:
        return "own encoders, whose code is not in the record"
    return "no checkpoint of a simulation"


def _assumed(trial: Trial, learner: Learner | None, best: Optimum | None) -> list[Assumption]:
    """The assumptions of the theorem for a run; those on mixings from its record or its checkpoint."""
    world = None
    recorded = {row.key: row for row in mixing_rows_of_record(trial.record, trial.where)}
    if not recorded:
        world = learner.world if learner is not None else trial.world()
    rows = assumptions(
        trial.process,
        mixings=None if world is None else unique_mixings(world.mixings),
        learner=learner_facts(trial, best),
        seed=trial.seed,
    )
    return [recorded.get(row.key, row) for row in rows]


def _comparisons(trial: Trial) -> Iterator[ScoreBesideCeiling]:
    """Every nonlinear score of a run beside its ceiling."""
    content = declared(trial.process)
    roles = {v.name: v.role for v in content}
    ceilings = trial.ceilings(content)
    for score in trial.probes:
        ceiling = ceilings.get((score.view, score.label, score.intervention))
        if score.nonlinear and ceiling is not None:
            role = roles.get(score.target)
            encoded = role is not None and (score.permuted or role != score.intervention)
            yield ScoreBesideCeiling(score=score, ceiling=ceiling, encoded=encoded)


DEFECTS = {
    "untrained": "an encoder that was never trained minimises nothing",
    SHUFFLED_PAIRS: "in shuffled pairs nothing is invariant",
    "singular-mixing": "a mixing that loses a content variable cannot be inverted",
}


def content_factors(trials: Sequence[Trial]) -> elbow.Elbow | None:
    """The number of content factors from validation losses over encoding sizes (section 8.4.3).

    None where there are not the `validation_losses` of at least four sizes.
    """
    found = validation_losses(trials)
    seeds, sizes = sorted({seed for seed, _ in found}), sorted({size for _, size in found})
    if len(sizes) < elbow.FEWEST_SIZES:
        return None
    losses = np.array([[found[seed, size] for size in sizes] for seed in seeds])
    return elbow.estimate(sizes, losses, **_bounds(trials))


def _bounds(trials: Iterable[Trial]) -> dict[str, Any]:
    """The chance and the floor of the losses of runs that differ in size and seed alone; empty where not recorded."""
    first = next(iter(trials))
    chance, objective = first.record["losses"].get("chance"), first.record["config"].get("objective")
    if chance is None or not objective:
        return {}
    made = build(Objective, objective, f"{first.where}: objective")
    return {"chance": chance, "floor": elbow.least_loss(made, round(math.exp(chance)))}


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
