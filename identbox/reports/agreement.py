"""Do the means of a sweep agree with published ones? Welch's test of each informative cell, with Holm's correction.

A cell is uninformative where 0 is right by construction: the published mean is printed as 0, and content allows a score
of at most 0.01. Any encoder that ignores its input would agree there. Of the others the difference of the means is
tested with the variances and the numbers of seeds of both sides (Welch, 1947). Of the published side only printed
figures are known. A standard deviation that is printed as 0.00 is taken as half a unit of the last digit, 0.005, which
is the most that it can be. Holm's correction (1979) holds the chance of one false alarm over all cells at 5%.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Literal

from identbox.metrics.estimates import holm
from identbox.reports.statistics import SEED_CONFIDENCE, SeedScores
from identbox.reports.wording import cell_label, p_text
from identbox.texts import fixed_digits

PUBLISHED_ROUNDING = 0.005  # half a unit of the last digit of published figures
ZERO_CEILING = 0.01  # up to which content counts as predicting nothing
LEVEL = 0.05  # of all tests of a report together
AGREEMENTS = ("agrees", "differs", "open")
CLOSE = 0.05  # a difference that does not matter


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference of means: its standard error and degrees of freedom, by Welch."""

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Of no difference."""
        from scipy.stats import t

        return 2 * float(t.sf(abs(self.value) / self.error, self.freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval."""
        from scipy.stats import t

        half = float(t.ppf(0.5 + SEED_CONFIDENCE / 2, self.freedom)) * self.error
        return self.value - half, self.value + half


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One quantity of one cell beside its published figure.

    ``difference`` is None where a cell is uninformative, and where too little is known to test. ``adjusted`` is Holm's
    p-value.
    """

    entry: SeedScores
    informative: bool
    difference: Difference | None = None
    adjusted: float | None = None

    @property
    def outcome(self) -> Literal["agrees", "differs", "open"] | None:
        """What the test and the interval say; None for what was not tested."""
        if self.difference is None or self.adjusted is None:
            return None
        if self.adjusted < LEVEL:
            return "differs"
        return "agrees" if max(map(abs, self.difference.interval)) <= CLOSE else "open"


def is_informative(entry: SeedScores) -> bool:
    """Whether a score other than 0 is possible or was published."""
    if entry.published is None or abs(entry.published) >= PUBLISHED_ROUNDING:
        return True
    if entry.ceiling is None:
        return bool(entry.published_sd)
    return entry.ceiling > ZERO_CEILING


def welch(entry: SeedScores) -> Difference | None:
    """The difference from the published mean; None where no mean, or no number of published seeds above 1, is known.

    One seed alone has no deviation; it is taken to deviate as the published seeds do.
    """
    difference, theirs, own = entry.difference, entry.published_seeds, len(entry.scores)
    if difference is None or theirs is None or theirs < 2:
        return None
    spread = max(entry.published_sd or 0.0, PUBLISHED_ROUNDING)
    parts = [(spread if entry.sd is None else entry.sd) ** 2 / own, spread**2 / theirs]
    freedom = float(theirs - 1)
    if own > 1:
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (own - 1) + parts[1] ** 2 / (theirs - 1))
    return Difference(value=difference, error=sqrt(sum(parts)), freedom=freedom)


def pooled(found: Sequence[Difference]) -> Difference:
    """The mean of independent differences, with the degrees of freedom of Satterthwaite (1946)."""
    squares = [one.error**2 for one in found]
    freedom = sum(squares) ** 2 / sum(s**2 / one.freedom for s, one in zip(squares, found, strict=True))
    return Difference(
        value=fmean(one.value for one in found), error=sqrt(sum(squares)) / len(found), freedom=freedom
    )


def agreements(entries: Iterable[SeedScores]) -> list[Agreement]:
    """Every cell that has a mean and a published one, tested where it is informative."""
    compared = [entry for entry in entries if entry.difference is not None]
    tests = {place: welch(entry) for place, entry in enumerate(compared) if is_informative(entry)}
    done = {place: test for place, test in tests.items() if test is not None}
    adjusted = dict(zip(done, holm([test.p for test in done.values()]), strict=True))
    return [
        Agreement(
            entry=entry,
            informative=place in tests,
            difference=done.get(place),
            adjusted=adjusted.get(place),
        )
        for place, entry in enumerate(compared)
    ]


def agreement_notes(found: Sequence[Agreement]) -> list[str]:
    """In words, how many informative cells agree and by what test, each block as a whole, and what is left out."""
    tested = [one for one in found if one.outcome is not None]
    notes = []
    if tested:
        counts = {outcome: sum(one.outcome == outcome for one in tested) for outcome in AGREEMENTS}
        widest = max(tested, key=lambda one: abs(one.entry.difference or 0.0))
        size = fixed_digits(widest.entry.difference or 0.0, sign=True)
        where = cell_label(widest.entry.cell.values) or widest.entry.cell.name
        notes = [
            f"Of {len(tested)} informative figures {counts['agrees']} agree with the published ones, "
            f"{counts['differs']} differ and {counts['open']} are open. Differs: p < {LEVEL:g} by Welch's test with "
            f"Holm's correction over the {len(tested)}. Agrees: the 95% interval of the difference lies within "
            f"{CLOSE:g} of zero. A published deviation of 0.00 counts as {PUBLISHED_ROUNDING}.",
            *(_block_note(target, tested) for target in dict.fromkeys(one.entry.target for one in tested)),
            f"The largest difference is {size} ({widest.entry.target}; {where}).",
        ]
    left_out = [one for one in found if not one.informative]
    if left_out:
        most = max(abs(one.entry.mean or 0.0) for one in left_out)
        notes.append(
            f"{len(left_out)} more figures are left out as uninformative: 0.00 is published, and content allows at "
            f"most {ZERO_CEILING}, so that 0 is right by construction. The means here are within "
            f"{fixed_digits(most, 3)} of it."
        )
    return notes


def _block_note(target: str, tested: Sequence[Agreement]) -> str:
    """In words, how far the figures of a block lie from the published ones on average."""
    own = [one for one in tested if one.entry.target == target]
    together = pooled([one.difference for one in own if one.difference is not None])
    low, high = (fixed_digits(end, sign=True) for end in together.interval)
    agree = sum(one.outcome == "agrees" for one in own)
    return (
        f"{target}: {agree} of {len(own)} agree; the difference is {fixed_digits(together.value, sign=True)} on "
        f"average, 95% interval {low} to {high}, p {p_text(together.p)}."
    )
