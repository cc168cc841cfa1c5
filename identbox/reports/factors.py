"""What the reports of image/text runs hold: factors by encodings, and over encoding sizes (Figures 8.3 and A.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from identbox.data import factors
from identbox.data.factors import VIEWS
from identbox.experiments.records import Cell, Run, Runs, Sweep
from identbox.metrics.scores import Score
from identbox.reports import figures
from identbox.reports.figures import Panel, Series
from identbox.reports.report import SPREAD, Parts, points
from identbox.reports.statistics import Entry, Published
from identbox.reports.tables import METRICS, Comparison, Grid, heading, number, value_text

ABREAST = 3  # factors side by side, so that a table fits a terminal of 80 characters
LEAD = (
    "Scores of nonlinear probes (R² of kernel ridge regression for continuous factors, the accuracy of an MLP for "
    "discrete ones), fitted on training samples and scored on the test split, with a bootstrap interval over it. "
    "“From content” is what shape and position alone tell of a factor by the same probes. Content factors are bold, "
    "style factors italic."
)


def predicted(run: Run) -> list[Grid]:
    """Every factor from both encodings; where probed, also with batch norm in training mode."""
    grids = _grids("What the encodings predict", run.probes, run)
    return grids + _grids("With batch norm in training mode", run.probes_train_mode, run)


def _grids(title: str, probes: Sequence[Score], run: Run) -> list[Grid]:
    """A table of the factors of each metric."""
    at = {(p.label, p.view): p for p in [*probes, *run.from_content] if p.nonlinear}
    grids = []
    for metric in dict.fromkeys(probe.metric for probe in probes):
        targets = ordered((probe.label for probe in probes if probe.metric == metric), run.process)
        rows = []
        for target in targets:
            found = [at.get((target, view)) for view in VIEWS]
            known = at.get((target, "content"))
            chance = next(p.chance for p in found if p is not None)
            rows.append(
                (
                    factors.shown(target),
                    *(f"{number(p.score)} [{number(p.low)}, {number(p.high)}]" if p else "–" for p in found),
                    number(known.score) if known and factors.role(target, run.process) != "content" else "–",
                    number(chance),
                )
            )
        head = ("factor", "image\nencoding", "text\nencoding", "from\ncontent", "chance")
        blocks = tuple(factors.role(target, run.process) for target in targets)
        grids.append(Grid(title=f"{title}: {METRICS[metric]}", head=head, rows=tuple(rows), blocks=blocks))
    return grids


def ordered(targets: Iterable[str], process: Mapping[str, Any]) -> list[str]:
    """Factors, each once: content first, then style, then what is specific to a modality."""
    return sorted(
        dict.fromkeys(targets), key=lambda target: factors.ROLES.index(factors.role(target, process))
    )


def effect_of_train_mode(run: Run) -> list[str]:
    """In words, how far the scores of text factors move when batch norm is left in training mode."""
    if not run.probes_train_mode:
        return []
    before = {(p.view, p.label): p.score for p in run.probes if p.nonlinear}
    moved = {
        (p.view, p.label): p.score - before[p.view, p.label]
        for p in run.probes_train_mode
        if p.nonlinear and (p.view, p.label) in before
    }
    text = {target: change for (view, target), change in moved.items() if view == "text"}
    if not text:
        return []
    most = max(text, key=lambda target: abs(text[target]))
    return [
        "With batch norm in training mode the scores from the text encoding change by "
        f"{number(fmean(text.values()), sign=True)} on average, most for {factors.shown(most)} "
        f"({number(text[most], sign=True)})."
    ]


def over_sizes(sweep: Sweep, runs: Runs, published: Published | None) -> Parts:
    """Image factors from image encodings, and text factors from text encodings, over a value such as their size."""
    assert sweep.x is not None
    cells = sorted(sweep.cells, key=lambda cell: cell.values[str(sweep.x)])
    at = {cell.name: float(cell.values[sweep.x]) for cell in cells}
    grids: list[Grid | Comparison] = []
    panels, found = [], []
    done = [run for cell in cells for run in runs[cell.name].values()]
    process = done[0].process if done else {}
    for letter, view in zip("ab", VIEWS, strict=True):
        own = [entry for cell in cells for entry in _entries(sweep, runs, cell, view)]
        found += own
        targets = ordered((entry.target for entry in own), process)
        columns = {
            factors.shown(target): [
                next((e for e in own if e.cell == cell and e.target == target), None) for cell in cells
            ]
            for target in targets
        }
        title = f"Prediction of {view} factors from {view} encodings"
        labels = {heading(sweep.x): [value_text(cell.values[sweep.x]) for cell in cells]}
        for start in range(0, max(1, len(columns)), ABREAST):
            part = dict(list(columns.items())[start : start + ABREAST])
            grids.append(Comparison(title="" if start else title, labels=labels, columns=part))
        series = tuple(
            Series(
                name=name,
                block=factors.role(target, process),
                metric=next(e.metric for e in entries if e is not None),
                note=_note(target, [e for e in entries if e is not None], done),
                points=points([e for e in entries if e is not None], at),
            )
            for (name, entries), target in zip(columns.items(), targets, strict=True)
        )
        panels.append(Panel(title=f"({letter}) {title}", series=series))
    lead = (
        "R² of kernel ridge regression for continuous factors, accuracy of an MLP for discrete ones, fitted on "
        f"training samples and scored on the test split. {SPREAD}."
    )
    draw = partial(figures.bands, panels, title=sweep.title, xlabel=heading(sweep.x))
    return lead, grids, [], found, {"factors": draw}


def _note(target: str, entries: Sequence[Entry], runs: Sequence[Run]) -> str:
    """What a score is to be held against: chance, and for style what content alone tells."""
    chances = [entry.chance for entry in entries if entry.chance is not None]
    notes = [f"chance {number(fmean(chances))}"] if chances and entries[0].metric == "accuracy" else []
    known = [
        probe.score
        for run in runs
        for probe in run.from_content
        if probe.label == target and probe.nonlinear and factors.role(target, run.process) == "style"
    ]
    return ", ".join([*notes, f"from content {number(fmean(known))}"] if known else notes)


def _entries(sweep: Sweep, runs: Runs, cell: Cell, view: str) -> Iterator[Entry]:
    """The factors of a view from its own encodings, over the seeds of a cell."""
    scores: dict[tuple[str, str], dict[int, Score]] = {}
    for seed, run in runs[cell.name].items():
        names = factors.seen_by(view, dict.fromkeys(probe.label for probe in run.probes))
        for probe in run.probes:
            if probe.view == view and probe.nonlinear and probe.label in names:
                scores.setdefault((probe.label, probe.metric), {})[seed] = probe
    for (target, metric), probes in scores.items():
        yield Entry(
            cell=cell,
            target=target,
            metric=metric,
            scores={seed: probe.score for seed, probe in probes.items()},
            planned=len(sweep.seeds),
            chance=fmean(probe.chance for probe in probes.values()),
        )
