"""Finished runs as a verification takes them up: found in folders, read from records, grouped by configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError, first_few
from identbox.experiments import records, simulation
from identbox.experiments import run as experiments_run
from identbox.experiments.simulation import Learner
from identbox.identifiability import assumptions as identifiability_assumptions
from identbox.identifiability import oracle
from identbox.identifiability.assumptions import Assumption, effective_dimensions
from identbox.identifiability.ceilings import Ceiling, Key, ceilings
from identbox.identifiability.oracle import Oracle
from identbox.identifiability.verdicts import Judgement, Margins, judge, predict
from identbox.learning import contrastive, training
from identbox.metrics import elbow, scores
from identbox.metrics.predictors import r2
from identbox.metrics.targets import seen, target_of
from identbox.process.mixing import InvertibleMLP
from identbox.process.model import ROLES, Process, Role, Variable
from identbox.process.tables import process_from_table


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One finished run: its record, and its process with the parameters that were drawn."""

    folder: Path
    record: dict[str, Any]
    probes: tuple[scores.Probe, ...]
    process: Process
    from_content: tuple[scores.Probe, ...] = ()  # of a run on images and text: what content alone tells

    @property
    def seed(self) -> int:
        return self.record["seed"]

    @property
    def encoding_size(self) -> int | None:
        """Dimensions of the encodings, where the record tells them."""
        encoder = self.record["config"].get("encoder")
        if not isinstance(encoder, Mapping):
            return None
        return encoder.get("encoding_size") or self.content_size

    @property
    def content_size(self) -> int:
        """Dimensions of the content as declared."""
        return sum(v.distribution.dim for v in self.process.variables if v.role == "content")

    def ceilings(self, content: Sequence[Variable]) -> dict[Key, Ceiling]:
        """What a perfect encoding of ``content`` would tell of everything that was probed.

        On images and text the run's record has it, measured on the same samples, for the content as declared.
        """
        if not self.from_content:
            return ceilings(self.process, content=content, seed=self.seed)
        return {
            (view, probe.target, None): Ceiling(
                score=probe.score, low=probe.low, high=probe.high, how="probe"
            )
            for probe in self.from_content
            if probe.probe != "linear"
            for view in self.process.views
        }

    def learner(self) -> Learner | None:
        """The learner with its weights; None where the run is of another kind or has no checkpoint.

        Raises IdentboxError for a checkpoint that is damaged or of another configuration.
        """
        here = (self.folder / training.CHECKPOINT, self.folder / training.PREVIOUS)
        if self.record.get("kind") != "simulation" or not any(path.exists() for path in here):
            return None
        made = simulation.simulation("thesis", self.record["config"], str(self.folder))
        # The checkpoint's layers take the place of the drawn ones, so the cheapest will do.
        quick = replace(made, mixing=replace(made.mixing, orthogonal=True))
        learner = Learner(quick, self.process, seed=self.seed)
        try:
            training.load_model(self.folder, learner)
        except RuntimeError as error:
            raise IdentboxError(
                f"{self.folder}: expected a checkpoint of the run's configuration, got another"
            ) from error
        learner.simulation = made
        return learner.eval()


def find(paths: Iterable[Path]) -> list[Path]:
    """The folders of finished runs among run and sweep folders; raises IdentboxError where one has none."""
    found = []
    for path in paths:
        inside = [file.parent for file in sorted((path / records.RUNS).glob(f"*/{records.RESULTS}"))]
        own = [path] if (path / records.RESULTS).is_file() else inside
        if not own:
            raise IdentboxError(f"{path}: expected the folder of a finished run or of a sweep, got none")
        found += own
    return list(dict.fromkeys(found))


def read(folder: Path) -> Trial:
    """Read a run. Raises IdentboxError for a record that is damaged or tells no process or probes."""
    path = folder / records.RESULTS
    record = experiments_run.read_results(path)
    for key, kind in (("seed", int), ("config", dict), ("losses", dict), ("process", dict), ("probes", list)):
        if not isinstance(record.get(key), kind):
            raise IdentboxError(f"{path}: {key}: expected the one of a run, got {record.get(key)!r:.60}")
    process = process_from_table(record["process"], f"{path}: process")
    run = records.run_of(record, path)
    if not any(probe.probe != "linear" for probe in run.probes):
        raise IdentboxError(f"{path}: probes: expected those of a nonlinear probe, got none")
    return Trial(
        folder=folder, record=record, probes=run.probes, process=process, from_content=run.from_content
    )


def groups(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials of the same configuration together, by a name; raises IdentboxError for a seed that comes twice."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        key = json.dumps([trial.record["config"], trial.record.get("control")], sort_keys=True)
        found.setdefault(key, []).append(trial)
    named: dict[str, list[Trial]] = {}
    for members in found.values():
        seeds = [trial.seed for trial in members]
        if len(set(seeds)) < len(seeds):
            twice = first_few([trial.folder for trial in members if seeds.count(trial.seed) > 1], 2)
            raise IdentboxError(
                f"{twice}: expected runs of different seeds, got the same configuration and seed"
            )
        name = re.sub(r"-seed\d+$", "", members[0].folder.name)
        while name in named:
            name += "'"
        named[name] = sorted(members, key=lambda trial: trial.seed)
    return named


def of_learner(learner: Learner) -> Oracle:
    """The oracle of what a learner is trained on."""
    return Oracle(learner.process, mixings_of(learner), seed=learner.seed)


def mixings_of(learner: Learner) -> dict[str, InvertibleMLP]:
    """A learner's mixing by view; one alone where all views share it."""
    return cast(dict[str, InvertibleMLP], dict(learner.mixings.items()))


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
    and the oracle gets the learner's scale. None for cosine similarity, which knows no scale, and for encodings of
    another size than content.
    """
    objective, batch = learner.simulation.objective, learner.simulation.training.batch
    drawn = [
        [learner.draw(batch, "verify", part, number) for number in range(batches)]
        for part in ("anchors", "negatives")[: 1 + (objective.negatives == "same-view")]
    ]
    trained = [[[v.double() for v in learner.encodings(s)] for s in samples] for samples in drawn]
    perfect = [[oracle.encodings(s) for s in samples] for samples in drawn]
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


def _spread(batches: Sequence[Sequence[Float[Tensor, "n d"]]]) -> float:
    """Mean squared norm of centred encodings, a mean over views."""
    views = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    return sum((view - view.mean(0)).square().sum(1).mean().item() for view in views) / len(views)


SAMPLES = 8192  # of the estimates of Eq. 8.9


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """A run beside the oracle: Eq. 8.9, and InfoNCE at equal scale (None where it is not compared)."""

    seed: int
    how: str  # the oracle's Darmois construction was made
    oracle: oracle.Value
    trained: oracle.Value
    equal_scale: EqualScale | None

    @property
    def gap(self) -> float:
        """How far the run is from the minimum of Eq. 8.9, in nats."""
        return self.trained.value - self.oracle.value


def optimum(trial: Trial, learner: Learner, *, samples: int = SAMPLES) -> Optimum | str:
    """Hold a run against the oracle of its process and mixings; the reason in words where there is none."""
    import torch

    try:
        perfect = of_learner(learner)
    except IdentboxError as error:
        return str(error)
    sample = learner.draw(samples, "verify", "optimum")
    with torch.no_grad():
        trained = oracle.trained_value(learner.encodings(sample))
        return Optimum(
            seed=trial.seed,
            how=perfect.how,
            oracle=oracle.functional(perfect.encodings(sample)),
            trained=trained,
            equal_scale=equal_scale(learner, perfect),
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
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


def verify(name: str, trials: Sequence[Trial], margins: Margins) -> Finding:
    """Judge a group of runs of one configuration, without training anything."""
    learners = [trial.learner() for trial in trials]
    first, learner = trials[0], learners[0]
    control = first.record.get("control")
    assumed = identifiability_assumptions.assumptions(
        first.process,
        mixings=None if learner is None else mixings_of(learner),
        encoding_size=first.encoding_size,
        seed=first.seed,
    )
    predictions = predict(first.process, assumed, first.encoding_size)
    if first.from_content:  # which is of the content as declared
        predictions = predictions[:1]
    if control in SPOILT:
        # What such a control spoils is no assumption of the theorem on the process, but that its encoders minimise
        # the objective on true pairs.
        predictions = [
            replace(p, outcome="not identified" if p is predictions[0] else None, reason=SPOILT[control])
            for p in predictions
        ]
    blocks = [effective_dimensions(trial.process, seed=trial.seed) for trial in trials]
    optima = [
        "no checkpoint of a simulation" if learner is None else optimum(trial, learner)
        for trial, learner in zip(trials, learners, strict=True)
    ]
    reasons = [o for o in optima if isinstance(o, str)]
    return Finding(
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


SPOILT = {
    "untrained": "an encoder that was never trained minimises nothing",
    "shuffled-pairs": "in shuffled pairs nothing is invariant",
    "singular-mixing": "a mixing that loses a content variable cannot be inverted",
}


def content_factors(trials: Iterable[Trial]) -> elbow.Elbow | None:
    """The number of content factors from validation losses over encoding sizes (section 8.4.3).

    None where there are not the `validation_losses` of at least four sizes.
    """
    import numpy as np

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


FIT, SHOWN = 2048, 400  # samples of a picture: to fit the predictor on, and to draw


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a variable beside its linear prediction, in the variable's unit."""

    name: str
    role: Role
    truth: Float[np.ndarray, " n"]
    told: Float[np.ndarray, " n"]
    r2: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What one view's encodings tell linearly: every content component, and the best told of each other role."""

    seed: int
    view: str
    components: tuple[Component, ...]


@torch.no_grad()
def encoding_picture(learner: Learner, view: str | None = None) -> Picture:
    """Predict each component of what a view shows (the first by default) from its encodings, by least squares.

    Fitted on `FIT` samples and shown on `SHOWN` others, of the stream ``verify``, ``picture``. A circular variable
    has a cosine and a sine; classes and constants have no such picture. Of style and of what is specific to the view
    only the component that is predicted best is kept.
    """
    view = view or learner.process.views[0]
    samples = [learner.draw(n, "verify", "picture", part) for n, part in ((FIT, "fit"), (SHOWN, "shown"))]
    fit, shown = (_with_one(learner.encode(learner.observe(sample, view), view)) for sample in samples)
    kept: dict[str, list[Component]] = {role: [] for role in ROLES}
    for variable in learner.process.seen_by(view):
        if variable.distribution.discrete or variable.distribution.kind == "constant":
            continue
        target = target_of(variable, variable.name, *(seen(sample, view, variable) for sample in samples))
        wanted, truth = (target.columns(values).cpu() for values in (target.train, target.test))
        told = shown @ torch.linalg.lstsq(fit, wanted).solution
        names = [f"{variable.name}, component {place + 1}" for place in range(variable.distribution.dim)]
        if target.kind == "circular":
            names = [f"{name} ({part})" for part in ("cosine", "sine") for name in names]
        scores = r2(truth, told).tolist()
        kept[variable.role] += [
            Component(name=name, role=variable.role, truth=a.numpy(), told=b.numpy(), r2=score)
            for name, a, b, score in zip(names, truth.T, told.T, scores, strict=True)
        ]
    best = [max(kept[role], key=lambda c: c.r2) for role in ("style", "specific") if kept[role]]
    return Picture(seed=learner.seed, view=view, components=(*kept["content"], *best))


def _with_one(encodings: Float[Tensor, "n d"]) -> Float[Tensor, "n d_and_one"]:
    return torch.nn.functional.pad(encodings.double().cpu(), (0, 1), value=1.0)
