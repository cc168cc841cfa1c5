"""SOAP on whitened inputs beside Adam, on the causal simulation of the quick preset: a JSON line for each.

    python tests/benchmarks/optimizer_speed.py [--adam-steps 12000] [--soap-steps 1500] [--seed 0]

Each trains the same encoders on the same world. A line has the seconds of CPU time and the steps until a linear
regression reads content with R2 of 0.95, 0.98 and 0.99, and the loss and R2 at the end. The last line is their ratio.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from identbox.experiments.simulation import Simulation, learner_of
from identbox.learning.training import Callbacks, minimise
from identbox.metrics.interventional import content_r2

SOAP = {"optimizer": "soap", "learning_rate": 3e-3, "warmup": 50}
LEVELS = (0.95, 0.98, 0.99)


def measure(name: str, steps: int, seed: int) -> dict[str, Any]:
    """Train once; where content was first read how well."""
    changes: dict[str, Any] = {
        "process": {"change_probability": 0.75, "causal": True},
        "training": {"steps": steps, "log_every": 50, **(SOAP if name == "soap" else {})},
    }
    if name == "soap":
        changes["encoder"] = {"whitening": 4096}
    simulation = Simulation.from_preset("quick", changes)
    learner = learner_of(simulation, seed=seed)
    reached: dict[str, tuple[int, float]] = {}
    begun = time.process_time()

    def note(line: dict[str, Any]) -> None:
        for level in LEVELS:
            if line["content_r2"] >= level and str(level) not in reached:
                reached[str(level)] = line["step"], round(time.process_time() - begun, 1)

    with tempfile.TemporaryDirectory() as folder:
        trained = minimise(
            learner,
            learner.loss,
            simulation.training,
            Path(folder),
            watch=lambda: {"content_r2": content_r2(learner.world, learner.encode)},
            callbacks=Callbacks(on_metrics=note),
        )
    return {
        "optimizer": name,
        "steps": steps,
        "cpu_seconds": round(time.process_time() - begun, 1),
        "reached": {level: {"step": step, "cpu_seconds": s} for level, (step, s) in reached.items()},
        "loss": round(trained.loss or 0.0, 4),
        "content_r2": round(content_r2(learner.world, learner.encode), 4),
    }


def main() -> None:
    """Measure both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adam-steps", type=int, default=12_000)
    parser.add_argument("--soap-steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [measure(name, getattr(options, f"{name}_steps"), options.seed) for name in ("soap", "adam")]
    for line in lines:
        print(json.dumps(line))
    soap, adam = (line["reached"] for line in lines)
    ratios = {
        level: round(adam[level]["cpu_seconds"] / soap[level]["cpu_seconds"], 1)
        for level in soap
        if level in adam
    }
    print(json.dumps({"adam / soap, CPU seconds until": ratios}))


if __name__ == "__main__":
    main()
