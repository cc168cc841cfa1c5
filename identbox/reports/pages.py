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
from identbox.experiments.verification import GroupFinding
from identbox.identifiability.verdicts import Judgement, Margins
from identbox.metrics.elbow import Elbow
from identbox.process.model import Process
from identbox.reports import charts, graphs
from identbox.reports.charts import Pair
from identbox.reports.page_tables import (
    block_name,
    condition_table,
    prediction_cell,
    score_matrix,
    seed_table,
    verdict_table,
)
from identbox.reports.svg import typeset
from identbox.reports.verdicts import assumption_table, count_of, effective_dimensions_text, ranges
from identbox.tables import Table, TableCell

PAGE_TEMPLATES = Path(__file__).parent / "templates"
NEAR_DIAGONAL = 0.9  # R² from which the points of a scatter plot are described as near the diagonal


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
    judgement: Judgement
    outcome: TableCell  # whether the prediction came true
    intervals: list[PageFigure]
    matrices: list[Table]
    conditions: Table


@dataclass(frozen=True, kw_only=True)
class GroupSection:
    """What the page shows of one group of runs."""

    finding: GroupFinding
    anchor: str  # its id in the page
    control: str  # what is wrong with it on purpose; empty for a group that is no control, or is unknown
    runs: str  # its seeds and the size of its encodings
    blocks: list[JudgedBlock]
    process: Markup | None
    assumptions: Table
    picture: Picture | None
    scatters: list[PageFigure]
    seeds: Table
    optima: list[PageFigure]
    provenance: dict[str, Any] = field(default_factory=dict)


def verification_page(
    findings: Sequence[GroupFinding],
    margins: Margins,
    factors: Elbow | None,
    *,
    losses: Mapping[tuple[int, int], float] | None = None,
    processes: Mapping[str, Process] | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> str:
    """The report of a verification as one HTML page.

    ``losses`` are the validation losses (nats) behind ``factors``, by seed and encoding size; ``processes`` and
    ``pictures`` go by the names of findings, and what is left out is not drawn. Equal arguments give equal text.
    """
    runs = [finding for finding in findings if finding.control is None]
    controls = [finding for finding in findings if finding.control is not None]
    anchors = {id(finding): f"group-{place}" for place, finding in enumerate([*runs, *controls], 1)}

    def sections(members: Sequence[GroupFinding]) -> list[GroupSection]:
        return [
            group_section(f, anchors[id(f)], (processes or {}).get(f.name), (pictures or {}).get(f.name))
            for f in members
        ]

    made = fill_template(
        "verification.html.j2",
        PAGE_TEMPLATES,
        kicker="identbox · verification of Theorem 2",
        title=headline(findings),
        lead=f"{'; '.join(_counts(findings))}.",
        failures=[(f, anchors[id(f)], failure_sentence(f)) for f in findings if f.failure is not None],
        verdicts=verdict_table(runs, controls, anchors),
        margins=margins,
        factors=factors,
        losses=charts.loss_curves(losses, factors) if losses and factors is not None else None,
        groups=[("Runs", sections(runs)), ("Negative controls", sections(controls))],
        samples=SHOWN,
    )
    return str(made)


def headline(findings: Sequence[GroupFinding]) -> str:
    """The outcome of all groups in a few words."""
    failed = sum(finding.failure is not None for finding in findings)
    if failed:
        return f"{failed} of {count_of(len(findings), 'group')} of runs failed"
    predicted = [j for f in findings for j in f.judgements if j.prediction.outcome]
    if not any(f.control is not None for f in findings) and not predicted:
        return "Nothing was predicted of these runs"
    undecided = any(judgement.came_true is None for judgement in predicted)
    return "No prediction failed" if undecided else "Every prediction came true"


def _counts(findings: Sequence[GroupFinding]) -> Iterator[str]:
    """How many predictions came true, how many controls were caught, and how many runs there are."""
    predicted = [j for f in findings if f.control is None for j in f.judgements if j.prediction.outcome]
    controls = [finding for finding in findings if finding.control is not None]
    if predicted:
        true = sum(judgement.came_true is True for judgement in predicted)
        yield f"{true} of {count_of(len(predicted), 'prediction')} on runs came true"
    if controls:
        caught = sum(f.judgements[0].outcome != "identified" for f in controls)
        yield f"{caught} of {count_of(len(controls), 'negative control')} were not called identified"
    runs = sum(len(finding.seeds) for finding in findings)
    yield f"{count_of(runs, 'run')} in {count_of(len(findings), 'group')} were judged"


def failure_sentence(finding: GroupFinding) -> str:
    """The failure of a group as a sentence."""
    for judgement in finding.judgements:
        if judgement.came_true is False:
            predicted = judgement.prediction.outcome
            return f"{block_name(judgement)}: predicted {predicted}, measured {judgement.outcome}."
    return f"{finding.failure}."


def group_section(
    finding: GroupFinding, anchor: str, process: Process | None, picture: Picture | None
) -> GroupSection:
    """What the page shows of a group; a process or picture that is None is left out."""
    runs = [f"{'Seeds' if len(finding.seeds) > 1 else 'Seed'} {ranges(finding.seeds)}"]
    if finding.encoding_size is not None:
        runs.append(count_of(finding.encoding_size, "encoding dimension"))
    effective = effective_dimensions_text(finding)
    control = CONTROLS.get(finding.control) if finding.control is not None else None
    notes = [f"Effective dimensions: {effective}."] if effective else []
    return GroupSection(
        finding=finding,
        anchor=anchor,
        control=f"{control.what[:1].upper()}{control.what[1:]}" if control else "",
        runs=" · ".join(runs),
        blocks=[judged_block(judgement) for judgement in finding.judgements],
        process=None if process is None else graphs.graph(process),
        assumptions=assumption_table(finding, "Assumptions of Theorem 2", *notes, style="assumptions"),
        picture=picture,
        scatters=[] if picture is None else list(scatter_figures(picture)),
        seeds=seed_table(finding),
        optima=list(optimum_figures(finding)),
        provenance=dict(flat_provenance(finding.provenance)),
    )


def judged_block(judgement: Judgement) -> JudgedBlock:
    """The outcome, the figures and the tables of one block."""
    return JudgedBlock(
        name=block_name(judgement),
        judgement=judgement,
        outcome=prediction_cell(judgement),
        intervals=list(interval_figures(judgement)),
        matrices=[score_matrix(verdict) for verdict in judgement.verdicts],
        conditions=condition_table(judgement),
    )


def interval_figures(judgement: Judgement) -> Iterator[PageFigure]:
    """Scores and excesses with their intervals; the views lie side by side on one axis."""
    for kind, what in (("content", "scores of the block"), ("excess", "anything else, beyond its ceiling")):
        by_view = {v.view: [c for c in v.conditions if c.kind == kind] for v in judgement.verdicts}
        ends = [end for conditions in by_view.values() for c in conditions for end in (c.low, c.high)]
        for view, conditions in by_view.items():
            if conditions:
                title = f"View {view}: {what}"
                yield PageFigure(caption=title, drawing=charts.whiskers(title, conditions, ends))


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
    for o in sorted(finding.optima, key=lambda o: finding.seeds.index(o.seed)):
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
