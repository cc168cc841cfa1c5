"""Verdicts on Theorem 2 from the records of runs: what it predicts, what could be reached, what was measured.

An encoder *identifies* a block of variables under two conditions. Its encodings predict the block (with a score of at
least ``Margins.content``). And they predict everything else no better than the block itself does (at most
``Margins.excess`` above the ceiling). Both must hold without and with interventions. Each score has an interval. The
verdict is ``identified`` if every interval lies on the right side of its margin as a whole, ``not identified`` if one
lies on the wrong side as a whole, and ``undecided`` otherwise.

Intervals are over probe samples for a single seed (the bootstrap of the run's record), and Student's over seeds for
more, with the spread of a score not below what its probe samples account for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import Literal, Protocol, runtime_checkable

from scipy import stats

from identbox.errors import IdentboxError
from identbox.identifiability.assumptions import effective_dimensions
from identbox.identifiability.ceilings import Ceiling, CeilingKey
from identbox.identifiability.predictions import Prediction
from identbox.metrics.scores import Score
from identbox.process.model import Process, Variable
from identbox.settings import Fraction, settings

Outcome = Literal["identified", "not identified", "undecided"]
SHOWN_REASONS = 4  # of a verdict in its short form; its conditions have all
SPARE = 0.9  # of the content's dimensions: below this share, a note on spare capacity is added


@runtime_checkable
class Evidence(Protocol):
    """What a verdict on one run rests on."""

    @property
    def where(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def process(self) -> Process: ...
    @property
    def probes(self) -> tuple[Score, ...]: ...

    def ceilings(self, content: Sequence[Variable]) -> Mapping[CeilingKey, Ceiling]:
        """How well a perfect encoding of ``content`` would predict everything that was probed."""


@settings
class Margins:
    """What counts as identified.

    >>> from identbox import Margins
    >>> Margins(content=0.9).excess
    0.05
    """

    content: Fraction = 0.95  # least score of the block
    excess: Fraction = 0.05  # most that anything else is predicted beyond its ceiling
    confidence: Fraction = 0.95  # of the intervals


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One thing to be satisfied: a score of the block, or what is predicted of anything else beyond its ceiling."""

    view: str
    target: str
    intervention: str | None
    kind: Literal["content", "excess"]
    metric: str
    score: float  # mean over seeds
    ceiling: float  # mean over seeds
    value: float  # the score, or the score minus the ceiling: what is held against the margin
    low: float
    high: float
    bound: float  # the margin
    state: Literal["satisfied", "violated", "open"]
    how: str  # the ceiling is known

    def __str__(self) -> str:
        when = f" with {self.intervention} permuted" if self.intervention else ""
        what = "score" if self.kind == "content" else "excess"
        sign = "at least" if self.kind == "content" else "at most"
        return (
            f"{self.target}{when}: {what} {self.value:.3f} [{self.low:.3f}, {self.high:.3f}], "
            f"{sign} {self.bound:g} is required"
        )


@dataclass(frozen=True, kw_only=True)
class ViewVerdict:
    """Whether a view's encoder identified a block, and why."""

    view: str
    outcome: Outcome
    reasons: tuple[str, ...]
    conditions: tuple[Condition, ...]
    spare: tuple[str, ...] = ()  # a note on spare dimensions of content, into which style fits

    @property
    def brief(self) -> list[str]:
        """The first reasons, how many more there are, and the note on spare dimensions."""
        reasons = [reason for reason in self.reasons if reason not in self.spare]
        more = [f"and {len(reasons) - SHOWN_REASONS} more"] if len(reasons) > SHOWN_REASONS else []
        return [*reasons[:SHOWN_REASONS], *more, *self.spare]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A block of a group of runs: predicted, measured over all seeds, and seed by seed."""

    prediction: Prediction
    verdicts: tuple[ViewVerdict, ...]  # of each view
    by_seed: dict[int, Outcome]  # all views together

    @property
    def outcome(self) -> Outcome:
        """Of all views: identified if all are, not identified if one is not."""
        return together([verdict.outcome for verdict in self.verdicts])

    @property
    def came_true(self) -> bool | None:
        """None where nothing is predicted, or where the runs leave it undecided."""
        if self.prediction.outcome is None or self.outcome == "undecided":
            return None
        return self.prediction.outcome == self.outcome


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome for all of some views."""
    if "not identified" in outcomes:
        return "not identified"
    return "undecided" if "undecided" in outcomes else "identified"


def judge(trials: Sequence[Evidence], prediction: Prediction, margins: Margins) -> Judgement:
    """Hold a group of runs (of one configuration, of different seeds) against the margins."""
    block = [trials[0].process[name] for name in prediction.block]
    known = [trial.ceilings([trial.process[name] for name in prediction.block]) for trial in trials]
    probed = {score.view for score in trials[0].probes}
    views = [view for view in trials[0].process.views if view in probed]
    alone = {
        trial.seed: [_verdict(view, [trial], [own], block, margins) for view in views]
        for trial, own in zip(trials, known, strict=True)
    }
    verdicts = []
    for place, view in enumerate(views):
        found = _verdict(view, trials, known, block, margins)
        single = {seed: of_views[place] for seed, of_views in alone.items()}
        outcomes = {v.outcome for v in single.values()}
        if found.outcome == "undecided" and len(outcomes) == 1 and "undecided" not in outcomes:
            # Seeds that agree, but by unequal amounts or few in number, make a wide interval over them.
            (outcome,) = outcomes
            reasons = [f"seed {seed}: {v.reasons[0]}" for seed, v in single.items()]
            found = replace(found, outcome=outcome, reasons=(*reasons, *found.spare))
        verdicts.append(found)
    by_seed = {seed: together([v.outcome for v in of_views]) for seed, of_views in alone.items()}
    return Judgement(prediction=prediction, verdicts=tuple(verdicts), by_seed=by_seed)


def _conditions(
    view: str,
    trials: Sequence[Evidence],
    known: Sequence[Mapping[CeilingKey, Ceiling]],
    block: Sequence[Variable],
    margins: Margins,
) -> list[Condition]:
    """Every nonlinear score of a view over all runs, held against its margin.

    Raises IdentboxError for probes that the runs do not share, that have no ceiling, or of which none is of content.
    """
    scores: dict[tuple[str, str | None], list[tuple[Score, Ceiling]]] = {}
    for trial, ceiling in zip(trials, known, strict=True):
        for probe in trial.probes:
            if probe.view == view and probe.nonlinear:
                key = view, probe.label, probe.intervention
                if key not in ceiling:
                    raise IdentboxError(
                        f"{trial.where}: probes: expected variables of the process and permutations of its blocks, "
                        f"got {probe.label} with {probe.intervention} permuted"
                    )
                scores.setdefault(key[1:], []).append((probe, ceiling[key]))
    conditions = []
    for (_, intervention), pairs in scores.items():
        if len(pairs) != len(trials):
            raise IdentboxError(f"{trials[0].where}: expected the same probes in every run of the group")
        score = pairs[0][0]
        role = next((v.role for v in block if v.name == score.target), None)
        encoded = role is not None and (score.permuted or role != intervention)
        conditions.append(_condition(pairs, "content" if encoded else "excess", margins))
    if not any(c.kind == "content" for c in conditions):
        raise IdentboxError(f"{trials[0].where}: probes of view {view}: expected some of content, got none")
    return conditions


def _verdict(
    view: str,
    trials: Sequence[Evidence],
    known: Sequence[Mapping[CeilingKey, Ceiling]],
    block: Sequence[Variable],
    margins: Margins,
) -> ViewVerdict:
    """The verdict on one view from its conditions."""
    conditions = _conditions(view, trials, known, block, margins)
    wrong = [c for c in conditions if c.state == "violated"]
    open_ = [c for c in conditions if c.state == "open"]
    if wrong:
        outcome: Outcome = "not identified"
        worst = sorted(wrong, key=lambda c: abs(c.value - c.bound), reverse=True)
        reasons = [str(c) for c in worst]
    elif open_:
        outcome = "undecided"
        reasons = [str(c) for c in open_]
    else:
        outcome = "identified"
        least = min((c for c in conditions if c.kind == "content"), key=lambda c: c.low)
        reasons = [f"lowest: {least}"]
        excesses = [c for c in conditions if c.kind == "excess"]
        if excesses:
            reasons.append(f"highest: {max(excesses, key=lambda c: c.high)}")
    leaked = [c for c in wrong + open_ if c.kind == "excess"]
    spare = _spare(trials) if leaked else ()
    return ViewVerdict(
        view=view, outcome=outcome, reasons=(*reasons, *spare), conditions=tuple(conditions), spare=spare
    )


def _spare(trials: Sequence[Evidence]) -> tuple[str, ...]:
    """A note where statistical dependence leaves capacity that style fits into."""
    pairs = [effective_dimensions(t.process, seed=t.seed).get("content", (0, 0.0)) for t in trials]
    dims, effective = pairs[0][0], fmean(effective for _, effective in pairs)
    if effective >= SPARE * dims:
        return ()
    return (
        f"statistical dependence lowers the effective dimension of content to {effective:.2f} of {dims}, so that "
        "style fits into the spare capacity",
    )


def _condition(
    pairs: Sequence[tuple[Score, Ceiling]],
    kind: Literal["content", "excess"],
    margins: Margins,
) -> Condition:
    probe = pairs[0][0]
    value, low, high = interval(
        [(p.score, p.low, p.high) for p, _ in pairs],
        [(c.score, c.low, c.high) for _, c in pairs] if kind == "excess" else None,
        margins.confidence,
    )
    if kind == "content":
        bound = margins.content
        state = "satisfied" if low >= bound else "violated" if high < bound else "open"
    else:
        bound = margins.excess
        state = "satisfied" if high <= bound else "violated" if low > bound else "open"
    return Condition(
        view=probe.view,
        target=probe.label,
        intervention=probe.intervention,
        kind=kind,
        metric=probe.metric,
        score=fmean(p.score for p, _ in pairs),
        ceiling=fmean(c.score for _, c in pairs),
        value=value,
        low=low,
        high=high,
        bound=bound,
        state=state,  # type: ignore[arg-type]
        how=pairs[0][1].how,
    )


Estimate = tuple[float, float, float]  # with its interval over probe samples


def interval(
    scores: Sequence[Estimate], taken_off: Sequence[Estimate] | None = None, confidence: float = 0.95
) -> Estimate:
    """The mean over seeds of scores, or of their differences to others, with an interval.

    One seed: the interval over probe samples, errors of score and ceiling added in squares. More: Student's t over
    seeds, with a standard deviation that is not below the one which probe samples account for.
    """
    ceiling = taken_off or [(0.0, 0.0, 0.0)] * len(scores)
    values = [score - c for (score, _, _), (c, _, _) in zip(scores, ceiling, strict=True)]
    below = [
        math.hypot(max(0, s[0] - s[1]), max(0, c[2] - c[0])) for s, c in zip(scores, ceiling, strict=True)
    ]
    above = [
        math.hypot(max(0, s[2] - s[0]), max(0, c[0] - c[1])) for s, c in zip(scores, ceiling, strict=True)
    ]
    mean, n = fmean(values), len(values)
    if n == 1:
        return mean, mean - below[0], mean + above[0]
    normal = NormalDist().inv_cdf(0.5 + confidence / 2)
    own = math.sqrt(fmean(((a + b) / 2 / normal) ** 2 for a, b in zip(below, above, strict=True)))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * max(stdev(values), own) / math.sqrt(n)
    return mean, mean - half, mean + half
