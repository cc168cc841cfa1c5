"""Reports of runs and sweeps of simulations, from their records alone: Markdown, CSV, terminal tables and figures.

A sweep has cells, each run with several seeds. For every cell and quantity a report gives the mean over the seeds that
are finished, the sample standard deviation (ddof = 1; the convention of the published ones is not stated), and the 95%
confidence interval of the mean by Student's t, beside the published figure and the difference from it. Runs that are
missing are counted in their cell and named below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from identbox.errors import IdentboxError
from identbox.experiments.records import (
    INTERVENTIONS,
    RESULTS,
    SWEEP,
    Runs,
    Sweep,
    read_run,
    read_runs,
    read_sweep,
)
from identbox.metrics.scores import Score
from identbox.reports import factors, sweeps
from identbox.reports import figures as reports_figures
from identbox.reports.figures import Panel, Point, Series
from identbox.reports.report import Report, made_with
from identbox.reports.statistics import Published, read_published
from identbox.reports.tables import METRICS, Comparison, Grid, number

if TYPE_CHECKING:
    pass


SCORED = ("intervention", "probe", "metric", "score", "low", "high", "chance")  # columns of a run's table.csv


def read(path: Path) -> Report:
    """The report of the folder of a sweep or of a run.

    Raises IdentboxError for a folder that is neither, and for records that are damaged or do not fit together.
    """
    if (path / SWEEP).exists():
        return of_sweep(path)
    if (path / RESULTS).exists():
        return of_run(path)
    got = "neither" if path.is_dir() else "no folder"
    raise IdentboxError(f"{path}: expected a folder with {SWEEP} or {RESULTS}, got {got}")


def of_sweep(path: Path) -> Report:
    """The report of a sweep's folder."""
    sweep = read_sweep(path / SWEEP)
    runs = read_runs(path, sweep)
    published = read_published(sweep.published) if sweep.published else None
    build = {
        "table": sweeps.scores,
        "interventions": sweeps.scores,
        "lines": sweeps.lines,
        "elbow": sweeps.losses,
        "factors": factors.over_sizes,
    }[sweep.report]
    lead, grids, notes, found, figures = build(sweep, runs, published)
    keys = list(dict.fromkeys(key for cell in sweep.cells for key in cell.values))
    head = (
        "cell",
        *keys,
        "intervention",
        "target",
        "metric",
        "seeds",
        "planned",
        "mean",
        "sd",
        "ci_low",
        "ci_high",
    )
    head += ("chance", "published", "published_sd", "difference", *(f"seed_{seed}" for seed in sweep.seeds))
    rows = tuple(
        (
            *(e.cell.name, *(e.cell.values.get(key) for key in keys), e.intervention, e.target, e.metric),
            *(len(e.scores), e.planned, e.mean, e.sd, *(e.interval or (None, None)), e.chance),
            *(e.published, e.published_sd, e.difference, *(e.scores.get(seed) for seed in sweep.seeds)),
        )
        for e in found
    )
    return Report(
        title=sweep.title,
        lead=lead,
        grids=tuple(grids),
        notes=tuple(notes),
        provenance=provenance(sweep, runs, published),
        head=head,
        rows=rows,
        figures=figures if any(runs.values()) else {},
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


def of_run(path: Path) -> Report:
    """The report of a run's folder."""
    run = read_run(path / RESULTS)
    probes = [probe for probe in run.probes if probe.intervention is None]
    lead = "Scores of probes on held-out samples; the interval is a bootstrap over those samples."
    grids: list[Grid | Comparison]
    notes = []
    if run.kind == "image-text":
        lead, grids, notes = (
            factors.LEAD,
            [*factors.predicted(run)],
            factors.effect_of_train_mode(run),
        )
    else:
        grids = [_predicted(probes)]
    if any(probe.intervention for probe in run.probes):
        means = {(i, key): score for i in INTERVENTIONS for key, (score, _) in run.scores(i).items()}
        title = "Nonlinear probes after permuting a block, mean of views"
        grids.append(sweeps.matrix(title, means))
    losses = ", ".join(f"{name} {value:.4f}" for name, value in run.losses.items())
    title = f"Run {path.resolve().name}"
    return Report(
        title=title,
        lead=lead,
        grids=tuple(grids),
        notes=(*notes, f"Losses in nats: {losses}."),
        provenance=(f"Seed {run.seed}. {made_with([run])}",),
        head=("view", "target", *SCORED),
        rows=tuple((p.view, p.label, *(getattr(p, name) for name in SCORED)) for p in run.probes),
        figures={"probes": partial(reports_figures.dots, [("", _panels(probes))], title=title)}
        if probes
        else {},
    )


def _predicted(probes: Sequence[Score]) -> Grid:
    """Every target from every view, by both predictors."""
    at = {(probe.label, probe.view, not probe.nonlinear): probe for probe in probes}
    rows = []
    for target, view in dict.fromkeys((probe.label, probe.view) for probe in probes):
        nonlinear, linear = (at.get((target, view, kind)) for kind in (False, True))
        one = nonlinear or linear
        assert one is not None
        interval = f"[{number(nonlinear.low)}, {number(nonlinear.high)}]" if nonlinear else ""
        scores = (
            number(nonlinear.score) if nonlinear else "–",
            interval,
            number(linear.score) if linear else "–",
        )
        rows.append((target, view, METRICS.get(one.metric, one.metric), *scores, number(one.chance)))
    head = ("target", "view", "metric", "nonlinear", "95% CI", "linear", "chance")
    return Grid(title="What the encodings predict", head=head, rows=tuple(rows))


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
