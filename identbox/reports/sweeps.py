"""What the reports of sweeps show: scores beside published ones, scores over a value, losses over encoding sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from identbox.errors import IdentboxError, first_few
from identbox.experiments.records import BLOCKS, INTERVENTIONS, ROLE_NAMES, SWEEP, Cell, Runs, Sweep
from identbox.metrics import elbow
from identbox.reports import figures
from identbox.reports.agreement import Agreement, agreement_notes, agreements
from identbox.reports.comparisons import Comparison
from identbox.reports.convergence import convergence_note, convergence_table
from identbox.reports.curves import TargetMetric
from identbox.reports.figures import ElbowMark, Panel, Series
from identbox.reports.lost_directions import least_costs, lost_direction_notes, lost_directions_table
from identbox.reports.report import SPREAD, SweepContents, mean_points
from identbox.reports.statistics import Published, SeedScores, entries, loss_entries
from identbox.reports.wording import METRIC_NAMES, MISSING, cell_label, number_table, setting_name, value_text
from identbox.tables import Table
from identbox.texts import fixed_digits

SETTING_TITLES = {"multiview": "Multi-view setting", "multimodal": "Multimodal setting"}
SYMBOLS = {"content": "content c", "content'": "content c'", "style": "style s", "modality": "modality m"}
# By how much a published score is above a ceiling, so that neither rounding nor a probe explains it.
ABOVE_CEILING = 0.02
PROBE_SENTENCE = (
    "nonlinear probes (R² of kernel ridge regression; for discrete targets the accuracy of an MLP) on held-out "
    "samples, averaged over the views; modality is each view's own block, read from that view's encodings"
)


def score_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Cells by blocks, beside the published figures: Table 8.1, or after interventions Figure A.6."""
    intervened = sweep.report == "interventions"
    permuted = "content" if intervened else None
    all_entries = list(entries(sweep, runs, INTERVENTIONS if intervened else (None,), published, permuted))
    shown = [entry for entry in all_entries if entry.intervention == permuted]
    tables: list[Table | Comparison] = []
    panels = []
    compared = agreements(shown)
    for setting in dict.fromkeys(cell.values.get("setting") for cell in sweep.cells):
        cells = [cell for cell in sweep.cells if cell.values.get("setting") == setting]
        title = SETTING_TITLES.get(str(setting), "" if setting is None else str(setting))
        own = [entry for entry in shown if entry.cell in cells]
        labels, columns = _labels(cells, ("setting",)), _entry_columns(own, cells, intervened)
        mine = [one for one in compared if one.entry.cell in cells]
        tables.append(Comparison(title=title, labels=labels, columns=columns, agreements=mine))
        panels.append((title, _dot_panels(own, cells, intervened)))
    notes = _published_notes(sweep, compared)
    labels_of_all = _labels(sweep.cells, ())
    converged = convergence_table(labels_of_all, sweep.cells, runs)
    lead = f"Scores of {PROBE_SENTENCE}. {SPREAD}.{_details_sentence(tables)}"
    if intervened:
        tables += [_cell_matrix(sweep, cell, len(runs[cell.name]), all_entries) for cell in sweep.cells]
        lead = (
            "Scores after content is permuted over the batch at test time, all else left alone: c is content before, "
            f"c' after the permutation. {lead} Below, for each cell, the mean scores after a permutation of each block "
            "(rows) for each target before and after it (columns)."
        )
    else:
        costs = {cell.name: least_costs(runs[cell.name].values()) for cell in sweep.cells}
        lost = lost_directions_table(labels_of_all, sweep.cells, runs, costs)
        tables += [lost] if lost else []
        notes += lost_direction_notes(compared, costs)
    tables += [converged] if converged else []
    return SweepContents(
        lead=lead,
        tables=tables,
        notes=[*notes, *convergence_note(runs)],
        entries=all_entries,
        agreements=compared,
        figures={"comparison": partial(figures.draw_dots, panels, title=sweep.title)},
    )


def _details_sentence(tables: Iterable[Table | Comparison]) -> str:
    """What the ceilings and components beside the scores are, where some are shown."""
    shown = {
        key
        for table in tables
        if isinstance(table, Comparison)
        for own in table.details.values()
        for key in own
    }
    sentences = {
        "ceiling": " A ceiling is the best score that content alone allows, averaged over the seeds.",
        "components": " Components are the worst and the best single one of any seed and view.",
    }
    return "".join(text for key, text in sentences.items() if key in shown)


def _cell_matrix(sweep: Sweep, cell: Cell, done: int, all_entries: Iterable[SeedScores]) -> Table:
    """The matrix of one cell, with the number of its seeds where some are missing."""
    means = {
        (entry.intervention, (entry.target, entry.metric)): entry.mean
        for entry in all_entries
        if entry.cell == cell and entry.mean is not None
    }
    seeds = "" if done == len(sweep.seeds) else f" ({done} of {len(sweep.seeds)} seeds)"
    return intervention_matrix((cell_label(cell.values) or cell.name) + seeds, means)


def _labels(cells: Sequence[Cell], without: Sequence[str | None]) -> dict[str, list[str]]:
    """The values of cells as columns of labels; their names where they have no values."""
    keys = [key for key in dict.fromkeys(key for cell in cells for key in cell.values) if key not in without]
    if not keys:
        return {"cell": [cell.name for cell in cells]}
    return {setting_name(key): [value_text(cell.values.get(key)) for cell in cells] for key in keys}


def _ordered(keys: set[TargetMetric]) -> list[TargetMetric]:
    """Targets and metrics in the order of the thesis's tables; R2 of all blocks where there are none."""
    keys = keys or {(block, "r2") for block in ROLE_NAMES.values()}
    return sorted(keys, key=lambda key: (BLOCKS.index(key[0]), key[1] != "r2"))


def _keys(shown: Iterable[SeedScores]) -> list[TargetMetric]:
    return _ordered({(entry.target, entry.metric) for entry in shown})


def target_name(target: str, metric: str, symbols: bool = False) -> str:
    name = SYMBOLS.get(target, target) if symbols else target
    return name if metric == "r2" else f"{name} ({METRIC_NAMES[metric]})"


def _entry_columns(
    all_entries: list[SeedScores], cells: Sequence[Cell], symbols: bool
) -> dict[str, list[SeedScores | None]]:
    """For every target and metric, the entries of cells."""
    at = {(entry.cell.name, entry.target, entry.metric): entry for entry in all_entries}
    return {
        target_name(*key, symbols): [at.get((cell.name, *key)) for cell in cells]
        for key in _keys(all_entries)
    }


def intervention_matrix(title: str, means: Mapping[tuple[str | None, TargetMetric], float]) -> Table:
    """Mean scores after each intervention (rows) for each target (columns)."""
    keys = _ordered({key for _, key in means})
    rows = []
    for intervention in INTERVENTIONS:
        scores = [means.get((intervention, key)) for key in keys]
        name = "none" if intervention is None else ROLE_NAMES[intervention]
        rows.append((name, *(MISSING if mean is None else fixed_digits(mean) for mean in scores)))
    return number_table(title, ("permuted", *(target_name(*key) for key in keys)), rows)


def _published_notes(sweep: Sweep, compared: Sequence[Agreement]) -> list[str]:
    """In words, how many figures agree with the published ones, and whether the settings are the same."""
    notes = agreement_notes(compared)
    if compared and sweep.preset != "thesis":
        notes.append(
            f"The published figures are of the settings of the thesis (Table A.2a), these of the preset {sweep.preset}."
        )
    return notes + _impossible_notes(compared)


def _impossible_notes(compared: Sequence[Agreement]) -> list[str]:
    """The published scores that content alone does not allow, in any of the processes drawn here."""
    notes = []
    for one in compared:
        entry = one.entry
        best, published = entry.highest_ceiling, entry.published
        if best is not None and published is not None and published > best + ABOVE_CEILING:
            notes.append(
                f"The published {entry.target} of {fixed_digits(published)} ({cell_label(entry.cell.values)}) is above "
                f"what content alone allows here: {fixed_digits(best)} in the best of {len(entry.scores)} seeds."
            )
    return notes


def _dot_panels(part: list[SeedScores], cells: Sequence[Cell], symbols: bool) -> list[Panel]:
    """For every target and metric a panel of cells, beside the published figures."""
    at = {cell.name: float(row) for row, cell in enumerate(cells)}
    rows = tuple(
        cell_label({key: value for key, value in cell.values.items() if key != "setting"}) or cell.name
        for cell in cells
    )
    panels = []
    for target, metric in _keys(part):
        own = [entry for entry in part if (entry.target, entry.metric) == (target, metric)]
        series = [Series(name="identbox", block=target, metric=metric, points=mean_points(own, at))]
        theirs = mean_points(own, at, published=True)
        if theirs:
            series.append(Series(name="published", block=target, metric=metric, points=theirs, hollow=True))
        title = SYMBOLS.get(target, target) if symbols else target
        panels.append(Panel(title=title, series=tuple(series), rows=rows))
    return panels


def _groups(sweep: Sweep) -> dict[str, list[Cell]]:
    """Cells that differ in x alone, under what they have in common, by rising x.

    Raises IdentboxError for two cells of a group with the same x.
    """
    x = str(sweep.x)
    groups: dict[str, list[Cell]] = {}
    for cell in sweep.cells:
        rest = {key: value for key, value in cell.values.items() if key != x}
        first = {key: rest.pop(key) for key in list(rest) if key == sweep.panel}
        groups.setdefault(cell_label({**first, **rest}), []).append(cell)
    for cells in groups.values():
        cells.sort(key=lambda cell: cell.values[x])
        if len({cell.values[x] for cell in cells}) < len(cells):
            names = first_few([cell.name for cell in cells])
            raise IdentboxError(f"{SWEEP}: expected one cell of each {x} in a panel, got {names}")
    return groups


def line_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Scores over a value, in a panel for each combination of the others: Figure A.5."""
    assert sweep.x is not None
    all_entries = list(entries(sweep, runs, (None,), published))
    tables: list[Table | Comparison] = []
    panels = []
    for place, (title, cells) in enumerate(_groups(sweep).items()):
        at = {cell.name: float(cell.values[sweep.x]) for cell in cells}
        part = sorted((e for e in all_entries if e.cell.name in at), key=lambda e: at[e.cell.name])
        labels = {setting_name(sweep.x): [value_text(cell.values[sweep.x]) for cell in cells]}
        series = []
        for target, metric in _keys(part):
            own = [entry for entry in part if (entry.target, entry.metric) == (target, metric)]
            chance = tuple((at[e.cell.name], e.chance) for e in own if e.chance is not None)
            series.append(
                Series(name=target, block=target, metric=metric, points=mean_points(own, at), chance=chance)
            )
            if metric == "accuracy":
                by_cell = {entry.cell.name: entry.chance for entry in own}
                known = [by_cell.get(cell.name) for cell in cells]
                labels[f"chance of {target}"] = [
                    MISSING if level is None else fixed_digits(level) for level in known
                ]
        tables.append(Comparison(title=title, labels=labels, columns=_entry_columns(part, cells, False)))
        letter = f"({chr(ord('a') + place)}) " if title else ""
        panels.append(Panel(title=letter + title, series=tuple(series)))

    draw = partial(figures.draw_lines, panels, title=sweep.title, xlabel=setting_name(sweep.x))
    return SweepContents(
        lead=f"Scores of {PROBE_SENTENCE}. Columns without a metric are R². {SPREAD}.",
        tables=tables,
        notes=_published_notes(sweep, agreements(all_entries)),
        entries=all_entries,
        figures={"lines": draw},
    )


def loss_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """The validation loss over encoding sizes, and the number of content factors estimated from it: Figure 8.4a."""
    assert sweep.x is not None
    all_entries = list(loss_entries(sweep, runs))
    tables: list[Table | Comparison] = []
    notes, panels = [], []
    for title, cells in _groups(sweep).items():
        at = {cell.name: float(cell.values[sweep.x]) for cell in cells}
        by_target: dict[str, list[SeedScores | None]] = {
            f"{target} loss": [
                e for cell in cells for e in all_entries if e.cell == cell and e.target == target
            ]
            for target in ("validation", "training")
        }
        sizes = [value_text(cell.values[sweep.x]) for cell in cells]
        tables.append(
            Comparison(title=title, labels={setting_name(sweep.x): sizes}, columns=by_target, digits=3)
        )
        validation = [entry for entry in by_target["validation loss"] if entry]
        knee, why = _estimate(sweep, cells, validation)
        truths = {run.content for cell in cells for run in runs[cell.name].values()}
        truth = truths.pop() if len(truths) == 1 else None
        notes.append(
            f"{title + '. ' if title else ''}Estimated number of content factors: {why}."
            + (f" The true number is {truth}." if truth else "")
        )
        panels.append(_loss_panel(title, at, validation, knee, truth))

    draw = partial(figures.draw_elbow, panels, title=sweep.title, xlabel=setting_name(sweep.x))
    lead = (
        f"Losses in nats, the validation loss on batches that training has not seen. {SPREAD}. The number of content "
        "factors is where a broken stick, fitted to every seed's losses by least squares, bends. It is a lower bound "
        "where the loss still falls or is used up. There is none where a smooth curve describes the losses as well."
    )
    return SweepContents(lead=lead, tables=tables, notes=notes, entries=all_entries, figures={"elbow": draw})


def _loss_panel(
    title: str,
    at: dict[str, float],
    validation: list[SeedScores],
    knee: elbow.Elbow | None,
    truth: int | None,
) -> Panel:
    """The validation loss over the places ``at`` of the cells, with the estimate and the true number."""
    chance = tuple((at[e.cell.name], e.chance) for e in validation if e.chance is not None)
    curve = Series(
        name="validation loss",
        block="content",
        metric="loss",
        points=mean_points(validation, at),
        chance=chance,
    )
    size, low, high = (knee.size, knee.low, knee.high) if knee else (None, None, None)
    bound = knee.at_least if knee else None
    mark = ElbowMark(size=size, low=low, high=high, at_least=bound, truth=truth, judged=knee is not None)
    return Panel(title=title, series=(curve,), mark=mark)


def _estimate(
    sweep: Sweep, cells: Sequence[Cell], validation: list[SeedScores]
) -> tuple[elbow.Elbow | None, str]:
    """The elbow of the seeds that have every size, and the estimate or what it needs in words."""
    whole = [seed for seed in sweep.seeds if all(seed in entry.scores for entry in validation)]
    sizes = [cell.values[str(sweep.x)] for cell in cells]
    if len(sizes) < elbow.FEWEST_SIZES:
        return None, f"needs at least {elbow.FEWEST_SIZES} sizes, there are {len(sizes)}"
    if not whole:
        return None, "needs a seed of which the runs of all sizes are finished, there is none"
    losses = np.array([[entry.scores[seed] for entry in validation] for seed in whole])
    chances = [entry.chance for entry in validation if entry.chance is not None]
    estimated = elbow.estimate(sizes, losses, chance=min(chances, default=None))
    left_out = f", from {len(whole)} of {len(sweep.seeds)} seeds" if len(whole) < len(sweep.seeds) else ""
    return estimated, str(estimated) + left_out
