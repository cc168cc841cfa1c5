"""Seconds of each family of scores, and of all together: a JSON line for each.

    python tests/benchmarks/scores_speed.py [--n 4096] [--factors 10] [--codes 10]

Factors are numbers, points on a circle and classes in turn; the codes are a rotation of them with noise, and IRS has
the pairs of a permutation of each factor. ``s`` is wall clock, ``cpu_s`` is what all threads of the process used, which
other processes on the machine do not change. The bound is 60 s of two cores for 4 096 samples, 10 factors and 10 codes.
"""

import argparse
import json
import time

import numpy as np
import torch

from identbox import scores
from identbox.metrics.disentanglement_records import REFERENCES


def draw(n: int, factors: int, codes: int):  # type: ignore[no-untyped-def]
    """Codes, factors by name, their periods, and for each factor the codes before and after it was permuted."""
    rng = np.random.default_rng(0)
    known: dict[str, np.ndarray] = {}
    for place in range(factors):
        kind = ("number", "circle", "class")[place % 3]
        drawn = {"number": rng.normal(size=n), "circle": rng.random(n), "class": rng.integers(0, 7, n)}
        known[f"{kind} {place}"] = drawn[kind]
    weights = rng.normal(size=(factors, codes))
    noise = 0.3 * rng.normal(size=(n, codes))

    def encoded(values: dict[str, np.ndarray]) -> np.ndarray:
        columns = [np.cos(2 * np.pi * c) if name.startswith("circle") else c for name, c in values.items()]
        standard = np.stack([(c - c.mean()) / c.std() for c in columns], axis=1)
        return standard @ weights + noise

    before = encoded(known)
    pairs = {
        f"permute:{name}": (before, encoded({**known, name: rng.permutation(column)}))
        for name, column in known.items()
    }
    return before, known, {name: 1.0 for name in known if name.startswith("circle")}, pairs


def main() -> None:
    """Print a line for each family, and one for all."""
    parser = argparse.ArgumentParser(description="time of the scores of codes against factors")
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--codes", type=int, default=10)
    given = parser.parse_args()
    codes, factors, periods, pairs = draw(given.n, given.factors, given.codes)
    scores(
        codes[:200], {k: v[:200] for k, v in factors.items()}, periods=periods, only=["MCC", "R²"]
    )  # imports
    total = {"s": 0.0, "cpu_s": 0.0}
    for family in dict.fromkeys(REFERENCES):
        start, cpu = time.perf_counter(), time.process_time()
        scores(codes, factors, periods=periods, pairs=pairs, only=[family])
        took = {"s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
        total = {key: total[key] + value for key, value in took.items()}
        print(json.dumps({"family": family, **{k: round(v, 2) for k, v in took.items()}}), flush=True)
    sizes = {"n": given.n, "factors": given.factors, "codes": given.codes}
    threads = torch.get_num_threads()
    print(json.dumps({**sizes, "threads": threads, **{k: round(v, 1) for k, v in total.items()}}))


if __name__ == "__main__":
    main()
