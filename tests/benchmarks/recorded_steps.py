"""What a training step takes on a GPU, one by one and recorded as a CUDA graph: a line for each, in milliseconds.

    python tests/benchmarks/recorded_steps.py [--dataset POLYMNIST]

The thesis preset of simulations in both settings, with matrix products in TF32; with a dataset of `identbox data
polymnist` multimodal VAEs as well, at the sizes of MoPoE-VAE on PolyMNIST. Each training is that of `minimise`; steps
are timed between two lines of its metrics, after the first line.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from identbox.experiments.generative import Generative
from identbox.experiments.multiview import open_multiview_data
from identbox.experiments.simulation import Simulation, learner_of
from identbox.experiments.vae_runs import dataset_vae
from identbox.learning.training import Callbacks, TrainingSettings, minimise

VAES = {"mopoe-vae": {"subsets": "one"}, "mmvae": {}, "mvae": {}, "mmvae-plus": {}}


def milliseconds(learner, settings, *, recorded):
    """The time of a step."""
    marks = []

    def mark(metrics):
        torch.cuda.synchronize()
        marks.append((metrics["step"], time.perf_counter()))

    loss = learner.drawn_loss()
    with tempfile.TemporaryDirectory() as folder:
        minimise(
            learner,
            loss if recorded else lambda step: loss(step),
            settings,
            Path(folder),
            callbacks=Callbacks(on_metrics=mark, on_message=print),
        )
    (first, begun), (last, ended) = marks[0], marks[-1]
    return 1000 * (ended - begun) / (last - first)


def show(name, make, settings):
    one, other = (milliseconds(make(), settings, recorded=recorded) for recorded in (False, True))
    print(f"{name}: {one:.2f} ms one by one, {other:.2f} ms recorded", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", type=Path)
    options = parser.parse_args()
    for setting in ("multiview", "multimodal"):
        for batch in (6144, 2048):
            table = {"setting": setting, "training": {"batch": batch, "precision": "tf32"}}
            simulation = Simulation.from_preset("thesis", table)
            settings = TrainingSettings(steps=400, batch=batch, precision="tf32", log_every=100)
            show(
                f"{setting}, batch {batch}",
                lambda simulation=simulation: learner_of(simulation, seed=0).to("cuda"),
                settings,
            )
    if options.dataset is None:
        return
    for model, elbo in VAES.items():
        experiment = Generative.from_preset("thesis", {"model": model, "elbo": elbo}, on="multiview")
        data = open_multiview_data(options.dataset, experiment.data)
        show(
            f"{model}, batch 256",
            lambda experiment=experiment, data=data: dataset_vae(experiment, data, seed=0).to("cuda"),
            TrainingSettings(steps=120, batch=256, learning_rate=5e-4, log_every=30),
        )


if __name__ == "__main__":
    main()
