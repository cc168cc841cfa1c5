"""The report of a verification: verdicts and their reasons, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from identbox.experiments.optimum import Optimum
from identbox.experiments.verification import CAME, SeedFinding, came, total
from identbox.identifiability.verdicts import counted
from identbox.identifiability.verify import CONDITION_COLUMNS, condition_row, estimate_cells
from identbox.reports.wording import MISSING
from identbox.tables import Table, TableCell, judged_cell

if TYPE_CHECKING:
    from rich.console import Group

    from identbox.experiments.verification import GroupFinding, ScoreBesideCeiling, Verification
    from identbox.identifiability.verdicts import Found, Judgement

ON_SUPPORT: Found = "identified on the support alone"
FOUND: tuple[Found, ...] = ("identified", ON_SUPPORT, "not identified", "undecided")
FEW_SEEDS = 3  # seeds, up to which reasons are given for each
WORST = (("leak", "observed"), ("leak", "cut"), ("recovery", "observed"), ("degenerate", "observed"))
WORST_NAMES = ("leak", "leak, content cut", "recovery", "degenerate")


def headline(verification: Verification) -> str:
    """What became of the predictions, in a few words that claim no more than was seen."""
    failed = len(verification.failures)
    if failed:
        return f"{failed} of {count_of(len(verification.findings), 'group')} of runs failed"
    tally = verification.tally()
    made = sum(tally.values()) - tally["nothing predicted"]
    if not made:
        return "Nothing was predicted of these runs"
    if tally["undecided"]:
        return f"{tally['came true']} of {count_of(made, 'prediction')} came true, the others are undecided"
    return f"Every prediction came true ({tally['came true']} of {made})"


def tally_text(findings: Sequence[GroupFinding]) -> str:
    """The counts of what became of predictions on runs."""
    runs = [finding for finding in findings if finding.control is None]
    counts = total(runs)
    judged = [j for finding in runs for seed in finding.seeds for j in seed.judgements]
    supported = sum(j.prediction.scope == "support" for j in judged)
    of_support = f"; {supported} were of the support of the data alone" if supported else ""
    return "predictions on runs: " + ", ".join(f"{counts[word]} {word}" for word in CAME) + of_support


def sections(verification: Verification) -> list[Table]:
    """The report of all groups, in order; a summary comes last, where a terminal shows it."""
    shown = [section for finding in verification.findings for section in _finding_tables(finding)]
    for name, power in verification.power.items():
        shown.append(Table(f"{name}: what a verdict on its first run would have seen", notes=power.lines()))
    if verification.factors is not None:
        title = "Content factors, from validation losses over encoding sizes"
        shown.append(Table(title, notes=(str(verification.factors),)))
    return [*shown, verdict_summary(verification)]


def terminal_report(verification: Verification) -> Group:
    """The report of all groups for the terminal, with a blank line behind each table."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(part for section in sections(verification) for part in (section, Text())))


def verdict_summary(verification: Verification) -> Table:
    """Each group and block: what was predicted, and how many seeds were measured to be what."""
    rows: list[tuple[str | TableCell, ...]] = []
    for finding in verification.findings:
        for block in finding.blocks:
            judged = finding.of_block(block)
            outcomes = finding.found(block)
            predicted = dict.fromkeys(j.prediction.words for j in judged.values())
            became = [came(j) for j in judged.values()]
            rows.append(
                (
                    f"control: {finding.name}" if finding.control else finding.name,
                    " and ".join(block),
                    " / ".join(predicted),
                    ", ".join(f"{outcomes.count(o)} {o}" for o in FOUND if o in outcomes),
                    judged_cell(_became_text(became)),
                )
            )
    head = ("runs", "block", "predicted", "measured", "prediction")
    notes = (f"Seeds are counted. Identified: {verification.margins}.", tally_text(verification.findings))
    return Table("Verdicts", head, rows, notes)


def _became_text(became: Sequence[str]) -> str:
    """What became of the predictions of some seeds, the worst first."""
    counts = {word: became.count(word) for word in ("refuted", "undecided", "came true", "nothing predicted")}
    parts = [f"{word} ({n} of {len(became)})" for word, n in counts.items() if n]
    return "; ".join(parts)


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


def seeds_of(finding: GroupFinding) -> str:
    return ranges([seed.seed for seed in finding.seeds])


def _finding_tables(finding: GroupFinding) -> Iterator[Table]:
    name = f"control {finding.name}" if finding.control else finding.name
    size = (
        "" if finding.encoding_size is None else f"; {count_of(finding.encoding_size, 'encoding dimension')}"
    )
    title = f"{name}: assumptions of Theorem 2 (seeds {seeds_of(finding)}{size})"
    notes = [f"effective dimensions: {effective_dimensions_text(finding)}"]
    yield assumption_table(finding, title, *notes)
    for block in finding.blocks:
        yield from _block_tables(name, finding, block)
    yield from specific_tables(finding, f"{name}: the latents of each modality")
    yield from _optimum_tables(name, finding)


def assumption_table(finding: GroupFinding, title: str, *notes: str, style: str = "") -> Table:
    """What the assumptions of the theorem are for the first seed, and for which seeds they are otherwise."""
    first, *others = finding.seeds
    rows = []
    for place, row in enumerate(first.assumptions):
        differing = [s.seed for s in others if s.assumptions[place].verdict != row.verdict]
        also = f"; otherwise for seeds {ranges(differing)}" if differing else ""
        rows.append((row.name, judged_cell(row.verdict), row.evidence + also))
    more = [f"evidence: that of seed {first.seed}"] if others else []
    return Table(title, ("assumption", "status", "evidence"), rows, (*more, *notes), style=style)


def effective_dimensions_text(finding: GroupFinding) -> str:
    """The effective dimensions of each block, mean over seeds, beside its dimensions."""
    first = finding.seeds[0].effective
    means = {block: sum(s.effective[block][1] for s in finding.seeds) / len(finding.seeds) for block in first}
    return ", ".join(f"{block} {means[block]:.2f} of {dim}" for block, (dim, _) in first.items())


def _block_tables(name: str, finding: GroupFinding, block: tuple[str, ...]) -> Iterator[Table]:
    judged = finding.of_block(block)
    words = " and ".join(block)
    if len(judged) == 1:
        (judgement,) = judged.values()
        rows = [condition_row(c) for verdict in judgement.verdicts for c in verdict.conditions]
        yield Table(f"{name}: conditions on {words}", CONDITION_COLUMNS, rows, align="lllrrll")
    yield seed_table(finding, block, f"{name}: verdicts on {words}, seed by seed")


def specific_tables(finding: GroupFinding, title: str) -> Iterator[Table]:
    """Of a DMVAE: whether the latents of each modality are free of content, and have all else that it shows."""
    for seed in finding.seeds:
        rows = [condition_row(c) for verdict in seed.specific for c in verdict.conditions]
        if not rows:
            continue
        for m in seed.draws:
            rows.append((m.view, "leak of draws", m.how, *estimate_cells(m), MISSING, MISSING))
        notes = (*SPECIFIC_NOTES, DRAWS_NOTE) if seed.draws else SPECIFIC_NOTES
        yield Table(f"{title}, seed {seed.seed}", CONDITION_COLUMNS, rows, notes, align="lllrrll")


SPECIFIC_NOTES = (
    "leak: the part of the variance that content moves, in the worst direction; 0 where they are free of content",
    "recovery: of all else that the view shows, in the worst direction",
)
DRAWS_NOTE = (
    "leak of draws: the same of draws from the posterior, whose noise is a part that content does not move; "
    "the verdict is on means"
)


def seed_table(finding: GroupFinding, block: tuple[str, ...], title: str, style: str = "") -> Table:
    """The verdict of each seed on a block, with the worst of each quantity over its views."""
    judged = finding.of_block(block)
    by_seed = {seed.seed: seed for seed in finding.seeds}
    rows = [_seed_row(by_seed[seed], judgement) for seed, judgement in judged.items()]
    cut = any(row[4] != MISSING for row in rows)
    head: tuple[str, ...] = ("seed", "predicted", "measured", *WORST_NAMES, "gap")
    if not cut:
        rows = [(*row[:4], *row[5:]) for row in rows]
        head = (*head[:4], *head[5:])
    notes = [
        *_outcome_counts(finding, block),
        "Worst over views, with 95% intervals; gap: of Eq. 8.9 to the oracle, in nats.",
    ]
    reasons = {j.prediction.reason: j.prediction.words for j in judged.values()}
    notes += [
        f"predicted: {outcome}, since {reason}" for reason, outcome in list(reasons.items())[:FEW_SEEDS]
    ]
    for seed, judgement in judged.items():
        if len(judged) == 1 or (len(judged) <= FEW_SEEDS and judgement.outcome != "identified"):
            notes += [f"seed {seed}: {line}" for line in _reasons(judgement)]
    align = "rll" + "r" * (len(head) - 3)
    return Table(title, head, rows, [judged_cell(note) for note in notes], align=align, style=style)


def _outcome_counts(finding: GroupFinding, block: tuple[str, ...]) -> Iterator[str]:
    """How many seeds have each outcome, with the interval of the share."""
    outcomes = finding.found(block)
    if len(outcomes) > 1:
        for outcome in FOUND:
            k, share = counted(outcomes, outcome)
            if outcome == ON_SUPPORT and not k:
                continue
            yield (
                f"{outcome}: {k} of {len(outcomes)} seeds, {share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
            )


def _seed_row(seed: SeedFinding, judgement: Judgement) -> tuple[str | TableCell, ...]:
    cells: list[str | TableCell] = [str(seed.seed), judgement.prediction.words]
    cells.append(judged_cell(judgement.found))
    for quantity, regime in WORST:
        cells.append(_worst_cell(judgement, quantity, regime))
    cells.append(MISSING if seed.gap is None else f"{seed.gap:+.3f}")
    return tuple(cells)


def _worst_cell(judgement: Judgement, quantity: str, regime: str) -> str | TableCell:
    """The measure that is worst over views, in the colour of its condition."""
    among = [
        c
        for verdict in judgement.verdicts
        for c in verdict.conditions
        if (c.measure.quantity, c.measure.regime) == (quantity, regime)
    ]
    if not among:
        return MISSING
    sign = -1 if quantity == "recovery" else 1
    c = max(among, key=lambda c: sign * c.measure.value)
    state = {"satisfied": "good", "violated": "bad", "open": "open"}[c.state]
    return TableCell(f"{c.measure.value:.3f} [{c.measure.low:.3f}, {c.measure.high:.3f}]", state=state)  # type: ignore[arg-type]


def _reasons(judgement: Judgement) -> Iterator[str]:
    for verdict in judgement.verdicts:
        yield f"{verdict.found} by the encoder of view {verdict.view}"
        yield from (f"    {line}" for line in verdict.brief)


def scores_by_target(finding: GroupFinding) -> dict[tuple[str, str, str | None], list[ScoreBesideCeiling]]:
    """The probes of all seeds by view, target and what was permuted."""
    found: dict[tuple[str, str, str | None], list[ScoreBesideCeiling]] = {}
    for seed in finding.seeds:
        for one in seed.scores:
            key = one.score.view, one.score.label, one.score.intervention
            found.setdefault(key, []).append(one)
    return found


def whitening_note(optima: Sequence[Optimum]) -> list[str]:
    """Of which seeds encodings were whitened before they were held against Eq. 8.9; nothing where of none."""
    seeds = [one.seed for one in optima if one.whitened]
    if not seeds:
        return []
    which = "" if len(seeds) == len(optima) else f" of seeds {ranges(seeds)}"
    return [f"Encodings{which} are whitened first, as the objective compares them."]


def _optimum_tables(name: str, finding: GroupFinding) -> Iterator[Table]:
    optima = [seed.optimum for seed in finding.seeds if seed.optimum is not None]
    without = [seed.without for seed in finding.seeds if seed.without]
    if not optima:
        if without:
            yield Table(f"{name}: no oracle", notes=(without[0],))
        return
    notes = [
        f"The oracle is the exact inverse of the mixing and the Darmois construction ({optima[0].how}). Its "
        "alignment and entropies are 0, apart from rounding and the noise of the estimate.",
        "A run's value is that of its encodings mapped to the unit cube by marginal ranks. Entropies in nats, of each "
        "view; ± is a standard error.",
        *whitening_note(optima),
    ]
    if without:
        notes.append(f"without an oracle: {without[0]}")
    rows = [
        (
            f"{o.seed} {who}".strip(),
            f"{value.alignment:.1e}",
            ", ".join(f"{h:+.3f}" for h in value.entropies),
            f"{value.value:+.3f} ± {value.error:.3f}",
        )
        for o in optima
        for who, value in (("oracle", o.oracle), ("run", o.trained))
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


def markdown(verification: Verification) -> str:
    """The whole report as Markdown, verdicts first."""
    *shown, summary = sections(verification)
    failures = [
        f"- {finding.name}: {finding.failure}" for finding in verification.findings if finding.failure
    ]
    parts = ["# Verification of Theorem 2", f"{headline(verification)}."]
    if failures:
        parts.append("\n".join(failures))
    for section in (summary, *shown):
        parts.append(section.markdown())
    for finding in verification.findings:
        parts += [f"### {finding.name}: provenance", f"`{json.dumps(json_value(finding.provenance))}`"]
    return "\n\n".join(parts) + "\n"


def record(verification: Verification) -> dict[str, Any]:
    """All of it as a table for verification.json."""
    factors = verification.factors
    return {
        "format": 2,
        "margins": dataclasses.asdict(verification.margins),
        "passed": not verification.failures,
        "exit_code": verification.exit_code,
        "predictions": verification.tally(),
        "groups": [_group_record(finding) for finding in verification.findings],
        "power": {name: dataclasses.asdict(power) for name, power in verification.power.items()},
        "content_factors": None if factors is None else {**dataclasses.asdict(factors), "text": str(factors)},
    }


def _group_record(finding: GroupFinding) -> dict[str, Any]:
    table = dataclasses.asdict(finding)
    for entry, seed in zip(table["seeds"], finding.seeds, strict=True):
        del entry["scores"]  # which the records of the runs have
        for judged, judgement in zip(entry["judgements"], seed.judgements, strict=True):
            judged["prediction"]["words"] = judgement.prediction.words
            judged |= {
                "outcome": judgement.outcome,
                "found": judgement.found,
                "came_true": judgement.came_true,
            }
        if seed.optimum is not None:
            entry["optimum"] |= {"gap": seed.optimum.gap}
    return {**table, "tally": finding.tally(), "failure": finding.failure}


def json_value(value: Any) -> Any:
    """A value as JSON has it: tuples as lists, keys as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
