"""Interventions: what is done to a variable, or to all variables of a role, of a sample that was drawn.

    process.intervene(sample, Set("object_color", 0.3), recompute=True)
    process.intervene(sample, Permute("content"), recompute=False, generator=generator)

An intervention of your own is one class:

    @settings(kw_only=False)
    class Scale(Intervention):
        factor: float

        def apply(self, targets, generator):
            return targets.with_values({name: self.factor * v for name, v in targets.values.items()})
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.process.distributions import Distribution
from identbox.settings import settings

Values = dict[str, Shaped[Tensor, "n _"]]
# By style variable and view: which components change, and the noise that they change by.
Changes = dict[tuple[str, str], tuple[Bool[Tensor, "n d"], Float[Tensor, "n d"]]]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The variables that an intervention is about, as they are in a sample of n draws."""

    n: int
    values: Values
    distributions: Mapping[str, Distribution]
    # How those of them that are style change between views.
    changes: Changes
    # The type of their noise.
    dtype: torch.dtype

    def with_values(self, values: Values) -> Targets:
        """The same with other values, of the same shapes and types."""
        return replace(self, values=values)


@settings(kw_only=False)
class Intervention(ABC):
    """What is done to the variable ``target``, or to all variables of the role of that name."""

    target: str

    @abstractmethod
    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        """The targets as they are afterwards. Raises IdentboxError where a generator is needed and there is none."""

    def needed(self, generator: torch.Generator | None) -> torch.Generator:
        """The generator of an intervention that is random. Raises IdentboxError where there is none."""
        if generator is None:
            raise IdentboxError(
                f"{type(self).__name__}({self.target!r}): expected a generator, since it is random, got none"
            )
        return generator


@settings(kw_only=False)
class Permute(Intervention):
    """The values of a variable, or of all of a role, are permuted across the sample together.

    How a style variable changes between views is permuted with its values.

    >>> from identbox import Mixing, Permute, World, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(100)
    >>> permuted = world.intervene(sample, Permute("content"))
    >>> old, new = sample.z["1"]["content"], permuted.z["1"]["content"]
    >>> bool((old == new).all()), bool((old.sort(dim=0).values == new.sort(dim=0).values).all())
    (False, True)
    """

    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        generator = self.needed(generator)
        order = torch.randperm(targets.n, generator=generator, device=generator.device)
        changes = {key: (flags[order], draws[order]) for key, (flags, draws) in targets.changes.items()}
        values = {name: old[order] for name, old in targets.values.items()}
        return replace(targets, values=values, changes=changes)


@settings(kw_only=False)
class Set(Intervention):
    """The variable is set to a number, or to numbers of shape (dim,) or (n, dim).

    >>> from identbox import Mixing, Set, World, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(100)
    >>> world.intervene(sample, Set("content", 0.5)).z["1"]["content"].unique()
    tensor([0.5000])
    """

    to: float | tuple[float, ...] | Tensor

    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        return targets.with_values(
            {name: _filled(old, self.to, f"{name}, to") for name, old in targets.values.items()}
        )


@settings(kw_only=False)
class Shift(Intervention):
    """A number, or numbers of shape (dim,) or (n, dim), are added to the variable.

    >>> from identbox import Mixing, Shift, World, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(100)
    >>> shifted = world.intervene(sample, Shift("content", 2.0))
    >>> bool((shifted.z["2"]["content"] == sample.z["2"]["content"] + 2).all())
    True
    """

    by: float | tuple[float, ...] | Tensor

    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        return targets.with_values(
            {name: old + _filled(old, self.by, f"{name}, by") for name, old in targets.values.items()}
        )


@settings(kw_only=False)
class Resample(Intervention):
    """The variable, or each of a role, is drawn anew from its distribution without its causes.

    >>> from identbox import Mixing, Resample, World, numerical_simulation
    >>> world = World(numerical_simulation(content=1, style=1, specific=1), seed=0, mixing=Mixing(pool=100))
    >>> sample = world.sample(100)
    >>> redrawn = world.intervene(sample, Resample("style"))
    >>> bool((redrawn.z["1"]["style"] == sample.z["1"]["style"]).any())
    False
    """

    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        generator = self.needed(generator)
        return targets.with_values(
            {
                name: distribution.value(distribution.noise(targets.n, generator, targets.dtype))
                for name, distribution in targets.distributions.items()
            }
        )


def _filled(old: Tensor, new: float | tuple[float, ...] | Tensor, where: str) -> Tensor:
    """Numbers in the shape and type of a variable's values. Raises IdentboxError for a shape that does not fit."""
    numbers = torch.as_tensor(new, dtype=old.dtype, device=old.device)
    try:
        return numbers.expand_as(old)
    except RuntimeError as error:
        raise IdentboxError(
            f"intervention on {where}: expected a shape like {tuple(old.shape)}, got {tuple(numbers.shape)}"
        ) from error
