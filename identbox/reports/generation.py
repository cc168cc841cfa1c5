"""What sweeps of multimodal VAEs on datasets show: coherence and quality by inputs, over a value, and side by side.

Every quantity is a number of a run, so that a cell has its mean and spread over seeds. What the thesis says in words of
its figures is held against them, line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from identbox.experiments.records import Cell, Run, Runs, Sweep
from identbox.reports import generation_figures
from identbox.reports.claims import CLAIMS, claims_notes, claims_table, judged_claims
from identbox.reports.comparisons import Comparison
from identbox.reports.generation_figures import FrontierPoint, LinePanel, LineSeries
from identbox.reports.report import SPREAD, SweepContents
from identbox.reports.statistics import Published, SeedScores
from identbox.reports.wording import cell_label, setting_name, value_text
from identbox.tables import Table
from identbox.texts import fixed_digits

FID = "FID"  # what a record calls distances of Inception's features
SPECIFIC = ", specific"  # what the name of an embedding of a modality's own dimensions ends with


@dataclass(frozen=True)
class GeneratedQuantity:
    """A number that a run has: how a report names it, in what, and how it is read from the record."""

    name: str
    metric: str
    read: Callable[[Run], float | None]
    digits: int = 2


def mean_of(values: Iterable[float]) -> float | None:
    """The mean, or None of nothing."""
    known = list(values)
    return fmean(known) if known else None


def modalities_of(run: Run) -> int:
    """How many modalities a run has."""
    return len(run.dataset.get("modalities", ()))


def probe_of(run: Run, inputs: int) -> float | None:
    """Accuracy of linear probes of shared classes from embeddings given that many modalities, over all subsets."""
    return mean_of(
        probe.score
        for probe in (*run.probes, *run.probes_subsets)
        if not probe.nonlinear
        and probe.metric == "accuracy"
        and probe.role == "content"
        and SPECIFIC not in probe.view
        and probe.view.count("+") == inputs - 1
    )


def specific_of(run: Run) -> float | None:
    """Accuracy of linear probes of shared classes from the dimensions that are specific to each modality."""
    return mean_of(
        probe.score
        for probe in run.probes_subsets
        if probe.view.endswith(SPECIFIC) and probe.metric == "accuracy" and probe.role == "content"
    )


def coherence_of(run: Run, inputs: int) -> float | None:
    """Conditional coherence given that many modalities, over all generated samples together."""
    own = [one for one in run.coherence if len(one["given"]) == inputs and one["metric"] == "accuracy"]
    total = sum(one["samples"] for one in own)
    return sum(one["score"] * one["samples"] for one in own) / total if total else None


def frechet_of(run: Run, inputs: int) -> float | None:
    """The mean Frechet distance of what is generated given that many other modalities."""
    return mean_of(one["distance"] for one in run.frechet if len(one["given"]) == inputs)


def unconditional_frechet(run: Run, place: int | None = None) -> float | None:
    """The mean Frechet distance over the modalities that are generated from the prior, or that of one of them."""
    names = run.dataset.get("modalities", ())
    wanted = names if place is None else names[place : place + 1]
    return mean_of(one["distance"] for one in run.frechet_unconditional if one["made"] in wanted)


def joint_likelihood(run: Run, inputs: int | None = None) -> float | None:
    """The joint log-likelihood, proposed from all modalities or from so many of them."""
    if inputs is not None:
        return mean_of(one["mean"] for one in run.likelihood_by_inputs if len(one["inputs"]) == inputs)
    return run.likelihood[0]["mean"] if run.likelihood else None


def ceiling_of(run: Run) -> float | None:
    """The mean accuracy of the judges on real data."""
    return mean_of(one["ceiling"] for one in run.coherence if one["metric"] == "accuracy")


OVERALL = (
    GeneratedQuantity("linear probe of specific dimensions", "accuracy", specific_of),
    GeneratedQuantity("pairwise coherence", "accuracy", lambda run: coherence_of(run, 1)),
    GeneratedQuantity(
        "leave-one-out coherence", "accuracy", lambda run: coherence_of(run, max(1, modalities_of(run) - 1))
    ),
    GeneratedQuantity(
        "unconditional coherence",
        "accuracy",
        lambda run: mean_of(one["score"] for one in run.coherence_unconditional),
    ),
    GeneratedQuantity("Frechet distance, from one modality", "distance", lambda run: frechet_of(run, 1), 1),
    GeneratedQuantity("Frechet distance, unconditional", "distance", unconditional_frechet, 1),
    GeneratedQuantity(
        "Frechet distance of the first modality", "distance", lambda run: unconditional_frechet(run, 0), 1
    ),
    GeneratedQuantity("joint log-likelihood", "nats", joint_likelihood, 1),
)
OVERALL_TABLES = {
    "Coherence, and what specific dimensions encode": [one for one in OVERALL if one.metric == "accuracy"],
    "Quality": [one for one in OVERALL if one.metric != "accuracy"],
}


def quantity_entries(
    sweep: Sweep, runs: Runs, quantities: Sequence[GeneratedQuantity]
) -> Iterator[SeedScores]:
    """Every quantity of every cell, over the seeds that have it."""
    for cell in sweep.cells:
        for one in quantities:
            found = {seed: one.read(run) for seed, run in runs[cell.name].items()}
            scores = {seed: value for seed, value in found.items() if value is not None}
            yield SeedScores(
                cell=cell, target=one.name, metric=one.metric, scores=scores, planned=len(sweep.seeds)
            )


def _tables(
    sweep: Sweep, entries: Sequence[SeedScores], groups: Mapping[str, Sequence[GeneratedQuantity]]
) -> list[Table | Comparison]:
    """A table for each group of quantities, a row for each cell; quantities that no cell has are left out."""
    at = {(entry.cell.name, entry.target): entry for entry in entries}
    labels = {"model": [cell_label_of(cell) for cell in sweep.cells]}
    tables: list[Table | Comparison] = []
    for title, quantities in groups.items():
        columns = {
            one.name: [at.get((cell.name, one.name)) for cell in sweep.cells]
            for one in quantities
            if any(at[cell.name, one.name].scores for cell in sweep.cells)
        }
        if columns:
            digits = min(one.digits for one in quantities)
            tables.append(Comparison(title=title, labels=labels, columns=columns, digits=digits))
    return tables


def cell_label_of(cell: Cell, but_for: str | None = None) -> str:
    """A cell by its model, where models differ, and what else it differs in, but for one value."""
    rest = {key: value for key, value in cell.values.items() if key not in ("model", but_for)}
    return ", ".join(filter(None, (cell.values.get("model"), cell_label(rest)))) or cell.name


def _judge_notes(runs: Runs) -> list[str]:
    """What all numbers rest on: how many samples, which judges, which data."""
    done = [run for by_seed in runs.values() for run in by_seed.values()]
    if not done:
        return []
    samples = sorted({one["samples"] for run in done for one in run.coherence})
    ceilings = [value for run in done if (value := ceiling_of(run)) is not None]
    features = sorted({one["features"] for run in done for one in run.frechet_unconditional})
    training = sorted({run.dataset.get("train", 0) for run in done})
    notes = [f"Trained on {', '.join(f'{n:,}' for n in training)} samples, {done[0].steps:,} steps."]
    if ceilings:
        notes.append(
            f"Judges of the classes are right on {fixed_digits(100 * fmean(ceilings), 1)}% of real test images, which "
            f"is the ceiling of coherence. Each coherence rests on {' or '.join(map(str, samples))} samples."
        )
    if features:
        judged = [one for one in features if one != FID]
        if judged:
            notes.append(
                f"{', '.join(judged)}: not the FID, which has Inception features. Only values with the same judges and "
                "as many samples compare."
            )
        if FID in features:
            notes.append(
                "The Frechet distance is the FID: its features are Inception's. Only values of as many samples compare."
            )
    return notes


def input_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Probe, coherence and likelihood over the number of input modalities: Figure 5.1."""
    most = max((modalities_of(run) for by_seed in runs.values() for run in by_seed.values()), default=0)
    sizes = range(1, most + 1)
    groups = {
        "Shared classes read from the embedding, by number of inputs": [
            GeneratedQuantity(f"probe {k}", "accuracy", partial(probe_of, inputs=k)) for k in sizes
        ],
        "Coherence of the missing modalities, by number of inputs": [
            GeneratedQuantity(f"coherence {k}", "accuracy", partial(coherence_of, inputs=k))
            for k in sizes[:-1]
        ],
        "Joint log-likelihood in nats, by number of inputs of the proposal": [
            GeneratedQuantity(f"likelihood {k}", "nats", partial(joint_likelihood, inputs=k), 0)
            for k in sizes
        ],
    }
    quantities = [one for own in groups.values() for one in own]
    entries = list(quantity_entries(sweep, runs, [*quantities, *OVERALL]))
    tables = _tables(sweep, entries, {**groups, **OVERALL_TABLES})
    claims = judged_claims(entries, CLAIMS["inputs"])
    panels = [
        LinePanel(
            title=title.partition(",")[0],
            xlabel="input modalities",
            series=_by_model(
                sweep, entries, [(one.name, float(k + 1)) for k, one in enumerate(own)], published
            ),
        )
        for title, own in groups.items()
    ]
    return SweepContents(
        lead=(
            "Averages over all subsets of a size. Log-likelihoods are by importance sampling from the posterior given "
            f"the inputs: lower bounds in expectation. {SPREAD}."
        ),
        tables=[*tables, *_published_table(published), *claims_table(claims)],
        notes=[*claims_notes(claims), *_judge_notes(runs), *_published_note(published)],
        entries=entries,
        figures={"inputs": partial(generation_figures.draw_panels, panels, title=sweep.title)},
    )


def _published_table(published: Published | None) -> list[Table]:
    """The published figures themselves, a row for each model."""
    if published is None:
        return []
    names = [name for name in published.rows[0][0] if name != "model"]
    rows = [
        (str(key["model"]), *(fixed_digits(float(key[name])) for name in names)) for key, _ in published.rows
    ]
    return [Table("Published figures", ("model", *names), rows, align="l" + "r" * len(names))]


def _published_note(published: Published | None) -> list[str]:
    return [f"Hollow markers: {published.source}."] if published else []


def _by_model(
    sweep: Sweep,
    entries: Sequence[SeedScores],
    places: Sequence[tuple[str, float]],
    published: Published | None = None,
) -> tuple[LineSeries, ...]:
    """A line for each cell over named quantities, and the published figures beside it."""
    at = {(entry.cell.name, entry.target): entry for entry in entries}
    series = []
    for number, cell in enumerate(sweep.cells):
        points = [(x, at[cell.name, name]) for name, x in places]
        series.append(LineSeries(name=cell_label_of(cell), color=number, points=_points(points)))
        theirs = _published_of(published, cell)
        hollow = [(x, theirs[key]) for name, x in places if (key := name.replace(" ", "")) in theirs]
        if hollow:
            points_of = tuple((x, value, value, value) for x, value in hollow)
            series.append(LineSeries(name="", color=number, points=points_of, hollow=True))
    return tuple(series)


def _published_of(published: Published | None, cell: Cell) -> dict[str, float]:
    """The published figures of the model of a cell, by the name of their column."""
    rows = (
        [key for key, _ in published.rows if key.get("model") == cell.values.get("model")]
        if published
        else []
    )
    return {name: value for row in rows for name, value in row.items() if isinstance(value, float)}


def _points(found: Iterable[tuple[float, SeedScores]]) -> tuple[tuple[float, float, float, float], ...]:
    """Means with one standard deviation over the seeds each way."""
    return tuple(
        (x, entry.mean, entry.mean - (entry.sd or 0.0), entry.mean + (entry.sd or 0.0))
        for x, entry in found
        if entry.mean is not None
    )


def value_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Every overall quantity over a value, a line for each model and what else differs.

    Figures 6.3, 6.6, 7.3, 7.4, 7.5, 9.2 and 9.3.
    """
    assert sweep.x is not None
    entries = list(quantity_entries(sweep, runs, OVERALL))
    at = {(entry.cell.name, entry.target): entry for entry in entries}
    lines: dict[str, list[Cell]] = {}
    for cell in sorted(sweep.cells, key=lambda cell: float(cell.values[str(sweep.x)])):
        lines.setdefault(cell_label_of(cell, but_for=sweep.x), []).append(cell)
    panels = []
    for one in OVERALL:
        series = tuple(
            LineSeries(
                name=label,
                color=number,
                points=_points((float(cell.values[sweep.x]), at[cell.name, one.name]) for cell in cells),
            )
            for number, (label, cells) in enumerate(lines.items())
        )
        if any(line.points for line in series):
            panels.append(LinePanel(title=one.name, xlabel=setting_name(sweep.x), series=series))
    tables = _tables(sweep, entries, OVERALL_TABLES)
    claims = judged_claims(entries, CLAIMS.get(sweep.x, ()), x=sweep.x)
    return SweepContents(
        lead=f"Each model over {setting_name(sweep.x)} ({_values_of_runs(sweep)}). {SPREAD}.",
        tables=[*tables, *claims_table(claims)],
        notes=[*claims_notes(claims), *_judge_notes(runs)],
        entries=entries,
        figures={"lines": partial(generation_figures.draw_panels, panels, title=sweep.title)},
    )


def _values_of_runs(sweep: Sweep) -> str:
    return ", ".join(dict.fromkeys(value_text(cell.values[str(sweep.x)]) for cell in sweep.cells))


BETTER_SIDES = {
    "conditional": ("Frechet distance, from one modality", "pairwise coherence"),
    "unconditional": ("Frechet distance, unconditional", "unconditional coherence"),
}


def frontier_contents(sweep: Sweep, runs: Runs, published: Published | None) -> SweepContents:
    """Quality against coherence, conditional and unconditional, and which cells no other beats in both: Figure 6.4."""
    entries = list(quantity_entries(sweep, runs, OVERALL))
    at = {(entry.cell.name, entry.target): entry for entry in entries}
    models = list(dict.fromkeys(cell.values.get("model", cell.name) for cell in sweep.cells))
    sides: dict[str, list[FrontierPoint]] = {}
    notes = []
    for side, names in BETTER_SIDES.items():
        points = []
        for cell in sweep.cells:
            distance, coherent = (at[cell.name, name] for name in names)
            if distance.mean is None or coherent.mean is None:
                continue
            points.append(
                FrontierPoint(
                    name=cell_label_of(cell),
                    color=models.index(cell.values.get("model", cell.name)),
                    model=str(cell.values.get("model", cell.name)),
                    x=distance.mean,
                    y=coherent.mean,
                    x_ends=distance.interval or (distance.mean, distance.mean),
                    y_ends=coherent.interval or (coherent.mean, coherent.mean),
                )
            )
        best = frontier(points)
        sides[side] = [point.marked(point in best) for point in points]
        if points:
            named = "; ".join(f"{one.name} ({fixed_digits(one.y)}, {fixed_digits(one.x, 1)})" for one in best)
            notes.append(
                f"On the {side} frontier (coherence, Frechet distance), no other is better in both: {named}."
            )
    tables = _tables(sweep, entries, OVERALL_TABLES)
    claims = judged_claims(entries, CLAIMS["frontier"])
    return SweepContents(
        lead=f"Quality (lower is better) against coherence (higher is better). {SPREAD}.",
        tables=[*tables, *claims_table(claims)],
        notes=[*notes, *claims_notes(claims), *_judge_notes(runs)],
        entries=entries,
        figures={"frontier": partial(generation_figures.draw_frontier, sides, title=sweep.title)},
    )


def frontier(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The points that no other beats: none has at most their distance and at least their coherence, and one better."""
    return [
        one
        for one in points
        if not any(
            other.x <= one.x and other.y >= one.y and (other.x, other.y) != (one.x, one.y) for other in points
        )
    ]
