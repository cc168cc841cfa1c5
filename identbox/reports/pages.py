"""A verification as one HTML page that needs nothing beside itself: no network, no script, no font.

The page says first which predictions came true. Each group of runs follows with its process, the assumptions, what
was predicted and what was measured. The negative controls come last, folded. Text and structure are in the templates
beside this module; tables come from `page_tables`, figures from `charts` and `graphs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from identbox.documents import fill_template
from identbox.experiments.controls import CONTROLS
from identbox.experiments.pictures import SHOWN, Picture
from identbox.experiments.verification import GroupFinding, Verification
from identbox.identifiability.controls import Power
from identbox.metrics.disentanglement_records import DisentanglementScore, tables_by_view
from identbox.metrics.displacement_records import Displacement, displacement_table
from identbox.metrics.scores import Score
from identbox.process.model import Process
from identbox.reports import charts, graphs
from identbox.reports.charts import Pair
from identbox.reports.page_tables import (
    block_name,
    condition_table,
    intervention_matrices,
    optimum_table,
    prediction_cell,
    score_matrices,
    verdict_table,
)
from identbox.reports.svg import typeset
from identbox.reports.verdicts import (
    FEW_SEEDS,
    FOUND,
    assumption_table,
    count_of,
    effective_dimensions_text,
    headline,
    seed_table,
    seeds_of,
    specific_tables,
    tally_text,
)
from identbox.tables import Table, TableCell

PAGE_TEMPLATES = Path(__file__).parent / "templates"
INTERVAL_TITLES = {
    "leak": "Leak: what moves the encoding beside content",
    "recovery": "Recovery: content that can be read from it",
    "degenerate": "Samples where it does not follow content",
}
NEAR_DIAGONAL = 0.9  # R² from which the points of a scatter plot are described as near the diagonal


@dataclass(frozen=True, kw_only=True)
class EncoderTrial:
    """What interventions and the scores of the field say of the encoders of one run, where that is known."""

    displacements: Sequence[Displacement] = ()
    interventions: Sequence[Score] = ()  # what is predicted after each
    scores: Sequence[DisentanglementScore] = ()


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A drawing under its caption; ``value`` is a second line of the caption."""

    caption: str
    drawing: Markup
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgedBlock:
    """What the page shows of one block of a group."""

    name: str
    predictions: dict[str, str]  # what was predicted, for its reason
    counts: list[str]  # of outcomes, in words
    outcome: TableCell  # what became of the predictions
    reasons: list[tuple[int, str, str]]  # seed, view with its outcome, why; where there are few seeds
    intervals: list[PageFigure]
    seeds: Table
    conditions: Table


@dataclass(frozen=True, kw_only=True)
class GroupSection:
    """What the page shows of one group of runs."""

    finding: GroupFinding
    anchor: str  # its id in the page
    control: str  # what is wrong with it on purpose; empty for a group that is no control, or is unknown
    runs: str  # its seeds and the size of its encodings
    blocks: list[JudgedBlock]
    specific: list[Table]  # of a DMVAE: what the latents of each modality have
    process: Markup | None
    assumptions: Table
    matrices: list[Table]
    moved: Table | None  # what moves the encodings of its first run
    after: list[Table]  # what they predict after each intervention
    scores: list[PageFigure]  # of the field, of its first run
    score_tables: list[Table]
    picture: Picture | None
    scatters: list[PageFigure]
    optimum: Table
    optima: list[PageFigure]
    how: str  # the oracle was made; empty where there is none
    without: str  # why there is no oracle
    power: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)


def verification_page(
    verification: Verification,
    *,
    losses: Mapping[tuple[int, int], float] | None = None,
    processes: Mapping[str, Process] | None = None,
    pictures: Mapping[str, Picture] | None = None,
    trials: Mapping[str, EncoderTrial] | None = None,
) -> str:
    """The report of a verification as one HTML page.

    ``losses`` are the validation losses (nats) behind the content factors, by seed and encoding size; ``processes``,
    ``pictures`` and ``trials`` go by the names of findings, and what is left out is not drawn. Equal arguments give
    equal text.
    """
    findings, factors = verification.findings, verification.factors
    runs = [finding for finding in findings if finding.control is None]
    controls = [finding for finding in findings if finding.control is not None]
    anchors = {id(finding): f"group-{place}" for place, finding in enumerate([*runs, *controls], 1)}

    def group_sections(members: Sequence[GroupFinding]) -> list[GroupSection]:
        return [
            group_section(
                f,
                anchors[id(f)],
                (processes or {}).get(f.name),
                (pictures or {}).get(f.name),
                (trials or {}).get(f.name, EncoderTrial()),
                verification.power.get(f.name),
            )
            for f in members
        ]

    made = fill_template(
        "verification.html.j2",
        PAGE_TEMPLATES,
        kicker="identbox · verification of Theorem 2",
        title=headline(verification),
        lead=f"{'; '.join(_counts(verification))}.",
        failures=[(f, anchors[id(f)], f"{f.failure}.") for f in findings if f.failure is not None],
        verdicts=verdict_table(runs, controls, anchors),
        margins=verification.margins,
        factors=factors,
        losses=charts.loss_curves(losses, factors) if losses and factors is not None else None,
        groups=[("Runs", group_sections(runs)), ("Negative controls", group_sections(controls))],
        samples=SHOWN,
    )
    return str(made)


def _counts(verification: Verification) -> Iterator[str]:
    """What became of predictions, how many controls were caught, and how many runs there are."""
    findings = verification.findings
    if any(finding.control is None for finding in findings):
        yield tally_text(findings)
    controls = [seed for f in findings if f.control is not None for seed in f.seeds]
    if controls:
        caught = sum(seed.judgements[0].outcome != "identified" for seed in controls)
        yield f"{caught} of {count_of(len(controls), 'negative control')} were not called identified"
    runs = sum(len(finding.seeds) for finding in findings)
    yield f"{count_of(runs, 'run')} in {count_of(len(findings), 'group')} were judged"


def group_section(
    finding: GroupFinding,
    anchor: str,
    process: Process | None,
    picture: Picture | None,
    trial: EncoderTrial,
    power: Power | None,
) -> GroupSection:
    """What the page shows of a group; a process, picture or power that is None is left out."""
    runs = [f"{'Seeds' if len(finding.seeds) > 1 else 'Seed'} {seeds_of(finding)}"]
    if finding.encoding_size is not None:
        runs.append(count_of(finding.encoding_size, "encoding dimension"))
    effective = effective_dimensions_text(finding)
    control = CONTROLS.get(finding.control) if finding.control is not None else None
    notes = [f"Effective dimensions: {effective}."] if effective else []
    optima = [seed.optimum for seed in finding.seeds if seed.optimum is not None]
    without = [seed.without for seed in finding.seeds if seed.without]
    return GroupSection(
        finding=finding,
        anchor=anchor,
        control=f"{control.what[:1].upper()}{control.what[1:]}" if control else "",
        runs=" · ".join(runs),
        blocks=[judged_block(finding, block) for block in finding.blocks],
        specific=list(specific_tables(finding, "The latents of each modality")),
        process=None if process is None else graphs.graph(process),
        assumptions=assumption_table(finding, "Assumptions of Theorem 2", *notes, style="assumptions"),
        matrices=score_matrices(finding),
        moved=displacement_table(trial.displacements, "By intervention") if trial.displacements else None,
        after=intervention_matrices(trial.interventions),
        scores=list(score_figures(trial.scores)),
        score_tables=tables_by_view(trial.scores),
        picture=picture,
        scatters=[] if picture is None else list(scatter_figures(picture)),
        optimum=optimum_table(finding),
        optima=list(optimum_figures(finding)),
        how=optima[0].how if optima else "",
        without=without[0] if without else "",
        power=[] if power is None else power.lines(),
        provenance=dict(flat_provenance(finding.provenance)),
    )


def judged_block(finding: GroupFinding, block: tuple[str, ...]) -> JudgedBlock:
    """The outcome, the figures and the tables of one block."""
    judged = finding.of_block(block)
    predictions = {j.prediction.reason: j.prediction.words for j in judged.values()}
    outcomes = finding.found(block)
    counts = [f"{outcomes.count(o)} {o}" for o in FOUND if o in outcomes]
    told = {seed: j for seed, j in judged.items() if len(judged) <= FEW_SEEDS or j.came_true is False}
    return JudgedBlock(
        name=block_name(block),
        predictions=dict(list(predictions.items())[:FEW_SEEDS]),
        counts=counts,
        outcome=prediction_cell(finding, block),
        reasons=[
            (seed, f"view {v.view}, {v.found}", "; ".join(v.brief))
            for seed, j in told.items()
            for v in j.verdicts
        ],
        intervals=list(interval_figures(finding, block)),
        seeds=seed_table(finding, block, "Seed by seed", style="seeds"),
        conditions=condition_table(finding, block),
    )


def interval_figures(finding: GroupFinding, block: tuple[str, ...]) -> Iterator[PageFigure]:
    """Leak, recovery and degenerate shares of every seed with their intervals, against their margins."""
    shown: dict[str, list[charts.Whisker]] = {}
    bounds: dict[str, float] = {}
    for seed, judgement in finding.of_block(block).items():
        for verdict in judgement.verdicts:
            for c in verdict.conditions:
                m = c.measure
                bounds[m.quantity] = c.bound
                cut = ", content cut" if m.regime == "cut" else ""
                shown.setdefault(m.quantity, []).append(
                    charts.Whisker(
                        group=f"view {m.view}{cut}",
                        label=f"seed {seed}",
                        value=m.value,
                        low=m.low,
                        high=m.high,
                        state=c.state,
                        words=f"seed {seed}, {c}",
                    )
                )
    for quantity, title in INTERVAL_TITLES.items():
        if quantity in shown:
            ordered = sorted(shown[quantity], key=lambda one: one.group)
            drawing = charts.whiskers(title, ordered, bounds[quantity], at_least=quantity == "recovery")
            yield PageFigure(caption=title, drawing=drawing)


def score_figures(scores: Sequence[DisentanglementScore]) -> Iterator[PageFigure]:
    """A picture of the scores of the field for each view."""
    for view in dict.fromkeys(one.view for one in scores):
        title = f"View {view}"
        own = [one for one in scores if one.view == view]
        yield PageFigure(caption=title, drawing=charts.score_dots(title, own))


def scatter_figures(picture: Picture) -> Iterator[PageFigure]:
    """A scatter plot for each component, with its R²."""
    for component in picture.components:
        score = f"R² {typeset(component.r2, 2)}"
        near = component.r2 > NEAR_DIAGONAL
        words = f"{score}, {'near the diagonal' if near else 'away from the diagonal'}"
        drawing = charts.scatter(component, words)
        yield PageFigure(caption=component.name, drawing=drawing, value=score)


def optimum_figures(finding: GroupFinding) -> Iterator[PageFigure]:
    """Runs beside the oracle: by Eq. 8.9, and by InfoNCE at equal scale."""
    values, scales = [], []
    for o in (seed.optimum for seed in finding.seeds if seed.optimum is not None):
        name, s = f"seed {o.seed}", o.equal_scale
        oracle, run = (o.oracle.value, o.oracle.error), (o.trained.value, o.trained.error)
        values.append(Pair(label=name, oracle=oracle, run=run))
        if s is not None:
            scales.append(Pair(label=name, oracle=(s.oracle, 0.0), run=(s.trained, s.error)))
    for title, pairs, zero in (
        ("Eq. 8.9, at best 0", values, True),
        ("InfoNCE at equal scale", scales, False),
    ):
        if pairs:
            yield PageFigure(caption=f"{title}, in nats", drawing=charts.gaps(title, pairs, zero=zero))


def flat_provenance(provenance: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values, with tables inside tables laid flat, and without what is None."""
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            yield from flat_provenance(value, f"{prefix}{key}, ")
        elif value is not None:
            yield f"{prefix}{key}", value
