"""Theorem 1 as tables and files: the gap that was reached in each case, and what became of each statement."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy

from identbox import __version__, files
from identbox.documents import page
from identbox.errors import IdentboxError
from identbox.experiments.run import commit
from identbox.experiments.theorem_1 import Case, Measurement, case_record
from identbox.tables import Table, TableCell, judged_cell

THEOREM_1_TITLE = "Theorem 1, measured exactly"
COUNTS = "Cases that refute each statement of Theorem 1"
STEM = "theorem_1"  # of the files
FORMAT = 1  # of theorem_1.json
COLUMNS = (
    "model", "decoder", "objective", "gap", "trained", "proved", "Σ w T", "H(w)", "Δ",
    "(7.5) as printed", "corrected", "Σ w T alone",
)  # fmt: skip
NOTES = (
    "gap: E[log p(x)] - E[L] in nats, the smallest that was found over a finite latent space, and exact for the tables "
    "that reach it.",
    "proved: no model with decoders of this family has a smaller gap (docs/theorem-1.md). For Eq. 5.19 it is Σ w T, "
    "for 5.18 the best of Σ w T - H(w) over groupings of the subsets, and of 0. margin: the least gap - proved.",
    "A statement is refuted where a gap is below its bound. It holds because it is proved, or was not beaten by what "
    "was found. Σ w T alone is proved for 5.19 only.",
    "Families of decoders that are the same on a process are one case; any: where no modality has two components.",
)
TRAINED_NOTE = (
    "trained: the gap of a small Gaussian VAE, estimated from samples. It cannot be below the least gap."
)


def shown_tables(cases: Sequence[Case]) -> list[Table]:
    """What a terminal shows: all cases of one process, or how often each statement was refuted on several."""
    names = {case.process for case in cases}
    return [*([_narrow_table(cases)] if len(names) == 1 else []), summary(cases)]


def summary(cases: Sequence[Case]) -> Table:
    """How many cases refute each statement, for each process and for all, and how near to the bound a gap came."""
    groups = _by_process(cases)
    rows = [_summary_row(name, members) for name, members in groups.items()]
    if len(groups) > 1:
        rows.append(_summary_row("all", cases))
    columns = ("process", "cases", "(7.5)", "corrected", "Σ w T alone", "margin")
    notes = (*NOTES, TRAINED_NOTE) if _any_trained(cases) else NOTES
    return Table(COUNTS, columns, rows, notes, align="lrrrrr", dense=True)


def gap_headline(cases: Sequence[Case]) -> str:
    """What became of both statements, in one line."""
    printed = sum(case.printed == "refuted" for case in cases)
    wrong = sum(case.corrected == "refuted" for case in cases)
    below = f"{wrong or 'no'} gap{'' if wrong == 1 else 's'}"
    return f"Of {len(cases)} cases, {printed} refute (7.5) as printed; {below} below the corrected bound"


def write_theorem_1(cases: Sequence[Case], measurement: Measurement, folder: Path) -> list[Path]:
    """Write the cases as theorem_1.json, .csv, .md and .html to a folder, which is made; returns their paths.

    Raises IdentboxError where the folder cannot be written to.
    """
    groups = _by_process(cases)
    details = [_wide_table(name, members) for name, members in groups.items()]
    record = {
        "format": FORMAT,
        "identbox": __version__,
        **commit(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "measurement": dataclasses.asdict(measurement),
        "cases": [case_record(case) for case in cases],
    }
    markdown = [f"# {THEOREM_1_TITLE}", gap_headline(cases) + ".", summary(cases).markdown(2)]
    texts = {
        "json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        "csv": _csv_of_cases(cases),
        "md": "\n\n".join([*markdown, *(table.markdown(2) for table in details)]) + "\n",
        "html": page(THEOREM_1_TITLE, summary(cases), *details, lead=gap_headline(cases) + "."),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in texts.items():
            files.write_whole(folder / f"{STEM}.{ending}", text.encode())
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error
    return [folder / f"{STEM}.{ending}" for ending in texts]


def _by_process(cases: Sequence[Case]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.process, []).append(case)
    return groups


def _summary_row(name: str, cases: Sequence[Case]) -> tuple[str | TableCell, ...]:
    wrong = sum(case.corrected == "refuted" for case in cases)
    margins = [case.gap - case.bounds.low for case in cases if case.gap is not None]
    return (
        name,
        str(len(cases)),
        str(sum(case.printed == "refuted" for case in cases)),
        TableCell(str(wrong), state="bad" if wrong else "good"),
        str(sum(case.correlation == "refuted" for case in cases)),
        f"{min(margins):.0e}" if margins else "",
    )


def _narrow_table(cases: Sequence[Case]) -> Table:
    """The cases of one process for a terminal of 80 columns: the objectives one below the other, and few words."""
    trained = _any_trained(cases)
    digits = 3 if trained else 4
    columns = (
        "model",
        "decoder",
        "gap",
        *(["trained"] if trained else []),
        "proved",
        "Δ",
        "(7.5)",
        "corrected",
    )
    ordered = sorted(cases, key=lambda case: case.objective)
    sections: dict[int, str] = {}
    rows: list[tuple[str | TableCell, ...]] = []
    for place, case in enumerate(ordered):
        if not place or case.objective != ordered[place - 1].objective:
            sections[place] = f"Eq. {case.objective}"
        gaps = [_nats(case.gap, digits), *([_trained_cells(case).partition(" ")[0]] if trained else [])]
        bounds = [_nats(bound, digits) for bound in (case.bounds.low, case.bounds.delta)]
        found = [judged_cell(finding.partition(" (")[0]) for finding in (case.printed, case.corrected)]
        rows.append((case.model, case.decoder, *gaps, *bounds, *found))
    align = "ll" + "r" * (len(columns) - 4) + "ll"
    return Table(cases[0].process, columns, rows, align=align, sections=sections, dense=True)


def _wide_table(name: str, cases: Sequence[Case]) -> Table:
    """All figures of the cases of one process; the column of trained gaps where there are any."""
    kept = [k for k, column in enumerate(COLUMNS) if column != "trained" or _any_trained(cases)]
    rows = [[_wide_row(case)[k] for k in kept] for case in cases]
    return Table(name, [COLUMNS[k] for k in kept], rows, align="".join("lllrrrrrrlll"[k] for k in kept))


def _wide_row(case: Case) -> tuple[str | TableCell, ...]:
    bounds = case.bounds
    return (
        case.model,
        case.decoder,
        case.objective,
        _nats(case.gap),
        _trained_cells(case),
        _nats(bounds.low),
        _nats(bounds.correlation),
        _nats(bounds.weights_entropy),
        _nats(bounds.delta),
        *(judged_cell(finding) for finding in (case.printed, case.corrected, case.correlation)),
    )


def _any_trained(cases: Sequence[Case]) -> bool:
    return any(case.trained is not None for case in cases)


def _trained_cells(case: Case) -> str:
    return "" if case.trained is None else f"{case.trained.gap:.3f} ± {case.trained.error:.3f}"


def _nats(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _csv_of_cases(cases: Sequence[Case]) -> str:
    """All cases as one table, with the subsets and their weights, and the size of the latent space."""
    columns = ("process", "subsets", *COLUMNS, "latents", "latents enough")
    rows: list[tuple[str | TableCell, ...]] = []
    for case in cases:
        space = ("", "") if case.enough is None else (str(case.latents), str(case.enough).lower())
        rows.append((case.process, case.subsets, *_wide_row(case), *space))
    return Table("", columns, rows).csv()
