"""How strongly two factors depend on each other, and whether the process says that they do.

The figure is the mutual information over the smaller of the two entropies: 0 for independent factors, 1 where one says
the other, for classes and for numbers in bins of equal frequency alike. What independent factors of so many samples
show by chance is subtracted: (bins - 1) (bins' - 1) / 2n nats (Miller and Madow).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from identbox.metrics.associations import binned, entropy_of_counts, mutual_information

HISTOGRAM_BINS = 12  # of a number


@runtime_checkable
class ShownFactor(Protocol):
    """A factor of n samples, and what causes it by the process."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def values(self) -> np.ndarray: ...
    @property
    def causes(self) -> tuple[str, ...]: ...


def dependence(columns: Sequence[ShownFactor]) -> dict[str, Any]:
    """The matrix of dependences, and which pairs a declared effect connects.

    Returns ``names`` of the columns that vary, ``matrix`` (rows of numbers from 0 to 1, None on the diagonal), and
    ``declared``: [cause, effect] for each effect of the process between them.
    """
    codes = {
        one.name: binned(one.values, HISTOGRAM_BINS) if one.kind != "class" else _class_numbers(one.values)
        for one in columns
    }
    names = [name for name, code in codes.items() if len(code) and code.max() > 0]
    known = set(names)
    matrix: list[list[float | None]] = [[None] * len(names) for _ in names]
    for a, b in combinations(range(len(names)), 2):
        matrix[a][b] = matrix[b][a] = round(strength(codes[names[a]], codes[names[b]]), 4)
    declared = [[cause, one.name] for one in columns for cause in one.causes if {cause, one.name} <= known]
    return {"names": names, "matrix": matrix, "declared": declared}


def _class_numbers(values: np.ndarray) -> Int[np.ndarray, " n"]:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def strength(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """The dependence of two classifications of n samples, from 0 to 1.

    >>> a = np.arange(1000) % 4
    >>> strength(a, a), strength(a, np.arange(1000) // 250), round(strength(a, a // 2), 2)
    (1.0, 0.0, 1.0)
    """
    counts = [np.unique(code, return_counts=True)[1] for code in (a, b)]
    entropies = [entropy_of_counts(c) for c in counts]
    if min(entropies) <= 0:
        return 0.0
    chance = (len(counts[0]) - 1) * (len(counts[1]) - 1) / (2 * len(a))
    found = (mutual_information(a, b) - chance) / (min(entropies) - chance)
    return float(min(1.0, max(0.0, found)))
