"""Displacements as records and as tables; without torch, since reports need them too. `displacement` measures them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from identbox.settings import build
from identbox.tables import Table, TableCell


@dataclass(frozen=True, kw_only=True)
class Displacement:
    """How far an intervention moves the encodings of a view, with 95% intervals."""

    view: str
    intervention: str  # what was done to which variables
    samples: int
    # In the direction that moves most, as a share of the distance of random pairs.
    value: float
    low: float
    high: float
    # The mean over directions.
    mean: float
    mean_low: float
    mean_high: float

    def record(self) -> dict[str, Any]:
        """The displacement as results.json holds it."""
        return dataclasses.asdict(self)


def displacement_of_record(table: dict[str, Any], where: str) -> Displacement:
    """A displacement from results.json. Raises IdentboxError, with ``where`` in front, for what does not fit."""
    return build(Displacement, table, where)


def strongest_first(found: Sequence[Displacement]) -> list[Displacement]:
    """The displacements, those of the interventions that move the first view's encoding most in front."""
    first = {one.intervention: one.value for one in reversed(found) if one.view == found[0].view}
    return sorted(found, key=lambda one: -first.get(one.intervention, -1.0))


def displacement_table(found: Sequence[Displacement], title: str = "What moves the encoding") -> Table:
    """Interventions below each other, and the displacement of each view's encodings: worst direction, and mean.

    What moves the first view's encoding most comes first.
    """
    views = list(dict.fromkeys(one.view for one in found))
    by = {(one.intervention, one.view): one for one in found}
    rows: list[list[str | TableCell]] = []
    for intervention in dict.fromkeys(one.intervention for one in strongest_first(found)):
        row: list[str | TableCell] = [intervention]
        for view in views:
            one = by.get((intervention, view))
            if one is None:
                row += ["–", "–", "–"]
                continue
            interval = f"[{one.low:.2f}, {one.high:.2f}]"
            worst, mean = (TableCell(f"{x:.2f}", shade=min(1.0, x)) for x in (one.value, one.mean))
            row += [worst, interval, mean]
        rows.append(row)
    names = [(f"{view}\n" if view else "") for view in views]
    columns = ["intervention", *(f"{n}{what}" for n in names for what in ("moves", "interval", "mean"))]
    notes = [
        "In the direction that moves most, as a share of the distance of random pairs: 0 nothing moves, 1 as far as "
        "another sample is away; with 95% intervals. Mean: over all directions."
    ]
    return Table(title, columns, rows, notes=notes, align="l" + "rrr" * len(views), dense=True, style="heat")
