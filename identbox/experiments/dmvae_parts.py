"""The parts of a DMVAE as runs: the first stage, and the second of each modality, one after another or side by side.

Second stages do not see each other. So each may be trained by a process of its own, on this machine or on another one
that shares the folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments.dmvae import SHARED, SPECIFIC_FOLDER, DMVAESettings, Stages
from identbox.experiments.dmvae_learners import SpecificLearner
from identbox.experiments.records import DMVAE, RESULTS
from identbox.experiments.run import RunFolder, Trainable, is_finished, read_results
from identbox.jobs.execution import execute
from identbox.learning import training
from identbox.learning.training import Callbacks, Trained


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What the records of a DMVAE say beside losses; each returns keys of a record."""

    facts: Mapping[str, Any]  # of the data, in every record
    shared: Callable[[], Mapping[str, Any]]  # of the first stage
    specific: Callable[[SpecificLearner], Mapping[str, Any]]  # of the second stage of a modality
    together: Callable[[Mapping[str, Mapping[str, Any]]], Mapping[str, Any]]  # given the records of all parts
    watch: Callable[[], dict[str, float]]  # a figure of the first stage while it is trained


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """How second stages are trained by processes of their own."""

    workers: int  # processes at a time
    threads: int  # cores that each may use
    command: Callable[[str], tuple[str, ...]]  # what follows ``python -m`` to train the part of that name


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts of a DMVAE, each in a folder of its own within ``folder``."""

    experiment: DMVAESettings
    stages: Stages
    measures: Measures
    folder: Path
    seed: int
    callbacks: Callbacks
    dataset: tuple[Path, str] | None = None  # folder and hash, where it is trained on one

    @property
    def names(self) -> tuple[str, ...]:
        """The parts: the first stage, then the second of each modality."""
        return (SHARED, *map(SPECIFIC_FOLDER.format, self.stages.seconds))

    def train(self, side_by_side: SideBySide | None = None) -> dict[str, Any]:
        """Train every part that is not finished, and measure them; writes and returns the folder's record.

        Raises IdentboxError where a part that a process of its own trains fails.
        """
        whole = self.run_of(None)
        whole.claim()
        with whole.keep(self.callbacks):
            if is_finished(self.folder):
                return read_results(self.folder / RESULTS)
            records = {SHARED: self._trained(SHARED)}
            if side_by_side is not None:
                self._train_apart(side_by_side)
            records |= {name: self._trained(name) for name in self.names[1:]}
            return whole.finish(self._together(records), _sum_of(records))

    def train_one(self, name: str) -> dict[str, Any]:
        """Train one part, and write and return its record. Second stages need a first one that is finished.

        Raises IdentboxError for a part that there is not, and where the first stage is not finished.
        """
        if name not in self.names:
            raise IdentboxError(f"part: expected one of {', '.join(self.names)}; got {name}")
        self.run_of(None).claim()
        if name != SHARED:
            if not is_finished(self.folder / SHARED):
                raise IdentboxError(
                    f"{self.folder / SHARED}: expected a first stage that is finished, got none"
                )
            self._trained(SHARED)
        return self._trained(name)

    def run_of(self, name: str | None) -> RunFolder:
        """The run of a part, or that of the whole."""
        place = self.folder if name is None else self.folder / name
        return stage_folder(self.experiment, place, self.seed, self.dataset)

    def _trained(self, name: str) -> dict[str, Any]:
        """Train a part, or load it where it is finished; returns its record."""
        run, learning = self.run_of(name), self._trainable(name)
        record = run.run(lambda: learning, self.callbacks)
        training.load_model(run.path, learning.model)
        learning.model.eval()
        return record

    def _train_apart(self, side_by_side: SideBySide) -> None:
        jobs = [self.run_of(name).job(side_by_side.command(name)) for name in self.names[1:]]
        failed = execute(
            jobs,
            workers=side_by_side.workers,
            threads=side_by_side.threads,
            on_done=lambda name, reason: self.callbacks.on_message(f"{name}: {reason or 'done'}"),
        )
        if failed:
            name, reason = next(iter(failed.items()))
            raise IdentboxError(f"{self.folder / name}: {reason}")

    def _trainable(self, name: str) -> Trainable:
        if name == SHARED:
            return self._first()
        seconds = self.stages.seconds.items()
        second = next(one for view, one in seconds if SPECIFIC_FOLDER.format(view) == name)
        return Trainable(
            model=second,
            loss=second.loss,
            settings=self.experiment.specific.training,
            watch=lambda: {"mutual_information": second.penalty()},
            measure=lambda trained: {
                **self.measures.facts,
                "losses": _losses(trained, second.validation_losses()),
                "mutual_information": {second.view: second.penalty()},
                **self.measures.specific(second),
            },
        )

    def _first(self) -> Trainable:
        first, measures = self.stages.first, self.measures
        return Trainable(
            model=first,
            loss=first.loss,
            settings=self.experiment.shared.training,
            watch=measures.watch,
            measure=lambda trained: {
                **measures.facts,
                "losses": _losses(trained, {"validation": first.validation_loss()}),
                **measures.shared(),
            },
        )

    def _together(self, records: Mapping[str, Mapping[str, Any]]) -> Trainable:
        """What the folder's own record says, given those of the parts."""
        seconds = self.stages.seconds.items()
        return dataclasses.replace(
            self._first(),
            measure=lambda _: {
                **self.measures.facts,
                "losses": {name: record["losses"]["validation"] for name, record in records.items()},
                "mutual_information": {view: second.penalty() for view, second in seconds},
                **self.measures.together(records),
            },
        )


def _sum_of(records: Mapping[str, Mapping[str, Any]]) -> Trained:
    """The steps and seconds of all parts."""
    steps, seconds = (sum(record[key] for record in records.values()) for key in ("steps", "seconds"))
    return Trained(steps=steps, seconds=seconds, loss=None)


def _losses(trained: Trained, others: Mapping[str, float]) -> dict[str, Any]:
    return config.toml_values({"train": trained.loss, **others})


def stage_folder(
    experiment: DMVAESettings, folder: Path, seed: int, dataset: tuple[Path, str] | None = None
) -> RunFolder:
    """The folder of a DMVAE, or of one of its parts."""
    run = RunFolder(path=folder, kind=DMVAE, seed=seed, config=experiment.table())
    return run if dataset is None else run.on_dataset(*dataset)
