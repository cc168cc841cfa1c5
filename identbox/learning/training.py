"""The training loop of every experiment: Adam, clipped gradients, metrics, checkpoints, exact resumption.

The loss of a step is a function of the step's number (its batch is drawn from a stream named by that number), so
the state of a run is its weights, the optimiser's moments, a count and the metrics so far. A run that was killed and
continued passes through the same weights as one that was not; on a CPU they are equal bit by bit.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from identbox import files
from identbox.errors import IdentboxError
from identbox.jobs import leases
from identbox.learning.checkpoints import (
    CHECKPOINT_FORMAT,
    DamagedCheckpoint,
    load_optimizer,
    read_checkpoint,
)
from identbox.learning.graphs import EAGER_STEPS, DrawnLoss, RecordedStep, descend
from identbox.learning.optimizers import AdamW, Soap
from identbox.settings import Count, NonNegative, Positive, at_least, settings

CHECKPOINT, PREVIOUS, METRICS_FILE = "checkpoint.pt", "checkpoint.previous.pt", "metrics.jsonl"
DAMAGED = "checkpoint.damaged.pt"  # a checkpoint that could not be read, kept
LAST_LOSSES = 3  # that the message about a loss which is not finite shows

Schedule = Literal["constant", "cosine"]
OptimizerName = Literal["adam", "soap"]
Precision = Literal["float32", "tf32", "bfloat16"]


@settings
class TrainingSettings:
    """How an experiment is trained; the defaults are those of Table A.2a."""

    steps: Annotated[int, at_least(0)] = 300_000
    batch: Annotated[int, at_least(2)] = 6144  # samples of each view in a step
    optimizer: OptimizerName | None = None  # without it, Adam (Kingma and Ba, 2015)
    max_precond_dim: Count = 2048  # longest side of a matrix that SOAP sees in its eigenbasis
    learning_rate: Positive = 1e-4
    schedule: Schedule = "constant"  # or falling to 0 along half a cosine
    # steps in which the learning rate grows linearly to that of the schedule (Goyal et al., 2017)
    warmup: Annotated[int, at_least(0)] = 0
    clip: Positive = 2.0  # largest 2-norm of the gradient
    weight_decay: NonNegative = 0.0  # of AdamW (Loshchilov and Hutter, 2019), which without it is Adam
    precision: Precision = "float32"  # of the encoders' matrix products; tf32 has an effect on GPUs only
    log_every: Count = 100  # steps from one line of metrics.jsonl to the next
    checkpoint_every: float = 60.0  # seconds, at least; a checkpoint follows a line of metrics

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rate = self.learning_rate * min(1.0, (step + 1) / (self.warmup or 1))
        if self.schedule == "constant":
            return rate
        return rate * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class _Parts:
    """The parts of a training, one after the other."""

    parts: Sequence[TrainingSettings]

    def place(self, step: int) -> tuple[TrainingSettings, int]:
        """The part that a step belongs to, and how many of its steps come before."""
        for part in self.parts[:-1]:
            if step < part.steps:
                return part, step
            step -= part.steps
        return self.parts[-1], step

    def rate(self, step: int) -> float:
        """The learning rate of a step of the training, by the schedule of its part."""
        part, before = self.place(step)
        return part.rate(before)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a training ended: steps done, seconds they took (over all its parts), the mean of the last losses."""

    steps: int
    seconds: float
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """What a training reports to its caller while it runs."""

    on_start: Callable[[int], None] = lambda step: None  # the number of steps already done
    on_metrics: Callable[[dict[str, Any]], None] = lambda metrics: None  # each line of metrics.jsonl
    on_message: Callable[[str], None] = lambda message: None  # a damaged checkpoint, say


NO_CALLBACKS = Callbacks()


@dataclass(kw_only=True)
class _Progress:
    """How far a training is: what its checkpoint holds besides weights and moments."""

    step: int = 0  # steps done
    seconds: float = 0.0  # that they took, over all parts of the training
    metrics: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def minimise(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    settings: TrainingSettings,
    folder: Path,
    *,
    parts: Sequence[TrainingSettings] = (),
    watch: Callable[[], dict[str, float]] = dict,
    curves: Callable[[int], dict[str, Any]] = lambda step: {},
    explain: Callable[[int], str] = lambda step: "",
    callbacks: Callbacks = NO_CALLBACKS,
) -> Trained:
    """Minimise ``loss(step)`` over the parameters of ``model`` that require gradients.

    Continues from the last whole checkpoint in ``folder``, if there is one; leaves ``metrics.jsonl`` and
    ``checkpoint.pt`` there. Only every ``log_every`` steps are numbers copied from the device: the mean loss, the mean
    norm of the gradient before clipping, what ``watch`` returns, and what ``curves`` returns for the steps done so far.
    On a GPU, Adam's steps on a `DrawnLoss` are recorded after the first few and replayed (`graphs`); where they cannot
    be, a message says so.

    ``parts`` divide the steps, and differ from ``settings`` in steps and learning rate: each has a schedule of its own,
    and the optimiser begins anew with it. Without them the training is one part.

    Raises IdentboxError where a loss or a gradient is not finite: it names the step, the learning rate, the losses
    before, and what ``explain`` says of that step, counted from 0. No checkpoint is written after that step, so that
    the last one has finite weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(parameters, settings)
    progress = _resume(folder, model, optimizer, callbacks.on_message)
    if progress.step > settings.steps:
        raise IdentboxError(
            f"{folder}: expected a checkpoint of at most {settings.steps} steps, got {progress.step}"
        )
    files.write_whole(folder / METRICS_FILE, "".join(map(_json_line, progress.metrics)).encode())
    callbacks.on_start(progress.step)
    schedule = _Parts(parts or (settings,))
    take_step = _Steps(loss, optimizer, parameters, settings, schedule, callbacks.on_message)
    history = torch.zeros(settings.log_every, 2, device=parameters[0].device)  # losses, norms of gradients
    before, begun, saved = progress.seconds, time.monotonic(), time.monotonic()
    with _matmul_precision(settings.precision), (folder / METRICS_FILE).open("a") as metrics_file:
        while progress.step < settings.steps:
            first = progress.step
            count = min(settings.log_every - first % settings.log_every, settings.steps - first)
            for k in range(count):
                history[k, 0], history[k, 1] = take_step(first + k)
            values = history[:count].double().cpu()
            earlier = [line["loss"] for line in progress.metrics]
            _expect_finite(values, first, schedule, folder, earlier, explain)
            progress.step += count
            progress.seconds = before + time.monotonic() - begun
            figures = {**watch(), **curves(progress.step)}
            line = _metrics_line(values, progress, schedule, figures)
            leases.expect_held()
            metrics_file.write(_json_line(line))
            metrics_file.flush()
            progress.metrics.append(line)
            callbacks.on_metrics(line)
            if progress.step == settings.steps or time.monotonic() - saved >= settings.checkpoint_every:
                _save(folder, model, optimizer, progress)
                saved = time.monotonic()
    if not (folder / CHECKPOINT).exists():  # a training of no steps: its untrained weights
        _save(folder, model, optimizer, progress)
    mean = progress.metrics[-1]["loss"] if progress.metrics else None
    return Trained(steps=progress.step, seconds=before + time.monotonic() - begun, loss=mean)


def _optimizer(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "soap":
        return Soap(
            parameters,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            max_precond_dim=settings.max_precond_dim,
        )
    # One kernel for all parameters, on CPU as well as on GPU. A recorded step reads the rate from the GPU.
    device = parameters[0].device
    rate = (
        torch.tensor(settings.learning_rate, device=device)
        if device.type == "cuda"
        else settings.learning_rate
    )
    return AdamW(
        parameters, lr=rate, weight_decay=settings.weight_decay, fused=True, capturable=device.type == "cuda"
    )


@dataclass
class _Steps:
    """Takes the steps of a training: on a GPU, those that can be recorded as replays of a CUDA graph."""

    loss: Callable[[int], Tensor]
    optimizer: torch.optim.Optimizer
    parameters: list[nn.Parameter]
    settings: TrainingSettings
    schedule: _Parts
    on_message: Callable[[str], None]
    recorded: RecordedStep | None = None
    taken: int = 0  # one by one

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; returns the loss and the gradient's norm before clipping, both on the device."""
        _, before = self.schedule.place(step)
        if before == 0:
            self.optimizer.state.clear()
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self.schedule.rate(step))
            else:
                group["lr"] = self.schedule.rate(step)
        if self.recorded is None and self.taken == EAGER_STEPS:
            self._record(step)
        if self.recorded is not None:
            return self.recorded(step)
        self.taken += 1
        value = self.loss(step)
        self.optimizer.zero_grad(set_to_none=True)
        return descend(value, self.optimizer, self.parameters, clip=self.settings.clip)

    def _record(self, step: int) -> None:
        on_gpu = self.parameters[0].is_cuda and isinstance(self.optimizer, AdamW)
        if not on_gpu or not isinstance(self.loss, DrawnLoss) or len(self.schedule.parts) > 1:
            return
        try:
            self.recorded = RecordedStep(
                self.loss, self.optimizer, self.parameters, clip=self.settings.clip, step=step
            )
        except RuntimeError as error:
            self.on_message(
                f"steps are taken one by one: none could be recorded ({str(error).splitlines()[0]})"
            )


def _metrics_line(
    values: Tensor, progress: _Progress, schedule: _Parts, figures: dict[str, Any]
) -> dict[str, Any]:
    """A line of metrics.jsonl: means over the steps since the last one, and the figures of the moment."""
    return {
        "step": progress.step,
        "loss": values[:, 0].mean().item(),
        "gradient_norm": values[:, 1].mean().item(),
        "learning_rate": schedule.rate(progress.step - 1),
        **figures,
        "seconds": round(progress.seconds, 3),
    }


def _json_line(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


def has_checkpoint(folder: Path) -> bool:
    """Whether a run's folder holds a checkpoint, whole or not."""
    return any((folder / name).exists() for name in (CHECKPOINT, PREVIOUS))


def model_state(folder: Path) -> dict[str, Tensor]:
    """The weights and buffers of a run's last whole checkpoint, by name.

    Raises IdentboxError where there is none.
    """
    return _expected_checkpoint(folder)["model"]


def load_model(folder: Path, model: nn.Module) -> int:
    """Give ``model`` the weights of a run's last whole checkpoint; returns its number of steps.

    Raises IdentboxError where there is none, or those are of another model.
    """
    state = _expected_checkpoint(folder)
    with _expect_own(folder):
        model.load_state_dict(state["model"])
    return state["step"]


def _expected_checkpoint(folder: Path) -> dict[str, Any]:
    problems: list[str] = []
    state = _last_whole(folder, problems.append)
    if state is None:
        raise IdentboxError(problems[-1] if problems else f"{folder / CHECKPOINT}: expected a file, got none")
    return state


def _expect_finite(
    values: Tensor,
    first: int,
    schedule: _Parts,
    folder: Path,
    earlier: list[float],
    explain: Callable[[int], str],
) -> None:
    """Raise IdentboxError for the first step, counted from ``first``, of which the loss or the norm is not finite."""
    finite = values.isfinite().all(1)
    if finite.all():
        return
    k = int(finite.int().argmin())
    losses = [*earlier, *values[:k, 0].tolist()][-LAST_LOSSES:]
    why = explain(first + k)
    raise IdentboxError(
        f"{folder}: step {first + k + 1}: expected a finite loss and gradient, got the loss {values[k, 0]:g} and "
        f"the gradient norm {values[k, 1]:g}{f' ({why})' if why else ''}; learning rate {schedule.rate(first + k):g}, "
        f"losses before: {', '.join(f'{value:.4g}' for value in losses) or 'none'}"
    )


def _save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: _Progress) -> None:
    """Write a checkpoint and keep the one before it, so that at any moment one of the two is whole."""
    state = {"format": CHECKPOINT_FORMAT, **vars(progress)}
    content = io.BytesIO()  # so that a full disk raises the system's own error
    torch.save({**state, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, content)
    leases.expect_held()
    with files.whole(folder / CHECKPOINT, durable=True) as part:
        part.write_bytes(content.getbuffer())
        if (folder / CHECKPOINT).exists():
            (folder / CHECKPOINT).replace(folder / PREVIOUS)


def _last_whole(folder: Path, on_message: Callable[[str], None]) -> dict[str, Any] | None:
    """The last checkpoint that is whole, or None; ``on_message`` gets a line for each that is damaged.

    A damaged one gets the name DAMAGED, so that nothing is lost. Raises IdentboxError for a file that cannot be read,
    which may be whole, and for a checkpoint of another format.
    """
    for path in (folder / CHECKPOINT, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            return read_checkpoint(path)
        except DamagedCheckpoint as error:
            on_message(str(error))
    return None


def _resume(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, on_message: Callable[[str], None]
) -> _Progress:
    """Load the last whole checkpoint into the model and the optimiser; returns how far it is."""
    damaged: list[str] = []
    state = _last_whole(folder, damaged.append)
    for message in damaged:
        on_message(f"{message}; continuing from step {state['step'] if state else 0}")
    if damaged:
        _keep_damaged(folder)
    if state is None:
        return _Progress()
    with _expect_own(folder):
        model.load_state_dict(state["model"])
        load_optimizer(optimizer, state["optimizer"])
    return _Progress(step=state["step"], seconds=float(state["seconds"]), metrics=state["metrics"])


def _keep_damaged(folder: Path) -> None:
    """Move a damaged checkpoint aside before a new one takes its name."""
    for name in (CHECKPOINT, PREVIOUS):
        path = folder / name
        if path.exists():
            with suppress(DamagedCheckpoint):
                read_checkpoint(path)
                continue
            leases.expect_held()
            path.replace(folder / DAMAGED)


@contextmanager
def _expect_own(folder: Path) -> Iterator[None]:
    """Raise IdentboxError where a checkpoint is of another model, so that it does not load."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IdentboxError(
            f"{folder / CHECKPOINT}: expected the weights of this configuration, got others: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error


@contextmanager
def _matmul_precision(precision: Precision) -> Iterator[None]:
    """Inside the block, products of float32 matrices in TF32 where asked for; outside it, as before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
