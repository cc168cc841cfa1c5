"""Finished runs as a verification uses them: found in folders, read from records, grouped by configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identbox.errors import IdentboxError, first_few
from identbox.experiments import records, simulation
from identbox.experiments import run as experiments_run
from identbox.experiments.learner import Learner
from identbox.experiments.own_encoders import OWN_ENCODERS
from identbox.experiments.records import SIMULATION
from identbox.identifiability.ceilings import Ceiling, CeilingKey, ceilings
from identbox.learning import training
from identbox.learning.contrastive import Objective
from identbox.metrics.disentanglement_records import DisentanglementScore
from identbox.metrics.displacement_records import Displacement
from identbox.metrics.scores import Score
from identbox.process.mixing import InvertibleMLP
from identbox.process.model import Process, Variable
from identbox.process.tables import process_from_table
from identbox.process.world import World
from identbox.settings import build


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One finished run: its record, and its process with the parameters that were drawn."""

    folder: Path
    record: dict[str, Any]
    probes: tuple[Score, ...]
    process: Process
    from_content: tuple[Score, ...] = ()  # of a run on images and text: predictions from content alone
    # Where the dataset has counterfactual splits: what moves the encodings, and what they predict afterwards.
    displacement: tuple[Displacement, ...] = ()
    interventions: tuple[Score, ...] = ()
    disentanglement: tuple[DisentanglementScore, ...] = ()  # where `identbox scores` added them

    @property
    def where(self) -> str:
        """What messages call the run."""
        return str(self.folder)

    @property
    def seed(self) -> int:
        return self.record["seed"]

    @property
    def encoding_size(self) -> int | None:
        """Dimensions of the encodings, where the record has them."""
        encoder = self.record["config"].get("encoder")
        if not isinstance(encoder, Mapping):
            return None
        size = self.content_size
        return encoder.get("encoding_size") or (
            self.objective.encoding_size(size) if self.objective else size
        )

    @property
    def objective(self) -> Objective | None:
        """What trained the run, where the record has it."""
        table = self.record["config"].get("objective")
        return build(Objective, table, f"{self.where}: objective") if table else None

    @property
    def content_size(self) -> int:
        """Dimensions of the content as declared, without constants."""
        return self.process.content_size

    def ceilings(self, content: Sequence[Variable]) -> dict[CeilingKey, Ceiling]:
        """How well a perfect encoding of ``content`` would predict everything that was probed.

        On images and text the run's record has it, measured on the same samples, for the content as declared.
        """
        if not self.from_content:
            return ceilings(self.process, content=content, seed=self.seed)
        return {
            (view, probe.label, None): Ceiling.of_probe(probe)
            for probe in self.from_content
            if probe.nonlinear
            for view in self.process.views
        }

    def world(self) -> World | None:
        """The world that the run was trained on; None where the run is of another kind or has no checkpoint.

        Raises IdentboxError for a checkpoint that is damaged or of another process.
        """
        if self.record.get("kind") not in (SIMULATION, OWN_ENCODERS) or not training.has_checkpoint(
            self.folder
        ):
            return None
        state = training.model_state(self.folder)
        names = [key.split(".")[1] for key in state if re.fullmatch(r"mixings\.[^.]+\.weights", key)]
        mixings = {
            name: InvertibleMLP(state[f"mixings.{name}.weights"], float(state[f"mixings.{name}.slope"]))
            for name in names
        }
        try:
            return World(self.process, seed=self.seed, mixings=mixings)
        except IdentboxError as error:
            raise IdentboxError(
                f"{self.folder}: expected a checkpoint of the run's process, got another: {error}"
            ) from error

    def learner(self) -> Learner | None:
        """The learner with its weights; None where the run is of another kind or has no checkpoint.

        Raises IdentboxError for a checkpoint that is damaged or of another configuration.
        """
        world = self.world() if self.record.get("kind") == SIMULATION else None
        if world is None:
            return None
        made = simulation.Simulation.from_preset("thesis", self.record["config"], str(self.folder))
        learner = simulation.learner_of(made, seed=self.seed, world=world)
        try:
            training.load_model(self.folder, learner)
        except RuntimeError as error:
            raise IdentboxError(
                f"{self.folder}: expected a checkpoint of the run's configuration, got another"
            ) from error
        return learner.eval()


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The folders of finished runs among run and sweep folders, those of a sweep in its order.

    Raises IdentboxError where a folder has none, and for a damaged sweep.toml.
    """
    folders = []
    for path in paths:
        inside = [file.parent for file in sorted((path / records.RUNS).glob(f"*/{records.RESULTS}"))]
        if (path / records.SWEEP).is_file():
            sweep = records.read_sweep(path / records.SWEEP)
            ordered = [
                records.run_folder(path, cell.name, seed) for cell in sweep.cells for seed in sweep.seeds
            ]
            place = {folder: at for at, folder in enumerate(ordered)}
            inside.sort(key=lambda folder: place.get(folder, len(place)))
        own = [path] if (path / records.RESULTS).is_file() else inside
        if not own:
            raise IdentboxError(f"{path}: expected the folder of a finished run or of a sweep, got none")
        folders += own
    return list(dict.fromkeys(folders))


def read(folder: Path) -> Trial:
    """Read a run. Raises IdentboxError for a record that is damaged or has no process or probes."""
    path = folder / records.RESULTS
    record = experiments_run.read_results(path)
    for key, kind in (("seed", int), ("config", dict), ("losses", dict), ("process", dict), ("probes", list)):
        if not isinstance(record.get(key), kind):
            raise IdentboxError(f"{path}: {key}: expected the one of a run, got {record.get(key)!r:.60}")
    process = process_from_table(record["process"], f"{path}: process")
    run = records.run_of(record, path)
    if not any(probe.nonlinear for probe in run.probes):
        raise IdentboxError(f"{path}: probes: expected those of a nonlinear probe, got none")
    return Trial(
        folder=folder,
        record=record,
        probes=run.probes,
        process=process,
        from_content=run.from_content,
        displacement=run.displacement,
        interventions=run.interventions,
        disentanglement=run.disentanglement,
    )


def groups(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials of the same configuration together, by a name; raises IdentboxError for a seed that comes twice."""
    alike: dict[str, list[Trial]] = {}
    for trial in trials:
        key = json.dumps([trial.record["config"], trial.record.get("control")], sort_keys=True)
        alike.setdefault(key, []).append(trial)
    named: dict[str, list[Trial]] = {}
    for members in alike.values():
        seeds = [trial.seed for trial in members]
        if len(set(seeds)) < len(seeds):
            twice = first_few([trial.folder for trial in members if seeds.count(trial.seed) > 1], 2)
            raise IdentboxError(
                f"{twice}: expected runs of different seeds, got the same configuration and seed"
            )
        name = re.sub(r"-seed\d+$", "", members[0].folder.name)
        while name in named:
            name += "'"
        named[name] = sorted(members, key=lambda trial: trial.seed)
    return named
