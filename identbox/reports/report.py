"""A report: tables for the terminal, and the files that it is written to."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identbox import files as files_
from identbox.errors import IdentboxError, first_few
from identbox.experiments.records import Run
from identbox.reports.agreement import Agreement
from identbox.reports.comparisons import Comparison
from identbox.reports.drawing import encode
from identbox.reports.figures import Point
from identbox.reports.statistics import SeedScores
from identbox.reports.wording import csv_value
from identbox.tables import Table
from identbox.texts import csv_cell, escape_markdown, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group, RenderableType

SPREAD = (
    "± is the sample standard deviation over the seeds (ddof = 1), "
    "[ ] the 95% confidence interval of the mean over them (Student's t)"
)


@dataclass(frozen=True, kw_only=True)
class SweepContents:
    """What the report of a sweep shows, by the kind of the sweep."""

    lead: str  # what the numbers are
    tables: list[Table | Comparison]
    notes: list[str]
    entries: list[SeedScores]  # every quantity, for the CSV
    figures: dict[str, Callable[[], Figure]]
    agreements: Sequence[Agreement] = ()  # of the entries that have a published figure


def mean_points(
    entries: Iterable[SeedScores], at: dict[str, float], published: bool = False
) -> tuple[Point, ...]:
    """Means with bars of one standard deviation, at the place of their cell."""
    points = []
    for entry in entries:
        mean, sd = (entry.published, entry.published_sd) if published else (entry.mean, entry.sd)
        if mean is not None:
            spread = sd or 0.0
            points.append(Point(at=at[entry.cell.name], value=mean, low=mean - spread, high=mean + spread))
    return tuple(points)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report as values; nothing is read or computed when it is shown."""

    title: str
    lead: str  # what the numbers are
    tables: tuple[Table | Comparison, ...]
    notes: tuple[str, ...]
    provenance: tuple[str, ...]
    columns: tuple[str, ...]  # of the CSV
    rows: tuple[tuple[Any, ...], ...]
    figures: dict[str, Callable[[], Figure]]

    def markdown(self) -> str:
        """The report as Markdown, with the figures that `write` puts beside it."""
        notes = "\n".join(f"- {escape_markdown(note)}" for note in self.notes)
        parts = [
            f"# {escape_markdown(self.title)}",
            escape_markdown(self.lead),
            *(table.markdown(level=2) for table in self.tables),
            *([notes] if notes else []),
            *(f"![{escape_markdown(self.title)}]({name}.png)" for name in self.figures),
            "## Provenance",
            *map(escape_markdown, self.provenance),
        ]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """Every quantity on a line of its own, in full precision; a value that is missing is an empty field."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(csv_cell, self.columns))
        writer.writerows((csv_cell(csv_value(value)) for value in row) for row in self.rows)
        return buffer.getvalue()

    def terminal(self) -> Group:
        """The report for the terminal; the sentences come last."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [
            Text(visible(self.title), "bold"),
            *(table.terminal() for table in self.tables),
        ]
        parts += [Text(visible(line)) for line in (self.lead, *self.notes)]
        parts += [Text(visible(line), "dim") for line in self.provenance]
        return Group(*parts)

    def write(self, folder: Path) -> list[Path]:
        """Write report.md, table.csv and every figure as PNG and SVG, each whole or not at all."""
        files = {"report.md": self.markdown().encode(), "table.csv": self.csv().encode()}
        for name, draw in self.figures.items():
            files |= {f"{name}.{suffix}": content for suffix, content in encode(draw()).items()}
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
        f"identbox {_each_once(run.identbox for run in runs)}, {_each_once(versions)}, {_each_once(pythons)}; "
        f"{_each_once(machines)}; {_each_once(f'{run.steps:,}' for run in runs)} steps, "
        f"{took} of training in all."
    )


def _each_once(texts: Iterable[str]) -> str:
    return first_few(sorted(set(texts)), 4)
