"""A verdict on encoders or encodings from anywhere: is content block-identified (Definition 8, Theorem 2)?

    verify(world, {"1": f1, "2": f2}, seed=0)                        # draws anew, moves content, and judges by itself
    verify(process, encodings={"1": h1, "2": h2}, latents=z)         # judges arrays; nothing is drawn or moved

The first form needs a `World` and a callable for each view: it holds content and draws everything else anew. The
second form has arrays alone, and rests on regressions; where these cannot tell, it says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from identbox.errors import IdentboxError, first_few
from identbox.files import write_whole
from identbox.identifiability.assumptions import LearnerFacts, assumptions
from identbox.identifiability.counterfactual_scores import intervention_scores
from identbox.identifiability.counterfactuals import displacements
from identbox.identifiability.datasets import DatasetEvidence, dataset_evidence
from identbox.identifiability.encodings import Encoder, encoded, encoding_matrix, expect_views, latents_of
from identbox.identifiability.intervention_tables import intervention_tables
from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import (
    Measure,
    measured_from_arrays,
    measured_in_world,
    weakness,
    with_weakness,
)
from identbox.identifiability.predictions import Prediction, declared, predict
from identbox.identifiability.verdicts import Found, Outcome, ViewVerdict, found, judge, together
from identbox.learning.contrastive import Objective, of_length_one
from identbox.metrics.displacement_records import Displacement, displacement_table
from identbox.metrics.scores import Score
from identbox.process.model import Process
from identbox.process.world import World, unique_mixings
from identbox.tables import Table, TableCell

if TYPE_CHECKING:
    from identbox.identifiability.controls import Power

LEAST_ROWS = 50  # rows of arrays, and samples of a world
WORLD_SAMPLES = 2048  # drawn from a world
RESAMPLES = 50  # for the intervals of what is predicted after an intervention


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether content was identified, why, and what the answer rests on.

    It prints as a table, shows as HTML in a notebook, and is saved as a page.

    >>> from identbox import Mixing, World, numerical_simulation, verify
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> verdict = verify(world, {"1": lambda x: world.invert(x, view="1")["content"]}, samples=500)
    >>> verdict.outcome, [view.view for view in verdict.views]
    ('identified', ['1'])
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    views: tuple[ViewVerdict, ...]  # one for each view that was judged
    evidence: str  # what was measured, in words
    margins: Margins
    prediction: Prediction | None = None  # what the theorem says of the process, where it is known
    power: Power | None = None  # what this verdict would have seen, where controls were asked for
    # By the counterfactual splits of a dataset: what moves the encodings, and what they predict after each
    # intervention, beside what content alone predicts (view "content").
    displacements: tuple[Displacement, ...] = ()
    interventions: tuple[Score, ...] = ()

    @property
    def on_support(self) -> Outcome:
        """The outcome on the support of the data alone: without combinations of latents that it hardly has."""
        return together([view.on_support for view in self.views])

    @property
    def found(self) -> Found:
        """The outcome, and where it is that of the support alone."""
        return found(self.outcome, self.on_support)

    def table(self) -> Table:
        """Every condition that was held against its margin."""
        rows = [condition_row(condition) for verdict in self.views for condition in verdict.conditions]
        notes = [f"{view.view}: {view.found}" for view in self.views] if len(self.views) > 1 else []
        notes += [f"Within margins: {self.margins}."]
        notes += [f"Evidence: {self.evidence}.", *(f"Reason: {reason}." for reason in self.reasons)]
        if self.power is not None:
            notes += self.power.lines()
        if self.prediction is not None and self.prediction.outcome is not None:
            predicted = f"{self.prediction.words} ({self.prediction.reason})"
            notes.append(f"For a learner at the optimum of its objective, Theorem 2 predicts: {predicted}.")
        return Table(
            f"Content: {self.found}", CONDITION_COLUMNS, rows, notes=notes, align="lllrrll", dense=True
        )

    def tables(self) -> list[Table]:
        """The table of conditions; of a dataset with counterfactual splits also displacements and predictions."""
        moved = [displacement_table(self.displacements)] if self.displacements else []
        return [self.table(), *moved, *intervention_tables(self.interventions)]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    def __repr__(self) -> str:
        return f"Verdict({self.found!r}: {'; '.join(self.reasons[:2])})"

    def __rich__(self) -> Any:
        from rich.console import Group

        return Group(*(table.terminal() for table in self.tables()))

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables())

    def save(self, path: str | Path) -> Path:
        """Write the verdict as an HTML page that needs no other file. Raises IdentboxError where that cannot be."""
        from identbox.documents import page

        target = Path(path)
        try:
            write_whole(
                target,
                page(f"Content: {self.found}", *self.tables(), lead=f"Evidence: {self.evidence}.").encode(),
            )
        except OSError as error:
            raise IdentboxError(f"{target}: expected a file to write to, got {error.strerror}") from error
        return target


CONDITION_COLUMNS = ("view", "what", "by", "value", "95% interval", "margin", "state")
_STATES: dict[str, Any] = {"satisfied": "good", "violated": "bad", "open": "open"}
_STATE_WORDS = {"satisfied": "met", "violated": "violated", "open": "open"}


def condition_row(condition: Any) -> tuple[str | TableCell, ...]:
    """A condition as a row of a table, by `CONDITION_COLUMNS`."""
    m = condition.measure
    what = {"leak": "leak", "recovery": f"recovery of {m.what}", "degenerate": "degenerate"}[m.quantity]
    return (
        m.view,
        f"{what} with content cut" if m.regime == "cut" else what,
        m.how,
        *estimate_cells(m),
        condition.relation,
        TableCell(_STATE_WORDS[condition.state], state=_STATES[condition.state]),
    )


def estimate_cells(measure: Measure) -> tuple[str, str]:
    """The value of a measure, and its interval."""
    return f"{measure.value:.3f}", f"[{measure.low:.3f}, {measure.high:.3f}]"


def verify(
    world: World | Process | None = None,
    encoders: Mapping[str, Encoder] | None = None,
    *,
    encodings: Mapping[str, Any] | None = None,
    latents: Mapping[str, Any] | None = None,
    redrawn: Mapping[str, Any] | None = None,
    dataset: str | Path | None = None,
    objective: Objective | None = None,
    seed: int = 0,
    samples: int = WORLD_SAMPLES,
    interventions: bool = True,
    margins: Margins | None = None,
    controls: bool = False,
) -> Verdict:
    """Judge whether encoders, or encodings made elsewhere, identified content.

    With ``encoders`` (a callable for each view, or for some) ``world`` is a `World`: ``samples`` observations are
    drawn, then drawn anew with the same content, once as the process has it and, with ``interventions``, once with
    content cut from what it causes; and content is moved. A torch module is called in evaluation mode.

    With ``encodings`` (by view: arrays (n, k)) and ``latents`` (by variable: arrays (n,) or (n, dim), or by view and
    then by variable) it is a `Process` or a World, and regressions are all there is. ``redrawn`` may add encodings (by
    view: arrays (n, k)) of the same rows, or of the first of them, with everything but content changed, as
    counterfactual renders have them.

    With ``dataset``, the folder of a rendered one, there is no world. Its test split is judged, and its counterfactual
    splits are used where they are there (`identbox render --intervene redraw:style,specific`): the verdict has the
    ``displacements`` of the encoding under each of them, and with ``interventions`` what it predicts then, which takes
    some seconds a split. ``encoders`` take images (n, 3, h, w) in [0, 1] or the indices
    of words (n, length); ``encodings`` are named SPLIT/VIEW, as ``test/image``.

    With the ``objective`` that trained the encoders, encodings are read as it sees them: with cosine similarity by
    their direction alone. With ``controls`` the same pipeline judges encodings of known quality, and the verdict says
    which leak and which loss of content it would have seen.

    The outcome is "identified" if leak, recovery and local degeneracy lie within ``margins`` by the unfavourable ends
    of their intervals, "not identified" if one of them lies beyond, and "undecided" otherwise. Where only the leak with
    content cut lies beyond, ``on_support`` may still be "identified": the encoding is a function of content for the
    combinations that the data has, and moves for others.

    Raises IdentboxError for views and variables that the process does not have, arrays of unequal length, numbers
    that are not finite, encodings that are no matrix, encoders that change their input, and too few rows.

    >>> from identbox import Mixing, World, numerical_simulation, verify
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> verify(world, {"1": lambda x: world.invert(x, view="1")["content"]}, samples=500).outcome
    'identified'
    >>> verify(world, {"1": lambda x: world.invert(x, view="1")["style"]}, samples=500).outcome
    'not identified'
    """
    margins = margins or Margins()
    if (encoders is None) == (encodings is None):
        got = "neither" if encoders is None else "both"
        raise IdentboxError(f"verify: expected encoders or encodings, got {got}")
    if dataset is not None:
        if world is not None:
            raise IdentboxError("dataset: expected no world beside it, since it has a process, got one")
        made = dataset_evidence(Path(dataset), encoders=encoders, encodings=encodings)
        verdict = _verify_arrays(
            made.process, made.encodings, made.latents, made.redrawn or {}, objective, margins, controls
        )
        return replace(
            verdict,
            evidence=f"{verdict.evidence}, {made.note}",
            displacements=tuple(displacements(made.pairs)),
            interventions=tuple(_scores_after_interventions(made, seed)) if interventions else (),
        )
    if world is None:
        raise IdentboxError("verify: expected a world, a process or a dataset, got none of them")
    if encodings is not None:
        process = world.process if isinstance(world, World) else world
        if latents is None:
            raise IdentboxError("verify: expected latents beside encodings, got none")
        return _verify_arrays(process, encodings, latents, redrawn or {}, objective, margins, controls)
    if not isinstance(world, World):
        raise IdentboxError("verify: expected a World to draw observations for encoders, got a Process")
    if samples < LEAST_ROWS:
        raise IdentboxError(f"samples: expected at least {LEAST_ROWS}, got {samples}")
    settings = _InWorld(world, encoders or {}, seed, samples, interventions, objective)
    return _verify_callables(settings, margins, controls)


def _scores_after_interventions(made: DatasetEvidence, seed: int) -> list[Score]:
    """What encodings of a dataset, and content, predict after each intervention."""
    roles = {"variables": {v.name: {"role": v.role} for v in made.process.variables}}
    return intervention_scores(made.pairs, process=roles, bootstrap=RESAMPLES, seed=seed)


def read_by(objective: Objective | None, encodings: Tensor) -> Tensor:
    """Encodings (n, k) as the objective sees them: their directions, where its similarity is the cosine."""
    if objective is None or objective.similarity != "cosine":
        return encodings
    return of_length_one(encodings)


@dataclass(frozen=True)
class _InWorld:
    """Encoders, and how they are measured in their world."""

    world: World
    encoders: Mapping[str, Encoder]
    seed: int
    samples: int
    interventions: bool
    objective: Objective | None
    sizes: dict[str, int] = field(default_factory=dict)  # dimensions of the encodings that were seen

    def encode(self, x: Tensor, view: str) -> Tensor:
        matrix = encoded(self.encoders[view], x, f"encoder of view {view}")
        self.sizes[view] = matrix.shape[1]
        return read_by(self.objective, matrix)

    def measured(self, encode: Callable[[Tensor, str], Tensor], views: Sequence[str]) -> list[Measure]:
        return measured_in_world(
            self.world,
            encode,
            declared(self.world.process),
            samples=self.samples,
            interventions=self.interventions,
            views=views,
            stream=("verify", self.seed),
        )


def _verify_callables(one: _InWorld, margins: Margins, controls: bool) -> Verdict:
    world, content = one.world, declared(one.world.process)
    expect_views(one.encoders, world.process, "encoders")
    measures = one.measured(one.encode, list(one.encoders))
    base = world.sample(one.samples, "verify", one.seed, "base")
    known = base.z[next(iter(one.encoders))]
    measures = with_weakness(measures, lambda: weakness(content, known))
    assumed = assumptions(
        world.process,
        mixings=unique_mixings(world.mixings),
        learner=LearnerFacts(encoding_size=max(one.sizes.values()), objective=one.objective),
        seed=world.seed,
    )
    cut = any(m.regime == "cut" for m in measures)
    how = ", and once with content cut from what depends on it" if cut else ""
    evidence = f"{one.samples} samples of their world, each drawn twice with the same content{how}"
    power = None
    if controls:
        from identbox.identifiability.controls import power_in_world

        power = power_in_world(world, one.measured, margins, samples=one.samples)
    return verdict_on(measures, evidence, margins, predict(world.process, assumed)[0], power)


def _verify_arrays(
    process: Process,
    encodings: Mapping[str, Any],
    latents: Mapping[str, Any],
    redrawn: Mapping[str, Any],
    objective: Objective | None,
    margins: Margins,
    controls: bool,
) -> Verdict:
    """Judge encodings that were made elsewhere by the latents behind them; see `verify`."""
    expect_views(encodings, process, "encodings")
    content = declared(process)
    measures: list[Measure] = []
    lengths = set()
    z: dict[str, Tensor] = {}
    for view, values in encodings.items():
        where = f"encodings of view {view}"
        matrix = encoding_matrix(values, where)
        n = len(matrix)
        if n < LEAST_ROWS:
            raise IdentboxError(f"{where}: expected at least {LEAST_ROWS} rows, got {n}")
        z = latents_of(process, latents, view, rows=n)
        missing = [v.name for v in content if v.name not in z]
        if missing:
            raise IdentboxError(
                f"latents of view {view}: expected content {first_few(missing)}, got none of it"
            )
        again = redrawn.get(view)
        if again is not None:
            again = read_by(objective, encoding_matrix(again, f"redrawn encodings of view {view}"))
            if len(again) > n:
                raise IdentboxError(
                    f"redrawn encodings of view {view}: expected at most {n} rows, got {len(again)}"
                )
        measured = measured_from_arrays(process, view, read_by(objective, matrix), z, content, redrawn=again)
        measures += with_weakness(measured, functools.partial(weakness, content, z))
        lengths.add(n)
    rows = " and ".join(str(n) for n in sorted(lengths))
    evidence = f"regressions on {rows} rows of arrays"
    evidence += ", with pairs of the same content" if redrawn else ", without interventions"
    power = None
    if controls:
        from identbox.identifiability.controls import power_from_arrays

        power = power_from_arrays(process, z, next(iter(encodings)), margins)
    return verdict_on(measures, evidence, margins, None, power)


def verdict_on(
    measures: Sequence[Measure],
    evidence: str,
    margins: Margins,
    prediction: Prediction | None = None,
    power: Power | None = None,
) -> Verdict:
    """The verdict on the declared content from what was measured; ``evidence`` says in words what that is."""
    views = judge(measures, margins)
    outcome = together([view.outcome for view in views])
    several = len(views) > 1
    reasons = tuple(
        f"view {view.view}, {reason}" if several else reason
        for view in views
        if view.outcome == outcome
        for reason in view.brief
    )
    return Verdict(
        outcome=outcome,
        reasons=reasons,
        views=views,
        evidence=evidence,
        margins=margins,
        prediction=prediction,
        power=power,
    )
