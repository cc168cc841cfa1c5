"""Probes in a world: every variable predicted from encodings, as they are and after interventions (appendix A.6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from identbox import seeding
from identbox.metrics.predictors import PredictorSettings, least_squares, r2
from identbox.metrics.probing import probe_targets, rounding_of
from identbox.metrics.scores import Score
from identbox.metrics.targets import Target, seen, target_of
from identbox.process.interventions import Permute
from identbox.process.model import ROLES, Process, Sample
from identbox.process.world import Observed, World

WATCHED = 1024  # samples of the R2 that is shown during training, to fit and to score each
Encode = Callable[[Tensor, str], Tensor]  # observations and the name of their view -> encodings


@torch.no_grad()
def probe_world(
    world: World,
    encode: Encode,
    *,
    samples: int,
    bootstrap: int = 200,
    interventions: bool = True,
    views: Sequence[str] | None = None,
    stream: Sequence[str | int] = ("probe",),
) -> list[Score]:
    """Predict every variable from the encodings of every view, as they are and after each intervention.

    ``samples`` are drawn to fit on and as many others to score on. An intervention permutes the block of a role over
    the batch before mixing and leaves everything else as it is. Its block is then predicted twice: as it was before
    (``permuted`` false) and as it is now (true). Probes are fitted and scored after the same intervention. Samples are
    of the world's stream of that name.
    """
    found = []
    for intervention in [None, *(_roles(world.process) if interventions else ())]:
        drawn = [_intervened(world, intervention, samples, (*stream, part)) for part in ("fit", "score")]
        for view in views or world.views:
            fit, score = (encode(after.x[view], view) for _, after in drawn)
            scores = probe_targets(
                fit,
                score,
                _targets(world.process, view, drawn, intervention),
                settings=PredictorSettings(bootstrap=bootstrap, centre=True),
                seed=seeding.derive(world.seed, "probing", view, str(intervention)),
            )
            found += [dataclasses.replace(one, view=view, intervention=intervention) for one in scores]
    return found


def _roles(process: Process) -> list[str]:
    present = {variable.role for variable in process.variables}
    return [role for role in ROLES if role in present]


def _intervened(
    world: World, role: str | None, samples: int, stream: Sequence[str | int]
) -> tuple[Observed, Observed]:
    """A sample before and after the block of a role is permuted; the same twice without a role."""
    before = world.sample(samples, *stream)
    return before, before if role is None else world.intervene(
        before, Permute(target=role), stream=(role, *stream[1:])
    )


def _targets(
    process: Process, view: str, drawn: Sequence[tuple[Observed, Observed]], intervention: str | None
) -> list[Target]:
    """Every variable as it was, and those of the permuted role as they are now, as a view sees them."""
    befores, afters = ([pair[k].latent for pair in drawn] for k in (0, 1))
    found = []
    for variable in process.variables:
        if variable.distribution.constant:  # there is nothing to predict
            continue
        versions: list[tuple[bool, list[Sample]]] = [(False, befores)]
        if variable.role == intervention:
            versions.append((True, afters))
        for permuted, samples in versions:
            fit, score = (seen(sample, view, variable) for sample in samples)
            found.append(target_of(variable, fit, score, permuted=permuted))
    return found


@torch.no_grad()
def content_r2(world: World, encode: Encode) -> float:
    """R2 of a linear regression from the first view's encodings to content, on samples kept for it.

    A figure to watch during training. How long encodings are in which direction does not matter.
    """
    view = world.views[0]
    sample = world.sample(2 * WATCHED, "watch")
    encodings, targets = encode(sample.x[view], view), sample.block(view, "content").double()
    x, rounding = encodings.double(), rounding_of(encodings)
    predicted = least_squares(x[:WATCHED], targets[:WATCHED], x[WATCHED:], rounding=rounding)
    return r2(targets[WATCHED:], predicted).mean().item()
