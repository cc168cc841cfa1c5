"""Sweeps: many experiments from one TOML file, a run a child process.

A sweep file names what its runs share, and what tells them apart: ``rows``, one by one, times the ``grid``, every
combination, times the seeds. What a preset of the file says goes before what the file says for all presets.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from identbox import config, files
from identbox.config import flat, nested
from identbox.data import formats
from identbox.errors import IdentboxError
from identbox.experiments import image_text, run, simulation
from identbox.experiments.image_text import DataSettings, Experiment
from identbox.experiments.records import FORMAT, SWEEP, run_folder
from identbox.experiments.simulation import Simulation
from identbox.jobs.execution import Job
from identbox.settings import build

Report = Literal["table", "interventions", "lines", "elbow", "factors"]
Kind = Literal["simulation", "image-text"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The keys of a sweep file. Rows and grid have tables within tables, as configurations have."""

    title: str
    report: Report  # how identbox report shows it
    kind: Kind = "simulation"  # what its runs are: identbox simulate, or identbox train
    published: str | None = None  # file under simulations/published to hold the results against
    seeds: tuple[int, ...] = (0, 1, 2)
    x: str | None = None  # last part of the key that goes along the x axis, for lines, elbow and factors
    panel: str | None = None  # last part of the key that names the panel, for lines
    config: dict[str, Any] = field(default_factory=dict)  # shared by all runs, as tables of config.toml
    rows: tuple[dict[str, Any], ...] = ({},)
    grid: dict[str, Any] = field(default_factory=dict)  # a list of values at each key

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise IdentboxError(f"seeds: expected different numbers from 0, got {list(self.seeds)}")
        for key, values in flat(self.grid).items():
            if not isinstance(values, list | tuple) or not values:
                raise IdentboxError(f"grid.{key}: expected a list of values, got {values!r}")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One configuration of a sweep: what tells it from the others, and all of it."""

    name: str
    values: dict[str, Any]
    config: Simulation | Experiment


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep file read for one preset."""

    name: str
    preset: str
    plan: Plan
    cells: tuple[Cell, ...]

    def runs(self) -> Iterator[tuple[Cell, int]]:
        """Every cell with every seed; all cells of the first seed come first."""
        for seed in self.plan.seeds:
            for cell in self.cells:
                yield cell, seed

    def data(self) -> list[DataSettings]:
        """How the runs of images and text read their dataset."""
        return [cell.config.data for cell in self.cells if isinstance(cell.config, Experiment)]

    def table(self) -> dict[str, Any]:
        """The table of sweep.toml in the sweep's folder, which reports read."""
        return {
            "format": FORMAT,
            "name": self.name,
            "title": self.plan.title,
            "preset": self.preset,
            "report": self.plan.report,
            "kind": None if self.plan.kind == "simulation" else self.plan.kind,
            "published": self.plan.published,
            "seeds": self.plan.seeds,
            "x": self.plan.x,
            "panel": self.plan.panel,
            "cells": [{"name": cell.name, "values": cell.values} for cell in self.cells],
        }


def read(
    path: Path, preset: str, seeds: tuple[int, ...] | None = None, changes: Mapping[str, Any] = {}
) -> Sweep:
    """Read a sweep file for a preset, with other seeds and some keys of the configuration changed where given.

    Raises IdentboxError for unknown keys (of the file, or of the grid and no configuration), values that do not fit,
    and two cells that do not differ.
    """
    table = config.read_toml(path)
    if preset not in simulation.PRESETS:
        raise IdentboxError(f"preset: expected one of {', '.join(simulation.PRESETS)}; got {preset}")
    own = {name: table.pop(name, {}) for name in simulation.PRESETS}[preset]
    for where, part in ((preset, own), ("config", table.get("config", {}))):
        if not isinstance(part, dict):
            raise IdentboxError(f"{path}: {where}: expected a table, got {part!r}")
    if not isinstance(own.get("config", {}), dict):
        raise IdentboxError(f"{path}: {preset}.config: expected a table, got {own['config']!r}")
    shared = config.merge(config.merge(table.get("config", {}), own.get("config", {})), changes)
    table = {**table, **own, "config": shared, **({"seeds": seeds} if seeds is not None else {})}
    plan = build(Plan, table, str(path))
    cells: dict[str, Cell] = {}
    grid = flat(plan.grid)
    for row, *values in itertools.product(plan.rows, *grid.values()):
        dotted = {**flat(row), **dict(zip(grid, values, strict=True))}
        configured = image_text.experiment if plan.kind == image_text.KIND else simulation.simulation
        built = configured(preset, config.merge(shared, nested(dotted, str(path))), str(path))
        cell = Cell(
            name=slug(dotted),
            values={key.rpartition(".")[2]: shown(value) for key, value in dotted.items()},
            config=built,
        )
        if cell.name in cells:
            raise IdentboxError(f"{path}: expected rows and a grid of different cells, got {cell.name} twice")
        cells[cell.name] = cell
    return Sweep(name=path.stem, preset=preset, plan=plan, cells=tuple(cells.values()))


def shown(value: Any) -> Any:
    """A value as a report shows it: lists as words joined by +."""
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else value


def slug(dotted: Mapping[str, Any]) -> str:
    """A folder name that says what tells a cell from others.

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
            parts.append(shown(value) or f"no_{name}")
        else:
            parts.append(f"{name}{value}")
    return re.sub(r"[^\w.+-]", "_", "-".join(parts)) or "run"


def prepare(folder: Path, sweep: Sweep) -> None:
    """Make the folder of a sweep, or see that it is of the same one (other seeds may be added).

    Raises IdentboxError where it is of another sweep, naming the keys that differ.
    """
    path = folder / SWEEP
    table = config.plain(sweep.table())
    if path.exists() and not files.is_cut(path, config.toml_of(table)):
        there = config.read_toml(path)
        differing = [
            key
            for key in dict.fromkeys([*there, *table])
            if key != "seeds" and there.get(key) != table.get(key)
        ]
        if differing:
            raise IdentboxError(
                f"{folder}: expected a sweep of this file and preset, got one that differs in {', '.join(differing)}"
            )
        table["seeds"] = sorted({*there["seeds"], *table["seeds"]})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config.write_toml(path, table)
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error


def jobs(folder: Path, sweep: Sweep, *, device: str, dataset: Path | None = None) -> Iterator[Job]:
    """The runs of a sweep as child processes; those of images and text are trained on ``dataset``.

    Raises IdentboxError for a dataset that is missing, or given where none is used.
    """
    wanted = sweep.plan.kind == image_text.KIND
    if wanted != (dataset is not None):
        need = "a folder for a sweep of images and text" if wanted else "none for a sweep of simulations"
        raise IdentboxError(f"--dataset: expected {need}, got {dataset or 'none'}")
    # Whole paths: a job may be done by another machine, in another folder.
    folder, dataset = folder.resolve(), dataset and dataset.resolve()
    sha256 = "" if dataset is None else formats.fingerprint(dataset)
    for cell, seed in sweep.runs():
        place = run_folder(folder, cell.name, seed)
        if isinstance(cell.config, Experiment):
            assert dataset is not None
            claim = partial(image_text.claim, place, cell.config, dataset, sha256, seed=seed)
            command = ["train", str(dataset)]
        else:
            claim = partial(simulation.claim, place, cell.config, seed=seed)
            command = ["simulate"]
        options = {
            # A key without a value stands in no TOML, so that the preset of the run must be the sweep's.
            "--preset": sweep.preset,
            "--config": place / run.CONFIG,
            "--seed": seed,
            "--out": place,
            "--device": device,
        }
        words = (str(word) for pair in options.items() for word in pair)
        yield run.job(place, claim, ("identbox", *command, *words))
