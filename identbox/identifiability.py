"""What each assumption of Theorem 2 says of a process (sections 8.2 and 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from identbox.distributions import Uniform
from identbox.effects import Interval, Table
from identbox.errors import first_few
from identbox.process import Change, Process, Variable


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of the theorem: whether it holds of the process, and the evidence."""

    name: str
    verdict: Literal["holds", "violated", "unknown"]
    evidence: str


def assumptions(process: Process) -> list[Assumption]:
    """The hypotheses of Theorem 2 that can be read off a process, and those that need its mixing as well."""
    return [
        _content(process),
        _style_changes(process),
        _change_density(process),
        _factorisation(process),
        _density(process),
        Assumption(
            "smooth, invertible mixing", "unknown", "the process does not say how views are made of latents"
        ),
        _encoding_size(process),
    ]


def _of_role(process: Process, role: str) -> list[Variable]:
    return [variable for variable in process.variables if variable.role == role]


def _names(variables: list[Variable]) -> str:
    return first_few([variable.name for variable in variables], 3)


def _content(process: Process) -> Assumption:
    content = _of_role(process, "content")
    name = "content invariance (Assumption 4)"
    if not content:
        return Assumption(name, "violated", "no variable is content")
    return Assumption(name, "holds", f"every view sees the same {_names(content)}")


def _least(change: Change) -> float:
    return min(change.probability) if isinstance(change.probability, tuple) else change.probability


def _style_changes(process: Process) -> Assumption:
    name = "every style changes (Assumption 5 i)"
    style = [(variable, variable.change) for variable in _of_role(process, "style") if variable.change]
    if not style:
        return Assumption(name, "holds", "there is no style")
    never = [variable for variable, change in style if change.how != "mechanism" and _least(change) == 0]
    if never:
        return Assumption(name, "violated", f"{_names(never)} never changes, so it is content")
    left_open = [variable for variable, change in style if change.how == "mechanism"]
    if left_open:
        return Assumption(name, "unknown", f"how {_names(left_open)} changes is left to the view's mechanism")
    least = min(_least(change) for _, change in style)
    return Assumption(name, "holds", f"the smallest change probability of a component is {least:g}")


def _change_density(process: Process) -> Assumption:
    name = "changes have a smooth density (Assumption 5 ii, iii)"
    style = [(variable, variable.change) for variable in _of_role(process, "style") if variable.change]
    rough = [v for v, change in style if v.distribution.discrete or change.how == "mechanism"]
    if rough:
        return Assumption(name, "violated", f"{_names(rough)}: another view sees one of finitely many values")
    edged = [v for v, change in style if change.how == "resample" and isinstance(v.distribution, Uniform)]
    if edged:
        return Assumption(
            name, "violated", f"the density of {_names(edged)} jumps at the ends of its interval"
        )
    return Assumption(
        name, "holds", "Gaussian noise, or a fresh draw from a smooth density" if style else "no style"
    )


def _factorisation(process: Process) -> Assumption:
    name = "p(c) p(s|c) p(m1) p(m2) (Eq. 8.6)"
    allowed = {"content": {"content"}, "style": {"content", "style"}, "specific": {"specific"}}
    wrong = [
        f"{parent} -> {variable.name}"
        for variable in process.variables
        for parent in variable.effects
        if process[parent].role not in allowed[variable.role]
        or process[parent].view not in (None, variable.view)
    ]
    if wrong:
        return Assumption(name, "violated", first_few(wrong, 3))
    return Assumption(name, "holds", "causes run within blocks, or from content to style")


def _density(process: Process) -> Assumption:
    name = "a smooth density, positive almost everywhere"
    discrete = [variable for variable in process.variables if variable.distribution.discrete]
    if discrete:
        return Assumption(name, "violated", f"{_names(discrete)}: discrete")
    confined = [
        v for v in process.variables if any(isinstance(e, Interval | Table) for e in v.effects.values())
    ]
    if confined:
        return Assumption(name, "violated", f"{_names(confined)}: confined by what causes it")
    edged = [variable for variable in process.variables if isinstance(variable.distribution, Uniform)]
    if edged:
        return Assumption(
            name, "holds", f"inside the support; {_names(edged)}: bounded, which the theorem allows"
        )
    return Assumption(name, "holds", "every variable has one")


def _encoding_size(process: Process) -> Assumption:
    content = sum(
        v.distribution.dim for v in _of_role(process, "content") if v.distribution.kind != "constant"
    )
    return Assumption("encoding size = number of content variables", "unknown", f"choose {content}")
