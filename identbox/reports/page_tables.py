"""The tables of the page of a verification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from identbox.data.factors import factor_label
from identbox.experiments.verification import GroupFinding, ScoreBesideCeiling, came
from identbox.identifiability.verify import CONDITION_COLUMNS, condition_row
from identbox.metrics.scores import PRIME, Score
from identbox.reports.svg import typeset
from identbox.reports.verdicts import FOUND, ON_SUPPORT, scores_by_target, seeds_of, whitening_note
from identbox.reports.wording import MISSING
from identbox.tables import CellContent, CellState, Table, TableCell

CAME_STATES: dict[str, CellState] = {
    "came true": "good",
    "refuted": "bad",
    "undecided": "open",
    "nothing predicted": "none",
}


def block_name(block: Sequence[str]) -> str:
    return " and ".join(block)


def prediction_cell(finding: GroupFinding, block: tuple[str, ...]) -> TableCell:
    """What became of the predictions on a block, the worst first."""
    became = [came(judgement) for judgement in finding.of_block(block).values()]
    for word in ("refuted", "undecided", "came true", "nothing predicted"):
        n = became.count(word)
        if n:
            text = word if n == len(became) == 1 else f"{word}: {n} of {len(became)}"
            return TableCell(text, state=CAME_STATES[word])
    return TableCell(MISSING)


def verdict_table(
    runs: Sequence[GroupFinding], controls: Sequence[GroupFinding], anchors: Mapping[int, str]
) -> Table:
    """What was predicted beside what was measured; runs come first, ``anchors`` has the id of each group."""
    rows: list[tuple[CellContent | None, ...]] = []
    sections = {}
    seen = {
        word for finding in (*runs, *controls) for block in finding.blocks for word in finding.found(block)
    }
    shown = [word for word in FOUND if word != ON_SUPPORT or word in seen]
    for findings, heading in ((runs, ""), (controls, "Negative controls")):
        if findings:
            sections[len(rows)] = heading
        for finding in findings:
            label: TableCell | None = TableCell(finding.name, link=f"#{anchors[id(finding)]}")
            size = MISSING if finding.encoding_size is None else finding.encoding_size
            for block in finding.blocks:
                outcomes = finding.found(block)
                predicted = dict.fromkeys(j.prediction.words for j in finding.of_block(block).values())
                counts = [outcomes.count(outcome) or "" for outcome in shown]
                rows.append(
                    (
                        label,
                        prediction_cell(finding, block),
                        " / ".join(predicted),
                        *counts,
                        block_name(block),
                        size,
                        seeds_of(finding),
                    )
                )
                label = None
    head = ("runs", "prediction", "predicted", *shown, "block", "dimensions", "seeds")
    return Table("Predicted beside measured, in seeds", head, rows, sections=sections, style="summary")


def score_matrices(finding: GroupFinding) -> list[Table]:
    """Scores by target and by what was permuted, means over seeds, for each view; each has its ceiling below."""
    at = scores_by_target(finding)
    tables = []
    for view in dict.fromkeys(view for view, _, _ in at):
        own = {(target, block): ones for (v, target, block), ones in at.items() if v == view}
        blocks = list(dict.fromkeys(block for _, block in own if block))
        names = dict.fromkeys(target.removesuffix("'") for target, _ in own)
        targets = [
            t for name in names for t in (name, f"{name}'") if any((t, b) in own for b in (None, *blocks))
        ]
        rows = [
            (target, *(_score_cell(own.get((target, block))) for block in (None, *blocks)))
            for target in targets
        ]
        head = ("target", "not permuted", *(f"{block} permuted" for block in blocks))
        tables.append(Table(f"View {view}: scores", head, rows, style="heat"))
    return tables


def _score_cell(ones: Sequence[ScoreBesideCeiling] | None) -> CellContent:
    if not ones:
        return ""
    score = fmean(one.score.score for one in ones)
    ceiling = fmean(one.ceiling.score for one in ones)
    first = ones[0]
    return TableCell(
        typeset(score, 2),
        face="bold" if first.encoded else "",
        below=f"of {typeset(ceiling, 2)}",
        shade=min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0,
        hint=f"{first.score.label}: {score:.3f}, ceiling {ceiling:.3f} ({first.ceiling.how})",
    )


def intervention_matrices(scores: Sequence[Score]) -> list[Table]:
    """Counterfactual splits by factors, for each view: what is predicted after each, beside what content predicts.

    Of a factor that the intervention changed the new values are predicted.
    """
    at = {(one.view, one.intervention, one.label): one for one in scores if one.nonlinear}
    factors = list(dict.fromkeys(one.target for one in scores))
    tables = []
    for view in dict.fromkeys(one.view for one in scores if one.view != "content"):
        rows: list[tuple[CellContent, ...]] = []
        for intervention in dict.fromkeys(one.intervention for one in scores if one.view == view):
            cells: list[CellContent] = []
            for factor in factors:
                changed = (view, intervention, factor + PRIME) in at
                label = factor + PRIME * changed
                own, ceiling = (at.get((who, intervention, label)) for who in (view, "content"))
                cells.append(_counterfactual_cell(own, ceiling))
            rows.append((str(intervention), *cells))
        tables.append(
            Table(f"View {view}: scores", ("intervention", *map(factor_label, factors)), rows, style="heat")
        )
    return tables


def _counterfactual_cell(own: Score | None, ceiling: Score | None) -> CellContent:
    if own is None:
        return ""
    return TableCell(
        typeset(own.score, 2),
        face="bold" if own.permuted else "",
        below="" if ceiling is None else f"of {typeset(ceiling.score, 2)}",
        shade=min(max(own.score, 0.0), 1.0) if math.isfinite(own.score) else 0.0,
        hint=f"{own.label}: {own.score:.3f} [{own.low:.3f}, {own.high:.3f}], chance {own.chance:.3f}",
    )


def condition_table(finding: GroupFinding, block: tuple[str, ...]) -> Table:
    """All conditions on a block, seed by seed, in numbers."""
    rows = [
        (str(seed), *condition_row(c))
        for seed, judgement in finding.of_block(block).items()
        for verdict in judgement.verdicts
        for c in verdict.conditions
    ]
    head = ("seed", *CONDITION_COLUMNS)
    return Table(f"All conditions on {block_name(block)}", head, rows, style="numbers")


def optimum_table(finding: GroupFinding) -> Table:
    """How far each seed is from the optimum, where that is known."""
    rows: list[tuple[CellContent, ...]] = []
    for seed in finding.seeds:
        o = seed.optimum
        if o is not None:
            cost = MISSING
            if o.equal_scale is not None:
                cost = f"{typeset(o.equal_scale.cost)} ± {typeset(o.equal_scale.error)}"
            rows.append(
                (
                    seed.seed,
                    f"{typeset(o.gap, sign=True)} ± {typeset(o.trained.error)}",
                    f"{o.trained.alignment:.1e}",
                    ", ".join(typeset(h, sign=True) for h in o.trained.entropies),
                    cost,
                )
            )
    head = ("seed", "gap of Eq. 8.9", "alignment", "entropies", "cost of InfoNCE")
    notes = whitening_note([seed.optimum for seed in finding.seeds if seed.optimum is not None])
    return Table("Distance from the optimum; values in nats", head, rows, notes, style="seeds")
