"""Tables: one type, shown in a terminal, as Markdown, as HTML and as CSV.

>>> rows = [("content", 0.98), (TableCell("style", face="italic"), 0.31)]
>>> table = Table("Scores", ("target", "R²"), rows, align="lr")
>>> print(table.markdown())
### Scores
<BLANKLINE>
| target | R² |
| :-- | --: |
| content | 0.98 |
| *style* | 0.31 |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from identbox.texts import csv_cell, escape_markdown, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

CellFace = Literal["", "bold", "italic", "dim"]
CellState = Literal["", "good", "bad", "open", "none"]

STATE_COLORS: dict[str, str] = {"good": "green", "bad": "red", "open": "yellow"}
# What HTML shows beside a state's colour, for a reader who does not see the colour.
STATE_SIGNS: dict[str, str] = {"good": "✓", "bad": "✗", "open": "?", "none": "–"}
STATE_WORDS: dict[str, CellState] = {
    "holds": "good", "identified": "good", "came true": "good", "satisfied": "good",
    "violated": "bad", "not identified": "bad", "refuted": "bad",
    "identified on the support alone": "open", "unknown": "open", "undecided": "open", "open": "open",
}  # fmt: skip
MARKDOWN_FACES = {"bold": "**", "italic": "*"}
MARKDOWN_ALIGNMENTS = {"l": ":--", "r": "--:", "c": ":-:"}
TERMINAL_ALIGNMENTS: dict[str, Literal["left", "right", "center"]] = {
    "l": "left",
    "r": "right",
    "c": "center",
}
TEXT_WIDTH = 80  # characters of a line of ``str(table)``


@dataclass(frozen=True)
class TableCell:
    """A text and how it is shown; a plain string or number serves as a cell too.

    ``face`` is the typeface: bold, italic or dim. ``state`` is the colour of an outcome: good, bad, open (not decided)
    or none (nothing to decide); HTML shows a sign beside the colour. ``below`` is a smaller second line in HTML, and
    follows the text elsewhere. ``shade`` (0 to 1) is the depth of the background, ``link`` an address and ``hint`` a
    longer text, all three in HTML only.
    """

    text: str
    face: CellFace = ""
    state: CellState = ""
    below: str = ""
    shade: float | None = None
    link: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.below}" if self.below else self.text

    @property
    def sign(self) -> str:
        return STATE_SIGNS.get(self.state, "")

    def rich(self) -> Text:
        from rich.text import Text

        return Text(
            visible(str(self), "\n"), " ".join(filter(None, (self.face, STATE_COLORS.get(self.state))))
        )

    def markdown(self) -> str:
        mark = MARKDOWN_FACES.get(self.face, "") if self.text else ""
        return mark + escape_markdown(str(self)) + mark


CellContent = TableCell | str | float | int


@dataclass(frozen=True)
class Table:
    """Rows below the names of columns, with a title above and sentences below.

    A cell is a `TableCell`, a string or a number; None continues the cell above it. ``align`` has a letter for each
    column: l, r or c. ``sections`` maps the number of a row to the heading above it; an empty heading is only a line.
    ``dense`` is for tables of numbers in the terminal: gaps are narrow, no cell is broken into lines, and intervals
    behind the first column are written without a space. Where the terminal is narrow, the columns are shown in blocks.
    ``style`` is the class of the table in HTML. A table without columns is its title and its notes.

    Raises ValueError for a row that does not have a cell for each column.
    """

    title: str
    columns: Sequence[CellContent] = ()
    rows: Sequence[Sequence[CellContent | None]] = ()
    notes: Sequence[CellContent] = ()
    align: str = ""
    sections: Mapping[int, str] = field(default_factory=dict)
    dense: bool = False
    style: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        object.__setattr__(self, "notes", tuple(self.notes))
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: expected {len(self.columns)} cells in a row, got {len(row)}")
        if self.align and len(self.align) != len(self.columns):
            raise ValueError(
                f"{self.title}: expected {len(self.columns)} letters in align, got {self.align!r}"
            )

    def terminal(self) -> Group:
        """The table as rich prints it."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [Text(visible(self.title), "bold")] if self.title else []
        if self.columns:
            parts.append(_Blocks(self) if self.dense else self.grid(range(len(self.columns))))
        return Group(*parts, *(as_cell(note).rich() for note in self.notes))

    __rich__ = terminal

    def grid(self, places: Sequence[int]) -> RichTable:
        """Some of the columns as a table of rich, without title and notes."""
        from rich import box
        from rich.table import Table as RichTable

        shown = RichTable(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0) if self.dense else (0, 1),
            header_style="" if self.dense else None,
        )
        for column in places:
            shown.add_column(
                as_cell(self.columns[column]).rich(),
                justify=TERMINAL_ALIGNMENTS[self.align[column] if self.align else "l"],
                no_wrap=self.dense,
                overflow="ellipsis" if self.dense else "fold",
            )
        for place, row in enumerate(self.rows):
            if self.sections.get(place):
                shown.add_row(TableCell(self.sections[place], face="bold").rich())
            cells = [as_cell(cell) for cell in row]
            if self.dense:
                cells[1:] = [replace(cell, text=cell.text.replace(", ", ",")) for cell in cells[1:]]
            shown.add_row(
                *(cells[column].rich() for column in places), end_section=place + 1 in self.sections
            )
        return shown

    def __str__(self) -> str:
        """The table in plain text, as a terminal of 80 characters shows it without colours."""
        from rich.console import Console

        console = Console(
            width=TEXT_WIDTH, file=io.StringIO(), record=True, color_system=None, force_jupyter=False
        )
        console.print(self.terminal())
        return "\n".join(line.rstrip() for line in console.export_text().splitlines()).strip("\n")

    def markdown(self, level: int = 3) -> str:
        """The table in Markdown, under a heading of that level; the notes are a list."""
        parts = [f"{'#' * level} {escape_markdown(self.title)}"] if self.title else []
        if self.columns:
            parts.append("\n".join(self._markdown_lines()))
        if self.notes:
            parts.append("\n".join(f"- {as_cell(note).markdown()}" for note in self.notes))
        return "\n\n".join(parts)

    def _markdown_lines(self) -> Iterator[str]:
        rules = [MARKDOWN_ALIGNMENTS[letter] for letter in self.align] or ["---"] * len(self.columns)
        yield markdown_line(as_cell(name).markdown() for name in self.columns)
        yield markdown_line(rules)
        for place, row in enumerate(self.rows):
            if self.sections.get(place):
                heading = f"**{escape_markdown(self.sections[place])}**"
                yield markdown_line([heading, *[""] * (len(self.columns) - 1)])
            yield markdown_line(as_cell(cell).markdown() for cell in row)

    def html(self) -> str:
        """The table as HTML, for a page of `identbox.documents`; every text is escaped."""
        from identbox.documents import fill_template

        names = {"c": "centre", "r": "right"}
        return fill_template(
            "table.html.j2",
            table=self,
            columns=[as_cell(name) for name in self.columns],
            rows=list(self._html_rows()),
            notes=[as_cell(note) for note in self.notes],
            aligned=[names.get(letter, "") for letter in self.align or "l" * len(self.columns)],
        )

    __html__ = _repr_html_ = html

    def csv(self) -> str:
        """The columns and rows as comma-separated values, without title and notes."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(csv_cell(str(name)) for name in self.columns)
        writer.writerows([csv_cell(str(as_cell(cell))) for cell in row] for row in self.rows)
        return buffer.getvalue()

    def _html_rows(self) -> Iterator[tuple[str | None, list[tuple[TableCell, int, int]]]]:
        """For each row the heading above it and its cells: each with its column and the rows it reaches over."""
        for place, row in enumerate(self.rows):
            cells = [
                (as_cell(cell), column, self._reach(place, column))
                for column, cell in enumerate(row)
                if cell is not None
            ]
            yield self.sections.get(place), cells

    def _reach(self, place: int, column: int) -> int:
        """Over how many rows a cell reaches: its own, and those below that continue it."""
        reach = 1
        while place + reach < len(self.rows) and self.rows[place + reach][column] is None:
            reach += 1
        return reach


@dataclass(frozen=True)
class _Blocks:
    """A table that is broken between columns where the terminal is narrow; the first column is in each block."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RichTable]:
        endless = options.update(width=10_000)
        blocks: list[list[int]] = [[0]]
        for column in range(1, len(self.table.columns)):
            wider = self.table.grid([*blocks[-1], column])
            fits = console.measure(wider, options=endless).maximum <= options.max_width
            if fits or blocks[-1] == [0]:
                blocks[-1].append(column)
            else:
                blocks.append([0, column])
        yield from map(self.table.grid, blocks)


def as_cell(content: CellContent | None) -> TableCell:
    """What is shown as a cell; nothing for None."""
    if isinstance(content, TableCell):
        return content
    return TableCell("" if content is None else str(content))


def judged_cell(text: str) -> TableCell:
    """A text in the colour of the outcome that it begins with, such as "identified (3 of 3)" or "holds: ..."."""
    return TableCell(text, state=STATE_WORDS.get(text.partition(" (")[0].partition(":")[0].strip(), ""))


def markdown_line(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


class ShownAsTable:
    """Something that prints as its table, and shows as HTML in a notebook."""

    def table(self) -> Table:
        """The table."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table().html()
