"""Comma-separated values that anybody may have written: a header, and as many values in each line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from identbox import files
from identbox.errors import IdentboxError, first_few

LONGEST_COLUMN_NAME = 200  # characters


def read_csv(path: Path, what: str = "a file") -> dict[str, Sequence[str]]:
    """The columns of a CSV file in UTF-8, with or without a byte order mark and quotes.

    Raises IdentboxError as `files.read_text` and `parse_csv` do.
    """
    return parse_csv(files.read_text(path, what=what), str(path))


def parse_csv(text: str, where: str) -> dict[str, Sequence[str]]:
    """The columns of comma-separated values, by the names in the first line.

    Raises IdentboxError for an empty text, a line with more or fewer values than the first, quotes that do not fit, and
    names that occur twice or that a terminal would not show.

    >>> parse_csv("a,b\\n1,2\\n3,4\\n", "x.csv")
    {'a': ['1', '3'], 'b': ['2', '4']}
    """
    if not text:
        raise IdentboxError(f"{where}: expected a header, got an empty file")
    header, columns = _quoted_columns(text, where) if '"' in text else _plain_columns(text, where)
    names = [name.strip() for name in header]
    shown = all(name.isprintable() and len(name) <= LONGEST_COLUMN_NAME for name in names)
    if len(set(names)) < len(names) or not shown:
        raise IdentboxError(f"{where}: expected different names of columns, got {first_few(names)}")
    return dict(zip(names, columns, strict=True))


def _plain_columns(text: str, where: str) -> tuple[list[str], list[Sequence[str]]]:
    """The header and the columns of a table without quotes, from one list of all values: the fastest way."""
    lines = text.removesuffix("\n").split("\n")
    width = _width([line.count(",") + 1 for line in lines], where)
    values = ",".join(lines).split(",")
    return values[:width], [values[width + k :: width] for k in range(width)]


def _quoted_columns(text: str, where: str) -> tuple[list[str], list[Sequence[str]]]:
    """The header and the columns of a table in which values may be quoted."""
    try:
        header, *rows = csv.reader(io.StringIO(text), strict=True)
    except csv.Error as error:
        raise IdentboxError(f"{where}: expected comma-separated values, got {error}") from error
    width = _width([len(header), *(len(row) for row in rows)], where)
    return header, [[row[k] for row in rows] for k in range(width)]


def _width(widths: list[int], where: str) -> int:
    """The number of columns. Raises IdentboxError for a line that has more or fewer than the first."""
    if widths.count(widths[0]) != len(widths):
        line, other = next((k, width) for k, width in enumerate(widths) if width != widths[0])
        raise IdentboxError(f"{where}: line {line + 1}: expected {widths[0]} values, got {other}")
    return widths[0]
