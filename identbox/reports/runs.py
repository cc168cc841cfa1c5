"""Reports of runs and sweeps, from their records alone: Markdown, CSV, terminal tables and figures.

A sweep has cells, each run with several seeds. For every cell and quantity a report gives the mean over the seeds that
are finished, the sample standard deviation (ddof = 1; the convention of the published ones is not stated), and the 95%
confidence interval of the mean by Student's t, beside the published figure and the test of the difference from it.
Runs that are missing are counted in their cell and named below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from identbox.errors import IdentboxError
from identbox.experiments.records import (
    INTERVENTIONS,
    RESULTS,
    SWEEP,
    Run,
    Runs,
    Sweep,
    read_run,
    read_runs,
    read_sweep,
)
from identbox.metrics.disentanglement_records import tables_by_view
from identbox.metrics.scores import Score
from identbox.reports import figures, generation, generative, sweeps, trial_figures
from identbox.reports.agreement import Agreement
from identbox.reports.beside import beside_tables
from identbox.reports.ceilings import Ceilings, run_ceilings
from identbox.reports.curves import run_curves, sweep_curves
from identbox.reports.figures import Panel, Point, Series
from identbox.reports.report import Report, SweepContents, made_with
from identbox.reports.statistics import Published, SeedScores, read_published
from identbox.reports.wording import METRIC_NAMES, MISSING, number_table
from identbox.tables import Table
from identbox.texts import fixed_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENTRY_COLUMNS = ("intervention", "target", "metric", "seeds", "planned", "mean", "sd", "ci_low", "ci_high")
FEW_COMPONENTS = 6  # components of a target that are all shown
SCORE_COLUMNS = ("intervention", "probe", "metric", "score", "low", "high", "chance")  # of a run
PUBLISHED_COLUMNS = ("chance", "ceiling", "published", "published_sd", "published_seeds", "difference")
AGREEMENT_COLUMNS = ("informative", "difference_low", "difference_high", "p", "p_holm", "agreement")


def read_report(path: Path, beside: Sequence[Path] = ()) -> Report:
    """The report of the folder of a sweep or of a run; a sweep's with the figures of others ``beside`` its own.

    Raises IdentboxError for a folder that is neither, and for records that are damaged or do not fit together.
    """
    if (path / SWEEP).exists():
        return sweep_report(path, beside)
    if beside:
        raise IdentboxError(f"--beside: expected a sweep that it stands beside, got {path}")
    if (path / RESULTS).exists():
        return run_report(path)
    got = "neither" if path.is_dir() else "no folder"
    raise IdentboxError(f"{path}: expected a folder with {SWEEP} or {RESULTS}, got {got}")


def sweep_report(path: Path, beside: Sequence[Path] = ()) -> Report:
    """The report of a sweep's folder, with tables of other sweeps beside it."""
    sweep = read_sweep(path / SWEEP)
    runs = read_runs(path, sweep)
    published = read_published(sweep.published) if sweep.published else None
    contents = contents_of(sweep.report)(sweep, runs, published)
    settings = list(dict.fromkeys(key for cell in sweep.cells for key in cell.values))
    seeds = (f"seed_{seed}" for seed in sweep.seeds)
    drawn, converged = sweep_curves(path, sweep, runs)
    tested = {id(one.entry): one for one in contents.agreements}
    return Report(
        title=sweep.title,
        lead=contents.lead,
        tables=(*contents.tables, *beside_tables(sweep, runs, contents.entries, beside)),
        notes=(*contents.notes, *converged),
        provenance=provenance(sweep, runs, published),
        columns=("cell", *settings, *ENTRY_COLUMNS, *PUBLISHED_COLUMNS, *AGREEMENT_COLUMNS, *seeds),
        rows=tuple(_csv_row(entry, settings, sweep.seeds, tested) for entry in contents.entries),
        figures={**contents.figures, **drawn} if any(runs.values()) else {},
    )


def contents_of(kind: str) -> Callable[[Sweep, Runs, Published | None], SweepContents]:
    """What makes the contents of a sweep's report of this kind."""
    if kind == "factors":
        # Names of factors come from the rooms that load torch; reports of simulations do without.
        from identbox.reports.factors import factor_contents

        return factor_contents
    return {
        "table": sweeps.score_contents,
        "interventions": sweeps.score_contents,
        "lines": sweeps.line_contents,
        "elbow": sweeps.loss_contents,
        "inputs": generation.input_contents,
        "generation": generation.value_contents,
        "frontier": generation.frontier_contents,
    }[kind]


def _csv_row(
    entry: SeedScores, settings: Sequence[str], seeds: Sequence[int], tested: Mapping[int, Agreement]
) -> tuple[object, ...]:
    """A quantity of a cell, in the order of the columns of a sweep's CSV."""
    cell, one = entry.cell, tested.get(id(entry))
    agreement: tuple[object, ...] = (None,) * len(AGREEMENT_COLUMNS)
    if one is not None:
        test = one.difference
        numbers = (None,) * 3 if test is None else (*test.interval, test.p)
        agreement = (one.informative, *numbers, one.adjusted, one.outcome)
    return (
        *(cell.name, *(cell.values.get(key) for key in settings)),
        *(entry.intervention, entry.target, entry.metric),
        *(len(entry.scores), entry.planned, entry.mean, entry.sd, *(entry.interval or (None, None))),
        *(getattr(entry, name) for name in PUBLISHED_COLUMNS),
        *agreement,
        *(entry.scores.get(seed) for seed in seeds),
    )


def provenance(sweep: Sweep, runs: Runs, published: Published | None) -> tuple[str, ...]:
    """Where the numbers come from: versions, machines, steps, seeds, which runs are missing, what is published."""
    done = [run for by_seed in runs.values() for run in by_seed.values()]
    planned = [(cell.name, seed) for cell in sweep.cells for seed in sweep.seeds]
    missing = [f"{name}-seed{seed}" for name, seed in planned if seed not in runs[name]]
    lines = [
        f"Sweep {sweep.name}, preset {sweep.preset}, seeds {', '.join(map(str, sweep.seeds))}. "
        f"{len(done)} of {len(planned)} runs finished"
        + (f"; missing: {', '.join(missing)}." if missing else ".")
    ]
    if done:
        lines.append(made_with(done))
    if published:
        lines.append(f"Published figures: {published.source}.")
    return tuple(lines)


def run_report(path: Path) -> Report:
    """The report of a run's folder."""
    run = read_run(path / RESULTS)
    lead, tables, notes = _simulation_tables(run) if not run.on_dataset else _factor_tables(run)
    if any(probe.intervention for probe in run.probes):
        means = {(i, key): score for i in INTERVENTIONS for key, (score, _) in run.scores(i).items()}
        title = "Nonlinear probes after permuting a block, mean of views"
        tables.append(sweeps.intervention_matrix(title, means))
    tables += tables_by_view(run.disentanglement)
    tables += generative.run_tables(run)
    tables += generative.subset_tables(run)
    notes += generative.bound_notes(run)
    losses = ", ".join(f"{name} {value:.4f}" for name, value in run.losses.items())
    title = f"Run {path.resolve().name}"
    panels = _panels(_before_interventions(run))
    draw = partial(figures.draw_dots, [("", panels)], title=title)
    return Report(
        title=title,
        lead=lead,
        tables=tuple(tables),
        notes=(*notes, f"Losses in nats: {losses}."),
        provenance=(f"Seed {run.seed}. {made_with([run])}",),
        columns=("view", "target", *SCORE_COLUMNS, "components"),
        rows=tuple(
            (p.view, p.label, *(getattr(p, name) for name in SCORE_COLUMNS), " ".join(map(str, p.components)))
            for p in run.probes
        ),
        figures={**({"probes": draw} if panels else {}), **_trial_figures(run), **run_curves(path, run)},
    )


def _trial_figures(run: Run) -> dict[str, Callable[[], Figure]]:
    """Pictures of what counterfactual splits and the scores of the field say of a run, where it has them."""
    drawn: dict[str, Callable[[], Figure]] = {}
    if run.displacement:
        drawn["displacement"] = partial(trial_figures.displacement_figure, run.displacement)
    if run.interventions:
        drawn["interventions"] = partial(trial_figures.intervention_figure, run.interventions)
    if run.disentanglement:
        drawn["scores"] = partial(trial_figures.score_figure, run.disentanglement)
    return drawn


def _before_interventions(run: Run) -> list[Score]:
    return [probe for probe in run.probes if probe.intervention is None]


def _simulation_tables(run: Run) -> tuple[str, list[Table], list[str]]:
    """The first sentence, the tables and the notes of a run of a simulation."""
    probes = _before_interventions(run)
    ceilings = run_ceilings(run)
    lead = (
        "Scores of probes on held-out samples. The interval is for the best predictor of its kind: its lower end is "
        "that of the test score, its upper end comes from the residuals of training."
    )
    if ceilings:
        lead += " The ceiling is the best score that content alone allows."
    return lead, [_score_table(probes, ceilings), *_component_tables(probes)], []


def _factor_tables(run: Run) -> tuple[str, list[Table], list[str]]:
    """The first sentence, the tables and the notes of a run on images and text."""
    from identbox.reports import factors

    return factors.FACTOR_LEAD, factors.factor_tables(run), factors.effect_of_train_mode(run)


def _shown_score(score: float) -> str:
    """A score; an R2 below -10 says only that a regression failed: of fewer samples than dimensions, say."""
    return fixed_digits(score) if score >= -10 else "< -10"


def _score_table(probes: Sequence[Score], ceilings: Ceilings) -> Table:
    """Every target from every view, by both predictors, beside chance and, where known, the ceiling."""
    at = {(probe.label, probe.view, not probe.nonlinear): probe for probe in probes}
    rows = []
    for target, view in dict.fromkeys((probe.label, probe.view) for probe in probes):
        nonlinear, linear = (at.get((target, view, kind)) for kind in (False, True))
        one = nonlinear or linear
        assert one is not None
        interval = f"[{fixed_digits(nonlinear.low)}, {fixed_digits(nonlinear.high)}]" if nonlinear else ""
        first, second = (_shown_score(p.score) if p else MISSING for p in (nonlinear, linear))
        metric = METRIC_NAMES.get(one.metric, one.metric)
        row = [target, view, metric, first, interval, second, fixed_digits(one.chance)]
        if ceilings:
            best = ceilings.get((view, target, None))
            row.append(MISSING if best is None else fixed_digits(best))
        rows.append(tuple(row))
    head = (
        "target",
        "view",
        "metric",
        "nonlinear",
        "95% CI",
        "linear",
        "chance",
        *["ceiling"] * bool(ceilings),
    )
    return number_table("What the encodings predict", head, rows)


def _component_tables(probes: Sequence[Score]) -> list[Table]:
    """The worst and the best component of every target of several, and all of them where they are few."""
    own = [probe for probe in probes if probe.nonlinear and len(probe.components) > 1]
    if not own:
        return []
    few = max(len(probe.components) for probe in own) <= FEW_COMPONENTS
    rows = []
    for probe in own:
        worst, best = min(probe.components), max(probe.components)
        at = probe.components.index(worst) + 1
        row = [probe.label, probe.view, f"{fixed_digits(worst)} ({at})", fixed_digits(best)]
        rows.append((*row, *[" ".join(map(fixed_digits, probe.components))] * few))
    head = ("target", "view", "worst (its number)", "best", *["all components"] * few)
    return [number_table("Components by themselves, nonlinear", head, rows)]


def _panels(probes: Sequence[Score]) -> list[Panel]:
    """For each metric a panel of targets, the views side by side."""
    panels = []
    for metric in dict.fromkeys(probe.metric for probe in probes):
        own = [probe for probe in probes if probe.metric == metric and probe.nonlinear]
        rows = list(dict.fromkeys(probe.label for probe in own))
        series = [
            Series(
                name=f"view {view}",
                block=f"view {view}",
                metric=metric,
                points=tuple(
                    Point(at=float(rows.index(p.label)), value=p.score, low=p.low, high=p.high)
                    for p in own
                    if p.view == view
                ),
            )
            for view in dict.fromkeys(probe.view for probe in own)
        ]
        panels.append(Panel(title="", rows=tuple(rows), series=tuple(series)))
    return panels
