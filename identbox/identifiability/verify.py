"""A verdict on encoders or encodings from anywhere: is content block-identified (Definition 8, Theorem 2)?

    verify(world, {"1": f1, "2": f2}, seed=0)                        # draws, permutes and judges by itself
    verify(process, encodings={"1": h1, "2": h2}, latents=z)         # judges arrays; nothing is drawn or permuted

The first form needs a `World` and a callable for each view. It probes the encodings as they are and after each block is
permuted. The second form has arrays alone. Without interventions it cannot separate what an encoding contains from what
predicts that, wherever content and the rest are dependent; there it never says "identified".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from identbox import seeding
from identbox.errors import IdentboxError, first_few
from identbox.files import write_whole
from identbox.identifiability.assumptions import LearnerFacts, assumptions
from identbox.identifiability.ceilings import Ceiling, CeilingKey, ceilings
from identbox.identifiability.encodings import Encoder, encoded, encoding_matrix, expect_views, latents_of
from identbox.identifiability.predictions import Prediction, declared, predict
from identbox.identifiability.verdicts import (
    Evidence,
    Margins,
    Outcome,
    ViewVerdict,
    judge,
)
from identbox.metrics.interventional import probe_world
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.scores import Score
from identbox.metrics.targets import Target, target_of
from identbox.process.model import Process, Variable
from identbox.process.world import World, unique_mixings
from identbox.tables import Table, TableCell

LEAST_ROWS = 20  # rows of arrays: half of them to fit a probe, half to score it
WORLD_SAMPLES = 1024  # drawn from a world to fit probes, and as many others to score them


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether content was identified, why, and what the answer rests on.

    It prints as a table, shows as HTML in a notebook, and is saved as a page.

    >>> from identbox import Mixing, World, numerical_simulation, verify
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> verdict = verify(world, {"1": lambda x: world.invert(x, view="1")["content"]}, samples=300)
    >>> verdict.outcome, [view.view for view in verdict.views]
    ('identified', ['1'])
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    views: tuple[ViewVerdict, ...]  # one for each view that was judged
    evidence: str  # what was measured, in words
    margins: Margins
    prediction: Prediction | None = None  # what the theorem says of the process, where it is known

    def table(self) -> Table:
        """Every condition that was held against its margin."""
        rows = [
            (
                condition.view,
                condition.target,
                condition.intervention or "–",
                "recovery" if condition.kind == "content" else "excess",
                f"{condition.value:.3f}",
                f"[{condition.low:.2f}, {condition.high:.2f}]",
                f"{'≥' if condition.kind == 'content' else '≤'} {condition.bound:g}",
                TableCell(_STATE_WORDS[condition.state], state=_STATES[condition.state]),
            )
            for verdict in self.views
            for condition in verdict.conditions
        ]
        columns = ("view", "target", "permuted", "what", "value", "95% interval", "margin", "state")
        notes = [f"{view.view}: {view.outcome}" for view in self.views] if len(self.views) > 1 else []
        notes += [f"Evidence: {self.evidence}.", *(f"Reason: {reason}." for reason in self.reasons)]
        if self.prediction is not None and self.prediction.outcome is not None:
            predicted = f"{self.prediction.outcome} ({self.prediction.reason})"
            notes.append(f"For a learner at the optimum of its objective, Theorem 2 predicts: {predicted}.")
        return Table(f"Content: {self.outcome}", columns, rows, notes=notes, align="llllrrll", dense=True)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Verdict({self.outcome!r}: {'; '.join(self.reasons[:2])})"

    def __rich__(self) -> Any:
        return self.table().terminal()

    def _repr_html_(self) -> str:
        return self.table().html()

    def save(self, path: str | Path) -> Path:
        """Write the verdict as an HTML page that needs no other file. Raises IdentboxError where that cannot be."""
        from identbox.documents import page

        target = Path(path)
        try:
            write_whole(
                target,
                page(f"Content: {self.outcome}", self.table(), lead=f"Evidence: {self.evidence}.").encode(),
            )
        except OSError as error:
            raise IdentboxError(f"{target}: expected a file to write to, got {error.strerror}") from error
        return target


_STATES: dict[str, Any] = {"satisfied": "good", "violated": "bad", "open": "open"}
_STATE_WORDS = {"satisfied": "met", "violated": "violated", "open": "open"}


@dataclass(frozen=True)
class Measured:
    """Scores and ceilings as evidence for a verdict."""

    where: str
    seed: int
    process: Process
    probes: tuple[Score, ...]
    known: Mapping[CeilingKey, Ceiling]

    def ceilings(self, content: Sequence[Variable]) -> Mapping[CeilingKey, Ceiling]:
        """The ceilings that were measured, whatever content is."""
        return self.known


def verify(
    world: World | Process,
    encoders: Mapping[str, Encoder] | None = None,
    *,
    encodings: Mapping[str, Any] | None = None,
    latents: Mapping[str, Any] | None = None,
    seed: int = 0,
    samples: int = WORLD_SAMPLES,
    interventions: bool = True,
    margins: Margins | None = None,
) -> Verdict:
    """Judge whether encoders, or encodings made elsewhere, identified content.

    With ``encoders`` (a callable for each view, or for some) ``world`` is a `World`: ``samples`` observations are drawn
    to fit probes and as many others to score them, and each block is permuted in turn. A torch module is called in
    evaluation mode.

    With ``encodings`` (by view: arrays (n, k)) and ``latents`` (by variable: arrays (n,) or (n, dim), or by view and
    then by variable) it is a `Process` or a World. Half of the rows fit probes, and half score them. Ceilings are
    measured with the same probes on the true content of the same rows.

    The outcome is "identified" if content is predicted and nothing else is beyond its ceiling, each within its margin
    with its whole interval; "not identified" if one interval lies beyond its margin; "undecided" otherwise.

    Raises IdentboxError for views and variables that the process does not have, arrays of unequal length, numbers
    that are not finite, encodings that are constant or no matrix, encoders that change their input, and too few rows.

    >>> from identbox import Mixing, World, numerical_simulation, verify
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> verify(world, {"1": lambda x: world.invert(x, view="1")["content"]}, samples=300).outcome
    'identified'
    >>> verify(world, {"1": lambda x: world.invert(x, view="1")["style"]}, samples=300).outcome
    'not identified'
    """
    margins = margins or Margins()
    if (encoders is None) == (encodings is None):
        got = "neither" if encoders is None else "both"
        raise IdentboxError(f"verify: expected encoders or encodings, got {got}")
    if encodings is not None:
        process = world.process if isinstance(world, World) else world
        if latents is None:
            raise IdentboxError("verify: expected latents beside encodings, got none")
        return verify_arrays(process, encodings, latents, seed=seed, margins=margins)
    if not isinstance(world, World):
        raise IdentboxError("verify: expected a World to draw observations for encoders, got a Process")
    if samples < LEAST_ROWS // 2:
        raise IdentboxError(f"samples: expected at least {LEAST_ROWS // 2}, got {samples}")
    return _verify_callables(world, encoders or {}, seed, samples, interventions, margins)


def _verify_callables(
    world: World,
    encoders: Mapping[str, Encoder],
    seed: int,
    samples: int,
    interventions: bool,
    margins: Margins,
) -> Verdict:
    expect_views(encoders, world.process, "encoders")
    sizes: dict[str, int] = {}

    def encode(x: Tensor, view: str) -> Tensor:
        matrix = encoded(encoders[view], x, f"encoder of view {view}")
        sizes[view] = matrix.shape[1]
        return matrix

    probed = probe_world(
        world,
        encode,
        samples=samples,
        interventions=interventions,
        views=list(encoders),
        stream=("verify", seed),
    )
    size = max(sizes.values())
    assumed = assumptions(
        world.process,
        mixings=unique_mixings(world.mixings),
        learner=LearnerFacts(encoding_size=size),
        seed=world.seed,
    )
    prediction = predict(world.process, assumed)[0]
    content = declared(world.process)
    evidence = Measured(
        where="verify",
        seed=seed,
        process=world.process,
        probes=tuple(probed),
        known=ceilings(world.process, content=content, interventions=interventions, seed=world.seed),
    )
    measured = f"encoders probed in their world on {samples} samples to fit and {samples} to score"
    if interventions:
        return verdict_on(evidence, f"{measured}, as drawn and with each block permuted", margins, prediction)
    unguarded = verdict_on(evidence, f"{measured}, without interventions", margins, prediction)
    return guarded(unguarded, world.process)


def verify_arrays(
    process: Process,
    encodings: Mapping[str, Any],
    latents: Mapping[str, Any],
    *,
    seed: int,
    margins: Margins,
) -> Verdict:
    """Judge encodings that were made elsewhere by the latents behind them; see `verify`."""
    expect_views(encodings, process, "encodings")
    content = declared(process)
    probes: list[Score] = []
    known: dict[CeilingKey, Ceiling] = {}
    lengths, unseen = set(), set()
    for view, values in encodings.items():
        matrix = encoding_matrix(values, f"encodings of view {view}")
        if len(matrix) < LEAST_ROWS:
            raise IdentboxError(
                f"encodings of view {view}: expected at least {LEAST_ROWS} rows, got {len(matrix)}"
            )
        given = latents_of(process, latents, view, rows=len(matrix))
        unseen |= {
            v.name for v in process.seen_by(view) if v.name not in given and not v.distribution.constant
        }
        missing = [v.name for v in content if v.name not in given]
        if missing:
            raise IdentboxError(
                f"latents of view {view}: expected content {first_few(missing)}, got none of it"
            )
        order = torch.randperm(len(matrix), generator=seeding.generator(seed, "verify", "halves"))
        fit, score = order.tensor_split(2)
        targets = [
            target_of(process[name], z[fit], z[score])
            for name, z in given.items()
            if not process[name].distribution.constant
        ]
        lengths.add(len(matrix))
        seeded = seeding.derive(seed, "verify", view)
        probes += _probed(view, matrix, targets, (fit, score), seeded)
        features = torch.cat([v.distribution.features(given[v.name]) for v in content], dim=1)
        for one in _probed(view, features, targets, (fit, score), seeded):
            if one.nonlinear:
                known[view, one.label, None] = Ceiling.of_probe(one)
    evidence = Measured(where="verify", seed=seed, process=process, probes=tuple(probes), known=known)
    rows = " and ".join(str(n) for n in sorted(lengths))
    measured = f"regressions on {rows} rows of arrays, half to fit and half to score, without interventions"
    return guarded(verdict_on(evidence, measured, margins), process, unseen)


def _probed(
    view: str, matrix: Tensor, targets: Sequence[Target], halves: tuple[Tensor, Tensor], seed: int
) -> Iterator[Score]:
    fit, score = halves
    settings = PredictorSettings(centre=True)
    for one in probe_targets(matrix[fit], matrix[score], targets, settings=settings, seed=seed):
        yield dataclasses.replace(one, view=view)


def guarded(verdict: Verdict, process: Process, unseen: Iterable[str] = ()) -> Verdict:
    """A verdict without interventions that claims no more than was seen.

    Where another variable depends on content, regressions cannot separate an encoding of content from one of both.
    Where the latents of a variable were not given, nothing shows whether the encoding contains it.
    """
    if verdict.outcome != "identified":
        return verdict
    names = set(_names_of(declared(process)))
    dependent = [
        v.name
        for v in process.variables
        if v.name not in names
        and not v.distribution.constant
        and any(process.dependent(v.name, c) for c in names)
    ]
    reasons = []
    if dependent:
        reasons.append(
            f"no interventions were probed, and {first_few(dependent)} depends on content: an encoding that contains "
            "it cannot be distinguished from one that only predicts it"
        )
    if unseen := sorted(unseen):
        reasons.append(
            f"the latents of {first_few(unseen)} were not given, so nothing shows whether they are encoded"
        )
    if not reasons:
        return verdict
    return dataclasses.replace(verdict, outcome="undecided", reasons=(*reasons, *verdict.reasons))


def verdict_on(
    measured: Evidence, evidence: str, margins: Margins, prediction: Prediction | None = None
) -> Verdict:
    """The verdict on the declared content from what was measured; ``evidence`` says in words what that is."""
    block = _names_of(declared(measured.process))
    judgement = judge([measured], Prediction(block=block, outcome=None, reason=""), margins)
    decided = [v for v in judgement.verdicts if v.outcome == judgement.outcome]
    several = len(judgement.verdicts) > 1
    reasons = tuple(
        f"view {view.view}, {reason}" if several else reason for view in decided for reason in view.brief
    )
    return Verdict(
        outcome=judgement.outcome,
        reasons=reasons,
        views=judgement.verdicts,
        evidence=evidence,
        margins=margins,
        prediction=prediction,
    )


def _names_of(variables: Sequence[Variable]) -> tuple[str, ...]:
    return tuple(variable.name for variable in variables)
