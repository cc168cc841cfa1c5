"""Blocks of a process: what is the same in every view, which style never changes, and how many dimensions they span."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.process.model import Change, Process, Variable
from identbox.process.moments import infinite_variance

EVALUATION_SAMPLES = 2048  # at which Jacobians and covariances are evaluated


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
    slash). Both numbers count real-valued variables alone. The covariance of class numbers depends on how classes are
    numbered, and that of points on a circle on where it is cut. So classes, circular variables and constants are left
    out, and so are variables of infinite variance. A block of which nothing is left is not in the result.
    """
    sample = process.sample(
        EVALUATION_SAMPLES, generator=seeding.generator(seed, "assumptions"), dtype=torch.float64
    )
    first, heavy = process.views[0], infinite_variance(process)
    dimensions = {}
    for role, views in {"content": [first], "style": [first], "specific": list(process.views)}.items():
        for view in views:
            seen = [v for v in process.seen_by(view) if v.role == role and v.name not in heavy]
            names = [v.name for v in seen if v.distribution.domain.kind == "continuous" and not constant(v)]
            if names:
                block = torch.cat([sample.views[view][name].double() for name in names], dim=1)
                key = f"{role}/{view}" if role == "specific" else role
                dimensions[key] = (block.shape[1], effective_dimension(block))
    return dimensions


def never_changing(process: Process) -> list[Variable]:
    """The style variables of which some component never changes, so that it is content (footnote of section 8.2.2)."""
    return [
        variable
        for variable in of_role(process, "style")
        if variable.change and variable.change.how != "mechanism" and least_probability(variable.change) == 0
    ]


def invariant(process: Process) -> list[Variable]:
    """The variables that are the same in every view: content, and style of which no component ever changes.

    The theorem calls these content, whatever the role that the process gives them.
    """
    unchanging = [v for v in never_changing(process) if v.change and _greatest_probability(v.change) == 0]
    return [v for v in process.variables if (v.role == "content" or v in unchanging) and not constant(v)]


def constant(variable: Variable) -> bool:
    """Whether every sample of a variable is the same."""
    return variable.distribution.constant


def _greatest_probability(change: Change) -> float:
    return max(change.probability) if isinstance(change.probability, tuple) else change.probability


def of_role(process: Process, role: str) -> list[Variable]:
    """The variables of a role, in causal order."""
    return [variable for variable in process.variables if variable.role == role]


def least_probability(change: Change) -> float:
    """The change probability of the component that changes least often."""
    return min(change.probability) if isinstance(change.probability, tuple) else change.probability
