"""Scores of the cells of a sweep beside published ones: in one line for each cell, or below each other.

Where published figures were tested against, a second table has a line for each informative figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from identbox.reports.agreement import Agreement
from identbox.reports.statistics import SeedScores
from identbox.reports.wording import MISSING, NO, YES, block_cell, p_text
from identbox.tables import CellContent, CellFace, CellState, Table, TableCell
from identbox.texts import fixed_digits

if TYPE_CHECKING:
    from rich.console import Group

TRIVIAL = 0.005  # how near to 0 or to 1 a ceiling counts as one of them
OUTCOME_STATES: dict[str, CellState] = {"agrees": "good", "differs": "bad", "open": "open"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cells by quantities, each over seeds and beside its published figure."""

    title: str
    labels: dict[str, list[str]]  # by heading, a text for each row
    columns: dict[str, list[SeedScores | None]]  # by heading, the scores for each row
    digits: int = 2
    agreements: Sequence[Agreement] = ()  # of the entries here, those that have a published figure

    @property
    def published(self) -> bool:
        return any(
            entry and entry.published is not None for column in self.columns.values() for entry in column
        )

    @property
    def details(self) -> dict[str, list[str]]:
        """What is shown of each quantity beside its mean, where it is known and says something."""
        found = {}
        for name, column in self.columns.items():
            own = [entry for entry in column if entry]
            # Ceilings that are all 0 or 1 are so by construction.
            allowed = any(e.ceiling is not None and TRIVIAL < e.ceiling < 1 - TRIVIAL for e in own)
            found[name] = ["ceiling"] * allowed + ["components"] * any(e.components for e in own)
        return found

    def markdown(self, level: int = 2) -> str:
        parts = [self.wide(), *self.agreement_tables(wide=True)]
        return "\n\n".join(table.markdown(level) for table in parts)

    def terminal(self) -> Group:
        from rich.console import Group

        return Group(*(table.terminal() for table in (self.narrow(), *self.agreement_tables(wide=False))))

    def agreement_tables(self, *, wide: bool) -> list[Table]:
        """A row for each informative figure: ours, the published one, the difference and the test; at most one table.

        Without ``wide`` it fits a terminal of 80 characters.
        """
        informative = [one for one in self.agreements if one.informative]
        if not informative:
            return []
        place = {
            id(entry): at for column in self.columns.values() for at, entry in enumerate(column) if entry
        }
        name = {id(entry): name for name, column in self.columns.items() for entry in column if entry}
        informative.sort(key=lambda one: list(self.columns).index(name[id(one.entry)]))
        rows: list[list[CellContent]] = []
        for one in informative:
            at = place[id(one.entry)]
            labels = {heading: texts[at] for heading, texts in self.labels.items()}
            target = block_cell(name[id(one.entry)], one.entry.target)
            first: list[CellContent] = [target, *labels.values()] if wide else [target, _short_label(labels)]
            rows.append([*first, *_agreement_cells(one, self.digits, wide=wide)])
        labels_head = list(self.labels) if wide else [""]
        tests = [*["identbox", "published"] * wide, "difference", "95% CI", *["p"] * wide, "p (Holm)"]
        align = "l" * (1 + len(labels_head)) + "r" * len(tests) + "l"
        title = ": ".join(filter(None, (self.title, "agreement with the published figures")))
        return [
            Table(
                title[0].upper() + title[1:],
                ["", *labels_head, *tests, ""],
                rows,
                align=align,
                dense=not wide,
            )
        ]

    def wide(self) -> Table:
        """A row for each cell, with all that is known of a quantity beside each other."""
        head, align = list(self.labels), "l" * len(self.labels)
        for name in self.columns:
            more = self.details[name] + ["published"] * self.published
            head += [name, *more]
            align += "r" * (1 + len(more))
        rows = []
        for place, labels in enumerate(zip(*self.labels.values(), strict=True)):
            row = list(labels)
            for name, column in self.columns.items():
                texts = entry_texts(column[place], self.digits)
                seeds = f"({texts['seeds']})" if texts["mean ± sd"] != MISSING and texts["seeds"] else ""
                row.append(" ".join(filter(None, (texts["mean ± sd"], texts["95% CI"], seeds))))
                row += [texts[key] for key in self.details[name] + ["published"] * self.published]
            rows.append(row)
        return Table(self.title, [block_cell(name) for name in head], rows, align=align)

    def narrow(self) -> Table:
        """Several rows for each cell, so that four quantities fit a terminal of 80 characters."""
        head = [TableCell(name.replace(" (", "\n("), face=block_cell(name).face) for name in self.columns]
        rows: list[tuple[TableCell, ...]] = []
        sections = {}
        for place, values in enumerate(zip(*self.labels.values(), strict=True)):
            sections[len(rows)] = ""
            labels = _true_labels(dict(zip(self.labels, values, strict=True)))
            cells = [entry_texts(column[place], self.digits) for column in self.columns.values()]
            names = ["mean ± sd"]
            names += [name for name in ("95% CI", "seeds") if any(cell[name] for cell in cells)]
            shown = {key for more in self.details.values() for key in more}
            names += [key for key in ("ceiling", "components") if key in shown]
            names += ["published"] * self.published
            for label, name in zip_longest(labels, names, fillvalue=""):
                face: CellFace = "" if name == "mean ± sd" else "dim"
                numbers = (TableCell(cell.get(name, ""), face=face) for cell in cells)
                rows.append((TableCell(label), TableCell(name, face="dim"), *numbers))
        align = "ll" + "r" * len(head)
        return Table(self.title, ["", "", *head], rows, align=align, sections=sections, dense=True)


def _true_labels(labels: Mapping[str, str]) -> list[str]:
    """What is true by its name, other values behind theirs; what is false is left out."""
    return [name if value == YES else f"{name} {value}" for name, value in labels.items() if value != NO]


def _short_label(labels: Mapping[str, str]) -> str:
    """A cell in few letters, such as "0.75 Stat. Cau."."""
    return " ".join(name if value == YES else value for name, value in labels.items() if value != NO)


def _agreement_cells(one: Agreement, digits: int, *, wide: bool) -> list[CellContent]:
    """The mean with its number of seeds, the published one, the difference and the test."""
    texts, theirs = entry_texts(one.entry, digits), one.entry.published_seeds
    seeds = "" if theirs is None else f" ({theirs})"
    ours = f"{texts['mean ± sd']} ({len(one.entry.scores)})"
    cells: list[CellContent] = [*[ours, texts["published"] + seeds] * wide, texts["difference"]]
    interval = p = adjusted = MISSING
    if one.difference is not None and one.adjusted is not None:
        interval = f"[{', '.join(fixed_digits(end, digits) for end in one.difference.interval)}]"
        p, adjusted = p_text(one.difference.p), p_text(one.adjusted)
    cells += [interval, *[p] * wide, adjusted]
    return [
        *cells,
        MISSING if one.outcome is None else TableCell(one.outcome, state=OUTCOME_STATES[one.outcome]),
    ]


def entry_texts(entry: SeedScores | None, digits: int = 2) -> dict[str, str]:
    """What tables show of an entry: – for a number that is missing, and the seeds only where some are missing."""
    missing = ("mean ± sd", "published", "difference", "ceiling", "components")
    texts = dict.fromkeys(missing, MISSING) | {"95% CI": "", "seeds": ""}
    if entry is None:
        return texts
    if entry.mean is not None:
        spread = "" if entry.sd is None else f" ± {fixed_digits(entry.sd, digits)}"
        texts["mean ± sd"] = fixed_digits(entry.mean, digits) + spread
    if entry.interval is not None:
        texts["95% CI"] = f"[{', '.join(fixed_digits(x, digits) for x in entry.interval)}]"
    if 0 < len(entry.scores) < entry.planned:
        texts["seeds"] = f"{len(entry.scores)} of {entry.planned}"
    if entry.ceiling is not None:
        texts["ceiling"] = fixed_digits(entry.ceiling, digits)
    if entry.components is not None:
        texts["components"] = " to ".join(fixed_digits(end, digits) for end in entry.components)
    if entry.published is not None and entry.published_sd is not None:
        texts["published"] = f"{fixed_digits(entry.published)} ± {fixed_digits(entry.published_sd)}"
    if entry.difference is not None:
        texts["difference"] = fixed_digits(entry.difference, sign=True)
    return texts
