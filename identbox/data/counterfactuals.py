"""Counterfactual splits: the samples of a split once more, with one variable changed and everything else the same.

An intervention is written as a text, `HOW:TARGET[,TARGET...][=VALUE][:recompute][:first=N]`:

    permute:object_color                  its values are permuted over the split
    set:background_color=0.5              it is set to a value
    shift:object_gammarot=0.25            a number is added; what leaves the range comes in again at its other end
    resample:object_color                 it is drawn anew from its distribution, without its causes
    redraw:style,specific                 it is drawn anew as its causes make it: p(value | causes)
    permute:object_xpos:recompute         and what it causes follows
    permute:object_shape:first=500        of the first 500 samples alone

A target is a variable or a role; all variables of a role are permuted together. The samples keep their noise, the
renderer's included. A counterfactual split is a folder of the dataset like any split, with `intervention.toml` in it:

    DIR/test.permute.object_color/        images, text, latents_image.csv, latents_text.csv, intervention.toml
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from identbox import config, files, seeding
from identbox.data.folder import SPLITS
from identbox.data.latents import BLOCK_OF_SAMPLES, draw_sample
from identbox.errors import IdentboxError
from identbox.process.interventions import Intervention, Permute, Set, Targets
from identbox.process.model import Process, Sample, Variable
from identbox.settings import Count, build, settings

HowChanged = Literal["permute", "set", "shift", "resample", "redraw"]
HOWS: tuple[HowChanged, ...] = ("permute", "set", "shift", "resample", "redraw")
WITH_VALUE = ("set", "shift")
FILE = "intervention.toml"  # in the folder of a counterfactual split
SPEC = "HOW:TARGET[,TARGET...][=VALUE][:recompute][:first=N], where HOW is one of " + ", ".join(HOWS)


@settings
class Counterfactual:
    """What is done to the samples of a split.

    >>> one = Counterfactual.parse("permute:object_color", of="test")
    >>> one.name, str(one)
    ('test.permute.object_color', 'permute:object_color')
    >>> Counterfactual.parse("shift:object_gammarot=-0.25:first=500", of="val").name
    'val.shift.object_gammarot.minus0p25.first500'
    """

    how: HowChanged
    targets: tuple[str, ...]  # variables or roles
    value: float | None = None  # of set and shift
    recompute: bool = False  # whether what the targets cause follows
    of: Literal["train", "val", "test"] = "test"
    first: Count | None = None  # of so many samples alone

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) < len(self.targets) or "" in self.targets:
            raise IdentboxError(
                f"targets: expected different variables or roles, got {', '.join(self.targets) or 'none'}"
            )
        if (self.value is not None) != (self.how in WITH_VALUE):
            wanted = "a number" if self.how in WITH_VALUE else "none"
            raise IdentboxError(f"value: expected {wanted} for {self.how}, got {self.value}")
        files.expect_name(self.name, "targets")

    @staticmethod
    def parse(spec: str, of: str = "test") -> Counterfactual:
        """An intervention from its text, on the split ``of``. Raises IdentboxError for another form."""
        head, *rest = spec.split(":")
        wrong = IdentboxError(f"intervention: expected {SPEC}; got {spec}")
        if head not in HOWS or not rest:
            raise wrong
        names, equals, number = rest[0].partition("=")
        table: dict[str, Any] = {"how": head, "targets": [t.strip() for t in names.split(",")], "of": of}
        try:
            if equals:
                table["value"] = float(number)
            for option in rest[1:]:
                key, given, count = option.partition("=")
                if key == "recompute" and not given:
                    table[key] = True
                elif key == "first" and given:
                    table[key] = int(count)
                else:
                    raise wrong
        except ValueError:
            raise wrong from None
        return build(Counterfactual, table, f"intervention {spec}")

    @property
    def name(self) -> str:
        """The name of the split that it makes: of letters, digits, underscores and points alone, as hubs ask for."""
        parts = [self.of, self.how, *self.targets]
        if self.value is not None:
            parts.append(f"{self.value:g}".replace("-", "minus").replace(".", "p").replace("+", ""))
        parts += ["recompute"] if self.recompute else []
        parts += [] if self.first is None else [f"first{self.first}"]
        return ".".join(parts)

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value:g}"
        first = "" if self.first is None else f":first={self.first}"
        return f"{self.what}{value}{':recompute' if self.recompute else ''}{first}"

    @property
    def what(self) -> str:
        """What is done to which variables: the text without its value and its options."""
        return f"{self.how}:{','.join(self.targets)}"

    def table(self) -> dict[str, Any]:
        """The table of intervention.toml."""
        return dataclasses.asdict(self)

    def size(self, splits: Mapping[str, int]) -> int:
        """The number of its samples. Raises IdentboxError where its split has none, or fewer than are asked for."""
        n = splits.get(self.of, 0)
        if n < (self.first or 1):
            raise IdentboxError(
                f"intervention {self}: expected at least {self.first or 1} samples in the split {self.of}, got {n}"
            )
        return self.first or n

    def variables(self, process: Process) -> list[Variable]:
        """The variables that it changes. Raises IdentboxError for a target that the process does not have."""
        return [variable for target in self.targets for variable in process.targets(target)]

    def changed(self, process: Process) -> set[str]:
        """The names of all variables that may differ afterwards: its own, and with ``recompute`` what they cause."""
        own = {variable.name for variable in self.variables(process)}
        follow = {v.name for v in process.variables if self.recompute and process.ancestors[v.name] & own}
        return own | follow

    def sample(self, process: Process, seed: int, n: int) -> Sample:
        """The first n samples of its split under the intervention. Raises IdentboxError for values that do not fit."""
        before = draw_sample(process, seed, self.of, n)
        process = before.process
        steps: list[Intervention] = []
        if self.how == "redraw":
            fresh = [variable.name for variable in self.variables(process)]
            anew = draw_sample(process, seed, self.of, n, fresh=fresh, stream=("counterfactual", "redraw"))
            changes = {key: change for key, change in anew.noise.change.items() if key[0] in fresh}
            steps = [_Given(name, {name: anew.values[name]}, changes) for name in fresh]
        elif self.how == "permute":
            steps = [Permute(target) for target in self.targets]
        else:
            steps = [
                Set(variable.name, self._values(variable, before, seed))
                for variable in self.variables(process)
            ]
        after = before
        for step in steps:
            generator = seeding.generator(seed, "counterfactual", self.of, self.how, step.target)
            after = process.intervene(after, step, recompute=self.recompute, generator=generator)
        return after

    def _values(self, variable: Variable, before: Sample, seed: int) -> Tensor:
        """The values of a variable afterwards, (n, 1)."""
        old, distribution = before.values[variable.name], variable.distribution
        if self.how == "resample":
            blocks = []
            for block in range(math.ceil(len(old) / BLOCK_OF_SAMPLES)):
                stream = ("counterfactual", "resample", self.of, block, variable.name)
                noise = distribution.noise(BLOCK_OF_SAMPLES, seeding.generator(seed, *stream), torch.float64)
                blocks.append(distribution.value(noise))
            return torch.cat(blocks)[: len(old)]
        assert self.value is not None
        classes = distribution.domain.classes
        if classes is not None and self.value != round(self.value):
            raise IdentboxError(
                f"intervention {self}: expected a whole number for {variable.name}, got {self.value:g}"
            )
        if self.how == "set":
            if classes is not None and not 0 <= self.value < classes:
                raise IdentboxError(
                    f"intervention {self}: expected a class in 0..{classes - 1}, got {self.value:g}"
                )
            return torch.full_like(old, self.value)
        new = old + torch.tensor(self.value, dtype=old.dtype)
        if classes is not None:
            return new % classes
        return _wrapped(new, variable)


def _wrapped(values: Tensor, variable: Variable) -> Tensor:
    """Values on a circle or an interval: what leaves it comes in again at its other end."""
    distribution = variable.distribution
    if distribution.domain.kind == "circular":
        return values % distribution.domain.period
    if not distribution.uniform_noise or not distribution.bounded:
        return values
    ends = distribution.value(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    low, high = ends[0], ends[1]
    return low + (values - low) % (high - low)


@settings(kw_only=False)
class _Given(Intervention):
    """A variable gets values, and its change between views noise, that were drawn elsewhere."""

    values: Mapping[str, Tensor]
    changes: Mapping[tuple[str, str], Any]

    def apply(self, targets: Targets, generator: torch.Generator | None) -> Targets:
        own = {key: change for key, change in self.changes.items() if key[0] == self.target}
        return dataclasses.replace(targets, values=dict(self.values), changes={**targets.changes, **own})


def parse_all(specs: Iterable[str], of: str) -> tuple[Counterfactual, ...]:
    """Interventions from their texts or from TOML files of them, each once.

    A file has a table `[[interventions]]` for each, with the keys of `Counterfactual`; where it names no split, that is
    ``of``. Raises IdentboxError for other keys, and for a text of another form.
    """
    found: list[Counterfactual] = []
    for spec in specs:
        if not spec.endswith(".toml"):
            found.append(Counterfactual.parse(spec, of))
            continue
        table = config.read_toml(spec)
        listed = table.get("interventions")
        if set(table) != {"interventions"} or not isinstance(listed, list):
            raise IdentboxError(
                f"{spec}: expected tables [[interventions]], got {', '.join(table) or 'none'}"
            )
        for place, one in enumerate(listed):
            where = f"{spec}: interventions[{place}]"
            found.append(build(Counterfactual, {"of": of, **one} if isinstance(one, dict) else one, where))
    return tuple(dict.fromkeys(found))


def counterfactuals_of(folder: Path) -> tuple[Counterfactual, ...]:
    """The counterfactual splits of a dataset folder or of an export, in the order of their names.

    Raises IdentboxError for an intervention.toml that is damaged.
    """
    paths = [*folder.glob(f"*/{FILE}"), *(folder / "data").glob(f"*.{FILE}")]
    return tuple(
        build(Counterfactual, config.read_toml(path), str(path))
        for path in sorted(paths)
        if path.name.split(".")[0] in SPLITS or path.parent.name.split(".")[0] in SPLITS
    )


def find(folder: Path, spec: str, of: str) -> Counterfactual:
    """The counterfactual split of a dataset for an intervention; its number of samples may be left out.

    Raises IdentboxError where there is none, or more than one.
    """
    wanted = Counterfactual.parse(spec, of)
    there = [one for one in counterfactuals_of(folder) if one.of == of]
    fitting = [one for one in there if one == wanted]
    if not fitting and wanted.first is None:
        fitting = [one for one in there if dataclasses.replace(one, first=None) == wanted]
    if len(fitting) != 1:
        known = ", ".join(map(str, fitting or there)) or "none"
        raise IdentboxError(
            f"{folder}: expected the split {of} with the intervention {spec}, got {known}; "
            f"identbox render --out {folder} --intervene {spec} --of {of} makes it"
        )
    return fitting[0]
