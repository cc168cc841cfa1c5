"""Tables of reports, in Markdown and for the terminal, and how their numbers and names are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from identbox.reports.statistics import Entry

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text
if TYPE_CHECKING:
    from rich.table import Table


HEADINGS = {
    "change_probability": "p(chg.)",
    "statistical": "Stat.",
    "causal": "Cau.",
    "classes": "number of classes",
    "encoding_size": "encoding size",
}
YES, NO = "✓", "✗"
METRICS = {"r2": "R²", "accuracy": "accuracy", "loss": "loss"}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text; the first column holds labels."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    blocks: tuple[str, ...] = ()  # of each row, where they decide on the face of its label

    def markdown(self) -> str:
        head = [(name, place == 0) for place, name in enumerate(self.head)]
        if not self.blocks:
            return _markdown(self.title, head, self.rows)
        marks = [_mark(block) for block in self.blocks]
        return _markdown(self.title, head, self.rows, marks)

    def terminal(self) -> Table:
        table = _table(self.title)
        for place, name in enumerate(self.head):
            table.add_column(styled(name, name), justify="right" if place else "left", no_wrap=True)
        for place, (first, *rest) in enumerate(self.rows):
            label = styled(first, self.blocks[place] if self.blocks else "")
            table.add_row(label, *(styled(text.replace(", ", ",")) for text in rest))
        return table


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cells by quantities, each over seeds and beside what is published of it."""

    title: str
    labels: dict[str, list[str]]  # by heading, a text for each row
    columns: dict[str, list[Entry | None]]  # by heading, an entry for each row
    digits: int = 2

    @property
    def published(self) -> bool:
        return any(
            entry and entry.published is not None for column in self.columns.values() for entry in column
        )

    def markdown(self) -> str:
        head = [(name, True) for name in self.labels]
        for name in self.columns:
            head += [(name, False)] + [("published", False), ("difference", False)] * self.published
        rows = []
        for place, labels in enumerate(zip(*self.labels.values(), strict=True)):
            row = list(labels)
            for column in self.columns.values():
                found = facts(column[place], self.digits)
                missing = f"({found['seeds']})" if found["mean ± sd"] != "–" and found["seeds"] else ""
                row.append(" ".join(filter(None, (found["mean ± sd"], found["95% CI"], missing))))
                row += [found["published"], found["difference"]] * self.published
            rows.append(row)
        return _markdown(self.title, head, rows)

    def terminal(self) -> Table:
        """The columns one below the other for each cell, so that four of them fit a terminal of 80 characters."""
        table = _table(self.title)
        for name in ("", ""):
            table.add_column(name, no_wrap=True)
        for name in self.columns:
            table.add_column(styled(name.replace(" (", "\n("), name), justify="right", no_wrap=True)
        for place, values in enumerate(zip(*self.labels.values(), strict=True)):
            labels = [
                name if value == YES else f"{name} {value}"
                for name, value in zip(self.labels, values, strict=True)
                if value != NO
            ]
            cells = [facts(column[place], self.digits) for column in self.columns.values()]
            names = ["mean ± sd"]
            names += [name for name in ("95% CI", "seeds") if any(cell[name] for cell in cells)]
            names += ["published", "difference"] * self.published
            for label, name in zip_longest(labels, names, fillvalue=""):
                dim = "" if name in ("mean ± sd", "difference") else "dim"
                texts = [cell.get(name, "").replace(", ", ",") for cell in cells]
                table.add_row(
                    styled(label), styled(name, style="dim"), *(styled(text, style=dim) for text in texts)
                )
            table.add_section()
        return table


def facts(entry: Entry | None, digits: int = 2) -> dict[str, str]:
    """What tables say of an entry; ``seeds`` is told where some are missing, and – stands for a number there is not."""
    found = dict.fromkeys(("mean ± sd", "published", "difference"), "–") | {"95% CI": "", "seeds": ""}
    if entry is None:
        return found
    if entry.mean is not None:
        spread = "" if entry.sd is None else f" ± {number(entry.sd, digits)}"
        found["mean ± sd"] = number(entry.mean, digits) + spread
    if entry.interval is not None:
        found["95% CI"] = f"[{', '.join(number(x, digits) for x in entry.interval)}]"
    if len(entry.scores) < entry.planned:
        found["seeds"] = f"{len(entry.scores)} of {entry.planned}"
    if entry.published is not None and entry.published_sd is not None:
        found["published"] = f"{number(entry.published)} ± {number(entry.published_sd)}"
    if entry.difference is not None:
        found["difference"] = number(entry.difference, sign=True)
    return found


def number(x: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number with fixed digits, never a negative zero.

    >>> number(-0.001), number(-0.12), number(0.5, sign=True)
    ('0.00', '-0.12', '+0.50')
    """
    text = f"{x:+.{digits}f}" if sign else f"{x:.{digits}f}"
    return text if float(text) else text.lstrip("+-")


def value_text(value: Any) -> str:
    """A value of a cell as tables show it."""
    if isinstance(value, bool):
        return YES if value else NO
    return "–" if value in (None, "") else str(value)


def plain(value: Any) -> Any:
    """A value as CSV has it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return (
        text.replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("\n", " ")
    )


def heading(key: str) -> str:
    return HEADINGS.get(key, key.replace("_", " "))


def label(values: dict[str, Any]) -> str:
    """The values of a cell in a line: what is true by its name, other values beside theirs."""
    parts = []
    for key, value in values.items():
        if isinstance(value, bool):
            parts += [heading(key)] * value
        else:
            parts.append(f"{heading(key)} {value_text(value)}")
    return ", ".join(parts)


def _mark(block: str) -> str:
    """What Markdown sets a name between: content bold, style italic."""
    return "**" if block.startswith("content") else "*" if block.startswith("style") else ""


def _markdown(
    title: str, head: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]], marks: Sequence[str] = ()
) -> str:
    """A table in Markdown, the columns flagged to the left and the others to the right.

    Heads that name content are bold, those that name style italic; ``marks`` do the same for the labels of rows.
    """
    names = [_mark(name) + escape(name) + _mark(name) for name, _ in head]
    lines = [names, [":--" if left else "--:" for _, left in head]]
    for place, row in enumerate(rows):
        mark = marks[place] if marks else ""
        lines.append([mark + escape(row[0]) + mark, *(escape(text) for text in row[1:])])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {escape(title)}\n\n{table}" if title else table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title or None,
        title_style="bold",
        title_justify="left",
        header_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def styled(text: str, block: str = "", style: str = "") -> Text:
    """Text as it is, without markup; the names of content bold, of style italic."""
    from rich.text import Text

    return Text(
        text, "bold" if block.startswith("content") else "italic" if block.startswith("style") else style
    )


STYLES = {
    "holds": "green", "identified": "green", "came true": "green", "satisfied": "green",
    "violated": "red", "not identified": "red", "refuted": "red",
    "unknown": "yellow", "undecided": "yellow", "open": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A table with a title and a sentence or two, as a terminal and as Markdown show it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def terminal(self) -> Any:
        from rich import box
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        parts: list[Table | Text | Padding] = [Text(self.title, "bold")]
        if self.rows:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for name in self.head:
                table.add_column(name, overflow="fold")
            for row in self.rows:
                table.add_row(*[Text(cell, STYLES.get(cell.partition(" (")[0], "")) for cell in row])
            parts.append(table)
        parts += [Text(note, STYLES.get(note.partition(":")[0].strip(), "")) for note in self.notes]
        return Padding(Group(*parts), (0, 0, 1, 0))

    def markdown(self) -> Iterator[str]:
        yield f"### {self.title}"
        if self.rows:
            lines = [self.head, ("---",) * len(self.head), *self.rows]
            yield "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
            )
        if self.notes:
            yield "\n".join(f"- {note}" for note in self.notes)
