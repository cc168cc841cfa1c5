"""How well a small ResNet-18 tells the shapes of a pack apart: one JSON line, and the confusion table.

    python tests/benchmarks/shape_recognition.py --shapes builtin --shapes DIR

For each pack a dataset is rendered (64 x 64, every factor varied, free rotation), the network trained on its training
split and scored on its test split; every pack gets the same latents, initial weights and number of steps. The network
is a ResNet-18 of a third of the usual width (He et al., 2016). Mind the last weights: no split chooses among them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from identbox import Multimodal3DIdent
from identbox.dataset import Recipe

TRAIN, TEST, SIZE, SAMPLES = 3000, 1000, 64, 4


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def network(classes: int, width: int = 24) -> nn.Module:
    """ResNet-18 for small images: a 3 x 3 stem with stride 2, then four stages of two blocks."""
    stages = [nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        stages += [Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def read(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Standardised images (n, 3, 64, 64) and shapes (n,)."""
    data = Multimodal3DIdent(folder, split)
    pixels = np.stack([np.asarray(data.image(k)) for k in range(len(data))])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (images - 0.4) / 0.2, torch.from_numpy(data.image_latents["object_shape"])


def names(folder: Path) -> tuple[str, ...]:
    """The classes of a dataset, in the order of their numbers."""
    recipe = Recipe.read(folder)
    assert recipe is not None
    return recipe.shape_names


def train(folder: Path, epochs: int, seed: int) -> np.ndarray:
    """Train on the training split; returns the confusion counts of the test split, (true, predicted)."""
    torch.manual_seed(seed)
    images, labels = read(folder, "train")
    classes = len(names(folder))
    model = network(classes)
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for k in range(0, len(images) - 63, 64):
            batch = order[k : k + 64]
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch], label_smoothing=0.1)
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
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to keep the rendered datasets in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for pack in options.shapes:
            folder = (options.keep or Path(scratch)) / Path(pack).name
            command = [sys.executable, "-m", "identbox", "render", "--n", TRAIN, "--val", 0, "--test", TEST,
                       "--size", SIZE, "--samples", SAMPLES, "--shapes", pack, "--out", folder]  # fmt: skip
            subprocess.run(list(map(str, command)), check=True)
            start = time.perf_counter()
            table = train(folder, options.epochs, options.seed)
            accuracy = np.trace(table) / table.sum()
            print(json.dumps({"benchmark": "shape recognition", "shapes": pack, "train": TRAIN, "test": TEST,
                              "epochs": options.epochs, "accuracy": round(float(accuracy), 3),
                              "standard_error": round(float((accuracy * (1 - accuracy) / TEST) ** 0.5), 3),
                              "training_s": round(time.perf_counter() - start)}), flush=True)  # fmt: skip
            print(" " * 12 + "".join(f"{name[:8]:>9}" for name in names(folder)))
            for name, row in zip(names(folder), table, strict=True):
                print(f"{name:12}" + "".join(f"{count:9d}" for count in row), flush=True)


if __name__ == "__main__":
    main()
