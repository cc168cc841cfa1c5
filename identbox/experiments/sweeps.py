"""Sweeps: many experiments from one TOML file, a run a child process.

A sweep file names what its runs share, and in what they differ: ``rows``, one by one, times the ``grid``, every
combination, times the seeds. What a preset of the file says goes before what the file says for all presets.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from identbox import config
from identbox.config import flat, nested
from identbox.data import formats
from identbox.errors import IdentboxError
from identbox.experiments.dmvae import DMVAESettings
from identbox.experiments.dmvae_parts import stage_folder
from identbox.experiments.generative import Generative, vae_folder
from identbox.experiments.image_text import DataSettings, Experiment, experiment_folder
from identbox.experiments.multiview import DataKind
from identbox.experiments.records import (
    DMVAE,
    GENERATIVE,
    IMAGE_TEXT,
    RUN_FORMAT,
    RUNS,
    SIMULATION,
    SWEEP,
    run_folder,
)
from identbox.experiments.run import CONFIG_FILE, RunFolder
from identbox.experiments.simulation import SIMULATION_PRESETS, Simulation, simulation_folder
from identbox.jobs.execution import Job
from identbox.settings import build

ReportKind = Literal[
    "table", "interventions", "lines", "elbow", "factors", "inputs", "generation", "frontier"
]
RunKind = Literal["simulation", "image-text", "generative"]
RunSettings = Simulation | Experiment | Generative | DMVAESettings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The keys of a sweep file. Rows and grid have tables within tables, as configurations have."""

    title: str
    report: ReportKind  # how identbox report shows it
    # what its runs are: identbox simulate, identbox train, or that with a model; a row may have a kind of its own
    kind: RunKind = "simulation"
    published: str | None = None  # file under simulations/published to hold the results against
    seeds: tuple[int, ...] = (0, 1, 2)
    # last part of the key that goes along the x axis, for lines, elbow, factors and generation
    x: str | None = None
    panel: str | None = None  # last part of the key that names the panel, for lines
    config: dict[str, Any] = field(default_factory=dict)  # shared by all runs, as tables of config.toml
    # Each row's keys name its runs and stand in reports, but for those of its own config: how it is trained, say.
    rows: tuple[dict[str, Any], ...] = ({},)
    grid: dict[str, Any] = field(default_factory=dict)  # a list of values at each key

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise IdentboxError(f"seeds: expected different numbers from 0, got {list(self.seeds)}")
        for row in self.rows:
            if not isinstance(row.get("config", {}), dict):
                raise IdentboxError(f"rows.config: expected a table, got {row['config']!r:.40}")
        for key, values in flat(self.grid).items():
            if not isinstance(values, list | tuple) or not values:
                raise IdentboxError(f"grid.{key}: expected a list of values, got {values!r}")


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One configuration of a sweep: the values in which it differs from the others, and the whole of it."""

    name: str
    values: dict[str, Any]
    config: RunSettings


@dataclass(frozen=True, kw_only=True)
class PlannedSweep:
    """A sweep file read for one preset."""

    name: str
    preset: str
    plan: Plan
    cells: tuple[PlannedCell, ...]

    def runs(self) -> Iterator[tuple[PlannedCell, int]]:
        """Every cell with every seed; all cells of the first seed come first."""
        for seed in self.plan.seeds:
            for cell in self.cells:
                yield cell, seed

    def data(self) -> list[DataSettings]:
        """How the runs of images and text read their dataset."""
        return [cell.config.data for cell in self.cells if not isinstance(cell.config, Simulation)]

    def table(self) -> dict[str, Any]:
        """The table of sweep.toml in the sweep's folder, which reports read."""
        return {
            "format": RUN_FORMAT,
            "name": self.name,
            "title": self.plan.title,
            "preset": self.preset,
            "report": self.plan.report,
            "kind": None if self.plan.kind == SIMULATION else self.plan.kind,
            "published": self.plan.published,
            "seeds": self.plan.seeds,
            "x": self.plan.x,
            "panel": self.plan.panel,
            "cells": [{"name": cell.name, "values": cell.values} for cell in self.cells],
        }

    def claim(self, folder: Path) -> None:
        """Make the folder of the sweep, or check that it is of the same one; other seeds are added to it.

        Raises IdentboxError where it is of another sweep; the message names the keys that differ.
        """
        path, what = folder / SWEEP, "a sweep of this file and preset"
        # Runs may lie there already: each has claimed its own folder.
        earlier = config.claim(path, self.table(), what=what, free=("seeds",), in_empty=False)
        if earlier is not None:
            seeds = sorted({*earlier["seeds"], *self.plan.seeds})
            if seeds != earlier["seeds"]:
                config.write_toml(path, {**self.table(), "seeds": seeds})

    def jobs(self, folder: Path, *, device: str, dataset: Path | None = None) -> Iterator[Job]:
        """The runs as child processes; those of images and text are trained on ``dataset``.

        Raises IdentboxError for a dataset that is missing, or given where none is used.
        """
        for run, command in self._commands(folder, dataset):
            options = {
                # TOML has no null: a key without a value comes from the preset, which must be that of the sweep.
                "--preset": self.preset,
                "--config": run.path / CONFIG_FILE,
                "--seed": run.seed,
                "--out": run.path,
                "--device": device,
            }
            words = (str(word) for pair in options.items() for word in pair)
            yield run.job(("identbox", *command, *words))

    def take(self, folder: Path, other: Path, *, dataset: Path | None = None) -> int:
        """Copy the runs that another sweep has finished: those of the same configuration, seed and dataset.

        A run whose folder is there already is left as it is. Returns how many were copied. Raises IdentboxError where
        ``other`` is no folder of a sweep, and as `jobs` does.
        """
        if not (other / RUNS).is_dir():
            raise IdentboxError(
                f"{other}: expected the folder of a sweep, with a folder {RUNS} in it, got none"
            )
        theirs = sorted(path.parent for path in (other / RUNS).glob(f"*/{CONFIG_FILE}"))
        copied = 0
        for run, _ in self._commands(folder, dataset):
            if not run.path.exists() and (same := next(filter(run.is_finished_in, theirs), None)):
                run.take(same)
                copied += 1
        return copied

    def _commands(self, folder: Path, dataset: Path | None) -> Iterator[tuple[RunFolder, list[str]]]:
        """The folder of each run, and the words of the command that trains it."""
        kinds = {type(cell.config) for cell in self.cells}
        # Multimodal VAEs are trained on a dataset, or on the simulation that they have settings of.
        fits = Simulation not in kinds if dataset is not None else Experiment not in kinds
        if not fits:
            need = (
                "a folder for a sweep of images and text"
                if dataset is None
                else "none for a sweep of simulations"
            )
            raise IdentboxError(f"--dataset: expected {need}, got {dataset or 'none'}")
        # Absolute paths: a job may be done by another machine, in another folder.
        folder, dataset = folder.resolve(), dataset and dataset.resolve()
        sha256 = "" if dataset is None else formats.fingerprint(dataset)
        for cell, seed in self.runs():
            yield _run_and_command(cell.config, run_folder(folder, cell.name, seed), dataset, sha256, seed)


def _run_and_command(
    experiment: RunSettings,
    place: Path,
    dataset: Path | None,
    sha256: str,
    seed: int,
) -> tuple[RunFolder, list[str]]:
    """The folder of a run, and the command that trains it."""
    if isinstance(experiment, Simulation):
        return simulation_folder(place, experiment, seed=seed), ["simulate"]
    given, data = None if dataset is None else (dataset, sha256), str(dataset or SIMULATION)
    if isinstance(experiment, DMVAESettings):
        return stage_folder(experiment, place, seed, given), ["train", data]
    if isinstance(experiment, Generative):
        return vae_folder(place, experiment, seed=seed, dataset=given), ["train", data]
    assert dataset is not None
    run = experiment_folder(place, experiment, dataset, sha256, seed=seed)
    return run, ["train", str(dataset)]


def read_sweep_file(
    path: Path,
    preset: str,
    seeds: tuple[int, ...] | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    on: DataKind = "simulation",
) -> PlannedSweep:
    """Read a sweep file for a preset, with other seeds and some keys of the configuration changed where given.

    ``on`` says what multimodal VAEs are trained on: presets differ for simulations, pairs and other datasets.

    Raises IdentboxError for unknown keys (of the file, or of the grid and no configuration), values that do not fit,
    and two cells that do not differ.
    """
    table = config.read_toml(path)
    if preset not in SIMULATION_PRESETS:
        raise IdentboxError(f"preset: expected one of {', '.join(SIMULATION_PRESETS)}; got {preset}")
    own = {name: table.pop(name, {}) for name in SIMULATION_PRESETS}[preset]
    for where, part in ((preset, own), ("config", table.get("config", {}))):
        if not isinstance(part, dict):
            raise IdentboxError(f"{path}: {where}: expected a table, got {part!r}")
    if not isinstance(own.get("config", {}), dict):
        raise IdentboxError(f"{path}: {preset}.config: expected a table, got {own['config']!r}")
    shared = config.merge(config.merge(table.get("config", {}), own.get("config", {})), changes or {})
    table = {**table, **own, "config": shared, **({"seeds": seeds} if seeds is not None else {})}
    plan = build(Plan, table, str(path))
    cells: dict[str, PlannedCell] = {}
    grid = flat(plan.grid)
    for row, *values in itertools.product(plan.rows, *grid.values()):
        shown = {key: value for key, value in row.items() if key != "config"}
        dotted = {**flat(shown), **dict(zip(grid, values, strict=True))}
        own_kind = dotted.get("kind", plan.kind)
        own_config = config.merge(shared, row.get("config", {}))
        wanted = config.merge(own_config, nested({k: v for k, v in dotted.items() if k != "kind"}, str(path)))
        built = _configuration(own_kind, preset, wanted, path, on)
        cell = PlannedCell(
            name=slug(dotted),
            values={
                name: len(value) if name == plan.x and isinstance(value, list | tuple) else shown_value(value)
                for key, value in dotted.items()
                for name in [key.rpartition(".")[2]]
            },
            config=built,
        )
        if cell.name in cells:
            raise IdentboxError(f"{path}: expected rows and a grid of different cells, got {cell.name} twice")
        cells[cell.name] = cell
    return PlannedSweep(name=path.stem, preset=preset, plan=plan, cells=tuple(cells.values()))


def _configuration(kind: str, preset: str, table: Mapping[str, Any], path: Path, on: DataKind) -> RunSettings:
    if kind == GENERATIVE and table.get("model") == DMVAE:
        return DMVAESettings.from_preset(preset, table, str(path), on=on)
    if kind == GENERATIVE:
        return Generative.from_preset(preset, table, str(path), on=on)
    if kind == IMAGE_TEXT:
        return Experiment.from_preset(preset, table, str(path))
    if kind == SIMULATION:
        return Simulation.from_preset(preset, table, str(path))
    raise IdentboxError(f"{path}: kind: expected one of {', '.join(get_args(RunKind))}; got {kind}")


def shown_value(value: Any) -> Any:
    """A value as a report shows it: lists as words joined by +."""
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else value


def slug(dotted: Mapping[str, Any]) -> str:
    """A folder name that says how a cell differs from the others.

    >>> slug({"setting": "multimodal", "process.change_probability": 0.75, "process.causal": True})
    'multimodal-change_probability0.75-causal'
    """
    parts = []
    for key, value in dotted.items():
        name = key.rpartition(".")[2]
        if isinstance(value, bool):
            parts += [name] if value else []
        elif isinstance(value, str):
            parts.append(value)
        elif isinstance(value, list | tuple):
            parts.append(shown_value(value) or f"no_{name}")
        else:
            parts.append(f"{name}{value}")
    return re.sub(r"[^\w.+-]", "_", "-".join(parts)) or "run"
