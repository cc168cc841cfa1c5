"""A run in its folder: its configuration, its record, and what says that it is finished."""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from identbox import __version__, config, files
from identbox.config import _differences
from identbox.errors import IdentboxError
from identbox.experiments.records import FORMAT, LEASE, RESULTS
from identbox.jobs import leases
from identbox.jobs.execution import Job
from identbox.learning import training
from identbox.learning.training import CHECKPOINT


def is_finished(folder: Path) -> bool:
    """Whether a run's record is there whole, and its checkpoint, unless somebody removed it."""
    checkpoint = folder / CHECKPOINT
    try:
        json.loads((folder / RESULTS).read_bytes())
        return not checkpoint.exists() or zipfile.is_zipfile(checkpoint)
    except (OSError, ValueError):
        return False


CONFIG = "config.toml"


def record_of(
    kind: str, table: dict[str, Any], trained: training.Trained, *, seed: int, device: torch.device
) -> dict[str, Any]:
    """What the record of a run of any kind says of its configuration ``table``, its training and its machine."""
    return {
        "format": FORMAT,
        "kind": kind,
        "identbox": __version__,
        "seed": seed,
        "config": config.plain(table),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": machine(device),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
    }


def write_results(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run, whole or not at all."""
    leases.expect_held()
    files.write_whole(path, (json.dumps(record, indent=1) + "\n").encode())


def claim_table(folder: Path, table: Mapping[str, Any], *, free: Sequence[str] = ()) -> None:
    """The same for a configuration of any kind, in which the dotted keys of ``free`` may differ."""
    plain = config.plain(dict(table))
    path = folder / CONFIG
    if path.exists() and not files.is_cut(path, config.toml_of(plain)):
        differing = [
            f"{key} ({there} there, {here} here)"
            for key, there, here in _differences(config.read_toml(path), plain)
            if key not in free
        ]
        if differing:
            raise IdentboxError(
                f"{folder}: expected a run of this configuration, got one that differs in {', '.join(differing)}"
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [entry.name for entry in folder.iterdir() if entry.suffix not in (".log", ".lease", ".part")]
        if others and not path.exists():
            raise IdentboxError(f"{folder}: expected an empty folder or a run, got {', '.join(others[:3])}")
        config.write_toml(path, plain)
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error


def read_results(path: Path) -> dict[str, Any]:
    """The record of a run. Raises IdentboxError where it is damaged or of another format."""
    try:
        record = json.loads(path.read_text())
        if record["format"] == FORMAT:
            return record
        raise IdentboxError(f"{path}: format: expected {FORMAT}, got {record['format']}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IdentboxError(f"{path}: expected the record of a run, got {error}") from error


def machine(device: torch.device) -> dict[str, Any]:
    """What a run was made on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    found: dict[str, Any] = {"device": device.type, "cpu": name, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def job(folder: Path, claim: Callable[[], None], command: tuple[str, ...]) -> Job:
    """A run as a job, which is done when its record is there."""
    log = folder / LEASE.replace("lease", "log")
    return Job(name=folder.name, done=partial(is_finished, folder), claim=claim, command=command, log=log)
