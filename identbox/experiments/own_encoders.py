"""Training encoders of the user's own on a world: any torch modules, one for each view.

    train({"1": net, "2": net2}, world, Objective(), steps=1500, out="run")

The run folder is that of every run. Its record says what was trained: the class, the parameters and the structure of
each module. The code of a module is not in it, so nobody can train such a run again from its record alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identbox.errors import IdentboxError
from identbox.experiments.learner import Learner
from identbox.experiments.run import RunFolder, Trainable
from identbox.experiments.simulation import ProbeSettings, measured_learner
from identbox.identifiability.encodings import encoded
from identbox.learning.contrastive import Objective
from identbox.learning.training import (
    NO_CALLBACKS,
    Callbacks,
    Precision,
    Schedule,
    TrainingSettings,
    has_checkpoint,
    load_model,
)
from identbox.metrics.interventional import content_r2
from identbox.process.world import World

OWN_ENCODERS = "own-encoders"  # the kind of such a run, as its record says
TRIED = 16  # observations on which each module is tried before the training


def train(
    encoders: Mapping[str, nn.Module],
    world: World,
    objective: Objective | None = None,
    *,
    out: str | Path,
    steps: int = 3000,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    schedule: Schedule = "cosine",
    precision: Precision = "float32",
    settings: TrainingSettings | None = None,
    probe_samples: int = 1024,
    probes: ProbeSettings | None = None,
    device: torch.device | str | None = None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train torch modules on a world with a contrastive objective, probe them, and return the record of the run.

    ``encoders`` has a module for each view; one module may stand for several. A module takes observations (n, d) and
    returns encodings (n, k), the same k for all. Modules are trained in place: afterwards they have their last weights,
    also where the folder ``out`` held the finished run already. ``settings`` and ``probes``, where given, are all
    settings of the training and of the probes, and the short ones are not used.

    Raises IdentboxError for views without a module, modules without parameters or with other outputs, a folder of
    another run or of other modules, one in which another process is working, and where a loss is not finite.

    >>> import tempfile
    >>> from identbox import Mixing, World, numerical_simulation, train
    >>> world = World(numerical_simulation(content=1, style=1, specific=0), seed=0, mixing=Mixing(pool=100))
    >>> nets = {view: torch.nn.Linear(2, 1) for view in world.views}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = train(nets, world, out=folder + "/run", steps=2, batch_size=8, probe_samples=20)
    >>> record["config"]["encoder"]["views"]["1"]["class"], record["config"]["encoder"]["views"]["1"]["parameters"]
    ('torch.nn.modules.linear.Linear', 3)
    """
    objective = objective or Objective()
    training = settings or TrainingSettings(
        steps=steps, batch=batch_size, learning_rate=learning_rate, schedule=schedule, precision=precision
    )
    probing = probes or ProbeSettings(samples=probe_samples)
    size = _tried(encoders, world)
    place = torch.device(device) if device is not None else world.device
    learner = Learner(
        world, encoders, objective=objective, batch=training.batch, precision=training.precision
    ).to(place)
    folder = RunFolder(
        path=Path(out),
        kind=OWN_ENCODERS,
        seed=world.seed,
        config={
            "world": world.table(),
            "encoder": {"kind": "own encoder", "encoding_size": size, "views": described_modules(encoders)},
            "objective": dataclasses.asdict(objective),
            "training": dataclasses.asdict(training),
            "probes": dataclasses.asdict(probing),
        },
    )

    def make() -> Trainable:
        return Trainable(
            model=learner,
            loss=learner.loss,
            settings=training,
            watch=lambda: {"content_r2": content_r2(world, learner.encode)},
            curves=lambda step: learner.curves(step, training),
            measure=lambda trained: measured_learner(learner, trained, probing),
        )

    record = folder.run(make, callbacks)
    if has_checkpoint(folder.path):  # of a run that was finished before, the modules have not its weights yet
        load_model(folder.path, learner)
    learner.eval()
    return record


def described_modules(encoders: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """`described_module` of each view's encoder."""
    return {view: described_module(module) for view, module in encoders.items()}


def described_module(module: nn.Module) -> dict[str, Any]:
    """What a record says of a module: its class, its number of parameters, and its structure as torch prints it."""
    return {
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "trained_parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "structure": str(module),
    }


def _tried(encoders: Mapping[str, nn.Module], world: World) -> int:
    """The dimensions of the encodings. Raises IdentboxError for what cannot be trained on the world."""
    if not isinstance(encoders, Mapping) or set(encoders) != set(world.views):
        got = ", ".join(map(str, encoders)) if isinstance(encoders, Mapping) else type(encoders).__name__
        raise IdentboxError(
            f"encoders: expected a module for each of the views {', '.join(world.views)}; got {got}"
        )
    sample = world.sample(TRIED, "tried")
    sizes = {}
    for view, module in encoders.items():
        where = f"encoder of view {view}"
        if not isinstance(module, nn.Module):
            raise IdentboxError(f"{where}: expected a torch module, got {type(module).__name__}")
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters:
            raise IdentboxError(f"{where}: expected parameters to train, got none")
        try:
            sizes[view] = encoded(module, sample.x[view].to(parameters[0].device), where).shape[1]
        except RuntimeError as error:
            width = sample.x[view].shape[1]
            raise IdentboxError(
                f"{where}: expected a module for observations of {width} dimensions, got {error}"
            ) from error
    if len(set(sizes.values())) > 1:
        raise IdentboxError(f"encoders: expected encodings of one size, got {list(sizes.values())}")
    return next(iter(sizes.values()))
