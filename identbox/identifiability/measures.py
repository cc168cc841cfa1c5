"""What a verdict rests on: leak, recovery and local degeneracy of an encoding, each with an interval (Definition 8).

Three kinds of evidence are told apart by how leak was measured:

- ``redrawn``: in a `World`, content is held and everything else is drawn anew, twice;
- ``pairs``: encodings are given of the same rows with everything but content changed (counterfactual renders);
- ``regression``: from encodings and latents alone, by regression on content.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from identbox.metrics import leak, local, recovery
from identbox.metrics.estimates import CONFIDENCE, Estimate
from identbox.metrics.interventional import Encode
from identbox.process import mixing
from identbox.process.interventions import Intervention, Set
from identbox.process.model import Process, Variable
from identbox.process.world import Observed, World
from identbox.settings import build

Quantity = Literal["leak", "recovery", "degenerate"]
How = Literal["redrawn", "pairs", "regression", "probe", "moves", "neighbours"]
Regime = Literal["observed", "cut"]
VariableValues = Mapping[str, Shaped[Tensor, "n _"]]
SURE = 0.98  # a recovery above which the strength of the probe does not matter
KNOWN_NETWORK = mixing.Mixing(pool=200)  # of the invertible function of content that a probe is tried on


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One quantity of one view's encoding, with its interval."""

    view: str
    quantity: Quantity
    # ``cut``: content was cut from what it causes (appendix A.6), otherwise as the process draws it.
    regime: Regime = "observed"
    how: How
    what: str = ""  # the variables that it is about
    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE
    # What the same regression fails to recover from a known invertible function of content at this sample size.
    weakness: float = 0.0
    # The least share of variance that content leaves to what depends on it (`leak.freedom`); None where it is unknown.
    freedom: float | None = 1.0

    def record(self) -> dict[str, Any]:
        """The measure as results.json holds it."""
        return dataclasses.asdict(self)


def measure_of_record(table: dict[str, Any], where: str) -> Measure:
    """A measure from results.json. Raises IdentboxError, with ``where`` in front, for what does not fit."""
    return build(Measure, table, where)


def numbers_of(variables: Iterable[Variable], values: VariableValues) -> Float[Tensor, "n f"]:
    """Variables as a regression takes them, on the CPU: circles as cosine and sine, classes one-hot."""
    parts = [v.distribution.features(values[v.name]).cpu() for v in variables]
    return torch.cat(parts, dim=1) if parts else torch.zeros(len(next(iter(values.values()))), 0).double()


def measured_in_world(
    world: World,
    encode: Encode,
    block: Sequence[Variable],
    *,
    samples: int,
    interventions: bool = True,
    views: Sequence[str] | None = None,
    stream: Sequence[str | int] = ("verify",),
) -> list[Measure]:
    """Leak, recovery and local degeneracy of ``block`` in the encodings of every view, or of some.

    Each sample of ``samples`` is encoded, with content as it is and everything else drawn anew, and with content moved.
    With ``interventions`` leak is measured once more with content cut from what depends on it, where something does.
    """
    views = tuple(views or world.views)
    base = world.sample(samples, *stream, "base")
    regimes: list[Regime] = []
    if not _caused_by_others(world.process, block):
        regimes.append("observed")
    if interventions and cut_possible(world.process, block):
        regimes.append("cut")
    measures = []
    for regime in regimes or ["observed"]:
        pair = [_redrawn(world, base, block, regime, (*stream, part)) for part in ("first", "second")]
        for view in views:
            first, second = (encode(one.x[view], view) for one in pair)
            estimate = leak.redrawn_leak(first, second)
            free = freedom_left(world.process, view, block, base.z[view]) if regime == "observed" else 1.0
            measures.append(estimated(view, "leak", "redrawn", estimate, regime=regime, freedom=free))
    for view in views:
        measures += recovery_measures(view, encode(base.x[view], view), block, base.z[view])
    moved = _moves(world, base, block)
    if moved is not None:
        measures += [_local_measure(view, encode, *moved) for view in views]
    return measures


def _caused_by_others(process: Process, block: Sequence[Variable]) -> bool:
    names = {variable.name for variable in block}
    return any(not process.ancestors[name] <= names for name in names)


def cut_possible(process: Process, block: Sequence[Variable]) -> bool:
    """Whether content can be cut from what depends on it: something does, and every combination can occur."""
    names = {variable.name for variable in block}
    others = [v for v in process.variables if v.name not in names and not v.distribution.constant]
    confined = any(effect.confines for v in process.variables for effect in v.effects.values())
    return not confined and any(process.dependent(v.name, name) for v in others for name in names)


def _redrawn(
    world: World, base: Observed, block: Sequence[Variable], regime: Regime, stream: Sequence[str | int]
) -> Observed:
    """Another sample of the world with the content of ``base``; what content causes follows, unless it is cut."""
    held: list[Intervention] = [Set(variable.name, base.latent.values[variable.name]) for variable in block]
    other = world.sample(len(base), *stream)
    return world.intervene(other, *held, recompute=regime == "observed")


def _moves(
    world: World, base: Observed, block: Sequence[Variable]
) -> tuple[list[Observed], list[Observed], Float[Tensor, "q n"]] | None:
    """The sample with continuous content moved to either side along each axis, and the distances; None without any."""
    moving = [v for v in block if not v.distribution.discrete and not v.distribution.constant]
    if not moving:
        return None
    values = torch.cat([base.latent.values[v.name] for v in moving], dim=1)
    moves = local.axes(values).T
    sides: list[list[Observed]] = [[], []]
    lengths = []
    for move in moves:
        ends = []
        for side, sign in zip(sides, (-1, 1), strict=True):
            target = _inside(moving, values, sign * local.STEP * move)
            parts = target.split([v.distribution.dim for v in moving], dim=1)
            changed = [Set(v.name, part) for v, part in zip(moving, parts, strict=True)]
            side.append(world.intervene(base, *changed, recompute=True))
            ends.append(target)
        moved = _apart(moving, *ends)
        lengths.append((moved @ move / move.square().sum()).abs().clamp(min=1e-6))
    return sides[0], sides[1], torch.stack(lengths).cpu()


def _inside(variables: Sequence[Variable], values: Tensor, move: Tensor) -> Tensor:
    """Moved values, kept within an interval and on a circle."""
    moved, column = values.double() + move, 0
    for variable in variables:
        d, domain = variable.distribution.dim, variable.distribution.domain
        part, old = moved[:, column : column + d], values[:, column : column + d].double()
        if domain.kind == "circular":
            low = old.min()
            moved[:, column : column + d] = low + (part - low) % domain.period
        elif variable.distribution.bounded:
            moved[:, column : column + d] = part.clamp(old.min(), old.max())
        column += d
    return moved.to(values.dtype)


def _apart(variables: Sequence[Variable], below: Tensor, above: Tensor) -> Float[Tensor, "n q"]:
    """Differences of values, the short way round a circle."""
    apart, column = (above - below).double(), 0
    for variable in variables:
        d, domain = variable.distribution.dim, variable.distribution.domain
        if domain.kind == "circular":
            part, half = apart[:, column : column + d], domain.period / 2
            apart[:, column : column + d] = (part + half) % domain.period - half
        column += d
    return apart


def _local_measure(
    view: str, encode: Encode, below: list[Observed], above: list[Observed], lengths: Tensor
) -> Measure:
    low, high = (torch.stack([encode(one.x[view], view) for one in side]) for side in (below, above))
    estimate = local.degenerate_by_moves(low, high, lengths)
    return estimated(view, "degenerate", "moves", estimate)


def recovery_measures(
    view: str, encodings: Float[Tensor, "n k"], block: Sequence[Variable], values: VariableValues
) -> list[Measure]:
    """The recovery of all numbers of content together, and of each component of classes."""
    measures = []
    varying = [v for v in block if not v.distribution.constant]
    numeric = [v for v in varying if v.distribution.domain.classes is None]
    if numeric:
        estimate = recovery.recovered(encodings, numbers_of(numeric, values))
        what = ", ".join(v.name for v in numeric)
        measures.append(estimated(view, "recovery", "probe", estimate, what=what))
    for variable in varying:
        if variable.distribution.domain.classes is not None:
            for number, column in enumerate(values[variable.name].T):
                name = variable.name if variable.distribution.dim == 1 else f"{variable.name}[{number}]"
                estimate = recovery.recovered_classes(encodings, column.cpu())
                measures.append(estimated(view, "recovery", "probe", estimate, what=name))
    return measures


def measured_from_arrays(
    process: Process,
    view: str,
    encodings: Float[Tensor, "n k"],
    values: VariableValues,
    block: Sequence[Variable],
    *,
    redrawn: Float[Tensor, "m k"] | None = None,
) -> list[Measure]:
    """Leak, recovery and local degeneracy from encodings of a view and the latents behind them.

    ``redrawn`` has, where there are some, encodings of the same rows, or of the first of them, with everything but
    content drawn anew. What the regressions fail to see is left to `with_weakness`.
    """
    content = [v for v in block if not v.distribution.constant]
    names = {v.name for v in content}
    others = [process[name] for name in values if name not in names]
    others = [v for v in others if not v.distribution.constant]
    cause, rest = numbers_of(content, values), numbers_of(others, values)
    if redrawn is not None:
        pairs = min(len(encodings), len(redrawn))
        estimate = leak.redrawn_leak(encodings[:pairs], redrawn[:pairs])
        measures = [estimated(view, "leak", "pairs", estimate)]
    else:
        free = freedom_left(process, view, content, values)
        estimate = leak.regressed_leak(encodings, cause, rest)
        measures = [estimated(view, "leak", "regression", estimate, freedom=free)]
    measures += recovery_measures(view, encodings, content, values)
    numeric = [v for v in content if v.distribution.domain.classes is None]
    if numeric and len(numeric) == len(content):
        estimate = local.degenerate_by_neighbours(encodings, numbers_of(numeric, values))
        measures.append(estimated(view, "degenerate", "neighbours", estimate))
    return measures


def dependents(process: Process, view: str, block: Sequence[Variable]) -> list[Variable]:
    """What a view sees that depends on a block of variables by the graph, without the block and without constants."""
    names = {variable.name for variable in block}
    return [
        v
        for v in process.seen_by(view)
        if v.name not in names
        and not v.distribution.constant
        and any(process.dependent(v.name, name) for name in names)
    ]


def freedom_left(
    process: Process, view: str, block: Sequence[Variable], values: VariableValues
) -> float | None:
    """The share of variance that a block leaves to what depends on it; None where not all of that is given."""
    dependent = dependents(process, view, block)
    if not dependent:
        return 1.0
    if any(v.name not in values for v in dependent):
        return None
    return leak.freedom(numbers_of(block, values), numbers_of(dependent, values))


def weakness(block: Sequence[Variable], values: VariableValues) -> dict[str | None, float]:
    """What the regressions fail to see of a known invertible function of content, by what is recovered.

    The function is a random invertible network of the size of content (numbers as they are, classes one-hot).
    """
    content = [v for v in block if not v.distribution.constant]
    numbers = numbers_of(content, values)
    drawn = mixing.draw(numbers.shape[1], KNOWN_NETWORK, seed=0, name="reference")
    known = drawn(numbers.to(torch.float32)).double()
    return {one.what: max(0.0, 1 - one.value) for one in recovery_measures("", known, content, values)}


def with_weakness(
    measures: Sequence[Measure], missed: Callable[[], Mapping[str | None, float]]
) -> list[Measure]:
    """The measures, with what `weakness` finds that their regressions fail to see; it is asked only where it matters.

    Where all content is recovered to at least ``SURE``, the strength of the probe does not matter.
    """
    if all(m.value >= SURE for m in measures if m.quantity == "recovery"):
        return list(measures)
    return weakened(measures, missed())


def weakened(measures: Sequence[Measure], missed: Mapping[str | None, float]) -> list[Measure]:
    """The measures, with what their regressions fail to see by what is recovered (`weakness`)."""
    return [
        dataclasses.replace(one, weakness=missed.get(one.what, 0.0)) if one.quantity == "recovery" else one
        for one in measures
    ]


def estimated(view: str, quantity: Quantity, how: How, estimate: Estimate, **more: Any) -> Measure:
    """A measure from its estimate; ``more`` are its other fields."""
    return Measure(
        view=view,
        quantity=quantity,
        how=how,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        **more,
    )
