"""A report: tables for the terminal, and files that it is written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from identbox import files as files_
from identbox.errors import IdentboxError, first_few
from identbox.experiments.records import (
    Run,
)
from identbox.reports import figures as reports_figures
from identbox.reports.figures import Point
from identbox.reports.statistics import Entry
from identbox.reports.tables import (
    Comparison,
    Grid,
    escape,
    plain,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

SPREAD = (
    "± is the sample standard deviation over the seeds (ddof = 1), "
    "[ ] the 95% confidence interval of the mean over them (Student's t)"
)

Parts = tuple[str, list[Grid | Comparison], list[str], list[Entry], dict[str, Callable[[], Figure]]]


def points(found: Iterable[Entry], at: dict[str, float], published: bool = False) -> tuple[Point, ...]:
    """Means with bars of one standard deviation, at the place of their cell."""
    points = []
    for entry in found:
        mean, sd = (entry.published, entry.published_sd) if published else (entry.mean, entry.sd)
        if mean is not None:
            spread = sd or 0.0
            points.append(Point(at=at[entry.cell.name], value=mean, low=mean - spread, high=mean + spread))
    return tuple(points)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report as values; nothing is read or computed when it is shown."""

    title: str
    lead: str  # what a number is
    grids: tuple[Grid | Comparison, ...]
    notes: tuple[str, ...]
    provenance: tuple[str, ...]
    head: tuple[str, ...]  # of the CSV
    rows: tuple[tuple[Any, ...], ...]
    figures: dict[str, Callable[[], Figure]]

    def markdown(self) -> str:
        """The report as Markdown, with the figures that `write` puts beside it."""
        figures = [f"![{self.title}]({name}.png)" for name in self.figures]
        notes = [f"- {escape(note)}" for note in self.notes]
        provenance = ["## Provenance", *map(escape, self.provenance)]
        parts = [f"# {self.title}", escape(self.lead), *(grid.markdown() for grid in self.grids)]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else []), *figures, *provenance]) + "\n"

    def csv(self) -> str:
        """Every quantity on a line of its own, in full precision; an empty field is a value that there is not."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows(map(plain, row) for row in self.rows)
        return buffer.getvalue()

    def tables(self) -> list[Table]:
        """The report for the terminal; the last table holds the sentences."""
        from rich.table import Table

        text = Table.grid(padding=(0, 0, 1, 0))
        text.title, text.title_justify = None, "left"
        for line in (self.lead, *self.notes):
            text.add_row(styled(line))
        for line in self.provenance:
            text.add_row(styled(line, style="dim"))
        tables = [grid.terminal() for grid in self.grids]
        first = tables[0]
        first.title = f"{self.title}\n{first.title}" if first.title else self.title
        return [*tables, text]

    def write(self, folder: Path) -> list[Path]:
        """Write report.md, table.csv and every figure as PNG and SVG, each whole or not at all."""
        files = {"report.md": self.markdown().encode(), "table.csv": self.csv().encode()}
        for name, draw in self.figures.items():
            files |= {
                f"{name}.{suffix}": content for suffix, content in reports_figures.encode(draw()).items()
            }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                files_.write_whole(folder / name, content)
        except OSError as error:
            raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error
        return [folder / name for name in files]


def made_with(runs: Sequence[Run]) -> str:
    """Versions, machines, steps and hours of runs, every one that differs."""
    machines = []
    for run in runs:
        names = [str(run.machine[key]) for key in ("gpu", "cpu") if key in run.machine]
        names += [f"{key} {run.machine[key]}" for key in ("cores", "threads") if key in run.machine]
        machines.append(", ".join(names))
    versions = [f"torch {run.versions.get('torch', 'unknown')}" for run in runs]
    pythons = [f"Python {run.versions.get('python', 'unknown')}" for run in runs]
    seconds = sum(run.seconds for run in runs)
    took = f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"
    return (
        f"identbox {_distinct(run.identbox for run in runs)}, {_distinct(versions)}, {_distinct(pythons)}; "
        f"{_distinct(machines)}; {_distinct(f'{run.steps:,}' for run in runs)} steps, "
        f"{took} of training in all."
    )


def _distinct(texts: Iterable[str]) -> str:
    return first_few(sorted(set(texts)), 4)
