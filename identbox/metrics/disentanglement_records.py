"""The scores of the field as records and as tables; without torch, since reports need them too.

`disentanglement` computes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from identbox.errors import IdentboxError
from identbox.settings import build
from identbox.tables import ShownAsTable, Table

REFERENCES = {
    "MCC": "Hyvärinen and Morioka 2016",
    "DCI": "Eastwood and Williams 2018",
    "MIG": "Chen et al. 2018",
    "SAP": "Kumar et al. 2018",
    "modularity": "Ridgeway and Mozer 2018",
    "explicitness": "Ridgeway and Mozer 2018",
    "IRS": "Suter et al. 2019",
    "R²": "von Kügelgen et al. 2021",
}


@dataclass(frozen=True, kw_only=True)
class DisentanglementScore:
    """One score of codes against factors."""

    view: str = ""  # whose encodings the codes are; empty for codes of no view
    name: str
    value: float
    low: float
    high: float
    permuted: float  # its mean value where the factors are permuted together: chance
    warning: str = ""

    @property
    def reference(self) -> str:
        """The paper that the score is from."""
        return next(paper for start, paper in REFERENCES.items() if self.name.startswith(start))

    def record(self) -> dict[str, Any]:
        """The score as results.json holds it."""
        return dataclasses.asdict(self)


def disentanglement_of_record(table: dict[str, Any], where: str) -> DisentanglementScore:
    """A score from results.json. Raises IdentboxError, with ``where`` in front, for what does not fit."""
    found = build(DisentanglementScore, table, where)
    if not found.name.startswith(tuple(REFERENCES)):
        raise IdentboxError(
            f"{where}: name: expected one that begins with {', '.join(REFERENCES)}; got {found.name}"
        )
    return found


class DisentanglementScores(ShownAsTable, tuple[DisentanglementScore, ...]):
    """Scores that print as a table, and show as HTML in a notebook."""

    def __getitem__(self, name: Any) -> Any:
        """A score by its name, or by its place."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        for score in self:
            if score.name == name:
                return score
        raise IdentboxError(f"scores: expected one of {', '.join(one.name for one in self)}; got {name}")

    def table(self, title: str = "Scores of codes against factors") -> Table:
        """Each score with its interval and its value for permuted factors; below them warnings and references."""
        rows = [(s.name, f"{s.value:.3f}", f"[{s.low:.3f}, {s.high:.3f}]", f"{s.permuted:.3f}") for s in self]
        notes = []
        for warning in dict.fromkeys(s.warning for s in self if s.warning):
            warned = [one.name for one in self if one.warning == warning]
            families = [start for start in REFERENCES if any(name.startswith(start) for name in warned)]
            notes.append(f"{', '.join(families)}: {warning}.")
        papers = {
            start: paper for start, paper in REFERENCES.items() if any(s.name.startswith(start) for s in self)
        }
        notes.append("; ".join(f"{start}: {paper}" for start, paper in papers.items()) + ".")
        columns = ("score", "value", "95% interval", "permuted")
        return Table(title, columns, rows, notes=notes, align="lrrr", dense=True)


def tables_by_view(found: Sequence[DisentanglementScore]) -> list[Table]:
    """The table of the scores of each view."""
    views = dict.fromkeys(one.view for one in found)
    return [
        DisentanglementScores(one for one in found if one.view == view).table(f"Scores of view {view}")
        for view in views
    ]
