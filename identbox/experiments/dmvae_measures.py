"""What both stages of a DMVAE hold and generate, measured on the world that they were trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config, seeding
from identbox.experiments.dmvae import Stages
from identbox.experiments.identification import DRAWS, block_record
from identbox.experiments.simulation import ProbeSettings
from identbox.identifiability.measures import (
    Encode,
    Measure,
    estimated,
    recovery_measures,
    weakness,
    with_weakness,
)
from identbox.identifiability.predictions import beside_content, declared
from identbox.learning.mixture_prior import MixturePrior
from identbox.metrics import leak
from identbox.metrics.displacement import displacements_in_world
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import seen, target_of
from identbox.process.interventions import Set
from identbox.process.world import World

DISPLACED = 1000  # samples in which each variable is permuted


@torch.no_grad()
def specific_identification(
    world: World,
    encode: Callable[[Tensor], Float[Tensor, "n d"]],
    view: str,
    *,
    draw: Callable[[Tensor], Float[Tensor, "n d"]] | None = None,
    samples: int,
) -> dict[str, Any]:
    """How much of content leaks into latents of a view alone, and how much they have of all else that it shows.

    Every sample is encoded twice, with everything but content as it is. ``draw`` gives draws from the posterior, with
    noise that is the same for both: then the record has their leak too. Noise is a part of them that content does not
    move, so that the leak is lower than that of the means where content moves these less than noise does.
    """
    base, other = (world.sample(samples, "verify", part) for part in ("base", "other content"))
    changed = world.intervene(
        base, *(Set(v.name, other.latent.values[v.name]) for v in declared(world.process))
    )
    block, values = beside_content(world.process, view), base.z[view]

    def moved(first: Float[Tensor, "n d"], read: Callable[[Tensor], Float[Tensor, "n d"]]) -> Measure:
        return estimated(view, "leak", "redrawn", leak.redrawn_leak(first, read(changed.x[view])))

    means = encode(base.x[view])
    measures = [moved(means, encode), *recovery_measures(view, means, block, values)]
    record = block_record(
        [v.name for v in block], with_weakness(measures, functools.partial(weakness, block, values))
    )
    if draw is not None:
        record[DRAWS] = config.toml_values(moved(draw(base.x[view]), draw).record())
    return record


@torch.no_grad()
def displacement_records(world: World, encode: Encode, **options: Any) -> list[dict[str, Any]]:
    """What moves encodings, a record for each variable and view; ``options`` are those of `displacements_in_world`."""
    found = displacements_in_world(world, encode, samples=DISPLACED, **options)
    return [config.toml_values(one.record()) for one in found]


@torch.no_grad()
def probes_of(
    world: World,
    encode: Callable[[Mapping[str, Tensor]], Float[Tensor, "n d"]],
    view: str,
    settings: ProbeSettings,
    *,
    name: str,
) -> list[dict[str, Any]]:
    """Every variable, as a view sees it, predicted from encodings of all views; the records name them ``name``."""
    drawn = [world.sample(settings.samples, "probe", part) for part in ("fit", "score")]
    targets = [
        target_of(variable, *(seen(sample.latent, view, variable) for sample in drawn))
        for variable in world.process.seen_by(view)
        if not variable.distribution.constant
    ]
    fit, score = (encode(sample.x) for sample in drawn)
    options = PredictorSettings(bootstrap=settings.bootstrap, centre=True)
    seed = seeding.derive(world.seed, "probing", name)
    found = probe_targets(fit, score, targets, settings=options, seed=seed)
    return [dataclasses.replace(one, view=name).record() for one in found]


def content_agreement(
    world: World,
    view: str,
    x: Float[Tensor, "n x"],
    content: Mapping[str, Float[Tensor, "n _"]],
) -> float:
    """How well the content behind observations of a view is a given one: R2 of the identity, a mean over dimensions.

    The mixing is inverted, so that 1 says that an observation has exactly that content; constants have no part.
    """
    behind = world.invert(x, view)
    scores = []
    for name, wanted in content.items():
        missed = (behind[name] - wanted).double().square().mean(0)
        scores.append(1 - missed / wanted.double().var(0, correction=0))
    return torch.cat(scores).mean().item()


@torch.no_grad()
def generated_content(world: World, stages: Stages, n: int, components: int) -> list[dict[str, Any]]:
    """Content of generated views: those made from each other view, and those made together from draws of c.

    Specific latents are drawn from their prior, and generated data are the means of the likelihoods. Beside each
    conditional score stands that of observations of another sample, which is what chance gives. Without any view, c is
    drawn from a mixture of Gaussians fitted to embeddings, or is one of these.
    """
    sample = world.sample(n, "generated content")
    names = [v.name for v in declared(world.process)]
    content = {name: sample.z[world.views[0]][name] for name in names}
    shared = stages.first.shared
    rows: list[dict[str, Any]] = []
    for given in world.views:
        c = shared.embed({given: sample.x[given]})
        for view in world.views:
            made = generated(stages, view, c, "content")
            other = {name: values.roll(1, 0) for name, values in content.items()}
            right, chance = (content_agreement(world, view, made, one) for one in (content, other))
            rows.append({"given": given, "generated": view, "r2": right, "chance": chance})
    embedded = shared.embed(world.sample(n, "prior of c").x)
    fitted = MixturePrior.fit(
        embedded, components=components, seed=seeding.derive(world.seed, "mixture of c")
    )
    drawn = fitted(n, seeding.generator(world.seed, "mixture of c", "draws", device=embedded.device))
    one, *others = world.views
    for name, c in (("mixture", drawn), ("resampled", embedded)):
        behind = world.invert(generated(stages, one, c, name), one)
        for view in others:
            r2 = content_agreement(
                world, view, generated(stages, view, c, name), {key: behind[key] for key in names}
            )
            rows.append({"given": f"prior ({name})", "generated": f"{view} beside {one}", "r2": r2})
    return rows


def generated(stages: Stages, view: str, c: Float[Tensor, "n s"], stream: str) -> Float[Tensor, "n x"]:
    """Observations of a view given c, with m drawn from its prior: the means of the likelihood."""
    seed = stages.first.source.seed
    generator = seeding.generator(seed, stream, view, "prior", device=c.device)
    m = torch.randn(len(c), stages.latents.specific, generator=generator, device=c.device)
    vae = stages.seconds[view].vae
    return vae.likelihood.mean(vae.decode(c, m))
