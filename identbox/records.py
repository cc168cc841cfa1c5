"""What runs and sweeps left on disk, read and checked, and their statistics over seeds. Nothing here needs torch."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from identbox import config, resources
from identbox.errors import IdentboxError

FORMAT = 1
SWEEP, RUNS, RESULTS = "sweep.toml", "runs", "results.json"
CHECKPOINT, LEASE = "checkpoint.pt", "run.lease"  # of a run, which one process is at
KINDS = ("table", "interventions", "lines", "elbow", "factors")
ROLES = {
    "content": "content",
    "style": "style",
    "specific": "modality",
}  # as the tables of the thesis call them
BLOCKS = tuple(block + prime for block in ROLES.values() for prime in ("", "'"))
INTERVENTIONS = (None, *ROLES)
CONFIDENCE = 0.95
PROBES = {"probes", "probes_train_mode", "from_content"}  # keys of a record that hold lists of them


def is_finished(folder: Path) -> bool:
    """Whether a run's record is there whole, and its checkpoint, unless somebody removed it."""
    checkpoint = folder / CHECKPOINT
    try:
        json.loads((folder / RESULTS).read_bytes())
        return not checkpoint.exists() or zipfile.is_zipfile(checkpoint)
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One score of a run: a target predicted from the encodings of a view, perhaps after an intervention."""

    view: str
    target: str
    intervention: str | None
    probe: str
    metric: str
    score: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """The record of a run, as far as reports need it."""

    format: int
    identbox: str
    seed: int
    config: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    steps: int
    seconds: float
    losses: dict[str, float]
    probes: tuple[Probe, ...]
    process: dict[str, Any] = field(default_factory=dict)
    kind: str = "simulation"  # or image-text
    # Of image/text runs: what content alone tells of each factor, and probes with batch norm in training mode.
    from_content: tuple[Probe, ...] = ()
    probes_train_mode: tuple[Probe, ...] = ()

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise IdentboxError(f"format: expected {FORMAT}, got {self.format}")

    def block(self, probe: Probe) -> str | None:
        """The block that a target belongs to: content, style or modality, with ' where it is what was permuted.

        None for a block specific to another view than the one probed.
        """
        name = probe.target.removesuffix("'")
        variable = self.process.get("variables", {}).get(name, {})
        role = variable.get("role", name.partition("_")[0])
        own = variable.get("view", name.partition("_")[2])
        if role not in ROLES or (role == "specific" and own not in ("", probe.view)):
            return None
        return ROLES[role] + "'" * probe.target.endswith("'")

    def scores(self, intervention: str | None) -> dict[tuple[str, str], tuple[float, float]]:
        """Nonlinear score and chance of each (block, metric), averaged over views and the block's variables."""
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for probe in self.probes:
            block = self.block(probe)
            if probe.intervention == intervention and probe.probe != "linear" and block is not None:
                found.setdefault((block, probe.metric), []).append((probe.score, probe.chance))
        return {key: (fmean(s for s, _ in pairs), fmean(c for _, c in pairs)) for key, pairs in found.items()}

    @cached_property
    def content(self) -> int | None:
        """The true number of content factors, where the record tells it."""
        sizes = [
            variable.get("dim", 1)
            for variable in self.process.get("variables", {}).values()
            if variable.get("role") == "content" and variable.get("distribution") != "constant"
        ]
        return sum(sizes) or self.config.get("process", {}).get("content")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What distinguishes the runs of a cell from the others."""

    name: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The keys of sweep.toml."""

    format: int
    name: str
    title: str
    preset: str
    report: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    published: str | None = None  # file under simulations/published
    x: str | None = None  # the value along the x axis, for lines, elbow and factors
    panel: str | None = None  # the value that names the panel, for lines
    kind: str = "simulation"  # or image-text

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise IdentboxError(f"format: expected {FORMAT}, got {self.format}")
        if self.report not in KINDS:
            raise IdentboxError(f"report: expected one of {', '.join(KINDS)}; got {self.report}")
        if not self.seeds or not self.cells or len({cell.name for cell in self.cells}) < len(self.cells):
            raise IdentboxError(
                "cells and seeds: expected at least one of each and different names, got others"
            )
        if self.report in ("lines", "elbow", "factors"):
            if self.x is None:
                raise IdentboxError(f"x: expected the name of a value for the report {self.report}, got none")
            for cell in self.cells:
                x = cell.values.get(self.x)
                if isinstance(x, bool) or not isinstance(x, int | float if self.report == "lines" else int):
                    wanted = "a number" if self.report == "lines" else "a whole number"
                    raise IdentboxError(f"cells: {cell.name}: {self.x}: expected {wanted}, got {x!r}")


@dataclass(frozen=True, kw_only=True)
class Entry:
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

        half = float(t.ppf(0.5 + CONFIDENCE / 2, len(self.scores) - 1)) * self.sd / sqrt(len(self.scores))
        return self.mean - half, self.mean + half

    @property
    def difference(self) -> float | None:
        return None if self.mean is None or self.published is None else self.mean - self.published


def read_run(path: Path) -> Run:
    """Read results.json. Raises IdentboxError where it is damaged or of another format."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IdentboxError(f"{path}: expected the record of a run, got {error}") from error
    return run_of(table, path)


def run_of(record: Any, path: Path) -> Run:
    """A run from the table that ``path`` holds; raises as `read_run` does."""
    table = known(Run, record, str(path))
    table.setdefault("probes", None)
    for key in PROBES & table.keys():
        if not isinstance(table[key], list):
            raise IdentboxError(f"{path}: {key}: expected a list, got {table[key]!r}")
        built = []
        for place, probe in enumerate(table[key]):
            where = f"{path}: {key}[{place}]"
            built.append(config.build(Probe, known(Probe, probe, where), where))
        table[key] = built
    return config.build(Run, table, str(path))


def known(cls: type, table: Any, where: str) -> dict[str, Any]:
    """The keys of a record that a class has; others are for other readers."""
    if not isinstance(table, dict):
        raise IdentboxError(f"{where}: expected a table, got {table!r}")
    names = {f.name for f in fields(cls)}
    return {key: value for key, value in table.items() if key in names}


def read_sweep(path: Path) -> Sweep:
    """Read sweep.toml. Raises IdentboxError for unknown keys and values that do not fit."""
    table = config.read_toml(path)
    cells = table.get("cells", [])
    if not isinstance(cells, list):
        raise IdentboxError(f"{path}: cells: expected a list of tables, got {cells!r}")
    built = [config.build(Cell, cell, f"{path}: cells[{place}]") for place, cell in enumerate(cells)]
    return config.build(Sweep, {**table, "cells": built}, str(path))


def run_folder(folder: Path, cell: str, seed: int) -> Path:
    """The folder of a run within that of its sweep."""
    return folder / RUNS / f"{cell}-seed{seed}"


Runs = dict[str, dict[int, Run]]  # by cell and seed, those that are finished


def read_runs(folder: Path, sweep: Sweep) -> Runs:
    """The finished runs of a sweep.

    Raises IdentboxError for a record that is damaged, of another seed, or made otherwise than the others of its cell.
    """
    found: Runs = {}
    for cell in sweep.cells:
        runs = found[cell.name] = {}
        for seed in sweep.seeds:
            path = run_folder(folder, cell.name, seed) / RESULTS
            if not path.exists():
                continue
            run = read_run(path)
            if run.seed != seed:
                raise IdentboxError(f"{path}: seed: expected {seed}, got {run.seed}")
            first = next(iter(runs.values()), run)
            if run.config != first.config:
                raise IdentboxError(
                    f"{path}: config: expected that of seed {first.seed} of its cell, got another one"
                )
            runs[seed] = run
    return found


@dataclass(frozen=True, kw_only=True)
class Published:
    """Figures to hold results against."""

    source: str
    rows: tuple[
        tuple[dict[str, Any], dict[str, tuple[float, float]]], ...
    ]  # values of a cell; mean, sd by target

    def of(self, values: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation by target for the cell of those values; empty where none is published."""
        for key, figures in self.rows:
            if all(name in values and values[name] == value for name, value in key.items()):
                return figures
        return {}


def read_published(name: str) -> Published:
    """Read a file under simulations/published.

    Its first line is ``# source: ...``; a column that has another beside it named NAME_sd is a target, any other one
    a value of the cell. Raises IdentboxError for a file that is not there or not of this form.
    """
    path = resources.folder("simulations") / "published" / name
    if Path(name).name != name or not path.is_file():
        raise IdentboxError(f"published: expected a file in {path.parent}, got {name}")
    source, *lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for line in csv.DictReader(lines):
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
    return Published(source=source.removeprefix("# source: "), rows=tuple(rows))


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
) -> Iterator[Entry]:
    """Every block of every cell after each of ``interventions``; published figures are of ``published_after``."""
    for cell in sweep.cells:
        for intervention in interventions:
            scores = {seed: run.scores(intervention) for seed, run in runs[cell.name].items()}
            figures = published.of(cell.values) if published and intervention == published_after else {}
            keys = {key for found in scores.values() for key in found}
            keys |= {(target, "r2") for target in figures}
            for target, metric in sorted(keys, key=lambda key: (BLOCKS.index(key[0]), key[1] != "r2")):
                pairs = {s: found[target, metric] for s, found in scores.items() if (target, metric) in found}
                mean, sd = figures.get(target, (None, None)) if metric == "r2" else (None, None)
                yield Entry(
                    cell=cell,
                    target=target,
                    metric=metric,
                    intervention=intervention,
                    scores={seed: score for seed, (score, _) in pairs.items()},
                    planned=len(sweep.seeds),
                    chance=fmean(chance for _, chance in pairs.values()) if pairs else None,
                    published=mean,
                    published_sd=sd,
                )


def loss_entries(sweep: Sweep, runs: Runs) -> Iterator[Entry]:
    """The validation and the training loss of every cell."""
    for cell in sweep.cells:
        done = runs[cell.name]
        for target, key in (("validation", "validation"), ("training", "train")):
            yield Entry(
                cell=cell,
                target=target,
                metric="loss",
                scores={seed: run.losses[key] for seed, run in done.items() if key in run.losses},
                planned=len(sweep.seeds),
                chance=next((run.losses.get("chance") for run in done.values()), None),
            )
