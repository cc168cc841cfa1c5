"""Means of products in closed form: the covariances of every pair of variables of a linear process."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from identbox.process.model import Process, Variable


def linear(process: Process) -> bool:
    """Whether covariances have a closed form: every variable is continuous, and every effect is linear."""
    return all(
        variable.distribution.domain.kind == "continuous"
        and all(effect.coefficients() is not None for effect in variable.effects.values())
        for variable in process.variables
    )


def infinite_variance(process: Process) -> set[str]:
    """The names of the variables whose variance is infinite: by their own distribution, or by that of a cause.

    A cause counts for whatever it has an effect on, although an effect of the user's own may bound what it passes on.
    """
    heavy: set[str] = set()
    for variable in process.variables:
        if heavy & set(variable.effects) or _own_is_infinite(variable):
            heavy.add(variable.name)
    return heavy


def _own_is_infinite(variable: Variable) -> bool:
    # A Gaussian whose covariance is not drawn yet has no variance to look at, and none is infinite.
    distribution = variable.distribution
    if distribution.gaussian:
        return False
    return bool(torch.isinf(torch.as_tensor(distribution.variance, dtype=torch.float64)).any())


def joint_covariances(process: Process) -> dict[tuple[str, str], Float[Tensor, "_ _"]]:
    """Cov(v, w) of every pair of variables of a realised, linear process, before any change, in float64.

    In causal order: Cov(v, w) for all w before v is sum_p B_p Cov(p, w) over the parents p of v, and the covariance of
    v itself adds that of its noise (section 8.4.1). Infinite variances are in it as they are: see `infinite_variance`.
    """
    joint: dict[tuple[str, str], Tensor] = {}
    before: list[str] = []
    for variable in process.variables:
        matrices = {
            parent: matrix
            for parent, effect in variable.effects.items()
            if (matrix := effect.coefficients()) is not None
        }
        dim, name = variable.distribution.dim, variable.name
        for other in before:
            width = process[other].distribution.dim
            cross = torch.zeros(dim, width, dtype=torch.float64)
            for parent, matrix in matrices.items():
                cross = cross + matrix @ joint[parent, other]
            joint[name, other], joint[other, name] = cross, cross.T
        own = variable.distribution.own_covariance()
        for parent, matrix in matrices.items():
            own = own + joint[name, parent] @ matrix.T
        joint[name, name] = own
        before.append(name)
    return joint
