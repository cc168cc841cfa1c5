"""Reading a checkpoint: whole, of the expected form, and without running anything that a stranger put in."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from identbox import files
from identbox.errors import IdentboxError
from identbox.learning.optimizers import SQUARE_STATE

CHECKPOINT_FORMAT = 2
CHECKPOINT_KEYS = {"step", "seconds", "metrics", "model", "optimizer"}  # besides the format
LARGEST_CHECKPOINT = 16 << 30  # bytes


def load_saved(file: io.BufferedReader | io.BytesIO) -> Any:
    """What torch saved in a file: tensors, numbers and texts; no code of the file is run.

    Raises MemoryError and OSError as they come, and ValueError for whatever else a damaged archive makes torch raise.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason"
        raise ValueError(f"{type(error).__name__}, {reason}"[:120]) from error


class DamagedCheckpoint(IdentboxError):
    """A checkpoint that is no whole archive of the expected form, so that nobody can read it."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors, numbers and texts, and no code of the file is run.

    Raises DamagedCheckpoint where it is damaged, and IdentboxError where it cannot be read or has another format.
    """
    content = files.read_bytes(path, LARGEST_CHECKPOINT, "a checkpoint")
    try:
        state = load_saved(io.BytesIO(content))
    except (ValueError, OSError) as error:  # of a file in memory, an OSError is one of its content
        raise DamagedCheckpoint(
            f"{path}: expected a whole checkpoint, got a damaged one ({error})"
        ) from error
    found = state.get("format") if isinstance(state, dict) else type(state).__name__
    if type(found) is not int or found != CHECKPOINT_FORMAT:
        raise IdentboxError(
            f"{path}: expected a checkpoint of format {CHECKPOINT_FORMAT}, got {found!r:.40}; "
            f"move it away to begin again"
        )
    _check_checkpoint(state, path)
    return state


def is_whole_checkpoint(path: Path) -> bool:
    """Whether a file is an archive from its beginning to its end; what is in it is not looked at."""
    try:
        with files.open_regular(path, LARGEST_CHECKPOINT) as file:
            return zipfile.is_zipfile(file)
    except (OSError, IdentboxError):
        return False


def _check_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Raise IdentboxError where a checkpoint of the right format holds something else than training wrote."""
    missing = sorted(CHECKPOINT_KEYS - state.keys())
    if missing:
        raise IdentboxError(f"{path}: expected the key {missing[0]}, got none")
    step, seconds, lines = state["step"], state["seconds"], state["metrics"]
    if type(step) is not int or step < 0:
        raise IdentboxError(f"{path}: step: expected a number of steps, got {step!r:.40}")
    if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise IdentboxError(f"{path}: seconds: expected a time, got {seconds!r:.40}")
    if not isinstance(lines, list) or not all(_is_metrics_line(line) for line in lines):
        raise IdentboxError(f"{path}: metrics: expected a list of tables with step and loss, got others")
    for key in ("model", "optimizer"):
        if not isinstance(state[key], dict):
            raise IdentboxError(f"{path}: {key}: expected a table, got {state[key]!r:.40}")
    for name, value in state["model"].items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            raise IdentboxError(f"{path}: model: expected finite weights, got others in {name!r:.60}")


def _is_metrics_line(line: Any) -> bool:
    numbers = [line.get("step"), line.get("loss")] if isinstance(line, dict) else [None]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return False
    try:
        json.dumps(line)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the moments of a checkpoint; the optimiser's settings stay those of the configuration.

    Raises ValueError, or what PyTorch raises, where the moments are not those of the optimiser's parameters.
    """
    own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
        for parameter in group["params"]:
            moments = optimizer.state.get(parameter)
            if moments:
                _check_moments(moments, parameter, settings.get("max_precond_dim"))


def _shapes_of_moments(parameter: Tensor, longest: int | None) -> dict[str, torch.Size]:
    """What an optimiser keeps for a parameter, besides the number of its steps.

    ``longest`` is the longest side that SOAP turns, or None for another optimiser.
    """
    shapes = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameter.shape)
    if longest is not None and parameter.ndim > 1:
        sides = parameter.flatten(1).shape
        for name, place in SQUARE_STATE.items():
            if 1 < sides[place] <= longest:
                shapes[name] = torch.Size([sides[place]] * 2)
    return shapes


def _check_moments(moments: dict[str, Any], parameter: Tensor, longest: int | None) -> None:
    of_soap = longest is not None
    shapes = _shapes_of_moments(parameter, longest)
    if moments.keys() != {"step", *shapes}:
        raise ValueError(f"moments {', '.join(map(str, moments))}"[:200])
    step = moments["step"]
    number = type(step) is int if of_soap else isinstance(step, Tensor) and step.is_floating_point()
    if not number or (isinstance(step, Tensor) and step.ndim) or not 0 <= float(step) < math.inf:
        raise ValueError(f"step {step!r}"[:200])
    for name, shape in shapes.items():
        value = moments[name]
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if got != tuple(shape):
            raise ValueError(f"{name} of shape {got} for {tuple(shape)}")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name} with numbers that are not finite")
