"""The scores of runs over the steps of their training, from metrics.jsonl: had they converged?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from identbox import files
from identbox.errors import IdentboxError
from identbox.experiments.records import BLOCKS, SCORES_KEY, Run, Runs, Sweep, run_folder
from identbox.metrics.scores import Score
from identbox.reports.curve_figures import draw_curves
from identbox.reports.figures import Panel, Point, Series
from identbox.reports.wording import cell_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.jsonl"
LATE = 0.2  # the last part of the training, over which a score that still moves is named
MOVED = 0.02  # a change of a score in that part that is worth a note
TargetMetric = tuple[str, str]
Curve = dict[int, float]  # score by step


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves of a run: the nonlinear scores of each (block, metric) by step, averaged over views and variables."""

    by_block: dict[TargetMetric, Curve]
    steps: int  # of the whole training

    def drift(self, key: TargetMetric) -> float | None:
        """How far a score moved over the last fifth of the training; None where it was not taken there twice."""
        curve = self.by_block.get(key, {})
        late = [curve[step] for step in sorted(curve) if step >= (1 - LATE) * self.steps]
        return late[-1] - late[0] if len(late) > 1 else None


def read_curves(folder: Path, run: Run) -> Curves | None:
    """The curves of a run's folder; None where it has none, as runs of older versions.

    Lines that are damaged or of another form are left out: a curve is for the eye, and the record has the results.
    """
    try:
        lines = files.read_text(folder / METRICS).splitlines()
    except IdentboxError:
        return None
    found: dict[TargetMetric, dict[int, list[float]]] = {}
    for line in lines:
        try:
            table = files.parse_json(line, METRICS)
            scores = [_score_of_line(one) for one in table.get(SCORES_KEY, ())]
            step = int(table["step"])
        except (IdentboxError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            continue
        for score in scores:
            block = run.block(score)
            if block is not None and score.nonlinear:
                found.setdefault((block, score.metric), {}).setdefault(step, []).append(score.score)
    if not found:
        return None
    by_block = {key: {step: fmean(v) for step, v in curve.items()} for key, curve in found.items()}
    return Curves(by_block=by_block, steps=run.steps)


def _score_of_line(table: Mapping[str, Any]) -> Score:
    value = float(table["score"])
    if not math.isfinite(value):
        raise ValueError(f"expected a score, got {value}")
    names = {key: table[key] for key in ("view", "target", "probe", "metric")}
    return Score(**names, score=value, low=value, high=value, chance=0.0)


def run_curves(folder: Path, run: Run) -> dict[str, Callable[[], Figure]]:
    """The figure of a run's curves, by its name; nothing where there are none."""
    curves = read_curves(folder, run)
    return _curve_figure([("", [curves])], f"Run {folder.resolve().name}") if curves else {}


def sweep_curves(folder: Path, sweep: Sweep, runs: Runs) -> tuple[dict[str, Callable[[], Figure]], list[str]]:
    """The figure of a sweep's curves, a panel for each cell, and a note on the runs that had not converged."""
    groups, moving, all_known = [], [], 0
    for cell in sweep.cells:
        own = []
        for seed, run in runs[cell.name].items():
            path = run_folder(folder, cell.name, seed)
            curves = read_curves(path, run)
            if curves is None:
                continue
            own.append(curves)
            drifts = [drift for key in curves.by_block if (drift := curves.drift(key)) is not None]
            all_known += bool(drifts)
            if drifts and max(map(abs, drifts)) > MOVED:
                moving.append(path.name)
        if own:
            groups.append((cell_label(cell.values) or cell.name, own))
    if not groups:
        return {}, []
    drawn = _curve_figure(groups, sweep.title)
    if not all_known:
        return drawn, []
    note = (
        f"Convergence: in {len(moving)} of {all_known} runs a score of content, style or modality moved by more than "
        f"{MOVED} over the last fifth of the training"
    )
    return drawn, [note + (f": {', '.join(moving)}." if moving else ".")]


def _curve_figure(
    groups: Sequence[tuple[str, Sequence[Curves]]], title: str
) -> dict[str, Callable[[], Figure]]:
    panels = [Panel(title=name, series=_series(own)) for name, own in groups]
    return {"curves": partial(draw_curves, panels, title=f"{title}: scores during training")}


def _series(own: Sequence[Curves]) -> tuple[Series, ...]:
    """For each block the mean over seeds, with the lowest and the highest seed as its band."""
    keys = {key for curves in own for key in curves.by_block}
    series = []
    for target, metric in sorted(keys, key=lambda key: (BLOCKS.index(key[0]), key[1] != "r2")):
        by_step: dict[int, list[float]] = {}
        for curves in own:
            for step, score in curves.by_block.get((target, metric), {}).items():
                by_step.setdefault(step, []).append(score)
        points = tuple(
            Point(at=float(step), value=fmean(values), low=min(values), high=max(values))
            for step, values in sorted(by_step.items())
        )
        series.append(Series(name=target, block=target, metric=metric, points=points))
    return tuple(series)
