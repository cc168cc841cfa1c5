"""Seconds to draw the published mixing, against a loop over matrices: one JSON line.

    python tests/benchmarks/mixing_speed.py

``s`` is the best of some draws of a mixing of 15 dimensions from a pool of 25 000 matrices; ``naive_s`` the time
in which numpy makes as many matrices and takes their condition numbers one at a time, without choosing among
them; ``ratio`` the second by the first.
"""

import json
import time
from collections.abc import Callable

import numpy as np
import torch

from identbox.process.mixing import Mixing, draw

DIM = 15
REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """The time that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def naive(pool: int) -> float:
    """The largest condition number of a pool, matrix by matrix."""
    generator = np.random.default_rng(0)
    largest = 0.0
    for _ in range(pool):
        matrix = generator.uniform(-1, 1, (DIM, DIM))
        largest = max(largest, np.linalg.cond(matrix / np.linalg.norm(matrix, axis=0)))
    return largest


def main() -> None:
    """Measure both and print one JSON line."""
    settings = Mixing()
    ours = min(seconds(lambda seed=seed: draw(DIM, settings, seed=seed)) for seed in range(REPEATS))
    loop = seconds(lambda: naive(settings.pool))
    figures = {
        "benchmark": "mixing",
        "dim": DIM,
        "pool": settings.pool,
        "threads": torch.get_num_threads(),
        "s": round(ours, 3),
        "naive_s": round(loop, 3),
        "ratio": round(loop / ours, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
