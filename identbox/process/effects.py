"""Effects of one variable on another: linear, by the interval that a class names, by a table.

An effect knows the distributions of child and parent, and nothing of the process around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.process.distributions import Categorical, Distribution, Matrix, check_probabilities, constant
from identbox.seeding import generator as stream


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Adds ``intercept + matrix @ parent`` to the child: s ~ N(a + B c, Sigma_s) of section 8.4.1.

    ``random`` draws every number from N(0, 1) by the process's seed; ``zero`` is an intercept of zeros.
    """

    matrix: Literal["random"] | Matrix = "random"  # (child dim, parent dim)
    intercept: Literal["random", "zero"] | tuple[float, ...] = "random"  # (child dim,)

    kind: ClassVar[str] = "linear"

    def check(self, child: Distribution, parent: Distribution) -> None:
        if child.discrete:
            raise IdentboxError("a linear effect: expected a continuous child, got a discrete one")
        rows, columns = child.dim, parent.dim
        if isinstance(self.matrix, tuple) and (
            len(self.matrix) != rows or any(len(row) != columns for row in self.matrix)
        ):
            raise IdentboxError(f"matrix: expected {rows} rows of {columns} numbers")
        if isinstance(self.intercept, tuple) and len(self.intercept) != rows:
            raise IdentboxError(f"intercept: expected {rows} numbers, got {len(self.intercept)}")

    def realise(self, child: Distribution, parent: Distribution, seed: int, edge: tuple[str, str]) -> Linear:
        rows, columns = child.dim, parent.dim
        matrix, intercept = self.matrix, self.intercept
        if matrix == "random":
            draws = stream(seed, "matrix", *edge)
            drawn = torch.randn(rows, columns, generator=draws, dtype=torch.float64)
            matrix = tuple(map(tuple, drawn.tolist()))
        if intercept == "random":
            draws = stream(seed, "intercept", *edge)
            intercept = tuple(torch.randn(rows, generator=draws, dtype=torch.float64).tolist())
        elif intercept == "zero":
            intercept = (0.0,) * rows
        return Linear(matrix=matrix, intercept=intercept)

    def shift(self, parent: Shaped[Tensor, "n p"], dtype: torch.dtype) -> Float[Tensor, "n d"]:
        if isinstance(self.matrix, str) or isinstance(self.intercept, str):
            raise IdentboxError(
                "a linear effect: expected numbers, got 'random', which Process.realise draws"
            )
        matrix = constant(self.matrix, dtype, parent.device)
        return parent.to(dtype) @ matrix.T + constant(self.intercept, dtype, parent.device)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Confines the child to the interval that a categorical parent names, of k equal ones.

    The hue in the third that the x-position names is such an effect (section 4.4): with u the child's own
    uniform noise, its quantile is taken at (parent + u) / k.
    """

    kind: ClassVar[str] = "interval"

    def check(self, child: Distribution, parent: Distribution) -> None:
        _expect_class_parent("an interval effect", child, parent)
        if not child.uniform_noise:
            raise IdentboxError(
                f"an interval effect: expected a uniform, laplace or categorical child, "
                f"got a {child.kind} one"
            )

    def realise(
        self, child: Distribution, parent: Distribution, seed: int, edge: tuple[str, str]
    ) -> Interval:
        return self

    def squeeze(
        self, noise: Float[Tensor, "n d"], parent: Shaped[Tensor, "n p"], k: int
    ) -> Float[Tensor, "n d"]:
        return (parent.to(noise.dtype) + noise) / k


@dataclass(frozen=True, kw_only=True)
class Table:
    """Looks the child up by the class of its parent: one row of ``rows`` for each class.

    For a categorical child a row holds its probabilities; for a continuous one it is added to the value.
    """

    rows: Matrix  # (classes of the parent, classes or dim of the child)

    kind: ClassVar[str] = "table"

    def check(self, child: Distribution, parent: Distribution) -> None:
        k = _expect_class_parent("a table effect", child, parent)
        if len(self.rows) != k:
            raise IdentboxError(f"rows: expected {k}, one a class of the parent, got {len(self.rows)}")
        if isinstance(child, Categorical):
            for number, row in enumerate(self.rows):
                check_probabilities(row, child.k, f"rows[{number}]")
        elif child.discrete or any(len(row) != child.dim for row in self.rows):
            raise IdentboxError(f"rows: expected {child.dim} numbers in each")

    def realise(self, child: Distribution, parent: Distribution, seed: int, edge: tuple[str, str]) -> Table:
        return self

    def look_up(self, parent: Shaped[Tensor, "n p"], dtype: torch.dtype) -> Float[Tensor, "n p c"]:
        return constant(self.rows, dtype, parent.device)[parent.long()]


Effect = Linear | Interval | Table
EFFECTS: dict[str, type[Effect]] = {cls.kind: cls for cls in (Linear, Interval, Table)}


def _expect_class_parent(what: str, child: Distribution, parent: Distribution) -> int:
    if not isinstance(parent, Categorical):
        raise IdentboxError(f"{what}: expected a categorical parent, got a {parent.kind} one")
    if parent.dim not in (1, child.dim):
        raise IdentboxError(f"{what}: expected a parent of 1 or {child.dim} dimensions, got {parent.dim}")
    return parent.k
