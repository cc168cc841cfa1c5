"""A run in its folder: claimed for one configuration, kept while a process works in it, finished by its record.

Every kind of run is a `RunFolder`. A kind says what is trained (`Trainable`); claiming, keeping other processes out,
continuing, and writing the record are the same for all.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from identbox import __version__, config, files
from identbox.errors import IdentboxError
from identbox.experiments.records import LEASE, RESULTS, RUN_FORMAT
from identbox.jobs import leases
from identbox.jobs.execution import Job
from identbox.learning import training
from identbox.learning.checkpoints import is_whole_checkpoint
from identbox.learning.hard_negatives import HardNegatives
from identbox.learning.training import CHECKPOINT, NO_CALLBACKS, Callbacks, Trained, TrainingSettings

CONFIG_FILE = "config.toml"
# Keys that configurations have not always had, by the ends of their names, each with what runs did before it came:
# a folder from before is continued, and counted as the same, where that value is asked for.
ADDED_KEYS = {
    "plain_steps": 0,
    "objective.decoupled": False,
    "training.max_precond_dim": 2048,
    "shared.subsets": "powerset",
    "specific.delta_warmup": 0,
    **{f"hard_negatives.{key}": value for key, value in asdict(HardNegatives()).items()},
}


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """What a run trains, and what its record says of it afterwards.

    ``model`` is any torch module: a learner of identbox, or a container of the user's own encoders.
    """

    model: nn.Module
    loss: Callable[[int], Tensor]  # of a step, by its number
    settings: TrainingSettings
    # the keys that this kind of run adds to the record: at least ``losses`` and ``probes``
    measure: Callable[[Trained], dict[str, Any]]
    parts: Sequence[TrainingSettings] = ()  # of the training, where it has several (`training.minimise`)
    watch: Callable[[], dict[str, float]] = dict  # figures to show during the training
    curves: Callable[[int], dict[str, Any]] = lambda step: {}  # more of them, for some numbers of steps done
    explain: Callable[[int], str] = lambda step: ""  # which part of the loss of a step is not finite

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folder of a run, and what the run is.

    ``config`` is the configuration as the record has it. ``inputs`` are further tables of config.toml, like the dataset
    that a run is trained on; their dotted keys in ``movable`` may differ when the run is continued.
    """

    path: Path
    kind: str  # of the run, as its record says
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, Any] | None = None
    movable: tuple[str, ...] = ()

    def on_dataset(self, folder: Path, sha256: str) -> RunFolder:
        """The same run, trained on the dataset of that hash, whose folder may be moved before it is continued."""
        inputs = {"dataset": {"folder": str(folder), "sha256": sha256}}
        return replace(self, inputs=inputs, movable=("dataset.folder",))

    @property
    def table(self) -> dict[str, Any]:
        """What config.toml has."""
        return {"seed": self.seed, **self.config, **(self.inputs or {})}

    def claim(self) -> None:
        """Make the folder, or check that it is of the same configuration; raises IdentboxError if not."""
        what = "a run of this configuration"
        config.claim(self.path / CONFIG_FILE, self.table, what=what, free=self.movable, added=ADDED_KEYS)

    def is_finished_in(self, other: Path) -> bool:
        """Whether another folder has a finished run of the same configuration, seed and inputs."""
        path = other / CONFIG_FILE
        same = config.is_claimed_for(path, self.table, free=self.movable, added=ADDED_KEYS)
        return same and is_finished(other)

    def take(self, other: Path) -> None:
        """Make the folder a copy of another one, whole or not at all. Raises IdentboxError where it cannot be."""
        logs = shutil.ignore_patterns(f"{Path(LEASE).stem}.*", ".*")
        try:
            with files.whole_folder(self.path) as part:
                shutil.copytree(other, part, ignore=logs, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise IdentboxError(f"{self.path}: expected to copy {other} here, got {error}") from error

    def keep(self, callbacks: Callbacks) -> AbstractContextManager[object]:
        """Keep other processes out of the folder while a block runs; a finished run needs no protection."""
        if is_finished(self.path):  # perhaps nobody may write to the folder
            return nullcontext()
        return leases.hold(self.path / LEASE, callbacks.on_message)

    def run(self, make: Callable[[], Trainable], callbacks: Callbacks = NO_CALLBACKS) -> dict[str, Any]:
        """Train what ``make`` returns, from the last checkpoint if there is one; writes and returns the record.

        A finished run is not trained again: its record is returned, and ``make`` is not called. Raises IdentboxError
        for a folder of another configuration (the keys that differ are named), one in which another process is
        working, and where the loss of a step is not finite.
        """
        self.claim()
        with self.keep(callbacks):
            if is_finished(self.path):
                return read_results(self.path / RESULTS)
            learning = make()
            trained = training.minimise(
                learning.model,
                learning.loss,
                learning.settings,
                self.path,
                parts=learning.parts,
                watch=learning.watch,
                curves=learning.curves,
                explain=learning.explain,
                callbacks=callbacks,
            )
            return self.finish(learning, trained)

    def finish(self, learning: Trainable, trained: Trained) -> dict[str, Any]:
        """Write the record of the run, which ends it, and return it."""
        record = {
            "format": RUN_FORMAT,
            "kind": self.kind,
            "identbox": __version__,
            **commit(),
            "seed": self.seed,
            "config": config.toml_values(dict(self.config)),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "machine": machine(learning.device),
            "steps": trained.steps,
            "seconds": round(trained.seconds, 1),
            **learning.measure(trained),
        }
        write_results(self.path / RESULTS, record)
        return record

    def job(self, command: tuple[str, ...]) -> Job:
        """The run as a piece of work for a child process, which is done when its record is there."""
        log = (self.path / LEASE).with_suffix(".log")
        return Job(
            name=self.path.name,
            done=lambda: is_finished(self.path),
            claim=self.claim,
            command=command,
            log=log,
        )


def is_finished(folder: Path) -> bool:
    """Whether the record of a run is whole, and its checkpoint too, unless somebody removed that."""
    checkpoint = folder / CHECKPOINT
    if not (folder / RESULTS).exists():
        return False
    try:
        files.read_json(folder / RESULTS)
    except IdentboxError:
        return False
    return not checkpoint.exists() or is_whole_checkpoint(checkpoint)


def read_results(path: Path) -> dict[str, Any]:
    """The record of a run. Raises IdentboxError where it is damaged or of another format."""
    record = files.read_json(path, "the record of a run")
    found = record.get("format") if isinstance(record, dict) else None
    if found != RUN_FORMAT:
        raise IdentboxError(f"{path}: format: expected {RUN_FORMAT}, got {found!r:.60}")
    return record


def write_results(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run, whole or not at all."""
    leases.expect_held()
    files.write_whole(path, (json.dumps(record, indent=1) + "\n").encode(), durable=True)


def commit() -> dict[str, str]:
    """The commit of the code as ``{"commit": ...}``, with a + where files differ from it; empty outside a checkout."""
    source = Path(__file__).parent.parent
    git = ["git", "-C", str(source)]
    try:
        options: dict[str, Any] = {"capture_output": True, "text": True, "check": True, "timeout": 10}
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], **options)
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], **options).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno", "."], **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": head + "+" * bool(changed)} if tracked.stdout else {}


def machine(device: torch.device) -> dict[str, Any]:
    """The device, processor and number of threads that a run was trained with."""
    name = platform.processor() or platform.machine()
    with suppress(IdentboxError):
        lines = files.read_text("/proc/cpuinfo", files.LARGEST_TABLE).splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), name)
    described: dict[str, Any] = {"device": device.type, "cpu": name, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described
