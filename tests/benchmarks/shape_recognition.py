"""How well a small ResNet-18 recognises the shapes of a pack: one JSON line, and the confusion table.

    python tests/benchmarks/shape_recognition.py --shapes builtin --shapes DIR

For each pack a dataset is rendered (64 x 64, every factor varied, free rotation), the network trained on its training
split and scored on its test split; every pack gets the same latents, initial weights and number of steps. The network
is the small image encoder; its training images are moved, their hues turned and their light changed at random. The
weights after the last step are scored: no split is used to choose among steps.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from math import pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from identbox import Multimodal3DIdent
from identbox.data.recipe import Recipe
from identbox.learning import augmentation
from identbox.learning.encoders import ResNet18

TRAIN, TEST, SIZE, SAMPLES = 3000, 1000, 64, 4
MEAN, STD = 0.4, 0.2  # of every channel, that images are normalised with
# The largest changes of training images: pixels, full turns, strength. Without them there are twice as many errors.
MOVE, HUE, LIGHT = 6, 0.5, 0.5


def read(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Normalised images (n, 3, 64, 64) and shapes (n,)."""
    data = Multimodal3DIdent(folder, split)
    pixels = np.stack([np.asarray(data.image(k)) for k in range(len(data))])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (images - MEAN) / STD, torch.from_numpy(data.image_latents["object_shape"])


def names(folder: Path) -> tuple[str, ...]:
    """The classes of a dataset, in the order of their numbers."""
    recipe = Recipe.read(folder)
    assert recipe is not None
    return recipe.shape_names


def varied(images: Tensor) -> Tensor:
    """Images moved, turned in hue and lit at random."""
    n, mean, std = len(images), (MEAN,) * 3, (STD,) * 3
    images = augmentation.moved(images, torch.randint(-MOVE, MOVE + 1, (n, 2)))
    images = augmentation.turned(images, (torch.rand(n) - 0.5) * 2 * HUE, mean, std)
    return augmentation.lit(images, torch.rand(n) * LIGHT, torch.rand(n) * 2 * pi, mean, std)


def train(folder: Path, epochs: int, seed: int) -> np.ndarray:
    """Train on the training split; returns the confusion counts of the test split, (true, predicted)."""
    torch.manual_seed(seed)
    images, labels = read(folder, "train")
    classes = len(names(folder))
    model = ResNet18(classes, small=True, seed=seed, name="recognition").to(memory_format=torch.channels_last)
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for k in range(0, len(images) - 63, 64):
            batch = order[k : k + 64]
            seen = varied(images[batch].to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(model(seen), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    images, labels = read(folder, "test")
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in images.split(250)])
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(-1, classes)


def main() -> None:
    """Render, train and score each pack."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", action="append", required=True)
    parser.add_argument("--epochs", type=int, default=60, help="30 are too few for the network to converge")
    parser.add_argument("--seeds", type=int, default=1, help="of weights and order, one after another")
    parser.add_argument("--keep", type=Path, help="folder to keep the rendered datasets in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for pack in options.shapes:
            folder = (options.keep or Path(scratch)) / Path(pack).name
            command = [sys.executable, "-m", "identbox", "render", "--n", TRAIN, "--val", 0, "--test", TEST,
                       "--size", SIZE, "--samples", SAMPLES, "--shapes", pack, "--out", folder]  # fmt: skip
            subprocess.run(list(map(str, command)), check=True)
            start = time.perf_counter()
            tables = [train(folder, options.epochs, seed) for seed in range(options.seeds)]
            table = np.sum(tables, axis=0)
            accuracies = [float(np.trace(one) / one.sum()) for one in tables]
            print(json.dumps({"benchmark": "shape recognition", "shapes": pack, "train": TRAIN, "test": TEST,
                              "epochs": options.epochs, "accuracy": [round(one, 3) for one in accuracies],
                              "standard_error": round((accuracies[0] * (1 - accuracies[0]) / TEST) ** 0.5, 3),
                              "training_s": round(time.perf_counter() - start)}), flush=True)  # fmt: skip
            print(" " * 12 + "".join(f"{name[:8]:>9}" for name in names(folder)))
            for name, row in zip(names(folder), table, strict=True):
                print(f"{name:12}" + "".join(f"{count:9d}" for count in row), flush=True)


if __name__ == "__main__":
    main()
