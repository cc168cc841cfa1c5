"""What the reports of image/text runs show: factors by encodings, and over encoding sizes (Figures 8.3 and A.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean, stdev
from typing import Any

from identbox.data import factors
from identbox.data.factors import VIEWS
from identbox.experiments.records import Cell, Run, Runs, Sweep
from identbox.identifiability.intervention_tables import intervention_tables
from identbox.metrics.displacement_records import displacement_table
from identbox.metrics.scores import Score
from identbox.reports import figures
from identbox.reports.comparisons import Comparison
from identbox.reports.figures import Panel, Series
from identbox.reports.report import SPREAD, SweepContents, mean_points
from identbox.reports.statistics import Published, SeedScores
from identbox.reports.sweeps import score_contents
from identbox.reports.wording import (
    METRIC_NAMES,
    MISSING,
    cell_label,
    number_table,
    setting_name,
    value_text,
)
from identbox.tables import Table
from identbox.texts import fixed_digits

FACTORS_ABREAST = 3  # factors side by side, so that a table fits a terminal of 80 characters
FACTOR_LEAD = (
    "Scores of nonlinear probes (R² of kernel ridge regression for continuous factors, the accuracy of an MLP for "
    "discrete ones), fitted on training samples and scored on the test split, with an interval for the best predictor. "
    "“From content” is the score of the same probes when they predict a factor from shape and position alone. "
    "Content factors are bold, style factors italic."
)


def factor_tables(run: Run) -> list[Table]:
    """Every factor from both encodings; where probed, also with batch norm in training mode."""
    tables = _tables_by_metric("What the encodings predict", run.probes, run)
    tables += _tables_by_metric("With batch norm in training mode", run.probes_train_mode, run)
    if run.displacement:
        tables.append(displacement_table(run.displacement, "What moves the encodings"))
    return tables + intervention_tables(run.interventions)


def _tables_by_metric(title: str, probes: Sequence[Score], run: Run) -> list[Table]:
    """A table of the factors of each metric."""
    at = {(p.label, p.view): p for p in [*probes, *run.from_content] if p.nonlinear}
    tables = []
    for metric in dict.fromkeys(probe.metric for probe in probes):
        targets = by_role((probe.label for probe in probes if probe.metric == metric), run.process)
        rows = [
            _factor_row(target, [at.get((target, view)) for view in VIEWS], at.get((target, "content")), run)
            for target in targets
        ]
        head = ("factor", "image\nencoding", "text\nencoding", "from\ncontent", "chance")
        blocks = [factors.role(target, run.process) for target in targets]
        tables.append(number_table(f"{title}: {METRIC_NAMES[metric]}", head, rows, blocks))
    return tables


def _factor_row(
    target: str, by_view: list[Score | None], from_content: Score | None, run: Run
) -> tuple[str, ...]:
    """A factor's score from each encoding and, unless it is content itself, from content alone; and chance."""
    scores = [_with_interval(probe) if probe else MISSING for probe in by_view]
    known = MISSING
    if from_content and factors.role(target, run.process) != "content":
        known = fixed_digits(from_content.score)
    chance = next(p.chance for p in by_view if p is not None)
    return factors.factor_label(target), *scores, known, fixed_digits(chance)


def by_role(targets: Iterable[str], process: Mapping[str, Any]) -> list[str]:
    """Factors, each once: content first, then style, then what is specific to a modality."""
    return sorted(
        dict.fromkeys(targets), key=lambda target: factors.FACTOR_ROLES.index(factors.role(target, process))
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
        f"{fixed_digits(fmean(text.values()), sign=True)} on average, most for {factors.factor_label(most)} "
        f"({fixed_digits(text[most], sign=True)})."
    ]


def factor_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Image factors from image encodings, and text factors from text encodings, over a value such as their size.

    Without such a value cells stand side by side, beside blocks of factors as in Table 8.1.
    """
    if sweep.x is None:
        blocks = score_contents(sweep, runs, published)
        lead = f"{blocks.lead} {FACTOR_LEAD}"
        tables: list[Table | Comparison] = [_compared_factors(sweep.cells, runs, view) for view in VIEWS]
        own = [e for cell in sweep.cells for view in VIEWS for e in _entries(sweep, runs, cell, view)]
        if not blocks.entries:  # records that do not say which factor is in which block
            return SweepContents(lead=FACTOR_LEAD, tables=tables, notes=[], entries=own, figures={})
        return replace(blocks, lead=lead, tables=[*blocks.tables, *tables], entries=[*blocks.entries, *own])
    cells = sorted(sweep.cells, key=lambda cell: cell.values[str(sweep.x)])
    at = {cell.name: float(cell.values[sweep.x]) for cell in cells}
    tables = []
    panels, all_entries = [], []
    done = [run for cell in cells for run in runs[cell.name].values()]
    process = done[0].process if done else {}
    for letter, view in zip("ab", VIEWS, strict=True):
        own = [entry for cell in cells for entry in _entries(sweep, runs, cell, view)]
        all_entries += own
        targets = by_role((entry.target for entry in own), process)
        columns = {
            factors.factor_label(target): [
                next((e for e in own if e.cell == cell and e.target == target), None) for cell in cells
            ]
            for target in targets
        }
        title = f"Prediction of {view} factors from {view} encodings"
        labels = {setting_name(sweep.x): [value_text(cell.values[sweep.x]) for cell in cells]}
        for start in range(0, max(1, len(columns)), FACTORS_ABREAST):
            part = dict(list(columns.items())[start : start + FACTORS_ABREAST])
            tables.append(Comparison(title="" if start else title, labels=labels, columns=part))
        series = tuple(
            Series(
                name=name,
                block=factors.role(target, process),
                metric=next(e.metric for e in entries if e is not None),
                note=_note(target, [e for e in entries if e is not None], done),
                points=mean_points([e for e in entries if e is not None], at),
            )
            for (name, entries), target in zip(columns.items(), targets, strict=True)
        )
        panels.append(Panel(title=f"({letter}) {title}", series=series))
    lead = (
        "R² of kernel ridge regression for continuous factors, accuracy of an MLP for discrete ones, fitted on "
        f"training samples and scored on the test split. {SPREAD}."
    )
    draw = partial(figures.draw_bands, panels, title=sweep.title, xlabel=setting_name(sweep.x))
    return SweepContents(lead=lead, tables=tables, notes=[], entries=all_entries, figures={"factors": draw})


def _compared_factors(cells: Sequence[Cell], runs: Runs, view: str) -> Table:
    """The factors of a view from its own encodings: a column for each cell, and what content and chance give.

    A score of one seed has its interval; one of several seeds is their mean, with its standard deviation.
    """
    done = [run for cell in cells for run in runs[cell.name].values()]
    process = done[0].process if done else {}
    scores: dict[tuple[str, str], list[Score]] = {}
    for cell in cells:
        for run in runs[cell.name].values():
            for probe in _own_probes(run, view):
                scores.setdefault((probe.label, cell.name), []).append(probe)
    rows, blocks = [], []
    for target in by_role((name for name, _ in scores), process):
        of_target = [probe for (name, _), own in scores.items() if name == target for probe in own]
        known = [] if factors.role(target, process) == "content" else _from_content(target, done)
        told = fixed_digits(fmean(known)) if known else MISSING
        metric = METRIC_NAMES[of_target[0].metric]
        shown = [_over_seeds(scores.get((target, cell.name), [])) for cell in cells]
        chance = fixed_digits(fmean(probe.chance for probe in of_target))
        rows.append((f"{factors.factor_label(target)} ({metric})", *shown, told, chance))
        blocks.append(factors.role(target, process))
    head = ("factor", *(_short_name(cell) for cell in cells), "from content", "chance")
    return number_table(f"{view.capitalize()} factors from {view} encodings", head, rows, blocks)


def _short_name(cell: Cell) -> str:
    """What tells a cell from others: its one value, or the names of several with them."""
    values = [value for value in cell.values.values() if value is not None]
    return value_text(values[0]) if len(values) == 1 else cell_label(cell.values) or cell.name


def _over_seeds(probes: Sequence[Score]) -> str:
    """One score with its interval, or the mean of several with their standard deviation."""
    if not probes:
        return MISSING
    if len(probes) == 1:
        return _with_interval(probes[0])
    scores = [probe.score for probe in probes]
    return f"{fixed_digits(fmean(scores))} ± {fixed_digits(stdev(scores))}"


def _with_interval(probe: Score) -> str:
    return f"{fixed_digits(probe.score)} [{fixed_digits(probe.low)}, {fixed_digits(probe.high)}]"


def _note(target: str, entries: Sequence[SeedScores], runs: Sequence[Run]) -> str:
    """What a score is compared with: chance, and for style the score from content alone."""
    chances = [entry.chance for entry in entries if entry.chance is not None]
    notes = [f"chance {fixed_digits(fmean(chances))}"] if chances and entries[0].metric == "accuracy" else []
    styled = [run for run in runs if factors.role(target, run.process) == "style"]
    known = _from_content(target, styled)
    return ", ".join([*notes, f"from content {fixed_digits(fmean(known))}"] if known else notes)


def _from_content(target: str, runs: Iterable[Run]) -> list[float]:
    """What content alone tells of a factor, in each run."""
    return [
        probe.score for run in runs for probe in run.from_content if probe.label == target and probe.nonlinear
    ]


def _own_probes(run: Run, view: str) -> Iterator[Score]:
    """The nonlinear scores of the factors that a view shows, from its own encodings."""
    names = factors.seen_by(view, dict.fromkeys(probe.label for probe in run.probes))
    for probe in run.probes:
        if probe.view == view and probe.nonlinear and probe.label in names:
            yield probe


def _entries(sweep: Sweep, runs: Runs, cell: Cell, view: str) -> Iterator[SeedScores]:
    """The factors of a view from its own encodings, over the seeds of a cell."""
    scores: dict[tuple[str, str], dict[int, Score]] = {}
    for seed, run in runs[cell.name].items():
        for probe in _own_probes(run, view):
            scores.setdefault((probe.label, probe.metric), {})[seed] = probe
    for (target, metric), probes in scores.items():
        yield SeedScores(
            cell=cell,
            target=target,
            metric=metric,
            scores={seed: probe.score for seed, probe in probes.items()},
            planned=len(sweep.seeds),
            chance=fmean(probe.chance for probe in probes.values()),
        )
