"""Laws of multimodal vectors whose entropies are known exactly: tables of probabilities, and Gaussians.

A modality is a block of components. What a multimodal VAE can reach on such data is known in nats
(`identbox.identifiability.discrepancy`), where on images it can only be estimated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import entr
from torch import Tensor

from identbox.errors import IdentboxError

MOST_STATES = 10_000_000  # of a table: 80 MB of probabilities
SUM_TOLERANCE = 1e-6  # by which the sum of probabilities may differ from 1
SMALLEST_EIGENVALUE = 1e-12  # of a covariance, relative to the largest one
KEPT = 2**22  # numbers in marginals that are kept for the next ones


class Modalities:
    """The names of modalities, and which components, numbered from 0 over all modalities, each consists of."""

    def __init__(self, modalities: Mapping[str, Sequence[str]], where: str) -> None:
        self.modalities = {name: tuple(components) for name, components in modalities.items()}
        names = [name for block in self.modalities.values() for name in block]
        if not self.modalities or not all(self.modalities.values()):
            raise IdentboxError(f"{where}: modalities: expected at least one component in each, got none")
        if len(set(names)) < len(names):
            raise IdentboxError(f"{where}: modalities: expected each component once, got one twice")
        self.components = tuple(names)
        ends = np.cumsum([len(block) for block in self.modalities.values()]).tolist()
        self.blocks = tuple(
            tuple(range(end - len(block), end))
            for end, block in zip(ends, self.modalities.values(), strict=True)
        )


class DiscreteProcess(Modalities):
    """The joint distribution of discrete components, a table with an axis for each.

    ``modalities`` maps names to the names of their components; the axes of ``joint`` follow in that order. Raises
    IdentboxError for another number of axes, a probability below 0, a sum other than 1, and too many states.

    >>> one_bit_twice = DiscreteProcess({"x1": ["a"], "x2": ["b", "c"]}, [[[0.5, 0], [0, 0]], [[0, 0], [0, 0.5]]])
    >>> round(one_bit_twice.entropy([0, 1, 2]), 4)
    0.6931
    """

    def __init__(
        self,
        modalities: Mapping[str, Sequence[str]],
        joint: Any,
        *,
        name: str = "process",
        description: str = "",
    ) -> None:
        super().__init__(modalities, name)
        self.name, self.description = name, description
        try:
            table = np.asarray(joint, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise IdentboxError(
                f"{name}: table: expected numbers in lists of equal lengths, got {error}"
            ) from error
        if table.ndim != len(self.components):
            raise IdentboxError(
                f"{name}: table: expected an axis for each of {len(self.components)} components, got {table.ndim}"
            )
        if not 0 < table.size <= MOST_STATES:
            raise IdentboxError(f"{name}: expected 1 to {MOST_STATES} states, got {table.size}")
        if not (np.isfinite(table) & (table >= 0)).all():
            raise IdentboxError(f"{name}: table: expected probabilities from 0, got {table.min():g}")
        total = float(table.sum())
        if abs(total - 1) > SUM_TOLERANCE:
            raise IdentboxError(f"{name}: table: expected probabilities with a sum of 1, got {total:g}")
        self.joint = table / total
        self._entropies: dict[frozenset[int], float] = {frozenset(): 0.0}
        self._marginals: dict[frozenset[int], ndarray] = {}

    def entropy(self, components: Collection[int]) -> float:
        """Entropy in nats of some components together, by enumeration of their states."""
        key = frozenset(components)
        if key not in self._entropies:
            self._entropies[key] = float(entr(self.marginal(key)).sum())
        return self._entropies[key]

    def marginal(self, components: Collection[int]) -> Float[ndarray, ...]:
        """The distribution of some components, with their axes in the order of the process.

        It is summed from the smallest marginal at hand that has all of them.
        """
        key = frozenset(components)
        if key not in self._marginals:
            whole = frozenset(range(self.joint.ndim))
            known = [(whole, self.joint), *self._marginals.items()]
            axes, table = min((one for one in known if one[0] >= key), key=lambda one: one[1].size)
            summed = _sum_out(table, [axis in key for axis in sorted(axes)])
            if sum(one.size for one in self._marginals.values()) + summed.size > KEPT:
                return summed
            self._marginals[key] = summed
        return self._marginals[key]

    def support(self) -> tuple[Int[ndarray, "n d"], Float[ndarray, " n"]]:
        """The states that have a probability above 0, a row each, and these probabilities."""
        states = np.argwhere(self.joint > 0)
        return states, self.joint[tuple(states.T)]

    def sample(self, n: int, *, generator: torch.Generator) -> dict[str, Int[Tensor, "n _"]]:
        """Draw n vectors: for each modality the classes of its components, (n, components)."""
        states, probabilities = self.support()
        rows = torch.from_numpy(probabilities).multinomial(n, replacement=True, generator=generator)
        drawn = torch.from_numpy(states)[rows]
        return {name: drawn[:, list(block)] for name, block in zip(self.modalities, self.blocks, strict=True)}


def _sum_out(table: ndarray, kept: Sequence[bool]) -> ndarray:
    """The sum over the axes that are not kept; neighbours of one kind are one axis, which makes the loops long."""
    sizes: list[int] = []
    kinds: list[bool] = []
    for size, keep in zip(table.shape, kept, strict=True):
        if kinds and kinds[-1] == keep:
            sizes[-1] *= size
        else:
            sizes.append(size)
            kinds.append(keep)
    summed = table.reshape(sizes)
    for axis in reversed(range(len(kinds))):
        if not kinds[axis]:
            summed = np.asarray(summed.sum(axis))
    return summed.reshape([size for size, keep in zip(table.shape, kept, strict=True) if keep])


class LinearGaussian(Modalities):
    """A Gaussian vector, as x = W z + noise makes it, with an axis of the covariance for each component.

    Its entropies are differential ones, in nats: they may be below 0. Raises IdentboxError for a matrix that is no
    covariance of full rank.

    >>> pair = LinearGaussian({"x1": ["a"], "x2": ["b"]}, [[1, 0.5], [0.5, 1]])
    >>> round(pair.entropy([0]), 4)
    1.4189
    """

    def __init__(
        self,
        modalities: Mapping[str, Sequence[str]],
        covariance: Any,
        *,
        name: str = "process",
        description: str = "",
    ) -> None:
        super().__init__(modalities, name)
        self.name, self.description = name, description
        n = len(self.components)
        try:
            matrix = np.asarray(covariance, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise IdentboxError(f"{name}: covariance: expected a matrix, got {error}") from error
        if matrix.shape != (n, n) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
            raise IdentboxError(f"{name}: covariance: expected a symmetric matrix of {n} rows, got another")
        eigenvalues = np.linalg.eigvalsh(matrix)
        if eigenvalues[0] <= SMALLEST_EIGENVALUE * eigenvalues[-1]:
            raise IdentboxError(
                f"{name}: covariance: expected eigenvalues above 0, got one of {eigenvalues[0]:g}"
            )
        self.covariance = matrix

    def entropy(self, components: Collection[int]) -> float:
        """Differential entropy in nats: (k log(2 pi e) + log det C) / 2 for k components of covariance C."""
        rows = sorted(set(components))
        log_determinant = np.linalg.slogdet(self.covariance[np.ix_(rows, rows)])[1]
        return 0.5 * (len(rows) * math.log(2 * math.pi * math.e) + float(log_determinant))
