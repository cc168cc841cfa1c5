"""Negative controls: learners that cannot have identified content, so that a verdict which says they did is wrong.

Each is a simulation like the one to be judged, with one deliberate defect. It is trained a tenth as long, since what it
lacks no training gives. A control is a process of its own, with a folder as a run has; its record says which control it
is.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config, seeding
from identbox.experiments.learner import Learner
from identbox.experiments.records import SHUFFLED_PAIRS
from identbox.experiments.run import CONFIG_FILE
from identbox.experiments.simulation import Simulation, run_simulation, simulation_folder
from identbox.jobs import execution
from identbox.jobs.execution import Job
from identbox.process.world import World

SHORTER = 10  # times fewer steps than the run that is judged has


class ShuffledPairs(Learner):
    """Learns from views that do not belong together: all but the first are permuted over the batch."""

    def paired(self, views: list[Float[Tensor, "n _"]], step: int, stream: str) -> list[Float[Tensor, "n _"]]:
        """The first view as it is, the others in another order."""
        first, *others = views
        generator = seeding.generator(self.world.seed, "shuffle", stream, step, device=self.device)
        order = torch.randperm(len(first), generator=generator, device=self.device)
        return [first, *(view[order] for view in others)]


def lose_content(world: World) -> None:
    """Make the first view's mixing ignore the first content variable, so that it is not invertible."""
    world.mixings[world.views[0]].weights[0, :, 0] = 0.0  # content comes first among latents (Eq. 8.4)


@dataclasses.dataclass(frozen=True)
class Control:
    """One deliberate defect: of the configuration, of the learner, or of the world."""

    what: str
    # keys of the configuration that differ, for a simulation and its content's size; None where it makes no sense
    changes: Callable[[Simulation, int], Mapping[str, Any] | None]
    learner: type[Learner] = Learner
    change_world: Callable[[World], None] = lambda world: None


def _smaller(simulation: Simulation, content: int) -> Mapping[str, Any] | None:
    return {"encoder": {"encoding_size": content - 1}} if content > 1 else None


def _unchanging(simulation: Simulation, content: int) -> Mapping[str, Any] | None:
    if simulation.process.file is not None or not simulation.process.style:
        return None
    size = content + simulation.process.style
    return {"process": {"change_probability": 0.0}, "encoder": {"encoding_size": size}}


CONTROLS = {
    "untrained": Control("an encoder that was never trained", lambda *_: {"training": {"steps": 0}}),
    SHUFFLED_PAIRS: Control("an encoder trained on shuffled pairs", lambda *_: {}, ShuffledPairs),
    "small-encoder": Control("an encoder one dimension too small", _smaller),
    "unchanging-style": Control("a process whose style never changes, encoded with content", _unchanging),
    "singular-mixing": Control(
        "a modality whose mixing is not invertible", lambda *_: {}, change_world=lose_content
    ),
}


def simulation_of(name: str, base: Simulation, content: int) -> Simulation | None:
    """The control's configuration for that of a run with so many content dimensions; None where it makes no sense."""
    changes = CONTROLS[name].changes(base, content)
    if changes is None:
        return None
    # Too short for the part with hard negatives.
    shorter = {
        "training": {"steps": math.ceil(base.training.steps / SHORTER)},
        "hard_negatives": {"steps": 0},
    }
    table = config.merge(config.toml_values(base.table()), shorter)
    return Simulation.from_preset("thesis", config.merge(table, changes), name)


def run_control(
    name: str, simulation: Simulation, folder: Path, *, seed: int, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Train and probe a control, and write its record to ``folder``; returns the record.

    Raises IdentboxError for the folder of anything else.
    """
    control = CONTROLS[name]
    return run_simulation(
        simulation,
        folder,
        seed=seed,
        device=device,
        learner_type=control.learner,
        change_world=control.change_world,
        control=name,
    )


def jobs(
    base: Simulation,
    folder: Path,
    *,
    content: int,
    seeds: Iterable[int],
    names: Iterable[str] | None = None,
    device: str = "cpu",
) -> Iterator[Job]:
    """The controls of these names, or all, that make sense for so many content dimensions, as child processes."""
    for seed, name in itertools.product(seeds, CONTROLS if names is None else names):
        simulation = simulation_of(name, base, content)
        if simulation is not None:
            place = folder / f"{name}-seed{seed}"
            command = ("identbox.experiments.controls", name, str(place), str(seed), device)
            yield simulation_folder(place, simulation, seed=seed).job(command)


def _control_child(arguments: list[str]) -> None:
    """A control in a process of its own: its name, its folder (which has its configuration), seed and device."""
    name, place, seed, device = arguments
    table = config.read_toml(Path(place) / CONFIG_FILE)
    table.pop("seed")
    run_control(
        name,
        Simulation.from_preset("thesis", table, place),
        Path(place),
        seed=int(seed),
        device=device,
    )


if __name__ == "__main__":
    execution.run_child(_control_child)
