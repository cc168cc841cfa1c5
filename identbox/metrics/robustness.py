"""Interventional robustness (IRS; Suter et al., Robustly disentangled causal mechanisms, 2019) from pairs of codes.

For each code and each intervention, the mean absolute change of the code over its mean absolute difference between
random samples. A code belongs to the intervention that moves it most. Its robustness is 1 less the largest change under
any other intervention, and IRS is the mean over codes that vary. In the paper the change is from the mean code of a
factor's value, over all values of the others; here the pairs are of the same sample, so that nothing else changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

PairsOfCodes = Mapping[str, tuple[Float[np.ndarray, "m k"], Float[np.ndarray, "m k"]]]
ROBUSTNESS_PARTS = 30  # of the rows, without a row twice, for the deviation


def robustness(pairs: PairsOfCodes, seed: int = 0) -> tuple[float, float, float]:
    """IRS, its deviation over half samples, and its value where before and after are of different samples."""
    rng = np.random.default_rng(seed)
    halves = []
    for _ in range(ROBUSTNESS_PARTS):
        some = {}
        for name, (before, after) in pairs.items():
            rows = rng.permutation(len(before))[: math.ceil(len(before) / 2)]
            some[name] = (before[rows], after[rows])
        halves.append(_robustness(some))
    mixed = {name: (before, after[rng.permutation(len(after))]) for name, (before, after) in pairs.items()}
    return _robustness(pairs), float(np.std(halves, ddof=1)), _robustness(mixed)


def _robustness(pairs: PairsOfCodes) -> float:
    moves = np.stack([_moved(*both) for both in pairs.values()])
    varying = np.stack([before.std(0) > 0 for before, _ in pairs.values()]).any(0)
    if not varying.any():
        return 0.0
    ordered = np.sort(moves[:, varying], axis=0)
    others = ordered[-2] if len(ordered) > 1 else np.zeros(ordered.shape[1])
    return float((1 - others.clip(max=1)).mean())


def _moved(before: Float[np.ndarray, "m k"], after: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " k"]:
    """The mean absolute change of each code, as a share of its mean absolute difference between samples."""
    n = len(before)
    ordered = np.sort(before, axis=0)
    weights = 2 * np.arange(1, n + 1) - n - 1
    apart = (
        2 * (weights[:, None] * ordered).sum(0) / (n * n)
    )  # Gini's mean difference, of pairs with replacement
    moved = np.abs(after - before).mean(0)
    return np.where(apart > 0, moved / np.where(apart > 0, apart, 1), 0.0)
