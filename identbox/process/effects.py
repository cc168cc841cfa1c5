"""Effects of one variable on another: linear, by the interval that a class names, by a table.

An effect knows the distributions of child and parent, and nothing of the process around them. It turns the draw
that a child's value is computed from into another: it adds to the value, moves the noise, or replaces the
probabilities of classes.

An effect of your own is one class. Files in TOML know it by its ``kind`` as soon as the class exists:

    @settings
    class Sine(Effect):
        kind: ClassVar[str] = "sine"
        additive: ClassVar[bool] = True
        height: float = 1.0

        def apply(self, draw, value, child, parent):
            return draw.shifted(self.height * value.to(draw.noise.dtype).sin())
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.process.covariances import Matrix, parameter
from identbox.process.distributions import DISTRIBUTIONS, Distribution, Draw, check_probabilities, register
from identbox.seeding import generator as stream
from identbox.settings import settings

EFFECTS: dict[str, type[Effect]] = {}  # every effect that a file can name, by its kind


@settings
class Effect(ABC):
    """How the value of a parent changes the draw that its child's value is computed from."""

    # The name in files.
    kind: ClassVar[str]
    # Whether it only adds to the child's value, by the parent's value alone. One effect at most of a child is not.
    additive: ClassVar[bool] = False
    # Whether it confines the child to a part of its range.
    confines: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register(EFFECTS, cls)

    @abstractmethod
    def apply(
        self, draw: Draw, value: Shaped[Tensor, "n p"], child: Distribution, parent: Distribution
    ) -> Draw:
        """The draw of the child after the effect of the parent's ``value``."""

    def check(self, child: Distribution, parent: Distribution) -> None:
        """Raise IdentboxError where the effect does not fit the distributions of child and parent."""
        if self.additive and child.discrete:
            raise IdentboxError(f"the effect {self.kind}: expected a continuous child, got a discrete one")

    def realise(self, child: Distribution, parent: Distribution, seed: int, edge: tuple[str, str]) -> Effect:
        """The effect with its random parameters drawn from the seed, for the names of parent and child."""
        return self

    def coefficients(self) -> Float[Tensor, "d p"] | None:
        """B where the effect adds a + B parent to the child, in float64; None for every other effect."""
        return None


@settings
class Linear(Effect):
    """Adds ``intercept + matrix @ parent`` to the child: s ~ N(a + B c, Sigma_s) of section 8.4.1.

    ``random`` draws every number from N(0, 1) by the process's seed; ``zero`` is an intercept of zeros.

    >>> from identbox import Change, Linear, Normal, Process, Variable
    >>> effect = Linear(matrix=((2.0, 0.0),), intercept=(1.0,))  # style = 1 + 2 content[0] + its own noise
    >>> content = Variable(name="content", role="content", distribution=Normal(dim=2))
    >>> style = Variable(
    ...     name="style", role="style", distribution=Normal(), effects={"content": effect}, change=Change()
    ... )
    >>> Process(name="linear", variables=(content, style)).dependent("style", "content")
    True
    """

    # Of shape (child dim, parent dim).
    matrix: Literal["random"] | Matrix = "random"
    # Of shape (child dim,).
    intercept: Literal["random", "zero"] | tuple[float, ...] = "random"

    kind: ClassVar[str] = "linear"
    additive: ClassVar[bool] = True

    def check(self, child: Distribution, parent: Distribution) -> None:
        super().check(child, parent)
        rows, columns = child.dim, parent.dim
        if isinstance(self.matrix, tuple) and (
            len(self.matrix) != rows or any(len(row) != columns for row in self.matrix)
        ):
            got = f"{len(self.matrix)} of {' and '.join(map(str, sorted({len(row) for row in self.matrix})))}"
            raise IdentboxError(f"matrix: expected {rows} rows of {columns} numbers, got {got}")
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

    def apply(
        self, draw: Draw, value: Shaped[Tensor, "n p"], child: Distribution, parent: Distribution
    ) -> Draw:
        matrix, intercept = self._drawn()
        dtype, device = draw.noise.dtype, value.device
        by = value.to(dtype) @ parameter(matrix, dtype, device).T + parameter(intercept, dtype, device)
        return draw.shifted(by)

    def coefficients(self) -> Float[Tensor, "d p"]:
        return torch.tensor(self._drawn()[0], dtype=torch.float64)

    def _drawn(self) -> tuple[Matrix, tuple[float, ...]]:
        """Matrix and intercept. Raises IdentboxError where `realise` has not drawn them."""
        if isinstance(self.matrix, str) or isinstance(self.intercept, str):
            raise IdentboxError(
                "a linear effect: expected numbers, got 'random', which Process.realise draws"
            )
        return self.matrix, self.intercept


@settings
class Interval(Effect):
    """Confines the child to the interval that the class of its parent names, of k equal ones.

    The hue in the third that the x-position names is such an effect (section 4.4): with u the child's own
    uniform noise, its quantile is taken at (parent + u) / k.

    >>> import torch
    >>> from identbox import Categorical, Interval, Process, Uniform, Variable
    >>> side = Variable(name="side", role="content", distribution=Categorical(classes=("left", "right")))
    >>> hue = Variable(
    ...     name="hue", role="specific", view="1", distribution=Uniform(), effects={"side": Interval()}
    ... )
    >>> sample = Process(name="sides", variables=(side, hue)).sample(100, generator=torch.Generator())
    >>> bool(((sample.values["hue"] >= 0.5) == (sample.values["side"] == 1)).all())
    True
    """

    kind: ClassVar[str] = "interval"
    confines: ClassVar[bool] = True

    def check(self, child: Distribution, parent: Distribution) -> None:
        _classes_of_parent("an interval effect", child, parent)
        if not child.uniform_noise:
            fitting = ", ".join(kind for kind, cls in DISTRIBUTIONS.items() if cls.uniform_noise)
            raise IdentboxError(
                f"an interval effect: expected a child with a distribution among {fitting}; got {child.kind}"
            )

    def apply(
        self, draw: Draw, value: Shaped[Tensor, "n p"], child: Distribution, parent: Distribution
    ) -> Draw:
        k = _classes_of_parent("an interval effect", child, parent)
        return replace(draw, noise=(value.to(draw.noise.dtype) + draw.noise) / k)


@settings
class Table(Effect):
    """Looks the child up by the class of its parent: one row of ``rows`` for each class.

    For a child with classes a row holds their probabilities; for a continuous one it is added to the value.

    >>> import torch
    >>> from identbox import Categorical, Process, Table, Variable
    >>> rain = Variable(name="rain", role="content", distribution=Categorical(classes=("no", "yes")))
    >>> wet = Variable(
    ...     name="wet",
    ...     role="content",
    ...     distribution=Categorical(classes=("no", "yes")),
    ...     effects={"rain": Table(rows=((1.0, 0.0), (0.0, 1.0)))},
    ... )
    >>> sample = Process(name="weather", variables=(rain, wet)).sample(100, generator=torch.Generator())
    >>> bool((sample.values["wet"] == sample.values["rain"]).all())
    True
    """

    # Of shape (classes of the parent, classes or dim of the child).
    rows: Matrix

    kind: ClassVar[str] = "table"
    confines: ClassVar[bool] = True

    def check(self, child: Distribution, parent: Distribution) -> None:
        k = _classes_of_parent("a table effect", child, parent)
        if len(self.rows) != k:
            raise IdentboxError(f"rows: expected {k}, one a class of the parent, got {len(self.rows)}")
        if child.domain.classes is not None:
            for number, row in enumerate(self.rows):
                check_probabilities(row, child.domain.classes, f"rows[{number}]")
            return
        if child.discrete:
            raise IdentboxError(f"a table effect: expected a child that can vary, got a {child.kind} one")
        for number, row in enumerate(self.rows):
            if len(row) != child.dim:
                raise IdentboxError(f"rows[{number}]: expected {child.dim} numbers, got {len(row)}")

    def apply(
        self, draw: Draw, value: Shaped[Tensor, "n p"], child: Distribution, parent: Distribution
    ) -> Draw:
        rows = parameter(self.rows, draw.noise.dtype, value.device)[value.long()]
        if child.domain.classes is not None:
            return replace(draw, probabilities=rows)
        return draw.shifted(rows[:, 0] if value.shape[1] == 1 else rows.diagonal(dim1=1, dim2=2))


def _classes_of_parent(what: str, child: Distribution, parent: Distribution) -> int:
    """The number of classes of a parent. Raises IdentboxError where it has none, or too many dimensions."""
    classes = parent.domain.classes
    if classes is None:
        raise IdentboxError(f"{what}: expected a categorical parent, got a {parent.kind} one")
    if parent.dim not in (1, child.dim):
        raise IdentboxError(f"{what}: expected a parent of 1 or {child.dim} dimensions, got {parent.dim}")
    return classes
