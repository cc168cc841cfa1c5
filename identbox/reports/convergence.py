"""Which runs of a sweep have converged: how far each is from the minimum of Eq. 8.9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from identbox.experiments.records import Cell, Run, Runs
from identbox.tables import CellContent, Table, TableCell
from identbox.texts import fixed_digits

# Nats above the minimum of Eq. 8.9 within which a run counts as converged.
CONVERGED = 0.1
NAMED_SEEDS = 6


def convergence_table(labels: Mapping[str, Sequence[str]], cells: Sequence[Cell], runs: Runs) -> Table | None:
    """A row for each cell: how many runs have converged, and their distances from the minimum of Eq. 8.9 in nats.

    ``labels`` has by heading the text of each cell. None where no record has an optimum.
    """
    rows: list[list[CellContent]] = []
    for place, cell in enumerate(cells):
        gaps = _gaps(runs[cell.name])
        far = sorted((seed for seed, gap in gaps.items() if gap >= CONVERGED), key=lambda seed: -gaps[seed])
        texts: list[CellContent] = [texts[place] for texts in labels.values()]
        if gaps:
            texts.append(TableCell(f"{len(gaps) - len(far)} of {len(gaps)}", state="open" if far else "good"))
            texts += [fixed_digits(gap, 3) for gap in (min(gaps.values()), max(gaps.values()))]
            named = [f"{seed} ({fixed_digits(gaps[seed], 2)})" for seed in far[:NAMED_SEEDS]]
            more = [f"and {len(far) - NAMED_SEEDS} more"] * (len(far) > NAMED_SEEDS)
            rows.append([*texts, ", ".join([*named, *more])])
    if not rows:
        return None
    head = [*labels, "converged", "least", "most", "seeds that have not (distance)"]
    title = f"Distance from the minimum of Eq. 8.9, in nats; converged: below {CONVERGED}"
    return Table(title, head, rows, align="l" * len(labels) + "rrrl")


def convergence_note(runs: Runs) -> list[str]:
    """In words, how many runs have converged; nothing where no record has an optimum."""
    gaps = [gap for own in runs.values() for gap in _gaps(own).values()]
    if not gaps:
        return []
    near = sum(gap < CONVERGED for gap in gaps)
    notes = [f"{near} of {len(gaps)} runs are within {CONVERGED} nats of the minimum of Eq. 8.9."]
    if as_they_are := sum(_measured_as_they_are(run) for own in runs.values() for run in own.values()):
        notes.append(
            f"In {as_they_are} of {len(gaps)} runs the distance is that of encodings as they are, though the objective "
            "compares whitened ones: correlations between components count as distance, which they are not for it."
        )
    return notes


def _measured_as_they_are(run: Run) -> bool:
    """Whether encodings were held against Eq. 8.9 as they are, though the objective compares whitened ones."""
    objective = run.config.get("objective") or {}
    return (
        run.gap is not None and objective.get("encodings") == "whitened" and not run.optimum.get("whitened")
    )


def _gaps(runs: Mapping[int, Run]) -> dict[int, float]:
    """By seed."""
    return {seed: run.gap for seed, run in runs.items() if run.gap is not None}
