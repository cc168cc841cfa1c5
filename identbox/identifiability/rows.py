"""One row of the table of assumptions: its key, its name, whether it holds, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AssumptionKey = Literal[
    "content-invariance",
    "style-changes",
    "change-density",
    "style-redraw",
    "factorisation",
    "density",
    "density-kinks",
    "overlap",
    "near-degenerate",
    "finite-variance",
    "views",
    "mixing",
    "distinct-mechanisms",
    "encoding-size",
    "encoding-space",
    "objective",
    "batch",
    "training",
    "training-changes",
    "encodings-as-read",
    "not-looked-at",
]
AssumptionVerdict = Literal["holds", "violated", "unknown", "not looked at"]
ASSUMPTION_NAMES: dict[AssumptionKey, str] = {
    "content-invariance": "content invariance (Assumption 4)",
    "style-changes": "every style changes (Assumption 5 i)",
    "change-density": "changes have a smooth density (Assumption 5 ii, iii)",
    "style-redraw": "a change depends on style alone (Eq. 8.7, 8.8)",
    "factorisation": "p(c) p(s|c) p(m1) p(m2) (Eq. 8.6)",
    "density": "a continuous density, positive almost everywhere",
    "density-kinks": "a density without kinks",
    "overlap": "every combination of content and style occurs",
    "near-degenerate": "content far from degenerate",
    "finite-variance": "finite variances",
    "views": "two views",
    "mixing": "smooth, invertible mixing",
    "distinct-mechanisms": "distinct mechanisms (section 8.2.1)",
    "encoding-size": "encoding size = number of content variables",
    "encoding-space": "the space of encodings has room for content",
    "objective": "the objective compares as Eq. 8.9 does",
    "batch": "enough candidates for Eq. 8.3",
    "training": "the objective is at its minimum",
    "training-changes": "training changes no content of its data",
    "encodings-as-read": "encodings are read as the objective sees them",
    "not-looked-at": "everything else",
}


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of the theorem: whether it holds, and the evidence.

    A program finds it by its ``key``; a person reads its ``name``. What is not ``needed`` is part of the setting, and
    the conclusion is known to hold without it. Where a violated one ``excludes`` identification, no encoder can have
    identified content, whatever else holds.
    """

    key: AssumptionKey
    name: str
    verdict: AssumptionVerdict
    evidence: str
    needed: bool = True
    excludes: bool = False


def row(
    key: AssumptionKey,
    verdict: AssumptionVerdict,
    evidence: str,
    *,
    needed: bool = True,
    excludes: bool = False,
) -> Assumption:
    """An assumption by its key, with the name that a person reads."""
    return Assumption(key, ASSUMPTION_NAMES[key], verdict, evidence, needed, excludes)
