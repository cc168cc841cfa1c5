"""Negative controls: learners that cannot have identified content, so that a verdict which says they did is wrong.

Each is a simulation like the one to be judged, trained as long, with one thing spoilt. A control is a process of its
own, with a folder as a run has; its record says which control it is.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import __version__, config, experiments, objectives, seeding, training
from identbox.errors import IdentboxError
from identbox.experiments import Learner, Simulation
from identbox.process import Process
from identbox.process_tables import table_from_process


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
        return objectives.info_nce([first, *(view[order] for view in others)], objective, negatives=again)


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
    return experiments.simulation("thesis", experiments.merge(config.plain(base.table()), changes), name)


def run(
    name: str, simulation: Simulation, folder: Path, *, seed: int, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Train and probe a control, and write its record to ``folder``, as `experiments.run` does; returns the record.

    The folder may be that of the same control interrupted, or done. Raises IdentboxError for one of anything else.
    """
    experiments.claim(folder, simulation, seed=seed)
    results = folder / experiments.RESULTS
    if results.exists():
        record = experiments.read_results(results)
        if record.get("control") != name:
            raise IdentboxError(f"{folder}: expected the control {name}, got {record.get('control')}")
        return record
    process = simulation.process.make(simulation.setting)
    learner = CONTROLS[name].learner(simulation, process, seed=seed).to(device)
    trained = training.train(learner, learner.loss, simulation.training, folder)
    learner.eval()
    record = {
        "format": experiments.FORMAT,
        "kind": "simulation",
        "control": name,
        "identbox": __version__,
        "seed": seed,
        "config": config.plain(simulation.table()),
        "process": config.plain(table_from_process(learner.process)),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": experiments.machine(learner.device),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "losses": {"train": trained.loss, "chance": experiments.chance_loss(simulation)},
        "probes": [dataclasses.asdict(probe) for probe in experiments.probe(learner)],
    }
    record["losses"] = {key: value for key, value in record["losses"].items() if value is not None}
    config.write_whole(results, (json.dumps(record, indent=1) + "\n").encode())
    return record


def execute(
    base: Simulation,
    folder: Path,
    *,
    content: int,
    seeds: Iterable[int],
    names: Iterable[str] = tuple(CONTROLS),
    workers: int = 1,
    device: str = "cpu",
    threads: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Do the controls of these names that make sense, a child process each; returns their folders.

    Finished ones are skipped, interrupted ones go on. Raises IdentboxError where one fails, with the end of its log.
    """
    jobs = []
    chosen = tuple(names)
    for seed in seeds:
        for name in chosen:
            made = simulation_of(name, base, content)
            if made is not None:
                jobs.append((name, made, folder / f"{name}-seed{seed}", seed))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

    def one(job: tuple[str, Simulation, Path, int]) -> str | None:
        name, made, place, seed = job
        experiments.claim(place, made, seed=seed)
        log = place / "run.log"
        if not (place / experiments.RESULTS).exists():
            command = [sys.executable, "-m", "identbox.controls", name, str(place), str(seed), device]
            with log.open("ab") as output:
                code = subprocess.run(
                    command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
                ).returncode
            if code:
                lines = log.read_text(errors="replace").strip().splitlines()
                return f"{place}: expected the control to finish, got exit code {code}, {lines[-1] if lines else ''}"
        on_done(place.name)
        return None

    with ThreadPoolExecutor(workers) as pool:
        failed = [reason for reason in pool.map(one, jobs) if reason is not None]
    if failed:
        raise IdentboxError(failed[0])
    return [place for _, _, place, _ in jobs]


def _child(arguments: list[str]) -> int:
    """A control in a process of its own: its name, its folder (which `execute` has claimed), seed and device."""
    name, place, seed, device = arguments
    table = config.read_toml(Path(place) / experiments.CONFIG)
    table.pop("seed")
    try:
        run(name, experiments.simulation("thesis", table, place), Path(place), seed=int(seed), device=device)
    except IdentboxError as error:
        print(f"identbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1:]))
