"""What Theorem 2 predicts of the content of a process, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from identbox.errors import first_few
from identbox.identifiability.blocks import invariant, never_changing
from identbox.identifiability.rows import Assumption
from identbox.process.model import Process, Variable

# Assumptions that are not needed, and whose violation a reader of the prediction should know.
NOTED = ("style-redraw", "density-kinks", "near-degenerate", "finite-variance")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the theorem says of a block; None where it says nothing.

    Of the ``support`` alone, where the data has not every combination of content and what depends on it.
    """

    block: tuple[str, ...]
    outcome: Literal["identified", "not identified"] | None
    reason: str
    scope: Literal["everywhere", "support"] = "everywhere"

    @property
    def words(self) -> str:
        """What is predicted, as tables print it."""
        where = " on the support" if self.scope == "support" else ""
        return f"{self.outcome or 'nothing'}{where}"


def declared(process: Process) -> list[Variable]:
    """The variables whose role is content, without constants."""
    return [v for v in process.variables if v.role == "content" and not v.distribution.constant]


def beside_content(process: Process, view: str) -> list[Variable]:
    """All that a view sees but content, without constants."""
    return [v for v in process.seen_by(view) if v.role != "content" and not v.distribution.constant]


def predict(process: Process, assumed: Sequence[Assumption]) -> list[Prediction]:
    """What the theorem says of the content of a process, by the rows of `assumptions`.

    An assumption that excludes identification decides alone. Otherwise content is predicted to be identified if every
    needed assumption holds. What is violated without being needed stands beside the reason. Of two blocks where style
    never changes: then that style is content, and content alone is not what is invariant.
    """
    content, same = declared(process), invariant(process)
    partly = [v.name for v in never_changing(process) if v not in same]
    outcome, reason = _predicted_outcome(assumed, partly)
    whole = Prediction(block=tuple(v.name for v in same), outcome=outcome, reason=reason)
    if outcome == "identified" and any(a.key == "overlap" and a.verdict == "violated" for a in assumed):
        reason = f"{reason}; of the support of the data alone, which has not every combination of content and style"
        whole = replace(whole, scope="support", reason=reason)
    if {v.name for v in content} == set(whole.block):
        return [whole]
    style = ", ".join(v.name for v in same if v.role != "content")
    alone = Prediction(
        block=tuple(v.name for v in content),
        outcome="not identified" if outcome == "identified" else None,
        reason=f"{style} never changes and is content too, so that encoders encode it as well",
    )
    return [alone, whole]


def _predicted_outcome(
    assumed: Sequence[Assumption], partly: Sequence[str]
) -> tuple[Literal["identified", "not identified"] | None, str]:
    """The outcome for all that is invariant, and the reason; ``partly`` names style of which some never changes."""
    broken = [a for a in assumed if a.verdict == "violated"]
    excluded = [a for a in broken if a.excludes]
    if excluded:
        return "not identified", excluded[0].evidence
    if partly:
        few = first_few(partly, 3)
        return None, f"some components of {few} never change, and scores are of whole variables"
    # What never changes violates Assumption 5 of the roles as given, and not once it is counted as content.
    needed = [a for a in broken if a.needed and a.key != "style-changes"]
    unknown = [a for a in assumed if a.needed and a.verdict == "unknown"]
    untrained = [a for a in needed if a.key == "training"]
    if untrained:
        return None, untrained[0].evidence
    if needed:
        return None, f"the theorem is silent, violated: {first_few([a.name for a in needed], 2)}"
    if unknown:
        return None, f"the theorem needs what is unknown: {first_few([a.name for a in unknown], 2)}"
    noted = [a.name for a in broken if a.key in NOTED]
    if noted:
        return "identified", f"all that is needed holds; violated, and not needed: {first_few(noted, 3)}"
    return "identified", "every assumption holds"
