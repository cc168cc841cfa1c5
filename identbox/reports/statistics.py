"""Statistics of the runs of a sweep over their seeds, beside published figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from identbox import files
from identbox.csvfiles import parse_csv
from identbox.errors import IdentboxError
from identbox.experiments.records import BLOCKS, Cell, Runs, Sweep
from identbox.reports.ceilings import block_ceilings, run_ceilings

SEED_CONFIDENCE = 0.95  # of the intervals over seeds


@dataclass(frozen=True, kw_only=True)
class SeedScores:
    """One quantity of one cell over seeds."""

    cell: Cell
    target: str  # content, content', style, modality, or a loss
    metric: str
    scores: dict[int, float]  # by seed, those that are finished
    planned: int  # number of seeds
    intervention: str | None = None
    chance: float | None = None
    published: float | None = None
    published_sd: float | None = None
    published_seeds: int | None = None
    # the worst and the best component of any seed, where records have components
    components: tuple[float, float] | None = None
    ceiling: float | None = None  # the mean over seeds of the best score that content allows
    highest_ceiling: float | None = None  # of any seed

    @property
    def mean(self) -> float | None:
        return fmean(self.scores.values()) if self.scores else None

    @property
    def sd(self) -> float | None:
        """With ddof = 1; None for fewer than two seeds."""
        return stdev(self.scores.values()) if len(self.scores) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the mean by Student's t."""
        if self.mean is None or self.sd is None:
            return None
        from scipy.stats import t

        half = (
            float(t.ppf(0.5 + SEED_CONFIDENCE / 2, len(self.scores) - 1)) * self.sd / sqrt(len(self.scores))
        )
        return self.mean - half, self.mean + half

    @property
    def difference(self) -> float | None:
        return None if self.mean is None or self.published is None else self.mean - self.published


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published figures, beside which results are shown."""

    source: str
    # The values of a cell, and by target the mean and the standard deviation.
    rows: tuple[tuple[dict[str, Any], dict[str, tuple[float, float]]], ...]
    seeds: int | None = None  # that each mean is over, where the source says it

    def of(self, values: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation by target for the cell of those values; empty where none is published."""
        for key, figures in self.rows:
            if all(name in values and values[name] == value for name, value in key.items()):
                return figures
        return {}


def read_published(name: str) -> Published:
    """Read a file under simulations/published.

    Its first line is ``# source: ...``, in which "over 3 seeds" is the number of seeds. A column that has another
    beside it named NAME_sd is a target, any other one a value of the cell. Raises IdentboxError for a file that is not
    there or not of this form.
    """
    path = files.packaged("simulations") / "published" / name
    if Path(name).name != name or not path.is_file():
        raise IdentboxError(f"published: expected a file in {path.parent}, got {name}")
    source, _, text = files.read_text(path).partition("\n")
    columns = parse_csv(text, str(path))
    rows = []
    for values in zip(*columns.values(), strict=True):
        line = dict(zip(columns, values, strict=True))
        targets = [column for column in line if f"{column}_sd" in line]
        if not set(targets) <= set(BLOCKS):
            raise IdentboxError(
                f"{path}: expected targets among {', '.join(BLOCKS)}; got {', '.join(targets)}"
            )
        numbers = {t: (line[t], line[f"{t}_sd"]) for t in targets if line[t]}
        key = {c: _value(line[c]) for c in line if c not in targets and c.removesuffix("_sd") not in targets}
        try:
            rows.append((key, {t: (float(mean), float(sd)) for t, (mean, sd) in numbers.items()}))
        except (TypeError, ValueError) as error:
            raise IdentboxError(f"{path}: expected numbers for {', '.join(targets)}; got {error}") from error
    seeds = re.search(r"over (\d+) seeds", source)
    return Published(
        source=source.removeprefix("# source: "), rows=tuple(rows), seeds=int(seeds[1]) if seeds else None
    )


def _value(text: str) -> Any:
    """A value as TOML would have it, or a plain word."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def entries(
    sweep: Sweep,
    runs: Runs,
    interventions: Sequence[str | None],
    published: Published | None,
    published_after: str | None = None,
) -> Iterator[SeedScores]:
    """Every block of every cell after each of ``interventions``; published figures are of ``published_after``."""
    for cell in sweep.cells:
        best = {seed: run_ceilings(run) for seed, run in runs[cell.name].items()}
        for intervention in interventions:
            allowed = [block_ceilings(run, best[seed], intervention) for seed, run in runs[cell.name].items()]
            scores = {seed: run.scores(intervention) for seed, run in runs[cell.name].items()}
            parts = [run.components(intervention) for run in runs[cell.name].values()]
            figures = published.of(cell.values) if published and intervention == published_after else {}
            keys = {key for by_key in scores.values() for key in by_key}
            keys |= {(target, "r2") for target in figures}
            for target, metric in sorted(keys, key=lambda key: (BLOCKS.index(key[0]), key[1] != "r2")):
                own = {seed: by_key.get((target, metric)) for seed, by_key in scores.items()}
                pairs = {seed: pair for seed, pair in own.items() if pair is not None}
                mean, sd = figures.get(target, (None, None)) if metric == "r2" else (None, None)
                ends = [by_key[target, metric] for by_key in parts if (target, metric) in by_key]
                ceilings = [by_key[target, metric] for by_key in allowed if (target, metric) in by_key]
                yield SeedScores(
                    cell=cell,
                    target=target,
                    metric=metric,
                    intervention=intervention,
                    scores={seed: score for seed, (score, _) in pairs.items()},
                    planned=len(sweep.seeds),
                    chance=fmean(chance for _, chance in pairs.values()) if pairs else None,
                    published=mean,
                    published_sd=sd,
                    published_seeds=published.seeds if published and mean is not None else None,
                    components=(min(e[0] for e in ends), max(e[1] for e in ends)) if ends else None,
                    ceiling=fmean(ceilings) if ceilings else None,
                    highest_ceiling=max(ceilings, default=None),
                )


def loss_entries(sweep: Sweep, runs: Runs) -> Iterator[SeedScores]:
    """The validation and the training loss of every cell."""
    for cell in sweep.cells:
        done = runs[cell.name]
        for target, key in (("validation", "validation"), ("training", "train")):
            yield SeedScores(
                cell=cell,
                target=target,
                metric="loss",
                scores={seed: run.losses[key] for seed, run in done.items() if key in run.losses},
                planned=len(sweep.seeds),
                chance=next((run.losses.get("chance") for run in done.values()), None),
            )
