"""One sample of a process, and what it would be if some of its variables were moved.

A sample is named by its split and its place, or by a number where there is no dataset: its noise is drawn again from
the streams that made it. Moved variables are set; what they cause follows (a do-intervention) or stays as it was (the
cut of appendix A.6). All else, the noise of the renderer included, is the same before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any

import torch
from torch import Tensor

from identbox import seeding
from identbox.data.factors import factor_label
from identbox.data.latents import columns_of_sample, draw_sample
from identbox.data.recipe import Recipe, check_views, shape_names
from identbox.data.scene import UNIT_FACTORS, Scene
from identbox.data.text import describe
from identbox.errors import IdentboxError
from identbox.process.interventions import Intervention, Set
from identbox.process.model import ROLES, Process, Sample, Variable
from identbox.settings import at_least, build, settings

VALUE_DRAWS = 2000  # samples that show the range of a variable without ends
STREAM = "explore"


@settings
class Move:
    """A variable that is set, and whether what it causes follows."""

    to: tuple[float, ...]
    follow: bool = True


@settings
class Asked:
    """Which sample, and what is moved."""

    split: str = ""  # of the dataset; empty: a draw of the process by the number ``row``
    row: Annotated[int, at_least(0)] = 0
    moves: dict[str, Move]

    @staticmethod
    def of_request(table: Mapping[str, Any]) -> Asked:
        """What a request says. Raises IdentboxError for other keys and other values."""
        moves = table.get("moves", {})
        if not isinstance(moves, dict):
            raise IdentboxError(f"moves: expected a table by variable, got {moves!r:.60}")
        read = {str(name): build(Move, move, f"moves.{name:.60}") for name, move in moves.items()}
        asked = {key: table[key] for key in ("split", "row") if key in table}
        return build(Asked, {**asked, "moves": read}, "request")


@dataclass(frozen=True)
class Shown:
    """A sample as the views show it: every variable, the sentence, and the scene record; why there is none of them."""

    values: dict[str, list[float]]
    seen: dict[str, dict[str, list[float]]]  # by view and variable, where a view sees another value
    sentence: str
    record: dict[str, Any] | None
    without: str = ""


class LiveProcess:
    """A process whose samples can be moved: that of a dataset, or any other."""

    def __init__(self, process: Process, recipe: Recipe | None = None, *, seed: int = 0) -> None:
        self.recipe = recipe
        self.seed = seed if recipe is None else recipe.seed
        self.process = process.realise(seed=self.seed)
        self.without = ""
        try:
            check_views(process)
            self.shapes: tuple[str, ...] = shape_names(process)
        except IdentboxError as error:  # a process of no scene: its variables move all the same
            self.without, self.shapes = str(error), ()
        self._drawn = self._draw_range()
        self._base = lru_cache(maxsize=64)(self._base_of)

    def _draw_range(self) -> Sample:
        generator = seeding.generator(self.seed, STREAM, "range")
        return self.process.sample(VALUE_DRAWS, generator=generator, dtype=torch.float64)

    def table(self) -> dict[str, Any]:
        """The variables with their ranges and causes, and the splits with samples to start from."""
        ordered = sorted(self.process.variables, key=lambda v: ROLES.index(v.role))
        return {
            "process": self.process.name,
            "description": self.process.description,
            "views": list(self.process.views),
            "variables": [self._variable(one) for one in ordered if not one.distribution.constant],
            "splits": {} if self.recipe is None else dict(self.recipe.splits),
            "without": self.without,
        }

    def _variable(self, variable: Variable) -> dict[str, Any]:
        distribution = variable.distribution
        low, high = self._range(variable)
        classes = getattr(distribution, "classes", None)
        follow = [v.name for v in self.process.variables if variable.name in self.process.ancestors[v.name]]
        return {
            "name": variable.name,
            "label": factor_label(variable.name),
            "role": variable.role,
            "view": variable.view or "",
            "dim": distribution.dim,
            "kind": "circle"
            if distribution.domain.kind == "circular"
            else "class"
            if distribution.discrete
            else "number",
            "names": list(classes) if isinstance(classes, tuple) else [],
            "low": low,
            "high": high,
            "causes": list(variable.effects),
            "effects": follow,
            "distribution": str(distribution),
        }

    def _range(self, variable: Variable) -> tuple[float, float]:
        """The values that a slider reaches: the ends of the distribution, or nearly all of what is drawn."""
        distribution = variable.distribution
        if distribution.domain.classes is not None:
            return 0.0, distribution.domain.classes - 1.0
        if (
            distribution.bounded
            and distribution.uniform_noise
            and (not variable.effects or variable.name in UNIT_FACTORS)
        ):
            ends = distribution.value(
                torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, distribution.dim)
            )
            return float(ends.min()), float(ends.max())
        values = self._drawn.values[variable.name].double()
        low, high = float(values.quantile(0.001)), float(values.quantile(0.999))
        if not self.without and variable.name in UNIT_FACTORS:
            return max(0.0, low), min(1.0, high)
        return (low, high) if high > low else (low - 1.0, low + 1.0)

    def base(self, asked: Asked) -> Sample:
        """The sample before anything is moved, of one row."""
        return self._base(asked.split, asked.row)

    def _base_of(self, split: str, row: int) -> Sample:
        if split:
            n = 0 if self.recipe is None else self.recipe.splits.get(split, 0)
            if row >= n:
                raise IdentboxError(f"sample: expected one of the {n} of the split {split:.60}, got {row}")
            return draw_sample(self.process, self.seed, split, row + 1, begin=row)
        streams = partial(seeding.generator, self.seed, STREAM, row)
        return self.process.sample(1, generator=streams, dtype=torch.float64)

    def moved(self, asked: Asked) -> Sample:
        """The sample with everything moved that was asked for. Raises IdentboxError for values out of range."""
        sample = self.base(asked)
        for name, move in asked.moves.items():
            variable = self.process[name]
            values = self._checked(variable, move)
            step: Intervention = Set(name, values)
            sample = self.process.intervene(sample, step, recompute=move.follow)
        return sample

    def _checked(self, variable: Variable, move: Move) -> Tensor:
        distribution, to = variable.distribution, move.to
        if len(to) != distribution.dim:
            raise IdentboxError(f"{variable.name}: expected {distribution.dim} numbers, got {len(to)}")
        classes = distribution.domain.classes
        for value in to:
            if classes is not None and not (value == round(value) and 0 <= value < classes):
                raise IdentboxError(f"{variable.name}: expected a class in 0..{classes - 1}, got {value:g}")
            if not math.isfinite(value):
                raise IdentboxError(f"{variable.name}: expected a finite number, got {value}")
        return torch.tensor([to], dtype=torch.int64 if classes is not None else torch.float64)

    def shown(self, sample: Sample, asked: Asked) -> Shown:
        """What the views show of a sample."""
        values = {name: _latent_numbers(value) for name, value in sample.values.items()}
        seen = {
            view: {
                name: _latent_numbers(v) for name, v in own.items() if not torch.equal(v, sample.values[name])
            }
            for view, own in sample.views.items()
        }
        if self.without:
            return Shown(values, seen, "", None, self.without)
        columns = columns_of_sample(sample)
        naming = {} if self.recipe is None else {"naming": self.recipe.naming}
        try:
            sentence = describe(columns["text"], self.shapes, **naming)[0][0]
            flavour = "thesis" if self.recipe is None else self.recipe.scene
            record = Scene(flavour=flavour).records(columns["image"], self.shapes)[0]
        except IdentboxError as error:
            return Shown(values, seen, "", None, str(error))
        drawn = ("render", asked.split, asked.row) if asked.split else ("render", STREAM, asked.row)
        return Shown(values, seen, sentence, {**record, "seed": seeding.derive(self.seed, *drawn) % 2**31})

    def answer(self, asked: Asked) -> dict[str, Any]:
        """Before and after, as the page has them: values, sentences, and what differs."""
        before = self.shown(self.base(asked), asked)
        after = self.shown(self.moved(asked), asked)
        moved = [name for name, value in after.values.items() if value != before.values[name]]
        return {
            "before": _scene_table(before),
            "after": _scene_table(after),
            "moved": [name for name in moved if name in asked.moves],
            "followed": [name for name in moved if name not in asked.moves],
            "without": after.without or before.without,
        }


def _scene_table(shown: Shown) -> dict[str, Any]:
    return {
        "values": shown.values,
        "seen": shown.seen,
        "sentence": shown.sentence,
        "image": shown.record is not None,
    }


def _latent_numbers(values: Tensor) -> list[float]:
    return [float(value) for value in values[0]]
