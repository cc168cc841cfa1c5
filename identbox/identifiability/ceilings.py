"""What can be predicted of every variable from a perfect encoding of content: the ceiling of each probe.

A perfect encoder of content still lets a probe predict style that content causes. Where causes are linear the
ceiling is known in closed form: of a component j of a variable z, as a view sees it,

    R2_j = Cov(z_j, c) Cov(c)^-1 Cov(c, z_j) / (Var(z_j) + pi_j Sigma_epsilon,jj),

where the last term stands for noise that changes the component with probability pi_j, and R2 is the mean over
components. For s = a + B c + noise this is (B Sigma_c B^T)_jj / ((B Sigma_c B^T)_jj + Sigma_s,jj + pi_j Sigma_eps,jj).
It is exact where all variables are Gaussian, and where nothing causes content, since E[z | c] is linear then.
Elsewhere a nonlinear probe is fitted on content itself, and so where a
variance is infinite. R2 has no limit there, and the ceiling says so.

After an intervention that permutes a block and leaves its effects alone, an encoder of content sees the new values of
what was permuted. What was before can be predicted from content that was not permuted alone, so that to permute all
content takes every ceiling but its own to chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import seeding
from identbox.identifiability.blocks import invariant
from identbox.metrics import predictors, probing
from identbox.metrics.scores import Score
from identbox.metrics.targets import seen, target_of
from identbox.process.covariances import covariance_matrix
from identbox.process.model import ROLES, Process, Sample, Variable
from identbox.process.moments import infinite_variance, joint_covariances, linear

CeilingSource = Literal["closed form", "probe", "probe, infinite variance"]
PROBE_SAMPLES = 2048  # that a probe is fitted on, and as many that it is scored on


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The score of a variable's best prediction from content: R2, or accuracy where the variable is discrete."""

    score: float
    low: float  # interval of the estimate; the score itself in closed form
    high: float
    # Known exactly, measured, or measured where no variance is finite, so that R2 hangs on the largest values.
    how: CeilingSource

    @classmethod
    def of_probe(cls, score: Score, *, infinite: bool = False) -> Ceiling:
        """The ceiling that a probe on true content measured; ``infinite`` is the variance of what it predicts."""
        how: CeilingSource = "probe, infinite variance" if infinite else "probe"
        return cls(score=score.score, low=score.low, high=score.high, how=how)


CeilingKey = tuple[str, str, str | None]  # view, target, intervention, as in a run's record


def ceilings(
    process: Process,
    *,
    content: Sequence[Variable] | None = None,
    interventions: bool = True,
    seed: int = 0,
    samples: int = PROBE_SAMPLES,
) -> dict[CeilingKey, Ceiling]:
    """The ceiling of every variable but constants, for every view of a realised process.

    With ``interventions`` also after a permutation of each block, where ``NAME'`` is what was permuted as it is now.
    A variable that a view does not see counts as it is. Unless variables are given as ``content``, content is all
    that is the same in every view, with style that never changes; its own ceiling is 1. Probes draw ``samples`` from
    streams of ``seed``.
    """
    content = invariant(process) if content is None else content
    roles = [role for role in ROLES if any(v.role == role for v in process.variables)]
    variables = [v for v in process.variables if not v.distribution.constant]
    solver = _Solver(process, seed, samples)
    by_key: dict[CeilingKey, Ceiling] = {}
    for intervention in [None, *(roles if interventions else [])]:
        kept = [v for v in content if v.role != intervention]
        moved = [v for v in content if v.role == intervention]
        for view in process.views:
            for variable in variables:
                by_key[view, variable.name, intervention] = solver.ceiling(view, variable, kept)
                if variable.role == intervention:
                    # A block is permuted as a whole, so that its variables still depend on each other.
                    by_key[view, f"{variable.name}'", intervention] = solver.ceiling(view, variable, moved)
    return by_key


def without_a_direction(process: Process) -> float | None:
    """The mean R2 of content's components at an encoding that lacks one direction of content: the one that costs least.

    R2 takes each component at variance 1. So the smallest eigenvalue l of their correlations is the variance along
    that direction, and of d components the mean is 1 - l / d: (d - 1) / d where they are uncorrelated, and next to 1
    where some direction is small. None for fewer than two components, for infinite or zero variances, and for processes
    with classes, circular variables or effects that are not linear.
    """
    content = [v.name for v in invariant(process)]
    if not linear(process) or infinite_variance(process) & set(content):
        return None
    if sum(process[name].distribution.dim for name in content) < 2:
        return None
    covariance = _side_by_side(joint_covariances(process), content)
    if not (covariance.diagonal() > 0).all():
        return None
    deviations = covariance.diagonal().sqrt()
    correlations = covariance / deviations / deviations[:, None]
    return 1 - torch.linalg.eigvalsh(correlations)[0].item() / len(correlations)


class _Solver:
    """Ceilings of single variables given some others, with what they share computed once."""

    def __init__(self, process: Process, seed: int, samples: int) -> None:
        self.process, self.seed, self.samples = process, seed, samples
        self.linear, self.heavy = linear(process), infinite_variance(process)
        self.gaussian = all(v.distribution.gaussian for v in process.variables)
        self.joint = joint_covariances(process) if self.linear else {}
        self.done: dict[tuple[str, str, tuple[str, ...]], Ceiling] = {}

    def ceiling(self, view: str, variable: Variable, given: Sequence[Variable]) -> Ceiling:
        names = tuple(v.name for v in given)
        key = view, variable.name, names
        if key not in self.done:
            if variable.name in names:
                self.done[key] = _known(1.0)
            elif not any(self.process.dependent(variable.name, name) for name in names):
                self.done[key] = _known(self._chance(variable))
            elif self._has_closed_form(variable, given):
                self.done[key] = _known(self._closed(view, variable, names))
            else:
                self.done[key] = self._probed(view, variable, given)
        return self.done[key]

    def _has_closed_form(self, variable: Variable, given: Sequence[Variable]) -> bool:
        """Whether covariances decide: E[z | c] is linear, and all variances are finite."""
        finite = not self.heavy & {variable.name, *(v.name for v in given)}
        return self.linear and finite and (self.gaussian or not any(v.effects for v in given))

    def _chance(self, variable: Variable) -> float:
        """The score of the best constant prediction."""
        distribution = variable.distribution
        if distribution.domain.kind != "discrete" or not variable.effects:
            return distribution.chance
        classes = distribution.features(self._sample("score").values[variable.name])
        return classes.unflatten(1, (distribution.dim, -1)).mean(0).amax(1).mean().item()

    def _closed(self, view: str, variable: Variable, names: Sequence[str]) -> float:
        across = torch.cat([self.joint[variable.name, name] for name in names], dim=1)
        inner = _side_by_side(self.joint, names)
        explained = (across @ torch.linalg.pinv(inner, hermitian=True) * across).sum(1)
        total = self.joint[variable.name, variable.name].diagonal()
        change = variable.change
        if change is not None and change.how == "noise" and self.process.perturbs(view):
            probability = torch.tensor(change.probability, dtype=torch.float64)
            noise = covariance_matrix(change.covariance, variable.distribution.dim)
            total = total + probability * noise.diagonal()
        return (explained / total).mean().item()

    def _probed(self, view: str, variable: Variable, given: Sequence[Variable]) -> Ceiling:
        fit, score = self._sample("fit"), self._sample("score")
        target = target_of(variable, seen(fit, view, variable), seen(score, view, variable))
        (probed,) = probing.probe_targets(
            _regressors(fit, given),
            _regressors(score, given),
            [target],
            settings=predictors.PredictorSettings(centre=True),
            seed=seeding.derive(self.seed, "ceilings", view, variable.name),
            kinds=("nonlinear",),
        )
        return Ceiling.of_probe(probed, infinite=variable.name in self.heavy)

    def _sample(self, part: str) -> Sample:
        return self.process.sample(self.samples, generator=seeding.generator(self.seed, "ceilings", part))


def _side_by_side(
    joint: Mapping[tuple[str, str], Float[Tensor, "_ _"]], names: Sequence[str]
) -> Float[Tensor, "d d"]:
    """The covariance of some variables, their components side by side."""
    return torch.cat([torch.cat([joint[a, b] for b in names], dim=1) for a in names])


def _known(score: float) -> Ceiling:
    return Ceiling(score=score, low=score, high=score, how="closed form")


def _regressors(sample: Sample, given: Sequence[Variable]) -> Float[Tensor, "n f"]:
    """The values of variables side by side, as a probe takes them best."""
    return torch.cat([v.distribution.features(sample.values[v.name]) for v in given], dim=1)
