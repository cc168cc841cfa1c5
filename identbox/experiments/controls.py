"""Negative controls: learners that cannot have identified content, so that a verdict which says they did is wrong.

Each is a simulation like the one to be judged, trained as long, with one thing spoilt. A control is a process of its
own, with a folder as a run has; its record says which control it is.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config, seeding
from identbox.experiments import run as experiments_run
from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.simulation import Learner, Simulation
from identbox.jobs import execution
from identbox.jobs.execution import Job
from identbox.learning import contrastive
from identbox.process.model import Process


class ShuffledPairs(Learner):
    """Learns from views that do not belong together: all but the first are permuted over the batch."""

    def loss(self, step: int, stream: str = "train") -> Float[Tensor, ""]:
        objective, batch = self.simulation.objective, self.simulation.training.batch
        first, *others = self.encodings(self.draw(batch, stream, step))
        generator = seeding.generator(self.seed, "shuffle", stream, step, device=self.device)
        order = torch.randperm(batch, generator=generator, device=self.device)
        again = None
        if objective.negatives == "same-view":
            again = self.encodings(self.draw(batch, f"{stream}/negatives", step))
        return contrastive.info_nce([first, *(view[order] for view in others)], objective, negatives=again)


class SingularMixing(Learner):
    """The first view's mixing does not see the first content variable, and so is not invertible."""

    def __init__(self, simulation: Simulation, process: Process, *, seed: int) -> None:
        super().__init__(simulation, process, seed=seed)
        layers = self.mixings[process.views[0]].weights
        assert isinstance(layers, Tensor)
        layers[0, :, 0] = 0.0  # content comes first among latents (Eq. 8.4)


@dataclasses.dataclass(frozen=True)
class Control:
    """What is spoilt, as keys of the configuration or as a learner."""

    what: str
    changes: Callable[
        [Simulation, int], Mapping[str, Any] | None
    ]  # of the simulation, by content's size; None: cannot
    learner: type[Learner] = Learner


def _smaller(simulation: Simulation, content: int) -> Mapping[str, Any] | None:
    return {"encoder": {"encoding_size": content - 1}} if content > 1 else None


def _unchanging(simulation: Simulation, content: int) -> Mapping[str, Any] | None:
    if simulation.process.file is not None or not simulation.process.style:
        return None
    size = content + simulation.process.style
    return {"process": {"change_probability": 0.0}, "encoder": {"encoding_size": size}}


CONTROLS = {
    "untrained": Control("an encoder that was never trained", lambda *_: {"training": {"steps": 0}}),
    "shuffled-pairs": Control("an encoder trained on shuffled pairs", lambda *_: {}, ShuffledPairs),
    "small-encoder": Control("an encoder one dimension too small", _smaller),
    "unchanging-style": Control("a process whose style never changes, encoded with content", _unchanging),
    "singular-mixing": Control("a modality whose mixing is not invertible", lambda *_: {}, SingularMixing),
}


def simulation_of(name: str, base: Simulation, content: int) -> Simulation | None:
    """The control's configuration for that of a run with so many content dimensions; None where it makes no sense."""
    changes = CONTROLS[name].changes(base, content)
    if changes is None:
        return None
    return experiments_simulation.simulation(
        "thesis", config.merge(config.plain(base.table()), changes), name
    )


def run(
    name: str, simulation: Simulation, folder: Path, *, seed: int, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Train and probe a control, and write its record to ``folder``; returns the record.

    Raises IdentboxError for the folder of anything else.
    """
    learner_type = CONTROLS[name].learner
    return experiments_simulation.run(
        simulation, folder, seed=seed, device=device, learner_type=learner_type, control=name
    )


def jobs(
    base: Simulation,
    folder: Path,
    *,
    content: int,
    seeds: Iterable[int],
    names: Iterable[str] = tuple(CONTROLS),
    device: str = "cpu",
) -> Iterator[Job]:
    """The controls of these names that make sense, for a run with so many content dimensions, as child processes."""
    for seed, name in itertools.product(seeds, names):
        simulation = simulation_of(name, base, content)
        if simulation is not None:
            place = folder / f"{name}-seed{seed}"
            yield experiments_run.job(
                place,
                partial(experiments_simulation.claim, place, simulation, seed=seed),
                ("identbox.experiments.controls", name, str(place), str(seed), device),
            )


def _child(arguments: list[str]) -> None:
    """A control in a process of its own: its name, its folder (which has its configuration), seed and device."""
    name, place, seed, device = arguments
    table = config.read_toml(Path(place) / experiments_run.CONFIG)
    table.pop("seed")
    run(
        name,
        experiments_simulation.simulation("thesis", table, place),
        Path(place),
        seed=int(seed),
        device=device,
    )


if __name__ == "__main__":
    execution.main(_child)
