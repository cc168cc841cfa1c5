"""The training loop of every experiment: Adam, clipped gradients, metrics, checkpoints, exact resumption.

The loss of a step is a function of the step's number (its batch is drawn from a stream named by that number), so
the state of a run is its weights, the optimiser's moments, a count and the metrics so far. A run that was killed and
continued passes through the same weights as one that was not; on a CPU bit by bit.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from identbox import files
from identbox.errors import IdentboxError
from identbox.jobs import leases
from identbox.settings import Count, NonNegative, Positive, at_least, settings

FORMAT = 2
PREVIOUS, METRICS = "checkpoint.previous.pt", "metrics.jsonl"
KEYS = {"step", "seconds", "metrics", "model", "optimizer"}  # of a checkpoint, besides its format
LAST_LOSSES = 3  # that the message about a loss which is not finite shows

Schedule = Literal["constant", "cosine"]
Precision = Literal["float32", "tf32", "bfloat16"]


@settings
class TrainingSettings:
    """How an experiment is trained; the defaults are those of Table A.2a."""

    steps: Annotated[int, at_least(0)] = 300_000
    batch: Annotated[int, at_least(2)] = 6144  # samples of each view in a step
    learning_rate: Positive = 1e-4  # of Adam
    schedule: Schedule = "constant"  # or falling to 0 along half a cosine
    warmup: Annotated[int, at_least(0)] = (
        0  # steps in which the rate grows to the schedule's, along a line (Goyal et al., 2017)
    )
    clip: Positive = 2.0  # largest 2-norm of the gradient
    weight_decay: NonNegative = 0.0  # of AdamW (Loshchilov and Hutter, 2019), which without it is Adam
    precision: Precision = "float32"  # of the encoders' products; tf32 has an effect on GPUs alone
    log_every: Count = 100  # steps from one line of metrics.jsonl to the next
    checkpoint_every: float = 60.0  # seconds, at least; a checkpoint follows a line of metrics

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rate = self.learning_rate * min(1.0, (step + 1) / (self.warmup or 1))
        if self.schedule == "constant":
            return rate
        return rate * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a training ended: steps done, seconds they took (over all its parts), the mean of the last losses."""

    steps: int
    seconds: float
    loss: float | None


def train(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    settings: TrainingSettings,
    folder: Path,
    *,
    watch: Callable[[], dict[str, float]] = dict,
    on_start: Callable[[int], None] = lambda step: None,
    on_metrics: Callable[[dict[str, Any]], None] = lambda metrics: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Trained:
    """Minimise ``loss(step)`` over the parameters of ``model`` that require gradients.

    Goes on from the last whole checkpoint in ``folder``, where there is one; leaves ``metrics.jsonl`` and
    ``checkpoint.pt`` there. Every ``log_every`` steps, and never in between, numbers come from the device:
    the mean loss, the mean norm of the gradient before clipping, and what ``watch`` returns.

    Raises IdentboxError where a loss or a gradient is not finite: the step, the learning rate, the losses before.
    No checkpoint is written from then on, so that the last one is of finite weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = parameters[0].device
    # One kernel for all parameters, on CPU as well as on GPU.
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    start, before, lines = _resume(folder, model, optimizer, on_message)
    if start > settings.steps:
        raise IdentboxError(f"{folder}: expected a checkpoint of at most {settings.steps} steps, got {start}")
    files.write_whole(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines).encode())
    on_start(start)
    history = torch.zeros(settings.log_every, 2, device=device)  # losses and norms since the last line
    begun = saved = time.monotonic()
    mean = lines[-1]["loss"] if lines else None
    done = start
    with _matmul_precision(settings.precision), (folder / METRICS).open("a") as metrics_file:
        while done < settings.steps:
            window = min(settings.log_every - done % settings.log_every, settings.steps - done)
            for k in range(window):
                value = loss(done + k)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                norm = nn.utils.clip_grad_norm_(parameters, settings.clip)
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate(done + k)
                optimizer.step()
                history[k, 0], history[k, 1] = value.detach(), norm
            values = history[:window].double().cpu()
            _expect_finite(values, done, settings, folder, [line["loss"] for line in lines])
            done += window
            mean = values[:, 0].mean().item()
            seconds = before + time.monotonic() - begun
            record = {
                "step": done,
                "loss": mean,
                "gradient_norm": values[:, 1].mean().item(),
                "learning_rate": settings.rate(done - 1),
                **watch(),
                "seconds": round(seconds, 3),
            }
            leases.expect_held()
            metrics_file.write(json.dumps(record) + "\n")
            metrics_file.flush()
            lines.append(record)
            on_metrics(record)
            if done == settings.steps or time.monotonic() - saved >= settings.checkpoint_every:
                _save(folder, model, optimizer, done, seconds, lines)
                saved = time.monotonic()
    if not (folder / CHECKPOINT).exists():  # no step was asked for: the untrained weights
        _save(folder, model, optimizer, done, before, lines)
    return Trained(steps=done, seconds=before + time.monotonic() - begun, loss=mean)


def load_model(folder: Path, model: nn.Module) -> int:
    """Give ``model`` the weights of a run's last whole checkpoint; returns its number of steps.

    Raises IdentboxError where there is none, or those are of another model.
    """
    problems: list[str] = []
    found = _last_whole(folder, problems.append)
    if found is None:
        raise IdentboxError(problems[-1] if problems else f"{folder / CHECKPOINT}: expected a file, got none")
    with _expect_own(folder):
        model.load_state_dict(found["model"])
    return found["step"]


def _expect_finite(
    values: Tensor, first: int, settings: TrainingSettings, folder: Path, earlier: list[float]
) -> None:
    finite = values.isfinite().all(1)
    if finite.all():
        return
    k = int(finite.int().argmin())
    losses = [*earlier, *values[:k, 0].tolist()][-LAST_LOSSES:]
    raise IdentboxError(
        f"{folder}: step {first + k + 1}: expected a finite loss and gradient, got the loss {values[k, 0]:g} and "
        f"the gradient norm {values[k, 1]:g}; learning rate {settings.rate(first + k):g}, "
        f"losses before: {', '.join(f'{value:.4g}' for value in losses) or 'none'}"
    )


def _save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
    metrics: list[dict[str, Any]],
) -> None:
    """Write a checkpoint and keep the one before it, so that at any moment one of the two is whole."""
    state = {"format": FORMAT, "step": step, "seconds": seconds, "metrics": metrics}
    content = io.BytesIO()  # a full disk is then told by the system's own error
    torch.save({**state, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, content)
    leases.expect_held()
    with files.whole(folder / CHECKPOINT, only_writer=True) as part:
        part.write_bytes(content.getbuffer())
        if (folder / CHECKPOINT).exists():
            (folder / CHECKPOINT).replace(folder / PREVIOUS)


def _last_whole(folder: Path, on_message: Callable[[str], None]) -> dict[str, Any] | None:
    for path in (folder / CHECKPOINT, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            # Weights alone: a checkpoint from a stranger runs no code.
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["format"] == FORMAT and state.keys() >= KEYS:
                return state
            reason = f"format {state['format']}"
        except Exception as error:  # whatever a damaged archive makes the reader raise
            reason = f"{type(error).__name__}, {str(error).splitlines()[0] if str(error) else 'no reason'}"
        on_message(f"{path}: expected a whole checkpoint, got a damaged one ({reason:.120})")
    return None


def _resume(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, on_message: Callable[[str], None]
) -> tuple[int, float, list[dict[str, Any]]]:
    """Steps done, seconds they took and their metrics, after loading the last whole checkpoint."""
    damaged: list[str] = []
    state = _last_whole(folder, damaged.append)
    for message in damaged:
        on_message(f"{message}; going on from step {state['step'] if state else 0}")
    if state is None:
        return 0, 0.0, []
    with _expect_own(folder):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"], state["metrics"]


@contextmanager
def _expect_own(folder: Path) -> Iterator[None]:
    """Say in one line that a checkpoint is of another model, where it does not load."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IdentboxError(
            f"{folder / CHECKPOINT}: expected the weights of this configuration, got others: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


@contextmanager
def _matmul_precision(precision: Precision) -> Iterator[None]:
    """TF32 products of float32 matrices inside, where asked for, and as before outside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


CHECKPOINT = "checkpoint.pt"
