"""What a MoPoE-VAE learns of PolyMNIST within a minute or two of one core: python tests/benchmarks/vae_learning.py DATA

DATA is made by `identbox data polymnist --mnist DIR --train 8000 --test 2000 --out DATA`. Each row is a training on
three of its modalities. Coherence is how often a digit is right in one modality that is generated given the other two.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch

from identbox import config
from identbox.experiments.generative import Generative
from identbox.experiments.judges import judges_of
from identbox.experiments.multiview import open_multiview_data
from identbox.experiments.vae_runs import dataset_vae
from identbox.learning.judges import JudgeSettings
from identbox.learning.training import minimise
from identbox.metrics import coherence

MODALITIES, SAMPLES = ("m0", "m2", "m3"), 1000
THESIS = {"decoder": {"image_likelihood": "laplace", "image_scale": 0.75}, "elbo": {"beta": 2.5}}
LARGER = {key: {"channels": [12, 24, 48], "hidden": 128} for key in ("encoder", "decoder")}
ADAM = {"optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant", "clip": 1e9, "steps": 900}
SLOWER = {"learning_rate": 3e-3, "steps": 450}
VARIANTS = {
    "Adam 0.001, Laplace 0.75, beta 2.5": [LARGER, THESIS, {"training": ADAM}],
    "Adam 0.001": [LARGER, {"training": ADAM}],
    "SOAP 0.003, Laplace 0.75, beta 2.5": [LARGER, THESIS, {"training": SLOWER}],
    "SOAP 0.003": [LARGER, {"training": SLOWER}],
    "SOAP 0.006, smaller": [{"training": {"learning_rate": 6e-3}}],
    "SOAP 0.01, smaller (the quick preset)": [],
}


def main(folder):
    data = open_multiview_data(folder, Generative().data).only(MODALITIES)
    judges = judges_of(data, JudgeSettings(steps=500), samples=SAMPLES)
    for name, changes in VARIANTS.items():
        table = {"model": "mopoe-vae", "modalities": list(MODALITIES)}
        for change in changes:
            table = config.merge(table, change)
        experiment = Generative.from_preset("quick", table, on="multiview")
        learner = dataset_vae(experiment, data, seed=0)
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as place:
            minimise(learner, learner.loss, experiment.training, Path(place))
        seconds = time.process_time() - begun
        learner.eval()
        made = coherence.conditional(
            learner.vae,
            learner.batches(data.test, SAMPLES, coherence.GENERATED_AT_ONCE),
            judges.read,
            subsets=coherence.subsets_of(MODALITIES, [2]),
            seed=0,
        )
        scores = coherence.coherence_scores(made, judges.factors)
        mean = sum(one.score for one in scores) / len(scores)
        print(f"{name}: {experiment.training.steps} steps, {seconds:.0f} s, coherence {mean:.2f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
