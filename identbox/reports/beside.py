"""The same figures of another sweep, beside those of a report: what a figure becomes when one thing is changed.

Cells belong together where all values that both sweeps name are the same. Of each pair only the seeds that both have
count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from identbox.errors import IdentboxError
from identbox.experiments.records import SWEEP, Cell, Runs, Sweep, read_runs, read_sweep
from identbox.reports.comparisons import entry_texts
from identbox.reports.statistics import SeedScores, entries
from identbox.reports.wording import MISSING, cell_label
from identbox.tables import CellContent, Table


def beside_tables(
    sweep: Sweep, runs: Runs, shown: Iterable[SeedScores], folders: Iterable[Path]
) -> list[Table]:
    """For each folder of another sweep a table: every block here and there, of the cells that both have.

    Raises IdentboxError for a folder that is no sweep, for a sweep whose scores are not those of a simulation's
    blocks, and where no cell of it is one of these.
    """
    here = [one for one in shown if one.intervention is None]
    return [_beside(sweep, runs, here, folder) for folder in folders]


def _beside(sweep: Sweep, runs: Runs, shown: list[SeedScores], folder: Path) -> Table:
    if not (folder / SWEEP).exists():
        raise IdentboxError(f"--beside: {folder}: expected a folder with {SWEEP}, got none")
    other = read_sweep(folder / SWEEP)
    if other.report != "table" or sweep.report != "table":
        kinds = f"{sweep.report} and {other.report}"
        raise IdentboxError(f"--beside: {folder}: expected two sweeps whose report is a table, got {kinds}")
    done = read_runs(folder, other)
    here = {(one.cell.name, one.target): one for one in shown}
    there = {(one.cell.name, one.target): one for one in entries(other, done, (None,), None)}
    targets = list(dict.fromkeys(target for _, target in here))
    rows = []
    for one, two in product(sweep.cells, other.cells):
        if not _same(one, two):
            continue
        seeds = [seed for seed in runs[one.name] if seed in done[two.name]]
        row: list[CellContent] = [cell_label(one.values) or one.name, ", ".join(map(str, seeds)) or MISSING]
        for target in targets:
            row += [_text(here.get((one.name, target)), seeds), _text(there.get((two.name, target)), seeds)]
        rows.append(row)
    if not rows:
        raise IdentboxError(f"--beside: {folder}: expected a cell with the values of one here, got none")
    head = ["", "seeds", *(name for target in targets for name in (target, f"{target}, there"))]
    return Table(f"There: {other.title}", head, rows, align="ll" + "r" * (len(head) - 2), dense=True)


def _same(one: Cell, two: Cell) -> bool:
    """Whether two cells have the same values, of those that both name; they name some."""
    both = one.values.keys() & two.values.keys()
    return bool(both) and all(one.values[key] == two.values[key] for key in both)


def _text(entry: SeedScores | None, seeds: Sequence[int]) -> str:
    """The mean and the deviation over these seeds."""
    if entry is None:
        return MISSING
    scores = {seed: entry.scores[seed] for seed in seeds if seed in entry.scores}
    return entry_texts(replace(entry, scores=scores))["mean ± sd"]
