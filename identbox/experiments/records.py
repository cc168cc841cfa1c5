"""What runs and sweeps left on disk, read and checked, and their statistics over seeds. Nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from identbox import config, files
from identbox.errors import IdentboxError
from identbox.metrics.disentanglement_records import DisentanglementScore, disentanglement_of_record
from identbox.metrics.displacement_records import Displacement, displacement_of_record
from identbox.metrics.scores import PRIME, Score, score_of_record
from identbox.settings import build

SIMULATION, IMAGE_TEXT, GENERATIVE = "simulation", "image-text", "generative"  # kinds of runs
SHUFFLED_PAIRS = "shuffled-pairs"  # the negative control that there is of simulations, and of images and text
DMVAE = "dmvae"
RUN_FORMAT = 1  # of the records of runs and sweeps
SWEEP, RUNS, RESULTS = "sweep.toml", "runs", "results.json"
LEASE = "run.lease"
KINDS = ("table", "interventions", "lines", "elbow", "factors", "inputs", "generation", "frontier")
ANY_NUMBER = ("lines", "generation")  # kinds whose x may be any number
SCORES_KEY = "scores"  # of a line of metrics.jsonl: cheap scores of every variable at that step
# What the tables of the thesis call the roles of variables.
ROLE_NAMES = {"content": "content", "style": "style", "specific": "modality"}
BLOCKS = tuple(block + prime for block in ROLE_NAMES.values() for prime in ("", PRIME))
INTERVENTIONS = (None, *ROLE_NAMES)
# Keys of a record that hold lists of scores.
PROBE_KEYS = {"probes", "probes_train_mode", "probes_subsets", "from_content", "interventions"}


@dataclass(frozen=True, kw_only=True)
class Exact:
    """A multimodal VAE beside the law that it was trained on, in nats."""

    log_evidence: float  # E[log p(x)]
    bound: float  # E[L], with beta 1
    error: float  # the standard error of the bound, from sampling z
    states: int  # over which the bound is a mean
    # Beside each estimate of the record, the exact log-likelihood of the same samples.
    likelihood: tuple[float, ...] = ()
    # The objective and decoders of Theorem 1, and which gap no model of these is below: as proved, and as printed.
    objective: str = ""
    decoder: str = ""
    least_gap: float | None = None
    printed_gap: float | None = None


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
    probes: tuple[Score, ...]
    process: dict[str, Any] = field(default_factory=dict)
    kind: str = SIMULATION
    # Of image/text runs: each factor predicted from content alone, and probes with batch norm in training mode.
    from_content: tuple[Score, ...] = ()
    probes_train_mode: tuple[Score, ...] = ()
    # Where the dataset has counterfactual splits: each factor predicted after each intervention, from the encodings and
    # from content, and what moves the encodings.
    interventions: tuple[Score, ...] = ()
    displacement: tuple[Displacement, ...] = ()
    # What `identbox scores` added.
    disentanglement: tuple[DisentanglementScore, ...] = ()
    # Of multimodal VAEs: probes of the embeddings of several modalities together and of specific dimensions, the bound
    # that was maximised, and estimates of log-likelihoods.
    probes_subsets: tuple[Score, ...] = ()
    bound: str = ""
    likelihood: tuple[dict[str, Any], ...] = ()
    # Of multimodal VAEs on a law that is known: the bound and the log-likelihoods beside the exact ones, in nats.
    exact: Exact | None = None
    # Of simulations: the run beside the optimum of the theorem's proof, or why there is none; and the measures that
    # verdicts rest on.
    optimum: Any = None
    identification: Any = None
    # On a dataset: what is generated from subsets of modalities and from the prior, and judged.
    dataset: dict[str, Any] = field(default_factory=dict)
    likelihood_by_inputs: tuple[dict[str, Any], ...] = ()
    coherence: tuple[dict[str, Any], ...] = ()
    coherence_unconditional: tuple[dict[str, Any], ...] = ()
    reconstruction: tuple[dict[str, Any], ...] = ()
    frechet: tuple[dict[str, Any], ...] = ()
    frechet_unconditional: tuple[dict[str, Any], ...] = ()
    frechet_reconstruction: tuple[dict[str, Any], ...] = ()
    # Of a DMVAE: the content of generated views, and the estimate of I(c; m) of each view in nats.
    content_agreement: tuple[dict[str, Any], ...] = ()
    mutual_information: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format != RUN_FORMAT:
            raise IdentboxError(f"format: expected {RUN_FORMAT}, got {self.format}")

    @property
    def on_dataset(self) -> bool:
        """Whether the run was trained on images and text, and its targets are the factors of a dataset."""
        return bool(self.from_content) or self.kind == IMAGE_TEXT

    @property
    def gap(self) -> float | None:
        """How far the run is from the minimum of Eq. 8.9, in nats; infinite for encodings with atoms.

        None where the record has no optimum, or a damaged one.
        """
        try:
            values = []
            for who in ("trained", "oracle"):
                entropies = self.optimum[who]["entropies"]
                lost = math.inf if None in entropies else -fmean(entropies)
                values.append(float(self.optimum[who]["alignment"]) + lost)
        except (TypeError, KeyError, ValueError):
            return None
        return values[0] - values[1]

    @property
    def recovery(self) -> float | None:
        """How much of content can be read in its worst direction, the least over views and blocks.

        None where it was not measured, and where measures are damaged.
        """
        try:
            measures = [measure for block in self.identification for measure in block["measures"]]
            values = [float(m["value"]) for m in measures if m["quantity"] == "recovery"]
        except (TypeError, KeyError, ValueError):
            return None
        return min(values, default=None)

    def block(self, probe: Score) -> str | None:
        """The block that a target belongs to: content, style or modality, with ' where it is what was permuted.

        None for a block specific to another view than the one probed.
        """
        name = probe.target
        variable = self.process.get("variables", {}).get(name, {})
        role = variable.get("role", name.partition("_")[0])
        own = variable.get("view", name.partition("_")[2])
        if role not in ROLE_NAMES or (role == "specific" and own not in ("", probe.view)):
            return None
        return ROLE_NAMES[role] + PRIME * probe.permuted

    def scores(self, intervention: str | None) -> dict[tuple[str, str], tuple[float, float]]:
        """Nonlinear score and chance of each (block, metric), averaged over views and the block's variables."""
        pairs_of: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for probe in self.probes:
            block = self.block(probe)
            if probe.intervention == intervention and probe.nonlinear and block is not None:
                pairs_of.setdefault((block, probe.metric), []).append((probe.score, probe.chance))
        return {
            key: (fmean(s for s, _ in pairs), fmean(c for _, c in pairs)) for key, pairs in pairs_of.items()
        }

    def components(self, intervention: str | None) -> dict[tuple[str, str], tuple[float, float]]:
        """Nonlinear scores of the worst and the best component of each (block, metric), over views and variables."""
        found: dict[tuple[str, str], list[float]] = {}
        for probe in self.probes:
            block = self.block(probe)
            if probe.intervention == intervention and probe.nonlinear and block is not None:
                found.setdefault((block, probe.metric), []).extend(probe.components)
        return {key: (min(values), max(values)) for key, values in found.items() if values}

    @cached_property
    def content(self) -> int | None:
        """The true number of content factors, where the record has it."""
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
    kind: str = SIMULATION

    def __post_init__(self) -> None:
        if self.format != RUN_FORMAT:
            raise IdentboxError(f"format: expected {RUN_FORMAT}, got {self.format}")
        if self.report not in KINDS:
            raise IdentboxError(f"report: expected one of {', '.join(KINDS)}; got {self.report}")
        for cell in self.cells:
            files.expect_name(cell.name, "cells")
        if not self.seeds or not self.cells or len({cell.name for cell in self.cells}) < len(self.cells):
            raise IdentboxError(
                "cells and seeds: expected at least one of each and different names, got others"
            )
        if self.report in ("lines", "elbow", "generation") and self.x is None:
            raise IdentboxError(f"x: expected the name of a value for the report {self.report}, got none")
        if self.report in ("lines", "elbow", "factors", "generation") and self.x is not None:
            for cell in self.cells:
                x = cell.values.get(self.x)
                if isinstance(x, bool) or not isinstance(
                    x, int | float if self.report in ANY_NUMBER else int
                ):
                    wanted = "a number" if self.report in ANY_NUMBER else "a whole number"
                    raise IdentboxError(f"cells: {cell.name}: {self.x}: expected {wanted}, got {x!r}")


def read_run(path: Path) -> Run:
    """Read results.json. Raises IdentboxError where it is damaged or of another format."""
    return run_of(files.read_json(path, "the record of a run"), path)


def run_of(record: Any, path: Path) -> Run:
    """A run from the table that ``path`` holds; raises as `read_run` does."""
    table = known(Run, record, str(path))
    table.setdefault("probes", None)
    for key in PROBE_KEYS & table.keys():
        if not isinstance(table[key], list):
            raise IdentboxError(f"{path}: {key}: expected a list, got {table[key]!r}")
        built = []
        for place, probe in enumerate(table[key]):
            where = f"{path}: {key}[{place}]"
            built.append(score_of_record(known(Score, probe, where), where))
        table[key] = built
    readers = {"displacement": displacement_of_record, "disentanglement": disentanglement_of_record}
    for key, of_record in readers.items():
        rows = table.get(key, [])
        if not isinstance(rows, list):
            raise IdentboxError(f"{path}: {key}: expected a list, got {rows!r}")
        table[key] = [of_record(row, f"{path}: {key}[{place}]") for place, row in enumerate(rows)]
    if "exact" in table:
        where = f"{path}: exact"
        table["exact"] = build(Exact, known(Exact, table["exact"], where), where)
    return build(Run, table, str(path))


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
    built = [build(Cell, cell, f"{path}: cells[{place}]") for place, cell in enumerate(cells)]
    return build(Sweep, {**table, "cells": built}, str(path))


def run_folder(folder: Path, cell: str, seed: int) -> Path:
    """The folder of a run within that of its sweep."""
    return folder / RUNS / f"{cell}-seed{seed}"


Runs = dict[str, dict[int, Run]]  # by cell and seed, those that are finished


def read_runs(folder: Path, sweep: Sweep) -> Runs:
    """The finished runs of a sweep.

    Raises IdentboxError for a record that is damaged, of another seed, or made otherwise than the others of its cell.
    """
    runs_of: Runs = {}
    for cell in sweep.cells:
        runs = runs_of[cell.name] = {}
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
    return runs_of
