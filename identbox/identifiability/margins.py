"""Margins of verdicts: how much leak, how little recovery of content still counts as identified.

Reports read them without the modules that measure, which load PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from identbox.metrics.estimates import CONFIDENCE
from identbox.settings import Fraction, settings

if TYPE_CHECKING:
    from identbox.identifiability.measures import Measure


@settings
class Margins:
    """What counts as identified, in shares of variance and of samples.

    >>> from identbox import Margins
    >>> Margins(leak=0.02).recovery
    0.95
    """

    # Most of the encoding's variance, in its worst direction, that something else than content moves.
    leak: Fraction = 0.05
    # Least of content that can be read from the encoding, in its worst direction (R2), or of the worst class.
    recovery: Fraction = 0.95
    # Most of the samples where the encoding does not follow content.
    degenerate: Fraction = 0.05

    def of(self, measure: Measure) -> float:
        """The margin of a measure."""
        return {"leak": self.leak, "recovery": self.recovery, "degenerate": self.degenerate}[measure.quantity]

    def __str__(self) -> str:
        return (
            f"leak at most {self.leak:g}, recovery at least {self.recovery:g}, degenerate at most "
            f"{self.degenerate:g} of the samples, by the unfavourable ends of {CONFIDENCE:.0%} intervals"
        )
