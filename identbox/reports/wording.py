"""How reports write numbers, and the names of settings, blocks and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from identbox.tables import CellContent, CellFace, Table, TableCell

HEADINGS = {
    "change_probability": "p(chg.)",
    "statistical": "Stat.",
    "causal": "Cau.",
    "classes": "number of classes",
    "encoding_size": "encoding size",
}
YES, NO, MISSING = "✓", "✗", "–"
METRIC_NAMES = {"r2": "R²", "accuracy": "accuracy", "loss": "loss"}


def p_text(p: float) -> str:
    """A p-value with three digits.

    >>> p_text(0.0312), p_text(0.00002)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def value_text(value: Any) -> str:
    """A value of a cell as tables show it."""
    if isinstance(value, bool):
        return YES if value else NO
    return MISSING if value in (None, "") else str(value)


def csv_value(value: Any) -> Any:
    """A value as CSV has it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def setting_name(key: str) -> str:
    """The heading of a column with the values of a setting."""
    return HEADINGS.get(key, key.replace("_", " "))


def cell_label(values: dict[str, Any]) -> str:
    """The values of a cell in a line: what is true by its name, other values beside their names."""
    parts = []
    for key, value in values.items():
        if isinstance(value, bool):
            parts += [setting_name(key)] * value
        else:
            parts.append(f"{setting_name(key)} {value_text(value)}")
    return ", ".join(parts)


def block_face(block: str) -> CellFace:
    """How the name of a block is set, as in the thesis: content bold, style italic."""
    return "bold" if block.startswith("content") else "italic" if block.startswith("style") else ""


def block_cell(text: str, block: str | None = None) -> TableCell:
    """A text in the face of a block, or of the block that it names itself."""
    return TableCell(text, face=block_face(text if block is None else block))


def number_table(
    title: str, head: tuple[str, ...], rows: Sequence[Sequence[str]], blocks: Sequence[str] | None = None
) -> Table:
    """A table of numbers beside labels; ``blocks`` names the block of each row, where its label is to show it."""
    labels: list[CellContent] = [row[0] for row in rows]
    if blocks is not None:
        labels = [block_cell(row[0], block) for row, block in zip(rows, blocks, strict=True)]
    return Table(
        title,
        [block_cell(name) for name in head],
        [(label, *row[1:]) for label, row in zip(labels, rows, strict=True)],
        align="l" + "r" * (len(head) - 1),
        dense=True,
    )
