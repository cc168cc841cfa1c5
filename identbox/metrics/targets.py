"""Targets: what is to be predicted from encodings, and of what kind its values are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.metrics.scores import PRIME
from identbox.process.distributions import DomainKind
from identbox.process.model import Sample, Variable


def seen(sample: Sample, view: str, variable: Variable) -> Shaped[Tensor, "n d"]:
    """What a view sees of a variable; the variable as it is, where the view does not see it."""
    return sample.views[view].get(variable.name, sample.values[variable.name])


def target_of(
    variable: Variable,
    fit: Shaped[Tensor, "n d"],
    score: Shaped[Tensor, "m d"],
    *,
    permuted: bool = False,
) -> Target:
    """Values of a variable as what probes predict: classes, points on a circle, or numbers."""
    domain = variable.distribution.domain
    return Target(
        name=variable.name,
        role=variable.role,
        permuted=permuted,
        train=fit,
        test=score,
        kind=domain.kind,
        period=domain.period,
        classes=domain.classes,
    )


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be predicted: n training and m test values of d components.

    Continuous and circular values are floating point numbers. A circular one is predicted as the cosine and the
    sine of 2 pi value / period (2d columns), so that the ends of its range are neighbours. Discrete values are
    integers in [0, classes). Raises IdentboxError for values that are not so, and where R2 is not defined since a
    component is constant in the test sample.
    """

    name: str
    # Content, style or specific, where that is known.
    role: str | None = None
    # Whether an intervention put these values in place.
    permuted: bool = False
    train: Shaped[Tensor, "n _"]
    test: Shaped[Tensor, "m _"]
    kind: DomainKind = "continuous"
    # Of a circular target, in the unit of its values.
    period: float = 1.0
    # Of each component of a discrete target. None stands for one more than the largest value.
    classes: int | None = None

    def __post_init__(self) -> None:
        where = f"target {self.label}"
        if self.kind not in get_args(DomainKind):
            raise IdentboxError(
                f"{where}: expected a kind among {', '.join(get_args(DomainKind))}; got {self.kind}"
            )
        shapes = tuple(self.train.shape), tuple(self.test.shape)
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or shapes[0][1] != shapes[1][1]:
            raise IdentboxError(
                f"{where}: expected a training (n, d) and a test sample (m, d), got {shapes[0]} and {shapes[1]}"
            )
        if not self.period > 0:
            raise IdentboxError(f"{where}: expected a positive period, got {self.period}")
        for values in (self.train, self.test):
            if values.is_floating_point() == (self.kind == "discrete"):
                wanted = "integers" if self.kind == "discrete" else "floating point numbers"
                raise IdentboxError(f"{where}: expected {wanted}, got {values.dtype}")
            if not torch.isfinite(values).all():
                raise IdentboxError(f"{where}: expected finite numbers, got one that is not")
            if self.kind == "discrete" and not (values.min() >= 0 and values.max() < self.count):
                raise IdentboxError(
                    f"{where}: expected classes in [0, {self.count}), got "
                    f"{values.min().item()} to {values.max().item()}"
                )
        if self.kind != "discrete":
            self._check_variation()

    @property
    def label(self) -> str:
        """The name, with a prime where an intervention put the values in place."""
        return self.name + PRIME * self.permuted

    @property
    def count(self) -> int:
        """The number of classes of a discrete target."""
        if self.classes is not None:
            return self.classes
        return 1 + max(int(self.train.max()), int(self.test.max()))

    def columns(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n columns"]:
        """Values in float64 as they are predicted: themselves, or all cosines and then all sines (n, 2d)."""
        values = values.double()
        if self.kind == "continuous":
            return values
        angles = values * (2 * math.pi / self.period)
        return torch.cat([angles.cos(), angles.sin()], dim=1)

    def _check_variation(self) -> None:
        columns, d = self.columns(self.test), self.test.shape[1]
        largest = columns.abs().amax(0) if self.kind == "continuous" else torch.ones_like(columns[0])
        rounding = 8 * torch.finfo(self.test.dtype).eps * largest
        for at in (columns.amax(0) - columns.amin(0) <= rounding).nonzero().flatten().tolist():
            part = "" if self.kind == "continuous" else " (cosine)" if at < d else " (sine)"
            raise IdentboxError(
                f"target {self.label}, component {at % d}{part}: expected values that vary over the test sample, "
                f"got {columns[0, at].item():.3g} alone"
            )
