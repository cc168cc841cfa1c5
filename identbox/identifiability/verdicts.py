"""Verdicts: is content block-identified, as Definition 8 has it, within stated margins?

An encoding identifies content if it is an invertible function of it. Both halves are measured in the worst direction
(`measures`): its *leak* must be small, its *recovery* of content large, and it must follow content nearly everywhere.
A verdict is an equivalence test on these. It is

- ``identified`` if the unfavourable end of every interval lies within its margin;
- ``not identified`` if some quantity lies beyond its margin, at an error rate that holds for all of them together
  (Holm 1979, A simple sequentially rejective multiple test procedure);
- ``undecided`` otherwise, with the reason.

Where content is cut from what depends on it (appendix A.6), combinations are encoded that the data hardly has. Training
says nothing of them. So a verdict that fails there alone says so: content is then identified *on the support* of the
data, and the verdict on the encoder is still ``not identified``.

A verdict is on one learner in one world. Seeds draw worlds of their own, so they are counted and never averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import Measure, weakened
from identbox.identifiability.predictions import Prediction
from identbox.metrics.estimates import CONFIDENCE, Estimate, holm, quantile, share

Outcome = Literal["identified", "not identified", "undecided"]
Found = Literal["identified", "identified on the support alone", "not identified", "undecided"]
ConditionState = Literal["satisfied", "violated", "open"]
ERROR_RATE = 1 - CONFIDENCE  # of a wrong "not identified", for all conditions of a verdict together
SHOWN_REASONS = 4  # of a verdict in its short form; its conditions have all


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One measure, held against its margin."""

    measure: Measure
    bound: float
    state: ConditionState

    @property
    def relation(self) -> str:
        """How the measure has to lie to its margin, as tables print it."""
        return f"{'≥' if self.measure.quantity == 'recovery' else '≤'} {self.bound:g}"

    def __str__(self) -> str:
        m = self.measure
        what = {"leak": "leak", "recovery": f"recovery of {m.what}", "degenerate": "degenerate share"}
        cut = " with content cut from what depends on it" if m.regime == "cut" else ""
        sign = "at least" if m.quantity == "recovery" else "at most"
        why = "" if self.state != "open" else f": {self.why_open}"
        return (
            f"{what[m.quantity]}{cut} {m.value:.3f} [{m.low:.3f}, {m.high:.3f}], {sign} {self.bound:g} is "
            f"required{why}"
        )

    @property
    def why_open(self) -> str:
        """The reason why neither side of the margin is shown."""
        m = self.measure
        if m.how in ("regression", "redrawn") and m.high <= self.bound:
            if m.freedom is None:
                return (
                    "no interventions were probed, and latents that depend on content were not given, so that an "
                    "encoding of them cannot be told from one of content"
                )
            return (
                f"without interventions this does not tell, since content leaves only {m.freedom:.3f} of the variance "
                "of a variable that depends on it, so that an encoding of that variable looks like one of content"
            )
        if m.how == "regression" and m.value > self.bound:
            return (
                "a regression on content leaves this much, and it is not shown that anything else explains it"
            )
        if m.quantity == "recovery" and m.high < self.bound:
            return (
                f"the probe is too weak, since of a known invertible function of content it misses {m.weakness:.3f} "
                "at this number of samples"
            )
        return "too few samples"


@dataclass(frozen=True, kw_only=True)
class ViewVerdict:
    """Whether a view's encoder identified content, and why; ``on_support`` leaves out what the data hardly has."""

    view: str
    outcome: Outcome
    on_support: Outcome
    reasons: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def found(self) -> Found:
        """The outcome, and where it is that of the support alone."""
        return found(self.outcome, self.on_support)

    @property
    def brief(self) -> list[str]:
        """The first reasons, and how many more there are."""
        more = [f"and {len(self.reasons) - SHOWN_REASONS} more"] if len(self.reasons) > SHOWN_REASONS else []
        return [*self.reasons[:SHOWN_REASONS], *more]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A block of variables in one run: what was predicted of it, and the verdict on each view."""

    prediction: Prediction
    verdicts: tuple[ViewVerdict, ...]

    @property
    def outcome(self) -> Outcome:
        """Of all views: identified if all are, not identified if one is not."""
        return together([verdict.outcome for verdict in self.verdicts])

    @property
    def on_support(self) -> Outcome:
        """The same, on the support of the data alone."""
        return together([verdict.on_support for verdict in self.verdicts])

    @property
    def found(self) -> Found:
        """The outcome, and where it is that of the support alone."""
        return found(self.outcome, self.on_support)

    @property
    def came_true(self) -> bool | None:
        """Whether the run is as predicted, in its scope; None where nothing is predicted, or it is undecided."""
        outcome = self.on_support if self.prediction.scope == "support" else self.outcome
        if self.prediction.outcome is None or outcome == "undecided":
            return None
        return self.prediction.outcome == outcome


def found(outcome: Outcome, on_support: Outcome) -> Found:
    """An outcome, and whether "not identified" is so outside the support of the data alone."""
    if outcome == "not identified" and on_support == "identified":
        return "identified on the support alone"
    return outcome


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome for all of some views; undecided for none."""
    if "not identified" in outcomes:
        return "not identified"
    return "undecided" if "undecided" in outcomes or not outcomes else "identified"


def counted(outcomes: Sequence[Found], outcome: Found) -> tuple[int, Estimate]:
    """How many of some seeds have an outcome, and their share with the interval of Clopper and Pearson."""
    k = sum(one == outcome for one in outcomes)
    return k, share(k, len(outcomes))


def judge(measures: Sequence[Measure], margins: Margins) -> tuple[ViewVerdict, ...]:
    """Hold the measures of one run against the margins; a verdict for each view, in the order of the measures.

    All conditions of all views share the rate of wrong violations (Holm).
    """
    chances = [_chance(measure, margins.of(measure)) for measure in measures]
    violated = [p <= ERROR_RATE for p in holm(chances)]
    cut = {measure.view for measure in measures if measure.regime == "cut"}
    conditions = [
        Condition(
            measure=measure,
            bound=margins.of(measure),
            state="violated" if beyond else "satisfied" if within else "open",
        )
        for measure, beyond in zip(measures, violated, strict=True)
        for within in [_within(measure, margins.of(measure), freely=measure.view in cut)]
    ]
    views = dict.fromkeys(measure.view for measure in measures)
    return tuple(_verdict(view, [c for c in conditions if c.measure.view == view]) for view in views)


def outcome_of(
    measures: Sequence[Measure], margins: Margins, missed: Callable[[], Mapping[str | None, float]]
) -> Outcome:
    """The outcome for all views together; ``missed``, as `with_weakness` has it, is asked only where it decides.

    The more a probe misses, the less sure is a loss of content. So an outcome that is the same for a probe that misses
    nothing and for one that misses everything is the same for all between.
    """

    def outcome(by_what: Mapping[str | None, float]) -> Outcome:
        return together([view.outcome for view in judge(weakened(measures, by_what), margins)])

    without = outcome({})
    if without == outcome({m.what: 1.0 for m in measures}):
        return without
    return outcome(missed())


def _within(measure: Measure, bound: float, *, freely: bool = False) -> bool:
    """Whether the unfavourable end of the interval lies within the margin.

    Had what depends on content varied freely, it would have moved the encoding by more: by the share of variance that
    content leaves it. This does not count where it is measured ``freely``, with content cut from it.
    """
    if measure.quantity == "recovery":
        return measure.low >= bound
    if measure.quantity == "leak" and not (freely and measure.how == "redrawn"):
        return measure.freedom is not None and measure.high <= bound * measure.freedom
    return measure.high <= bound


def _chance(measure: Measure, bound: float) -> float:
    """The probability of so large a violation where the quantity lies at its margin, by a normal approximation."""
    if measure.quantity == "recovery":
        value, end, sign = measure.value + measure.weakness, measure.high + measure.weakness, -1
    else:
        value, end, sign = measure.value, measure.low, 1
    beyond, half = sign * (value - bound), sign * (value - end)
    if beyond <= 0:
        return 1.0
    if half <= 0:
        return 0.0
    return NormalDist().cdf(-quantile(measure.confidence) * beyond / half)


def _verdict(view: str, conditions: Sequence[Condition]) -> ViewVerdict:
    """The verdict on one view from its conditions."""
    outcome, decisive = _decided(conditions)
    on_support, why = (outcome, []) if outcome == "identified" else _decided(_on_support(conditions))
    reasons = list(map(str, decisive))
    if found(outcome, on_support) == "identified on the support alone":
        reasons.insert(0, "identified on the support of the data; off it the encoding moves")
    elif outcome != on_support:
        where = "identified" if on_support == "identified" else f"undecided, {why[0]}"
        reasons.append(f"on the support of the data alone {where}")
    return ViewVerdict(
        view=view,
        outcome=outcome,
        on_support=on_support,
        reasons=tuple(reasons),
        conditions=tuple(conditions),
    )


def _decided(conditions: Sequence[Condition]) -> tuple[Outcome, list[Condition]]:
    """The outcome of some conditions, and those that made it."""
    wrong = [c for c in conditions if c.state == "violated"]
    open_ = [c for c in conditions if c.state == "open"]
    if wrong:
        return "not identified", sorted(wrong, key=lambda c: abs(c.measure.value - c.bound), reverse=True)
    return ("undecided", open_) if open_ else ("identified", _tightest(conditions))


def _on_support(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions without those on cut content: leak must then be small beside what content leaves free.

    All of them where leak was measured with cut content alone.
    """
    observed = [c for c in conditions if c.measure.regime != "cut"]
    if not any(c.measure.quantity == "leak" for c in observed):
        return list(conditions)
    return [
        replace(c, state="open") if c.state == "satisfied" and not _within(c.measure, c.bound) else c
        for c in observed
    ]


def _tightest(conditions: Sequence[Condition]) -> list[Condition]:
    """Of each quantity the condition that was nearest to its margin."""
    kept: dict[str, Condition] = {}
    for condition in conditions:
        m = condition.measure
        rank = -m.low if m.quantity == "recovery" else m.high
        old = kept.get(m.quantity)
        if old is None or rank > (-old.measure.low if m.quantity == "recovery" else old.measure.high):
            kept[m.quantity] = condition
    return list(kept.values())


def undecided(view: str, reason: str) -> ViewVerdict:
    """A verdict where nothing was measured."""
    return ViewVerdict(
        view=view, outcome="undecided", on_support="undecided", reasons=(reason,), conditions=()
    )
