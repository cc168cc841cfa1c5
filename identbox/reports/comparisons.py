"""Scores of the cells of a sweep beside published ones: in one line for each cell, or below each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from identbox.reports.statistics import SeedScores
from identbox.reports.wording import MISSING, NO, YES, block_cell, fixed_digits
from identbox.tables import CellFace, Table, TableCell

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cells by quantities, each over seeds and beside its published figure."""

    title: str
    labels: dict[str, list[str]]  # by heading, a text for each row
    columns: dict[str, list[SeedScores | None]]  # by heading, the scores for each row
    digits: int = 2

    @property
    def published(self) -> bool:
        return any(
            entry and entry.published is not None for column in self.columns.values() for entry in column
        )

    def markdown(self, level: int = 2) -> str:
        return self.wide().markdown(level)

    def terminal(self) -> Group:
        return self.narrow().terminal()

    def wide(self) -> Table:
        """A row for each cell, with all that is known of a quantity beside each other."""
        head, align = list(self.labels), "l" * len(self.labels)
        for name in self.columns:
            head += [name] + ["published", "difference"] * self.published
            align += "r" + "rr" * self.published
        rows = []
        for place, labels in enumerate(zip(*self.labels.values(), strict=True)):
            row = list(labels)
            for column in self.columns.values():
                texts = entry_texts(column[place], self.digits)
                seeds = f"({texts['seeds']})" if texts["mean ± sd"] != MISSING and texts["seeds"] else ""
                row.append(" ".join(filter(None, (texts["mean ± sd"], texts["95% CI"], seeds))))
                row += [texts["published"], texts["difference"]] * self.published
            rows.append(row)
        return Table(self.title, [block_cell(name) for name in head], rows, align=align)

    def narrow(self) -> Table:
        """Several rows for each cell, so that four quantities fit a terminal of 80 characters."""
        head = [TableCell(name.replace(" (", "\n("), face=block_cell(name).face) for name in self.columns]
        rows: list[tuple[TableCell, ...]] = []
        sections = {}
        for place, values in enumerate(zip(*self.labels.values(), strict=True)):
            sections[len(rows)] = ""
            labels = [
                name if value == YES else f"{name} {value}"
                for name, value in zip(self.labels, values, strict=True)
                if value != NO
            ]
            cells = [entry_texts(column[place], self.digits) for column in self.columns.values()]
            names = ["mean ± sd"]
            names += [name for name in ("95% CI", "seeds") if any(cell[name] for cell in cells)]
            names += ["published", "difference"] * self.published
            for label, name in zip_longest(labels, names, fillvalue=""):
                face: CellFace = "" if name in ("mean ± sd", "difference") else "dim"
                numbers = (TableCell(cell.get(name, ""), face=face) for cell in cells)
                rows.append((TableCell(label), TableCell(name, face="dim"), *numbers))
        align = "ll" + "r" * len(head)
        return Table(self.title, ["", "", *head], rows, align=align, sections=sections, dense=True)


def entry_texts(entry: SeedScores | None, digits: int = 2) -> dict[str, str]:
    """What tables show of an entry: – for a number that is missing, and the seeds only where some are missing."""
    texts = dict.fromkeys(("mean ± sd", "published", "difference"), MISSING) | {"95% CI": "", "seeds": ""}
    if entry is None:
        return texts
    if entry.mean is not None:
        spread = "" if entry.sd is None else f" ± {fixed_digits(entry.sd, digits)}"
        texts["mean ± sd"] = fixed_digits(entry.mean, digits) + spread
    if entry.interval is not None:
        texts["95% CI"] = f"[{', '.join(fixed_digits(x, digits) for x in entry.interval)}]"
    if len(entry.scores) < entry.planned:
        texts["seeds"] = f"{len(entry.scores)} of {entry.planned}"
    if entry.published is not None and entry.published_sd is not None:
        texts["published"] = f"{fixed_digits(entry.published)} ± {fixed_digits(entry.published_sd)}"
    if entry.difference is not None:
        texts["difference"] = fixed_digits(entry.difference, sign=True)
    return texts
