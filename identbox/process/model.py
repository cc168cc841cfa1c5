"""The generative process: named variables with roles, what causes what, and the views of them.

A `Process` is a structural causal model over named variables (section 8.2). Each variable has a role

- ``content``: the same in every view (Assumption 4);
- ``style``: passed on to the other views through a perturbation, its `Change` (Assumption 5);
- ``specific``: seen by one view alone (m_1, m_2 of Eq. 8.4);

a distribution, and effects of other variables on it. Sampling draws all exogenous noise first and then solves
the structural equations, so that an intervention can be answered with the same noise. Nothing loops over
samples, and nothing is copied from the device to the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.errors import IdentboxError
from identbox.process.covariances import Covariance, check_covariance, correlate, draw_covariance, parameter
from identbox.process.distributions import Distribution, Draw
from identbox.process.effects import Effect
from identbox.process.interventions import Changes, Intervention, Targets, Values
from identbox.process.names import expect_names
from identbox.settings import Probability, settings

Role = Literal["content", "style", "specific"]
ROLES: tuple[Role, ...] = ("content", "style", "specific")
Streams = torch.Generator | Callable[[str], torch.Generator]


@settings
class Change:
    """How a style variable differs between views (Assumption 5, Eq. 8.8).

    Each component changes with its ``probability``, independently; what changes is drawn jointly:

    - ``noise``: s + epsilon, epsilon ~ N(0, covariance), restricted to the components that change;
    - ``resample``: a fresh draw given the same causes;
    - ``mechanism``: the value is passed on as it is, and the view's own mechanism perturbs what it shows of it
      (the text names the nearest colour of a palette).

    >>> from identbox import Change
    >>> print(Change(probability=0.75))
    noise added with p = 0.75
    """

    how: Literal["noise", "resample", "mechanism"] = "noise"
    # Of each component.
    probability: Probability | tuple[Probability, ...] = 1.0
    covariance: Covariance = "identity"

    def check(self, variable: Variable) -> None:
        """Raise IdentboxError where the change does not fit the variable."""
        dim = variable.distribution.dim
        if isinstance(self.probability, tuple) and len(self.probability) != dim:
            raise IdentboxError(f"probability: expected {dim} numbers, got {len(self.probability)}")
        if self.how == "noise" and variable.distribution.discrete:
            raise IdentboxError(
                "how: expected 'resample' or 'mechanism' for a discrete variable, got 'noise'"
            )
        check_covariance(self.covariance, dim)

    def __str__(self) -> str:
        what = {"noise": "noise added", "resample": "drawn anew", "mechanism": "by the view's mechanism"}[
            self.how
        ]
        return what if self.how == "mechanism" else f"{what} with p = {self.probability}"


@settings
class Variable:
    """One named variable of a process; ``effects`` maps the names of its parents to their effects.

    A variable has a ``change`` where its role is "style", and a ``view`` where it is "specific", and otherwise none.
    Raises IdentboxError where it is not so.

    >>> from identbox import Change, Linear, Normal, Variable
    >>> style = Variable(
    ...     name="style",
    ...     role="style",
    ...     distribution=Normal(dim=2),
    ...     effects={"content": Linear()},
    ...     change=Change(probability=0.75),
    ... )
    """

    name: str
    role: Role
    distribution: Distribution
    # The one view that sees a variable of the role "specific".
    view: str | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    change: Change | None = None

    def __post_init__(self) -> None:
        if (self.role == "specific") != (self.view is not None):
            raise IdentboxError(
                f"view: expected one for the role 'specific' and for no other, got {self.view}"
            )
        if (self.role == "style") != (self.change is not None):
            raise IdentboxError(
                f"change: expected one for the role 'style' and for no other, got {self.change}"
            )
        if self.change is not None:
            self.change.check(self)


@dataclass(frozen=True)
class Noise:
    """The exogenous draws of a sample: ``own`` by variable; ``change`` by style variable and view.

    A change is a pair: which components change (bool), and the noise that they change by.
    """

    own: Values
    change: Changes


@dataclass(frozen=True)
class Sample:
    """n joint draws: ``values`` of each variable, and for each view what it sees (both of shape (n, dim)).

    ``process.intervene`` answers what the sample would have been.
    """

    process: Process
    values: Values
    views: dict[str, Values]
    noise: Noise
    overrides: dict[str, tuple[Tensor, bool]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def block(self, view: str, role: str) -> Float[Tensor, "n d"]:
        """The variables of one role that a view sees, side by side: (n, summed dim)."""
        return self._join(view, [v.name for v in self.process.seen_by(view) if v.role == role])

    def latents(self, view: str) -> Float[Tensor, "n d"]:
        """z of a view, (n, d): content, then style, then what is specific to it (Eq. 8.4)."""
        return torch.cat([self.block(view, role) for role in ROLES], dim=1)

    def _join(self, view: str, names: list[str]) -> Float[Tensor, "n d"]:
        some = next(iter(self.noise.own.values()))
        parts = [self.views[view][name].to(some.dtype) for name in names]
        return torch.cat(parts, dim=1) if parts else some.new_empty(len(self), 0)


@settings
class Process:
    """An ordered set of variables and the views of them (Eq. 8.4 to 8.8).

    The first view sees style as it was drawn and every other view a perturbed copy (Eq. 8.5); with
    ``symmetric`` every view sees a perturbed copy of its own (appendix A.7). Variables are put into causal
    order. Raises IdentboxError for unknown parents or views, effects that do not fit, and cycles.

    >>> from identbox import Change, Normal, Process, Uniform, Variable
    >>> process = Process(
    ...     name="mine",
    ...     variables=(
    ...         Variable(name="content", role="content", distribution=Normal(dim=2)),
    ...         Variable(name="style", role="style", distribution=Normal(), change=Change()),
    ...         Variable(name="light", role="specific", view="1", distribution=Uniform()),
    ...     ),
    ... )
    >>> [variable.name for variable in process.seen_by("2")]
    ['content', 'style']
    >>> process.sample(4, generator=torch.Generator().manual_seed(0)).latents("1").shape
    torch.Size([4, 4])
    """

    name: str
    variables: tuple[Variable, ...]
    views: tuple[str, ...] = ("1", "2")
    symmetric: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if len(self.views) < 2 or len(set(self.views)) < len(self.views):
            raise IdentboxError(f"views: expected at least two different names, got {', '.join(self.views)}")
        expect_names("variables and views", [*(names := [v.name for v in self.variables]), *self.views])
        if not names or len(set(names)) < len(names):
            raise IdentboxError(f"variables: expected different names, got {', '.join(names) or 'none'}")
        for variable in self.variables:
            where = f"variables.{variable.name}"
            if variable.view is not None and variable.view not in self.views:
                raise IdentboxError(
                    f"{where}.view: expected one of {', '.join(self.views)}, got {variable.view}"
                )
            for parent, effect in variable.effects.items():
                if parent not in names:
                    raise IdentboxError(
                        f"{where}.effects: expected parents among {', '.join(names)}; got {parent}"
                    )
                try:
                    effect.check(variable.distribution, self[parent].distribution)
                except IdentboxError as error:
                    raise IdentboxError(f"{where}.effects.{parent}: {error}") from error
            others = [effect.kind for effect in variable.effects.values() if not effect.additive]
            if len(others) > 1:
                raise IdentboxError(
                    f"{where}.effects: expected at most one effect that does more than add to the value, "
                    f"got {' and '.join(others)}"
                )
        object.__setattr__(self, "variables", _causal_order(self.variables))

    def __getitem__(self, name: str) -> Variable:
        for variable in self.variables:
            if variable.name == name:
                return variable
        known = ", ".join(variable.name for variable in self.variables)
        raise IdentboxError(f"process {self.name}: expected a variable among {known}; got {name}")

    def seen_by(self, view: str) -> list[Variable]:
        """The variables that a view sees, in causal order."""
        if view not in self.views:
            raise IdentboxError(
                f"process {self.name}: expected a view among {', '.join(self.views)}; got {view}"
            )
        return [variable for variable in self.variables if variable.view in (None, view)]

    @property
    def content_size(self) -> int:
        """The dimensions of content together, as declared; constants do not count."""
        content = [v.distribution for v in self.variables if v.role == "content"]
        return sum(distribution.dim for distribution in content if not distribution.constant)

    def perturbs(self, view: str) -> bool:
        """Whether a view sees a perturbed copy of style."""
        return self.symmetric or view != self.views[0]

    @cached_property
    def ancestors(self) -> dict[str, set[str]]:
        """For each variable the names of all its causes, direct or not."""
        causes: dict[str, set[str]] = {}
        for variable in self.variables:
            causes[variable.name] = set(variable.effects).union(*(causes[p] for p in variable.effects))
        return causes

    def dependent(self, one: str, other: str) -> bool:
        """Whether two variables are dependent by the graph: one causes the other, or they share a cause."""
        a, b = self.ancestors[one] | {one}, self.ancestors[other] | {other}
        return bool(a & b)

    def realise(self, *, seed: int) -> Process:
        """The process with every random parameter (covariances, linear effects) drawn from the seed's streams."""
        drawn = []
        for variable in self.variables:
            change = variable.change
            if change is not None:
                covariance = draw_covariance(
                    change.covariance, variable.distribution.dim, seed, f"{variable.name}/change"
                )
                change = dataclasses.replace(change, covariance=covariance)
            effects = {
                parent: effect.realise(
                    variable.distribution, self[parent].distribution, seed, (parent, variable.name)
                )
                for parent, effect in variable.effects.items()
            }
            distribution = variable.distribution.realise(seed, variable.name)
            drawn.append(
                dataclasses.replace(variable, distribution=distribution, effects=effects, change=change)
            )
        return dataclasses.replace(self, variables=tuple(drawn))

    def sample(self, n: int, *, generator: Streams, dtype: torch.dtype = torch.float32) -> Sample:
        """Draw n joint samples of all views on the generator's device.

        ``generator`` is a torch generator, or a function from the name of a variable to one (named streams).
        Raises IdentboxError for n < 1 and for random parameters that `realise` has not drawn.
        """
        if n < 1:
            raise IdentboxError(f"n: expected at least 1 sample, got {n}")
        noise = self._draw_noise(n, generator if callable(generator) else lambda name: generator, dtype)
        return self._solve(noise, {})

    def intervene(
        self,
        sample: Sample,
        *interventions: Intervention,
        recompute: bool,
        generator: torch.Generator | None = None,
    ) -> Sample:
        """The sample as it would have been under interventions, with the noise that made it.

        With ``recompute`` the descendants of the targets follow (a do-intervention). Without, they stay as
        they are: the cut of appendix A.6, x' = f(c', s, m) with s still caused by c. Other views see the new
        style through the same perturbation as before. A target is a variable or a role. Raises IdentboxError for an
        unknown target, numbers of a shape that does not fit, and a random intervention without a ``generator``.
        """
        noise, overrides = sample.noise, dict(sample.overrides)
        for intervention in interventions:
            targets = self.targets(intervention.target)
            names = [variable.name for variable in targets]
            before = Targets(
                n=len(sample),
                values={name: sample.values[name] for name in names},
                distributions={variable.name: variable.distribution for variable in targets},
                changes={key: change for key, change in noise.change.items() if key[0] in names},
                dtype=next(iter(noise.own.values())).dtype,
            )
            after = intervention.apply(before, generator)
            noise = Noise(noise.own, noise.change | after.changes)
            overrides |= {name: (value, recompute) for name, value in after.values.items()}
            sample = self._solve(noise, overrides)
        return sample

    def targets(self, target: str) -> list[Variable]:
        """The variable of that name, or all variables of a role. Raises IdentboxError where there is neither."""
        if target in ROLES and target not in {variable.name for variable in self.variables}:
            return [variable for variable in self.variables if variable.role == target]
        return [self[target]]

    def _draw_noise(self, n: int, pick: Callable[[str], torch.Generator], dtype: torch.dtype) -> Noise:
        own: Values = {}
        change = {}
        for variable in self.variables:
            generator = pick(variable.name)
            distribution, dim = variable.distribution, variable.distribution.dim
            own[variable.name] = distribution.noise(n, generator, dtype)
            if variable.change is None or variable.change.how == "mechanism":
                continue
            for view in self.views:
                if not self.perturbs(view):
                    continue
                uniform = torch.rand(n, dim, generator=generator, dtype=dtype, device=generator.device)
                flags = uniform < parameter(variable.change.probability, dtype, generator.device)
                if variable.change.how == "noise":
                    draws = torch.randn(n, dim, generator=generator, dtype=dtype, device=generator.device)
                    draws = correlate(draws, variable.change.covariance)
                else:
                    draws = distribution.noise(n, generator, dtype)
                change[variable.name, view] = (flags, draws)
        return Noise(own, change)

    def _solve(self, noise: Noise, overrides: dict[str, tuple[Tensor, bool]]) -> Sample:
        # `causes` is what children see of a variable. It differs from its value where an intervention left
        # the descendants alone.
        causes: Values = {}
        values: Values = {}
        views: dict[str, Values] = {view: {} for view in self.views}
        for variable in self.variables:
            name = variable.name
            value, follow = overrides.get(name, (None, False))
            if value is None or not follow:
                causes[name] = self._value(variable, noise.own[name], causes)
            else:
                causes[name] = value
            values[name] = causes[name] if value is None else value
            for view in self.views:
                if variable.view not in (None, view):
                    continue
                seen = values[name]
                if (name, view) in noise.change and variable.change is not None:
                    flags, draws = noise.change[name, view]
                    if variable.change.how == "noise":
                        seen = torch.where(flags, seen + draws, seen)
                    else:
                        seen = torch.where(flags, self._value(variable, draws, causes), seen)
                views[view][name] = seen
        return Sample(self, values, views, noise, overrides)

    def _value(self, variable: Variable, noise: Tensor, causes: Values) -> Tensor:
        draw = Draw(noise=noise)
        for parent, effect in variable.effects.items():
            draw = effect.apply(draw, causes[parent], variable.distribution, self[parent].distribution)
        return variable.distribution.solve(draw)


def _causal_order(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Causes before effects, otherwise as given."""
    left, done = list(variables), list[Variable]()
    while left:
        placed = {variable.name for variable in done}
        ready = [variable for variable in left if placed.issuperset(variable.effects)]
        if not ready:
            raise IdentboxError(f"effects: expected no cycle, got {_cycle(left)}")
        done.append(ready[0])
        left.remove(ready[0])
    return tuple(done)


def _cycle(variables: list[Variable]) -> str:
    """One cycle among variables of which each has a parent in the list, as ``a -> b -> a``."""
    parents = {
        v.name: [p for p in v.effects if any(p == other.name for other in variables)] for v in variables
    }
    path = [variables[0].name]
    while path[-1] not in path[:-1]:
        path.append(parents[path[-1]][0])
    return " -> ".join(reversed(path[path.index(path[-1]) :]))
