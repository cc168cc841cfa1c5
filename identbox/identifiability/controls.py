"""Controls of a verdict: encodings of known quality through the same pipeline, and what the verdict sees of them.

Positive controls are invertible functions of content, which must not be called "not identified". Graded ones plant a
leak or a loss of known size in a perfect encoding. The smallest one that is not called "identified" any more says how
much a verdict would have seen: its power.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from identbox.identifiability.margins import Margins
from identbox.identifiability.measures import (
    Measure,
    VariableValues,
    measured_from_arrays,
    numbers_of,
    weakness,
)
from identbox.identifiability.predictions import declared
from identbox.identifiability.verdicts import Outcome, outcome_of
from identbox.metrics.normal_scores import whitening
from identbox.process import mixing
from identbox.process.model import Process, Variable
from identbox.process.world import World

LEVELS = (0.01, 0.02, 0.05, 0.10, 0.20)  # planted shares of variance, or of samples
REGION = 0.1  # of the samples, to which a local leak is confined
Numbers = Float[Tensor, "n q"]
Plant = Callable[[Numbers, Float[Tensor, " n"], float], Numbers]  # content, something else, level -> encoding


def _mixed(u: Numbers, by: Tensor, level: float) -> Numbers:
    """The first component with a share ``level`` of its variance replaced."""
    first = math.sqrt(1 - level) * u[:, :1] + math.sqrt(level) * by[:, None]
    return torch.cat([first, u[:, 1:]], dim=1)


def _linear_leak(u: Numbers, other: Tensor, level: float) -> Numbers:
    return _mixed(u, other, level)


def _even(u: Numbers, other: Tensor, level: float) -> Numbers:
    return _mixed(u, (other.square() - 1) / math.sqrt(2), level)


def _product(u: Numbers, other: Tensor, level: float) -> Numbers:
    return _mixed(u, u[:, -1] * other, level)


def _local(u: Numbers, other: Tensor, level: float) -> Numbers:
    inside = u[:, -1] > NormalDist().inv_cdf(1 - REGION)
    return _mixed(u, torch.where(inside, other, 0.0) / math.sqrt(REGION), level)


def _region(u: Numbers, other: Tensor, level: float) -> Numbers:
    """Content that is one point over a share ``level`` of the samples."""
    return torch.cat([u[:, :1].clamp(min=NormalDist().inv_cdf(level)), u[:, 1:]], dim=1)


def _coarse(u: Numbers, other: Tensor, level: float) -> Numbers:
    """The first component in steps, which lose a share ``level`` of its variance."""
    step = math.sqrt(12 * level)
    return torch.cat([(u[:, :1] / step).round() * step, u[:, 1:]], dim=1)


LEAKS: dict[str, Plant] = {"linear": _linear_leak, "even": _even, "product": _product, "local": _local}
LOSSES: dict[str, Plant] = {"steps": _coarse, "a collapsed region": _region}
POSITIVE: dict[str, Callable[[Numbers], Numbers]] = {
    "content": lambda u: u,
    "cubes": lambda u: u**3,
    "sinh": lambda u: torch.sinh(2 * u),
    "turned": lambda u: u @ _rotation(u.shape[1]),
    "an invertible network": lambda u: _network(u),
}


def _rotation(d: int) -> Tensor:
    drawn = torch.randn(d, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(drawn).Q


def _network(u: Numbers) -> Numbers:
    drawn = mixing.draw(u.shape[1], mixing.Mixing(pool=200), seed=1, name="control")
    return drawn(u.to(torch.float32)).double()


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a verdict sees of encodings of known quality."""

    positive: Mapping[str, Outcome]  # of invertible functions of content
    leaks: Mapping[
        str, float | None
    ]  # by kind, the smallest that is not called identified; None for none up to 20%
    losses: Mapping[str, float | None]

    @property
    def refused(self) -> list[str]:
        """Positive controls that are called "not identified": then the verdict is not to be believed."""
        return [name for name, outcome in self.positive.items() if outcome == "not identified"]

    def lines(self) -> list[str]:
        """The power in words."""
        outcomes = list(self.positive.values())
        kept = outcomes.count("identified")
        return [
            f"Positive controls: {kept} of {len(outcomes)} invertible functions of content are called identified, "
            f"{outcomes.count('undecided')} undecided, {len(self.refused)} not identified.",
            f"Smallest planted leak that is seen: {_levels(self.leaks)}.",
            f"Smallest planted loss of content that is seen: {_levels(self.losses)}.",
        ]


def _levels(seen: Mapping[str, float | None]) -> str:
    parts = [
        f"{kind} {'none up to 20%' if level is None else f'{level:.0%}'}" for kind, level in seen.items()
    ]
    return ", ".join(parts) or "none was planted"


OutcomeOf = Callable[[Callable[[VariableValues], Numbers]], Outcome]


def power_in_world(
    world: World,
    measured: Callable[[Callable[[Tensor, str], Tensor], Sequence[str]], list[Measure]],
    margins: Margins,
    *,
    samples: int,
) -> Power:
    """The power of a verdict on encoders, from encoders that invert the mixing of the first view.

    ``measured`` measures an encoder of some views as those that are on trial were, on ``samples`` observations.
    """
    view, content = world.views[0], declared(world.process)

    @functools.cache
    def missed() -> dict[str | None, float]:
        return weakness(content, world.sample(samples, "controls", "weakness").z[view])

    def outcome(plant: Callable[[VariableValues], Numbers]) -> Outcome:
        return outcome_of(measured(lambda x, _: plant(world.invert(x, view)), [view]), margins, missed)

    z = world.sample(2048, "controls").z[view]
    return _power(world.process, view, z, outcome)


def power_from_arrays(process: Process, values: VariableValues, view: str, margins: Margins) -> Power:
    """The power of a verdict on arrays, from functions of the same latents."""
    content = declared(process)

    @functools.cache
    def missed() -> dict[str | None, float]:
        return weakness(content, values)

    def outcome(plant: Callable[[VariableValues], Numbers]) -> Outcome:
        return outcome_of(
            measured_from_arrays(process, view, plant(values), values, content), margins, missed
        )

    return _power(process, view, values, outcome)


def _power(process: Process, view: str, known: VariableValues, outcome: OutcomeOf) -> Power:
    """The power where ``outcome`` judges a function of latents; ``known`` is a sample that scales are taken from."""
    content = declared(process)
    names = {v.name for v in content}
    others = [v for v in process.seen_by(view) if v.name in known and v.name not in names]
    others = [v for v in others if not v.distribution.constant]
    scale = _Scale(content, others[:1], known)
    positive = {name: outcome(_after(f, scale)) for name, f in POSITIVE.items()}
    leaks = {kind: _smallest(scale, plant, outcome) for kind, plant in LEAKS.items()} if others else {}
    losses: dict[str, float | None] = {}
    if all(v.distribution.domain.kind == "continuous" for v in content):
        losses = {kind: _smallest(scale, plant, outcome) for kind, plant in LOSSES.items()}
    return Power(positive=positive, leaks=leaks, losses=losses)


class _Scale:
    """Content as uncorrelated numbers, and another variable; both about standard normal, by a sample that is known."""

    def __init__(self, content: Sequence[Variable], other: Sequence[Variable], known: VariableValues) -> None:
        self.ranked, self.other = _Ranked(content, known), _Ranked(other, known)
        self.whitening = whitening(self.ranked(known))

    def content(self, z: VariableValues) -> Numbers:
        return self.ranked(z) @ self.whitening


class _Ranked:
    """Variables as numbers whose distribution is about standard normal."""

    def __init__(self, variables: Sequence[Variable], known: VariableValues) -> None:
        self.variables = variables
        numbers = numbers_of(variables, known)
        self.columns = [i for i in range(numbers.shape[1]) if numbers[:, i].std() > 0]
        self.maps = []
        for i in self.columns:
            points, counts = np.unique(numbers[:, i].numpy(), return_counts=True)
            scores = ndtri((np.cumsum(counts) - counts / 2) / len(numbers))
            mean = np.average(scores, weights=counts)
            deviation = np.sqrt(np.average((scores - mean) ** 2, weights=counts))
            self.maps.append((points, (scores - mean) / deviation))

    def __call__(self, z: VariableValues) -> Numbers:
        numbers = numbers_of(self.variables, z).numpy()
        pairs = zip(self.columns, self.maps, strict=True)
        columns = [torch.from_numpy(np.interp(numbers[:, i], *scale)) for i, scale in pairs]
        return torch.stack(columns, dim=1)


def _after(function: Callable[[Numbers], Numbers], scale: _Scale) -> Callable[[VariableValues], Numbers]:
    return lambda z: function(scale.content(z))


def _planted(plant: Plant, scale: _Scale, level: float) -> Callable[[VariableValues], Numbers]:
    return lambda z: plant(scale.content(z), scale.other(z)[:, 0], level)


def _smallest(scale: _Scale, plant: Plant, outcome: OutcomeOf) -> float | None:
    """The smallest level that is not called identified, by bisection; None if the largest is."""
    low, high = 0, len(LEVELS)
    while low < high:
        middle = (low + high) // 2
        if outcome(_planted(plant, scale, LEVELS[middle])) == "identified":
            low = middle + 1
        else:
            high = middle
    return LEVELS[low] if low < len(LEVELS) else None
