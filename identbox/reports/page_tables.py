"""The tables of the page of a verification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from identbox.experiments.verification import GroupFinding
from identbox.identifiability.verdicts import Condition, Judgement, ViewVerdict
from identbox.reports.charts import CONDITION_STATES
from identbox.reports.svg import typeset
from identbox.reports.verdicts import ranges
from identbox.reports.wording import METRIC_NAMES, MISSING
from identbox.tables import CellContent, Table, TableCell


def block_name(judgement: Judgement) -> str:
    return " and ".join(judgement.prediction.block)


def prediction_cell(judgement: Judgement) -> TableCell:
    """Whether a prediction came true."""
    if judgement.prediction.outcome is None:
        return TableCell("nothing predicted", state="none")
    return {
        True: TableCell("came true", state="good"),
        False: TableCell("refuted", state="bad"),
        None: TableCell("undecided", state="open"),
    }[judgement.came_true]


def verdict_table(
    runs: Sequence[GroupFinding], controls: Sequence[GroupFinding], anchors: Mapping[int, str]
) -> Table:
    """What was predicted beside what was measured; runs come first, ``anchors`` has the id of each group."""
    rows: list[tuple[CellContent | None, ...]] = []
    sections = {}
    for findings, heading in ((runs, ""), (controls, "Negative controls")):
        if findings:
            sections[len(rows)] = heading
        for finding in findings:
            label: TableCell | None = TableCell(finding.name, link=f"#{anchors[id(finding)]}")
            size = MISSING if finding.encoding_size is None else finding.encoding_size
            for judgement in finding.judgements:
                predicted = judgement.prediction.outcome or "nothing"
                outcomes = (prediction_cell(judgement), predicted, judgement.outcome)
                rows.append((label, *outcomes, block_name(judgement), size, ranges(finding.seeds)))
                label = None
    head = ("runs", "prediction", "predicted", "measured", "block", "dimensions", "seeds")
    return Table("Predicted beside measured", head, rows, sections=sections, style="summary")


def score_matrix(verdict: ViewVerdict) -> Table:
    """Scores of targets by what was permuted, shaded by their size; each has its ceiling below."""
    blocks = list(dict.fromkeys(c.intervention for c in verdict.conditions if c.intervention))
    at = {(c.target, c.intervention): c for c in verdict.conditions}
    names = dict.fromkeys(c.target.removesuffix("'") for c in verdict.conditions)
    targets = [t for name in names for t in (name, f"{name}'") if any((t, b) in at for b in (None, *blocks))]
    rows = [
        (target, *(_score_cell(at.get((target, block))) for block in (None, *blocks))) for target in targets
    ]
    head = ("target", "not permuted", *(f"{block} permuted" for block in blocks))
    return Table(f"View {verdict.view}: scores", head, rows, style="heat")


def _score_cell(condition: Condition | None) -> CellContent:
    if condition is None:
        return ""
    score = condition.score
    return TableCell(
        typeset(score, 2),
        face="bold" if condition.kind == "content" else "",
        state=CONDITION_STATES[condition.state],
        below=f"of {typeset(condition.ceiling, 2)}",
        shade=min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0,
        hint=f"{condition}: {condition.state}",
    )


def condition_table(judgement: Judgement) -> Table:
    """All conditions on a block, in numbers."""
    head = ("target", "view", "permuted", "score", "ceiling", "value", "interval", "margin", "state")
    rows = [_condition_numbers(c) for verdict in judgement.verdicts for c in verdict.conditions]
    return Table(f"All conditions on {block_name(judgement)}", head, rows, style="numbers")


def _condition_numbers(c: Condition) -> tuple[CellContent, ...]:
    is_content = c.kind == "content"
    return (
        c.target,
        c.view,
        c.intervention or MISSING,
        f"{typeset(c.score)} ({METRIC_NAMES.get(c.metric, c.metric)})",
        MISSING if is_content else f"{typeset(c.ceiling)} ({c.how})",
        typeset(c.value),
        f"{typeset(c.low)} to {typeset(c.high)}",
        f"{'at least' if is_content else 'at most'} {c.bound:g}",
        TableCell(c.state, state=CONDITION_STATES[c.state]),
    )


def seed_table(finding: GroupFinding) -> Table:
    """The outcomes of each seed, and its distance from the optimum where that is known."""
    optima = {o.seed: o for o in finding.optima}
    rows: list[tuple[CellContent, ...]] = []
    for seed in finding.seeds:
        gap = alignment = entropies = cost = MISSING
        o = optima.get(seed)
        if o is not None:
            gap = f"{typeset(o.gap, sign=True)} ± {typeset(o.trained.error)}"
            alignment = f"{o.trained.alignment:.1e}"
            entropies = ", ".join(typeset(h, sign=True) for h in o.trained.entropies)
            if o.equal_scale is not None:
                cost = f"{typeset(o.equal_scale.cost)} ± {typeset(o.equal_scale.error)}"
        outcomes = [judgement.by_seed.get(seed, MISSING) for judgement in finding.judgements]
        rows.append((seed, *outcomes, gap, alignment, entropies, cost))
    verdicts = [f"verdict on {block_name(judgement)}" for judgement in finding.judgements]
    head = ("seed", *verdicts, "gap of Eq. 8.9", "alignment", "entropies", "cost of InfoNCE")
    return Table("Each seed by itself; values in nats", head, rows, style="seeds")
