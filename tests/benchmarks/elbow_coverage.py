"""How often the elbow of losses is right, where the number of content factors is known: a simulation, not a test.

    python tests/benchmarks/elbow_coverage.py                    # everything: about twenty minutes on one core
    python tests/benchmarks/elbow_coverage.py --largest 512      # batches of 512 alone: a minute
    python tests/benchmarks/elbow_coverage.py --keep FILE.npz    # keep the losses, or take those that are kept

An encoding of size d holds the first d of n content factors, each with noise of its own in either view, so that one
factor carries a known number of nats. Further dimensions are noise or style, which carries less. The losses are those
of `info_nce` on sampled encodings. What is counted for every case:

- right: an integer whose interval covers n; wrong: one whose interval does not;
- at least: a lower bound, which is right up to n; too high: one above n;
- none: no elbow.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from identbox import seeding
from identbox.learning.contrastive import Objective, info_nce
from identbox.metrics import elbow

FACTORS = (8, 15)
BATCHES = {512: 24, 1536: 12, 6144: 3}  # and the number of seeds for each
NATS = (0.25, 0.5, 1.0, 2.0)  # that one content factor carries
TAILS = (0.0, 0.3)  # of that, what a style carries
LARGEST = 20  # encoding size
ANCHORS = 1536  # pairs, at most, that a loss is a mean over; the rest of a batch are candidates alone
JITTER = 0.05  # standard deviation of the logarithm of a factor's nats, from run to run
SEEDS = 3  # runs of each size that one estimate is made from

Case = tuple[int, int, float, float]  # content factors, batch, nats, tail


def one_loss(case: Case, size: int, seed: int) -> float:
    """The loss of one run: aligned encodings (batch, size) of two views.

    Views of a factor of unit variance have the correlation r with I = -1/2 log(1 - r^2) nats. The scale is that of the
    best Euclidean critic, whose product term is that of the true density ratio: s^2 = r / (2 (1 - r^2)).
    """
    n, batch, nats, tail = case
    generator = seeding.generator(seed, "elbow", n, batch, str(nats), str(tail), size)
    jitter = math.exp(JITTER * torch.randn((), generator=generator).item())
    each = torch.tensor([nats * jitter if k < n else tail * nats * jitter for k in range(size)])
    r = (1 - torch.exp(-2 * each)).sqrt()
    shared, *own = torch.randn(3, batch, size, generator=generator)
    views = [r.sqrt() * shared + (1 - r).sqrt() * noise for noise in own]
    scale = (r / (2 * (1 - r**2))).sqrt()
    anchors, others = zip(
        *((scale * view).split([min(batch, ANCHORS), max(0, batch - ANCHORS)]) for view in views), strict=True
    )
    return info_nce(anchors, Objective(), further=others).item()


def cases(largest: int) -> Iterator[Case]:
    """All cases of batches up to a largest one."""
    batches = [batch for batch in BATCHES if batch <= largest]
    return itertools.product(FACTORS, batches, NATS, TAILS)


def all_losses(largest: int, keep: Path | None) -> dict[str, np.ndarray]:
    """The losses (seeds, sizes) of every case, by its text; those that are kept are not made again."""
    found = dict(np.load(keep)) if keep is not None and keep.is_file() else {}
    for case in sorted(cases(largest), key=lambda case: case[1]):
        if str(case) not in found:
            seeds, sizes = range(BATCHES[case[1]]), range(1, LARGEST + 1)
            found[str(case)] = np.array([[one_loss(case, d, s) for d in sizes] for s in seeds])
            if keep is not None:
                np.savez(keep, **found)
    return found


def size_sets(n: int) -> dict[str, list[int]]:
    """Encoding sizes that one may have tried for n factors."""
    return {
        "each to n + 5": list(range(1, n + 6)),
        "every second": list(range(1, 21, 2)),
        "few": [1, 2, 4, 6, 8, 12, 16, 20],
        "too small": list(range(1, n - 1)),
    }


def outcome(found: elbow.Elbow, n: int) -> str:
    """What an estimate is worth, where n is the truth."""
    if found.size is not None:
        low, high = (found.size if end is None else end for end in (found.low, found.high))
        return "right" if low <= n <= high else "wrong"
    if found.at_least is not None:
        return "at least" if found.at_least <= n else "too high"
    return "none"


def count(losses: np.ndarray, case: Case, sizes: Sequence[int]) -> Counter[str]:
    """The outcomes for the seeds in groups."""
    columns = np.array(sizes) - 1
    groups = [losses[k : k + SEEDS][:, columns] for k in range(0, len(losses), SEEDS)]
    chance = math.log(case[1])
    return Counter(outcome(elbow.estimate(sizes, group, chance=chance), case[0]) for group in groups)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", type=int, default=max(BATCHES))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    losses, total = all_losses(options.largest, options.keep), Counter[str]()
    print("factors  batch  nats  tail  sizes           outcomes")
    for case in cases(options.largest):
        n, batch, nats, tail = case
        for name, sizes in size_sets(n).items():
            found = count(losses[str(case)], case, sizes)
            total += found
            print(f"{n:7} {batch:6} {nats:5} {tail:5}  {name:14}  {dict(found)}")
    print("in all:", dict(total))
    covered = total["right"] / max(1, total["right"] + total["wrong"])
    print(f"intervals of integers that cover the number of factors: {covered:.3f}")


if __name__ == "__main__":
    main()
