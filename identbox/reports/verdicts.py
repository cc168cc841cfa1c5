"""The report of a verification: verdicts and their reasons, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from identbox.reports.tables import Section

if TYPE_CHECKING:
    from identbox.experiments.verification import Finding
    from identbox.identifiability.verdicts import Condition, Judgement, Margins
    from identbox.metrics.elbow import Elbow


def sections(found: Sequence[Finding], margins: Margins, factors: Elbow | None) -> list[Section]:
    """The report of all groups, in order; a summary comes last, where a terminal shows it."""
    shown = [section for finding in found for section in _of_finding(finding)]
    if factors is not None:
        shown.append(
            Section("Content factors, from validation losses over encoding sizes", (), (), (str(factors),))
        )
    return [*shown, _summary(found, margins)]


def _summary(found: Sequence[Finding], margins: Margins) -> Section:
    rows = [
        (
            f"control: {finding.name}" if finding.control else finding.name,
            " and ".join(judgement.prediction.block),
            judgement.prediction.outcome or "nothing",
            _found(judgement),
            _came_true(judgement),
        )
        for finding in found
        for judgement in finding.judgements
    ]
    note = (
        f"Identified: every score of the block at least {margins.content:g}, and no other variable predicted by more "
        f"than {margins.excess:g} beyond its ceiling, by the unfavourable ends of {margins.confidence:.0%} intervals."
    )
    return Section(
        "Verdicts",
        ("runs", "block", "predicted", "found (seeds)", "prediction"),
        tuple(rows),
        (note,),
    )


def _came_true(judgement: Judgement) -> str:
    if judgement.prediction.outcome is None:
        return "-"
    return {True: "came true", False: "refuted", None: "undecided"}[judgement.came_true]


def ranges(numbers: Sequence[int]) -> str:
    """Rising whole numbers, neighbours joined.

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


def _found(judgement: Judgement) -> str:
    """The outcome, and for how many seeds, each judged by itself, it is the same."""
    same = sum(outcome == judgement.outcome for outcome in judgement.by_seed.values())
    return f"{judgement.outcome} ({same} of {len(judgement.by_seed)})"


def _of_finding(finding: Finding) -> Iterator[Section]:
    name = f"control {finding.name}" if finding.control else finding.name
    seeds = ranges(finding.seeds)
    size = "" if finding.encoding_size is None else f", {finding.encoding_size} encoding dimensions"
    effective = [f"{block} {value:.2f} of {dim}" for block, (dim, value) in finding.effective.items()]
    yield Section(
        f"{name}: assumptions of Theorem 2 (seeds {seeds}{size})",
        ("assumption", "status", "evidence"),
        tuple((a.name, a.verdict, a.evidence) for a in finding.assumptions),
        (f"effective dimensions: {', '.join(effective)}",),
    )
    for judgement in finding.judgements:
        yield from _of_judgement(name, judgement)
    if finding.optima:
        yield from _optima(name, finding)
    elif finding.without:
        yield Section(f"{name}: no oracle", (), (), (finding.without,))


def _of_judgement(name: str, judgement: Judgement) -> Iterator[Section]:
    prediction = judgement.prediction
    block = " and ".join(prediction.block)
    for verdict in judgement.verdicts:
        plain_ = [c for c in verdict.conditions if c.intervention is None]
        yield Section(
            f"{name}: what view {verdict.view} encodes, {block} taken for content",
            ("target", "score", "ceiling", "excess or score, interval", "state"),
            tuple(_row(c) for c in plain_),
        )
        moved = [c for c in verdict.conditions if c.intervention is not None]
        if moved:
            yield _matrix(f"{name}: view {verdict.view}, scores after a block is permuted", moved)
    notes = [f"predicted: {prediction.outcome or 'nothing'}, since {prediction.reason}"]
    for verdict in judgement.verdicts:
        notes.append(f"{verdict.outcome}: {block} by the encoder of view {verdict.view}")
        notes += [f"    {line}" for line in verdict.brief]
    if len(judgement.by_seed) > 1:
        each = ", ".join(f"{seed} {outcome}" for seed, outcome in judgement.by_seed.items())
        notes.append(f"seed by seed: {each}")
    yield Section(f"{name}: verdict on {block}", (), (), tuple(notes))


def _row(condition: Condition) -> tuple[str, ...]:
    ceiling = "-" if condition.kind == "content" else f"{condition.ceiling:.3f} ({condition.how})"
    span = f"{condition.value:+.3f} [{condition.low:+.3f}, {condition.high:+.3f}]"
    return (
        f"{condition.target} ({condition.metric})",
        f"{condition.score:.3f}",
        ceiling,
        span,
        condition.state,
    )


def _matrix(title: str, conditions: Sequence[Condition]) -> Section:
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
    return Section(
        title,
        ("target", *(f"{block} permuted" for block in blocks)),
        tuple(rows),
        (
            "score of its ceiling; ✗ on the wrong side of its margin, ? not decided; "
            "' marks what was permuted, as it is now",
        ),
    )


def _optima(name: str, finding: Finding) -> Iterator[Section]:
    optima = finding.optima
    notes = [
        f"The oracle is the exact inverse of the mixing and the Darmois construction ({optima[0].how}). Its "
        "alignment and entropies are 0 but for rounding and the noise of the estimate.",
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
    yield Section(
        f"{name}: Eq. 8.9, at best 0", ("seed", "alignment", "entropies", "value"), tuple(rows), tuple(notes)
    )
    scales = [(o.seed, o.equal_scale) for o in optima if o.equal_scale is not None]
    if scales:
        yield Section(
            f"{name}: InfoNCE at equal scale",
            ("seed", "run", "oracle", "cost of imperfect alignment"),
            tuple(
                (f"{seed}", f"{s.trained:.3f}", f"{s.oracle:.3f}", f"{s.cost:.3f} ± {s.error:.3f}")
                for seed, s in scales
            ),
            ("The oracle is rescaled to the mean squared norm of the run's encodings.",),
        )


def markdown(found: Sequence[Finding], margins: Margins, factors: Elbow | None) -> str:
    """The whole report as Markdown, verdicts first."""
    *shown, summary = sections(found, margins, factors)
    failures = [f"- {finding.name}: {finding.failure}" for finding in found if finding.failure]
    head = "\n".join(failures) if failures else "Every prediction came true."
    parts = ["# Verification of Theorem 2", head]
    for section in (summary, *shown):
        parts += section.markdown()
    for finding in found:
        parts += [f"### {finding.name}: provenance", f"`{json.dumps(plain(finding.provenance))}`"]
    return "\n\n".join(parts) + "\n"


def record(found: Sequence[Finding], margins: Margins, factors: Elbow | None) -> dict[str, Any]:
    """All of it as a table for verification.json."""
    groups = []
    for finding in found:
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
        "passed": not any(finding.failure for finding in found),
        "groups": groups,
        "content_factors": None if factors is None else {**dataclasses.asdict(factors), "text": str(factors)},
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, keys as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
