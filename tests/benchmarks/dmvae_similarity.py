"""By what a DMVAE's first stage should compare embeddings: python tests/benchmarks/dmvae_similarity.py DATA

DATA is made by `identbox data polymnist --mnist DIR --scale 0.7 --out DATA`. A row is a training of the first stage
with the quick preset, another similarity or temperature, and seed 0: the loss, how often a linear probe reads the digit
from c of one modality (a mean over them) and of all, and with which R2 the modality's own place is read from its c.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from identbox import probe
from identbox.experiments.dmvae import DMVAESettings
from identbox.experiments.dmvae_runs import dataset_stages
from identbox.experiments.multiview import MultiviewData, open_multiview_data
from identbox.learning.dmvae import directions
from identbox.learning.training import minimise

VARIANTS = [
    *[("cosine", temperature) for temperature in (0.05, 0.1, 0.2, 0.5)],
    *[("euclidean", temperature) for temperature in (1.0, 4.0)],
]
SAMPLES, SEED = 4000, 0


def row(similarity: str, temperature: float, data: MultiviewData, steps: int | None) -> str:
    """What c holds after a training."""
    training = {} if steps is None else {"training": {"steps": steps}}
    changes = {"shared": {"objective": {"similarity": similarity, "temperature": temperature}, **training}}
    experiment = DMVAESettings.from_preset("quick", changes, on="multiview")
    first = dataset_stages(experiment, data, seed=SEED).first
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        minimise(first, first.loss, experiment.shared.training, Path(folder))
    seconds = time.process_time() - begun
    first.eval()
    numbers = torch.arange(SAMPLES)
    x = data.test.batch(numbers, device=first.device)
    factors = {name: torch.as_tensor(values[:SAMPLES]) for name, values in data.test.factors.items()}

    def read(names: tuple[str, ...], factor: str) -> float:
        c: Tensor = first.shared.embed({name: x[name] for name in names})
        c = directions(c) if first.of_directions else c
        return probe(c, {factor: factors[factor]}, kinds=["linear"])[0].score

    one = sum(read((name,), "digit") for name in data.names) / len(data.names)
    place = sum(read((name,), f"x_{name}") for name in data.names) / len(data.names)
    every, loss = read(data.names, "digit"), first.validation_loss()
    return f"| {similarity} | {temperature} | {loss:.2f} | {one:.3f} | {every:.3f} | {place:.2f} | {seconds:.0f} |"


def main() -> None:
    """Print the table, a row for each training."""
    parser = argparse.ArgumentParser(description="similarity and temperature of a DMVAE's first stage")
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, help="those of the quick preset, unless given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = open_multiview_data(options.data, DMVAESettings.from_preset("quick", on="multiview").data)
    print("| similarity | temperature | loss | digit from one | from all | place | seconds |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for similarity, temperature in VARIANTS:
        print(row(similarity, temperature, data, options.steps), flush=True)


if __name__ == "__main__":
    main()
