"""Contrastive objectives and the minimum of Eq. 8.9: python tests/benchmarks/objective_minimum.py

Content is normal, of five dimensions, and both views show it as it is. So a map that changes nothing is aligned and
attains the minimum of Eq. 8.9. Each row trains a small network that begins as that map, with one objective and fresh
batches. What it leads away to is the objective's own doing: no mixing is to be undone, and nothing differs between
views. A row has the loss at the start and at the end, the distance from the minimum of Eq. 8.9 at the end (of whitened
encodings where the objective compares those), and the excess kurtosis of whitened encodings, a mean over their
dimensions: 0 for normal ones, below 0 where far ones are rare.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from identbox import Objective
from identbox.identifiability import oracle
from identbox.learning.contrastive import info_nce, whitening

DIM, SAMPLES = 5, 8192
AS_THEY_ARE, WHITENED = Objective(), Objective(encodings="whitened")
ROWS = [
    (AS_THEY_ARE, 512),
    (AS_THEY_ARE, 2048),
    (WHITENED, 512),
    (WHITENED, 1024),
    (Objective(encodings="whitened", temperature=0.3), 1024),
    (Objective(encodings="whitened", decoupled=True), 1024),
    (Objective(encodings="whitened", decoupled=True, temperature=0.7), 1024),
    (Objective(encodings="whitened", decoupled=True, temperature=0.5), 1024),
]


class Changed(nn.Module):
    """x + net(x), with a scale for all; net is 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(DIM, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, DIM)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encodings of content."""
        return self.log_scale.exp() * (x + self.net(x))


def row(objective: Objective, batch: int, steps: int) -> str:
    """What one objective makes of aligned encodings."""
    torch.manual_seed(0)
    begun = time.process_time()
    encoder = Changed()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        encodings = encoder(torch.randn(batch, DIM))
        loss = info_nce([encodings, encodings], objective)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        z = encoder(torch.randn(SAMPLES, DIM))
    standard = whitening([z])(z)
    seen = standard if objective.encodings == "whitened" else z
    gap = oracle.trained_value([seen, seen]).value
    kurtosis = (standard**4).mean().item() - 3
    encodings_are = objective.encodings or "as they are"
    seconds, last = time.process_time() - begun, sum(losses[-50:]) / 50
    return (
        f"| {encodings_are} | {'yes' if objective.decoupled else 'no'} | {objective.temperature} | {batch} |"
        f" {losses[0]:.2f} | {last:.2f} | {gap:.3f} | {kurtosis:.2f} | {seconds:.0f} |"
    )


def main() -> None:
    """Print the table, a row for each objective."""
    parser = argparse.ArgumentParser(description="the minimum of contrastive objectives")
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| encodings | decoupled | temperature | batch | first loss | last | distance | kurtosis | seconds |"
    )
    print("| :-- | :-- | --: | --: | --: | --: | --: | --: | --: |")
    for objective, batch in ROWS:
        print(row(objective, batch, options.steps), flush=True)


if __name__ == "__main__":
    main()
