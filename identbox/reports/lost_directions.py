"""What a mean R2 of content does not show: whether some direction of content is lost.

Where content has directions of very different size, an encoding without the smallest still predicts every component
well. The recovery of the worst direction, on which verdicts rest, shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from identbox.experiments.records import Cell, Run, Runs
from identbox.identifiability.margins import Margins
from identbox.reports.agreement import Agreement
from identbox.reports.ceilings import realised_process
from identbox.reports.wording import MISSING, cell_label
from identbox.tables import CellContent, CellState, Table, TableCell
from identbox.texts import fixed_digits

ROUNDED = 0.005  # of a published figure
HIGH = 0.9  # a mean R2 that is taken for "content is encoded"
Costs = Mapping[str, Sequence[float]]  # by cell, what `least_costs` has of its runs


def lost_directions_table(
    labels: Mapping[str, Sequence[str]], cells: Sequence[Cell], runs: Runs, costs: Costs
) -> Table | None:
    """A row for each cell: the mean R2 of content, what is read of its worst direction, and R2 without one direction.

    ``labels`` has by heading the text of each cell. None where no record has measured the worst direction.
    """
    rows: list[list[CellContent]] = []
    for place, cell in enumerate(cells):
        own = list(runs[cell.name].values())
        found = [run.recovery for run in own if run.recovery is not None]
        if not found:
            continue
        means = [run.scores(None).get(("content", "r2"), (None, None))[0] for run in own]
        known = [mean for mean in means if mean is not None]
        state: CellState = "good" if min(found) >= Margins().recovery else "open"
        rows.append(
            [
                *(texts[place] for texts in labels.values()),
                fixed_digits(fmean(known)) if known else MISSING,
                TableCell(_range(found), state=state),
                _range(costs[cell.name]) or MISSING,
            ]
        )
    if not rows:
        return None
    head = [*labels, "mean R²", "worst direction", "R² without one"]
    title = "Content: mean R² of its components, R² of its worst direction, and mean R² without one direction"
    return Table(title, head, rows, align="l" * len(labels) + "rrr")


def lost_direction_notes(compared: Sequence[Agreement], costs: Costs) -> list[str]:
    """The published figures of content that an encoding without one of its directions has as well, in words."""
    named: list[str] = []
    all_costs: list[float] = []
    for one in compared:
        entry = one.entry
        if entry.target != "content" or entry.metric != "r2" or entry.published is None:
            continue
        own = costs[entry.cell.name]
        if own and HIGH <= entry.published <= max(own) + ROUNDED:
            named.append(f"{fixed_digits(entry.published)} ({cell_label(entry.cell.values)})")
            all_costs += own
    if not named:
        return []
    each = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return [
        f"Published content of {each} may lack a direction: without the one that costs least R² is "
        f"{_range(all_costs)} here."
    ]


def least_costs(runs: Iterable[Run]) -> list[float]:
    """For each run whose process says it, the mean R2 of content without the direction that costs least."""
    processes = [process for process in map(realised_process, runs) if process is not None]
    if not processes:
        return []
    from identbox.identifiability.ceilings import without_a_direction

    return [cost for cost in map(without_a_direction, processes) if cost is not None]


def _range(values: Sequence[float]) -> str:
    """The least and the most of some numbers, once where they are the same; nothing where there are none."""
    ends = dict.fromkeys(fixed_digits(end) for end in (min(values), max(values))) if values else {}
    return " to ".join(ends)
