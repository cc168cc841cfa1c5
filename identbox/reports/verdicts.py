"""The report of a verification: verdicts and their reasons, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from identbox.tables import Table, TableCell, judged_cell

if TYPE_CHECKING:
    from rich.console import Group

    from identbox.experiments.verification import GroupFinding
    from identbox.identifiability.verdicts import Condition, Judgement, Margins
    from identbox.metrics.elbow import Elbow


def sections(findings: Sequence[GroupFinding], margins: Margins, factors: Elbow | None) -> list[Table]:
    """The report of all groups, in order; a summary comes last, where a terminal shows it."""
    shown = [section for finding in findings for section in _finding_tables(finding)]
    if factors is not None:
        title = "Content factors, from validation losses over encoding sizes"
        shown.append(Table(title, notes=(str(factors),)))
    return [*shown, _verdict_summary(findings, margins)]


def terminal_report(findings: Sequence[GroupFinding], margins: Margins, factors: Elbow | None) -> Group:
    """The report of all groups for the terminal, with a blank line behind each table."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(part for section in sections(findings, margins, factors) for part in (section, Text())))


def _verdict_summary(findings: Sequence[GroupFinding], margins: Margins) -> Table:
    rows = [
        (
            f"control: {finding.name}" if finding.control else finding.name,
            " and ".join(judgement.prediction.block),
            judgement.prediction.outcome or "nothing",
            judged_cell(_outcome_of_seeds(judgement)),
            judged_cell(_prediction_outcome(judgement)),
        )
        for finding in findings
        for judgement in finding.judgements
    ]
    note = (
        f"Identified: every score of the block at least {margins.content:g}, and no other variable predicted by more "
        f"than {margins.excess:g} beyond its ceiling, by the unfavourable ends of {margins.confidence:.0%} intervals."
    )
    return Table("Verdicts", ("runs", "block", "predicted", "measured (seeds)", "prediction"), rows, (note,))


def _prediction_outcome(judgement: Judgement) -> str:
    if judgement.prediction.outcome is None:
        return "-"
    return {True: "came true", False: "refuted", None: "undecided"}[judgement.came_true]


def count_of(n: int, what: str) -> str:
    """A number of things in words: 1 run, 2 runs."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def ranges(numbers: Sequence[int]) -> str:
    """Rising whole numbers, with consecutive ones joined.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7, 8'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(
        f"{part[0]}-{part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts
    )


def _outcome_of_seeds(judgement: Judgement) -> str:
    """The outcome, and for how many seeds, each judged by itself, it is the same."""
    same = sum(outcome == judgement.outcome for outcome in judgement.by_seed.values())
    return f"{judgement.outcome} ({same} of {len(judgement.by_seed)})"


def _finding_tables(finding: GroupFinding) -> Iterator[Table]:
    name = f"control {finding.name}" if finding.control else finding.name
    seeds = ranges(finding.seeds)
    size = (
        "" if finding.encoding_size is None else f", {count_of(finding.encoding_size, 'encoding dimension')}"
    )
    title = f"{name}: assumptions of Theorem 2 (seeds {seeds}{size})"
    yield assumption_table(finding, title, f"effective dimensions: {effective_dimensions_text(finding)}")
    for judgement in finding.judgements:
        yield from _judgement_tables(name, judgement)
    if finding.optima:
        yield from _optimum_tables(name, finding)
    elif finding.without:
        yield Table(f"{name}: no oracle", notes=(finding.without,))


def assumption_table(finding: GroupFinding, title: str, *notes: str, style: str = "") -> Table:
    """What the assumptions of the theorem are for a group of runs, and on what evidence."""
    rows = [(a.name, judged_cell(a.verdict), a.evidence) for a in finding.assumptions]
    return Table(title, ("assumption", "status", "evidence"), rows, notes, style=style)


def effective_dimensions_text(finding: GroupFinding) -> str:
    """The effective dimensions of each block, beside its dimensions."""
    return ", ".join(f"{block} {value:.2f} of {dim}" for block, (dim, value) in finding.effective.items())


def _judgement_tables(name: str, judgement: Judgement) -> Iterator[Table]:
    prediction = judgement.prediction
    block = " and ".join(prediction.block)
    for verdict in judgement.verdicts:
        unchanged = [_condition_row(c) for c in verdict.conditions if c.intervention is None]
        title = f"{name}: what view {verdict.view} encodes (block: {block})"
        yield Table(title, ("target", "score", "ceiling", "excess or score, interval", "state"), unchanged)
        moved = [c for c in verdict.conditions if c.intervention is not None]
        if moved:
            yield _permutation_matrix(f"{name}: view {verdict.view}, scores after a block is permuted", moved)
    notes = [f"predicted: {prediction.outcome or 'nothing'}, since {prediction.reason}"]
    for verdict in judgement.verdicts:
        notes.append(f"{verdict.outcome}: {block} by the encoder of view {verdict.view}")
        notes += [f"    {line}" for line in verdict.brief]
    if len(judgement.by_seed) > 1:
        each = ", ".join(f"{seed} {outcome}" for seed, outcome in judgement.by_seed.items())
        notes.append(f"seed by seed: {each}")
    yield Table(f"{name}: verdict on {block}", notes=[judged_cell(note) for note in notes])


def _condition_row(condition: Condition) -> tuple[str | TableCell, ...]:
    ceiling = "-" if condition.kind == "content" else f"{condition.ceiling:.3f} ({condition.how})"
    span = f"{condition.value:+.3f} [{condition.low:+.3f}, {condition.high:+.3f}]"
    return (
        f"{condition.target} ({condition.metric})",
        f"{condition.score:.3f}",
        ceiling,
        span,
        judged_cell(condition.state),
    )


def _permutation_matrix(title: str, conditions: Sequence[Condition]) -> Table:
    """Scores by target and by permuted block; a mark where a margin is not kept."""
    marks = {"satisfied": "", "violated": " ✗", "open": " ?"}
    blocks = list(dict.fromkeys(c.intervention for c in conditions))
    targets = list(dict.fromkeys(c.target for c in conditions))
    at = {(c.target, c.intervention): c for c in conditions}
    rows = []
    for target in targets:
        cells = []
        for block in blocks:
            c = at.get((target, block))
            cells.append("" if c is None else f"{c.score:.2f} of {c.ceiling:.2f}{marks[c.state]}")
        rows.append((target, *cells))
    note = (
        "Each score stands beside its ceiling. ✗: on the wrong side of its margin; ?: not decided; "
        "': the values that the permutation put in place."
    )
    return Table(title, ("target", *(f"{block} permuted" for block in blocks)), rows, (note,))


def _optimum_tables(name: str, finding: GroupFinding) -> Iterator[Table]:
    optima = finding.optima
    notes = [
        f"The oracle is the exact inverse of the mixing and the Darmois construction ({optima[0].how}). Its "
        "alignment and entropies are 0, apart from rounding and the noise of the estimate.",
        "A run's value is that of its encodings mapped to the unit cube by marginal ranks. Entropies in nats, of each "
        "view; ± is a standard error.",
    ]
    if finding.without:
        notes.append(f"without an oracle: {finding.without}")
    rows = [
        (
            f"{seed} {who}".strip(),
            f"{value.alignment:.1e}",
            ", ".join(f"{h:+.3f}" for h in value.entropies),
            f"{value.value:+.3f} ± {value.error:.3f}",
        )
        for o in optima
        for seed, who, value in ((f"{o.seed}", "oracle", o.oracle), ("", "run", o.trained))
    ]
    yield Table(f"{name}: Eq. 8.9, at best 0", ("seed", "alignment", "entropies", "value"), rows, notes)
    scales = [(o.seed, o.equal_scale) for o in optima if o.equal_scale is not None]
    if scales:
        yield Table(
            f"{name}: InfoNCE at equal scale",
            ("seed", "run", "oracle", "cost of imperfect alignment"),
            [
                (f"{seed}", f"{s.trained:.3f}", f"{s.oracle:.3f}", f"{s.cost:.3f} ± {s.error:.3f}")
                for seed, s in scales
            ],
            ("The oracle is rescaled to the mean squared norm of the run's encodings.",),
        )


def markdown(findings: Sequence[GroupFinding], margins: Margins, factors: Elbow | None) -> str:
    """The whole report as Markdown, verdicts first."""
    *shown, summary = sections(findings, margins, factors)
    failures = [f"- {finding.name}: {finding.failure}" for finding in findings if finding.failure]
    head = "\n".join(failures) if failures else "Every prediction came true."
    parts = ["# Verification of Theorem 2", head]
    for section in (summary, *shown):
        parts.append(section.markdown())
    for finding in findings:
        parts += [f"### {finding.name}: provenance", f"`{json.dumps(json_value(finding.provenance))}`"]
    return "\n\n".join(parts) + "\n"


def record(findings: Sequence[GroupFinding], margins: Margins, factors: Elbow | None) -> dict[str, Any]:
    """All of it as a table for verification.json."""
    groups = []
    for finding in findings:
        table = dataclasses.asdict(finding)
        for judged, judgement in zip(table["judgements"], finding.judgements, strict=True):
            judged |= {"outcome": judgement.outcome, "came_true": judgement.came_true}
        for entry, o in zip(table["optima"], finding.optima, strict=True):
            entry |= {"gap": o.gap}
            entry["oracle"]["value"], entry["trained"]["value"] = o.oracle.value, o.trained.value
            if o.equal_scale is not None:
                entry["equal_scale"]["cost"] = o.equal_scale.cost
        groups.append({**table, "failure": finding.failure})
    return {
        "format": 1,
        "margins": dataclasses.asdict(margins),
        "passed": not any(finding.failure for finding in findings),
        "groups": groups,
        "content_factors": None if factors is None else {**dataclasses.asdict(factors), "text": str(factors)},
    }


def json_value(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, keys as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
