"""What each assumption of Theorem 2 says of a process, of its mixings and of an encoder (sections 8.2 and 8.3)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.errors import first_few
from identbox.process.mixing import SINGULAR, InvertibleMLP
from identbox.process.model import Change, Process, Sample, Variable

EVALUATION_SAMPLES = 2048  # at which Jacobians and covariances are evaluated

AssumptionKey = Literal[
    "content-invariance",
    "style-changes",
    "change-density",
    "factorisation",
    "density",
    "mixing",
    "distinct-mechanisms",
    "encoding-size",
]
AssumptionVerdict = Literal["holds", "violated", "unknown"]
ASSUMPTION_NAMES: dict[AssumptionKey, str] = {
    "content-invariance": "content invariance (Assumption 4)",
    "style-changes": "every style changes (Assumption 5 i)",
    "change-density": "changes have a smooth density (Assumption 5 ii, iii)",
    "factorisation": "p(c) p(s|c) p(m1) p(m2) (Eq. 8.6)",
    "density": "a smooth density, positive almost everywhere",
    "mixing": "smooth, invertible mixing",
    "distinct-mechanisms": "distinct mechanisms (section 8.2.1)",
    "encoding-size": "encoding size = number of content variables",
}


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of the theorem: whether it holds, and the evidence.

    A program finds it by its ``key``; a person reads its ``name``. What is not ``needed`` is part of the setting, and
    the conclusion is known to hold without it.
    """

    key: AssumptionKey
    name: str
    verdict: AssumptionVerdict
    evidence: str
    needed: bool = True


def _assumption(
    key: AssumptionKey, verdict: AssumptionVerdict, evidence: str, *, needed: bool = True
) -> Assumption:
    return Assumption(key, ASSUMPTION_NAMES[key], verdict, evidence, needed)


def assumptions(
    process: Process,
    *,
    mixings: Mapping[str, InvertibleMLP] | None = None,
    encoding_size: int | None = None,
    seed: int = 0,
) -> list[Assumption]:
    """The hypotheses of Theorem 2 for a process, the mixing of each view, and a number of encoding dimensions.

    What needs mixings or an encoding size that are not given is unknown. With ``mixings`` (one for every view, or
    one by the name of the first view that all share) the process must be realised; Jacobians and covariances are
    then evaluated at ``EVALUATION_SAMPLES`` draws from a stream of ``seed``.
    """
    entries = [
        _content_invariance(process),
        _style_changes(process),
        _change_density(process),
        _factorisation(process),
        _density(process),
    ]
    if mixings is None:
        reason = "the process does not say how views are made of latents"
        entries += [
            _assumption("mixing", "unknown", reason),
            _assumption("distinct-mechanisms", "unknown", reason, needed=False),
        ]
    else:
        sample = process.sample(EVALUATION_SAMPLES, generator=seeding.generator(seed, "assumptions"))
        entries += [_mixing(process, mixings, sample), _distinct_mechanisms(process, mixings, sample)]
    return [*entries, _encoding_size(process, encoding_size)]


@torch.no_grad()
def singular_values(mixing: InvertibleMLP, z: Float[Tensor, "n d"]) -> tuple[float, float]:
    """The smallest and the largest singular value of a mixing's Jacobian over some latents."""
    values = torch.linalg.svdvals(mixing.jacobian(z.to(mixing.weights)).double())
    return values.min().item(), values.max().item()


def effective_dimension(values: Float[Tensor, "n d"]) -> float:
    """The participation ratio (sum l)^2 / sum l^2 of the covariance's eigenvalues l.

    It is d where the components are uncorrelated and of equal variance. It falls to 1 as the share of the variance
    in one direction grows to all of it. It is 0 for constants.
    """
    covariance = torch.atleast_2d(torch.cov(values.double().T))
    squares = covariance.square().sum().item()
    return covariance.trace().item() ** 2 / squares if squares > 0 else 0.0


def effective_dimensions(process: Process, *, seed: int = 0) -> dict[str, tuple[int, float]]:
    """Of each block of a realised process: its number of dimensions, and its effective dimension over samples.

    Blocks are content, style as the first view sees it, and for each view what is specific to it (its name after a
    slash). Variables that are constant do not count.
    """
    sample = process.sample(
        EVALUATION_SAMPLES, generator=seeding.generator(seed, "assumptions"), dtype=torch.float64
    )
    first = process.views[0]
    dimensions = {}
    for role, views in {"content": [first], "style": [first], "specific": list(process.views)}.items():
        for view in views:
            names = [v.name for v in process.seen_by(view) if v.role == role and not _constant(v)]
            if names:
                block = torch.cat([sample.views[view][name].double() for name in names], dim=1)
                key = f"{role}/{view}" if role == "specific" else role
                dimensions[key] = (block.shape[1], effective_dimension(block))
    return dimensions


def never_changing(process: Process) -> list[Variable]:
    """The style variables of which some component never changes, so that it is content (footnote of section 8.2.2)."""
    return [
        variable
        for variable in _of_role(process, "style")
        if variable.change and variable.change.how != "mechanism" and _least(variable.change) == 0
    ]


def invariant(process: Process) -> list[Variable]:
    """The variables that are the same in every view: content, and style of which no component ever changes.

    The theorem calls these content, whatever the role that the process gives them.
    """
    unchanging = [v for v in never_changing(process) if v.change and _greatest(v.change) == 0]
    return [v for v in process.variables if (v.role == "content" or v in unchanging) and not _constant(v)]


def _constant(variable: Variable) -> bool:
    return variable.distribution.constant


def _greatest(change: Change) -> float:
    return max(change.probability) if isinstance(change.probability, tuple) else change.probability


def _of_role(process: Process, role: str) -> list[Variable]:
    return [variable for variable in process.variables if variable.role == role]


def _named(variables: list[Variable]) -> str:
    return first_few([variable.name for variable in variables], 3)


def _content_invariance(process: Process) -> Assumption:
    content = _of_role(process, "content")
    if not content:
        return _assumption("content-invariance", "violated", "no variable is content")
    return _assumption("content-invariance", "holds", f"every view sees the same {_named(content)}")


def _least(change: Change) -> float:
    return min(change.probability) if isinstance(change.probability, tuple) else change.probability


def _style_changes(process: Process) -> Assumption:
    style = [(variable, variable.change) for variable in _of_role(process, "style") if variable.change]
    if not style:
        return _assumption("style-changes", "holds", "there is no style")
    never = never_changing(process)
    if never:
        return _assumption("style-changes", "violated", f"{_named(never)} never changes, so it is content")
    left_open = [variable for variable, change in style if change.how == "mechanism"]
    if left_open:
        return _assumption(
            "style-changes", "unknown", f"how {_named(left_open)} changes is left to the view's mechanism"
        )
    least = min(_least(change) for _, change in style)
    return _assumption(
        "style-changes", "holds", f"the smallest change probability of a component is {least:g}"
    )


def _change_density(process: Process) -> Assumption:
    style = [(variable, variable.change) for variable in _of_role(process, "style") if variable.change]
    rough = [v for v, change in style if v.distribution.discrete or change.how == "mechanism"]
    if rough:
        return _assumption(
            "change-density", "violated", f"{_named(rough)}: another view sees one of finitely many values"
        )
    edged = [v for v, change in style if change.how == "resample" and v.distribution.bounded]
    if edged:
        return _assumption(
            "change-density", "violated", f"the density of {_named(edged)} jumps at the ends of its interval"
        )
    evidence = "Gaussian noise, or a fresh draw from a smooth density" if style else "no style"
    return _assumption("change-density", "holds", evidence)


def _factorisation(process: Process) -> Assumption:
    allowed = {"content": {"content"}, "style": {"content", "style"}, "specific": {"specific"}}
    wrong = [
        f"{parent} -> {variable.name}"
        for variable in process.variables
        for parent in variable.effects
        if process[parent].role not in allowed[variable.role]
        or process[parent].view not in (None, variable.view)
    ]
    if wrong:
        return _assumption("factorisation", "violated", first_few(wrong, 3))
    return _assumption("factorisation", "holds", "causes run within blocks, or from content to style")


def _density(process: Process) -> Assumption:
    discrete = [variable for variable in process.variables if variable.distribution.discrete]
    if discrete:
        return _assumption("density", "violated", f"{_named(discrete)}: discrete")
    circles = [v for v in _of_role(process, "content") if v.distribution.domain.kind == "circular"]
    if circles:
        return _assumption(
            "density",
            "violated",
            f"{_named(circles)}: circular, so that no encoder is one-to-one into an interval",
        )
    confined = [v for v in process.variables if any(effect.confines for effect in v.effects.values())]
    if confined:
        return _assumption("density", "violated", f"{_named(confined)}: confined by what causes it")
    edged = [variable for variable in process.variables if variable.distribution.bounded]
    if edged:
        return _assumption(
            "density", "holds", f"inside the support; {_named(edged)}: bounded, which the theorem allows"
        )
    return _assumption("density", "holds", "every variable has one")


def _mixing(process: Process, mixings: Mapping[str, InvertibleMLP], sample: Sample) -> Assumption:
    spreads = {view: singular_values(mixing, sample.latents(view)) for view, mixing in mixings.items()}
    texts = [f"f{view} from {low:.3g} to {high:.3g}" for view, (low, high) in spreads.items()]
    evidence = f"singular values of the Jacobian over {len(sample)} samples: {first_few(texts, 3)}"
    lost = [view for view, (low, high) in spreads.items() if not low * SINGULAR > high]
    if lost:
        return _assumption("mixing", "violated", f"f{', f'.join(lost)} is not invertible; {evidence}")
    bent = any(mixing.slope.item() != 1 and len(mixing.weights) > 1 for mixing in mixings.values())
    kinks = "; smooth but for the kinks of LeakyReLU, a set of measure zero" if bent else ""
    return _assumption("mixing", "holds", evidence + kinks)


@torch.no_grad()
def _distinct_mechanisms(
    process: Process, mixings: Mapping[str, InvertibleMLP], sample: Sample
) -> Assumption:
    if len(mixings) == 1:
        same = (
            "one mixing makes all views, the special case with f1 = f2, of which the same conclusion is known"
        )
        return _assumption("distinct-mechanisms", "violated", same, needed=False)
    # Where the views' latents differ in size, the mixings do.
    z = sample.latents(process.views[0])
    seen = [mixing(z.to(mixing.weights)) for mixing in mixings.values() if mixing.dim == z.shape[1]]
    gaps = [
        ((a - b).square().sum() / a.square().sum()).sqrt().item() for a, b in itertools.combinations(seen, 2)
    ]
    if gaps and min(gaps) == 0:
        return _assumption(
            "distinct-mechanisms", "violated", "two mixings are the same function", needed=False
        )
    gap = f"|f1(z) - f2(z)| is {min(gaps):.2g} of |f1(z)|" if gaps else "views of different size"
    return _assumption("distinct-mechanisms", "holds", gap, needed=False)


def _encoding_size(process: Process, size: int | None) -> Assumption:
    content = sum(v.distribution.dim for v in invariant(process))
    if size is None:
        return _assumption("encoding-size", "unknown", f"choose {content}")
    style = [variable for variable in invariant(process) if variable.role == "style"]
    which = f" ({_named(style)}, which never changes, counted)" if style else ""
    verdict: AssumptionVerdict = "holds" if size == content else "violated"
    return _assumption("encoding-size", verdict, f"{size} for {content} that are invariant{which}")
