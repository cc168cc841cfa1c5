"""What one view's encodings predict linearly, component by component: the data of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from identbox.experiments.learner import Learner
from identbox.metrics.predictors import r2
from identbox.metrics.targets import seen, target_of
from identbox.process.model import ROLES, Role

FIT, SHOWN = 2048, 400  # samples of a picture: to fit the predictor on, and to draw


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a variable beside its linear prediction, in the variable's unit."""

    name: str
    role: Role
    truth: Float[np.ndarray, " n"]
    predicted: Float[np.ndarray, " n"]
    r2: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What one view's encodings predict linearly: each content component, and of each other role the best one."""

    seed: int
    view: str
    components: tuple[Component, ...]


@torch.no_grad()
def encoding_picture(learner: Learner, view: str | None = None) -> Picture:
    """Predict each component of what a view shows (the first by default) from its encodings, by least squares.

    Fitted on `FIT` samples and shown on `SHOWN` others, of the stream ``verify``, ``picture``. A circular variable
    has a cosine and a sine; classes and constants have no such picture. Of style and of what is specific to the view
    only the component that is predicted best is kept.
    """
    view = view or learner.world.process.views[0]
    samples = [
        learner.world.sample(n, "verify", "picture", part) for n, part in ((FIT, "fit"), (SHOWN, "shown"))
    ]
    fit, shown = (_with_one(learner.encode(sample.x[view], view)) for sample in samples)
    kept: dict[str, list[Component]] = {role: [] for role in ROLES}
    for variable in learner.world.process.seen_by(view):
        if variable.distribution.discrete or variable.distribution.constant:
            continue
        target = target_of(variable, *(seen(sample.latent, view, variable) for sample in samples))
        wanted, truth = (target.columns(values).cpu() for values in (target.train, target.test))
        predicted = shown @ torch.linalg.lstsq(fit, wanted).solution
        names = [f"{variable.name}, component {place + 1}" for place in range(variable.distribution.dim)]
        if target.kind == "circular":
            names = [f"{name} ({part})" for part in ("cosine", "sine") for name in names]
        scores = r2(truth, predicted).tolist()
        kept[variable.role] += [
            Component(name=name, role=variable.role, truth=a.numpy(), predicted=b.numpy(), r2=score)
            for name, a, b, score in zip(names, truth.T, predicted.T, scores, strict=True)
        ]
    best = [max(kept[role], key=lambda c: c.r2) for role in ("style", "specific") if kept[role]]
    return Picture(seed=learner.world.seed, view=view, components=(*kept["content"], *best))


def _with_one(encodings: Float[Tensor, "n d"]) -> Float[Tensor, "n d_and_one"]:
    return torch.nn.functional.pad(encodings.double().cpu(), (0, 1), value=1.0)
