"""What both stages of a DMVAE hold and generate, measured on the world that they were trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from sklearn.mixture import GaussianMixture
from torch import Tensor

from identbox import config, seeding
from identbox.experiments.dmvae_learners import SharedLearner, SpecificLearner
from identbox.experiments.simulation import ProbeSettings
from identbox.learning.mutual_information import mutual_information
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import seen, target_of
from identbox.process.world import World

COMPONENTS = 100  # of the mixture of Gaussians that embeddings are drawn from (section 9.3)
ROWS_A_COMPONENT = 20  # embeddings at least
Prior = Literal["mixture", "resampled"]


@torch.no_grad()
def penalty(second: SpecificLearner, n: int = 4096) -> float:
    """The discriminator's estimate of I(c; m_i) in nats, on samples that training has not seen."""
    world = second.first.world
    sample = world.sample(n, "penalty", second.view)
    generator = seeding.generator(world.seed, "penalty", second.view, "draws", device=world.device)
    q = second.vae.posterior(sample.x[second.view])
    m = q.from_noise(q.noise(1, generator))[0]
    c = second.first.context(sample.x, generator)
    return mutual_information(second.vae.discriminator, c, m).item()


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
def generated_content(
    first: SharedLearner, seconds: Mapping[str, SpecificLearner], n: int
) -> list[dict[str, Any]]:
    """Content of generated views: those made from each other view, and those made together from draws of c.

    Specific latents are drawn from their prior, and generated data are the means of the likelihoods. Beside each
    conditional score stands that of observations of another sample, which is what chance gives.
    """
    world = first.world
    sample = world.sample(n, "coherence")
    names = [v.name for v in world.process.variables if v.role == "content" and not v.distribution.constant]
    content = {name: sample.z[world.views[0]][name] for name in names}
    rows: list[dict[str, Any]] = []
    for given in world.views:
        c = first.shared.embed({given: sample.x[given]})
        for view in world.views:
            made = generated(seconds[view], c, "coherence")
            other = {name: values.roll(1, 0) for name, values in content.items()}
            rows.append(
                {
                    "given": given,
                    "generated": view,
                    "r2": content_agreement(world, view, made, content),
                    "chance": content_agreement(world, view, made, other),
                }
            )
    priors: tuple[Prior, ...] = ("mixture", "resampled")
    for prior in priors:
        c = drawn_context(first, n, prior)
        behind = {view: world.invert(generated(seconds[view], c, prior), view) for view in world.views}
        one, *others = world.views
        for view in others:
            expected = {name: behind[one][name] for name in names}
            made = generated(seconds[view], c, prior)
            rows.append(
                {
                    "given": f"prior ({prior})",
                    "generated": f"{view} beside {one}",
                    "r2": content_agreement(world, view, made, expected),
                }
            )
    return [config.toml_values(row) for row in rows]


def generated(second: SpecificLearner, c: Float[Tensor, "n s"], stream: str) -> Float[Tensor, "n x"]:
    """Observations of a view given c, with m drawn from its prior: the means of the likelihood."""
    size = second.vae.posterior(second.first.world.sample(1, "size").x[second.view]).mean.shape[1]
    generator = seeding.generator(second.first.world.seed, stream, second.view, "prior", device=c.device)
    m = torch.randn(len(c), size, generator=generator, device=c.device)
    return second.vae.likelihood.mean(second.vae.decode(c, m))


def drawn_context(first: SharedLearner, n: int, prior: Prior) -> Float[Tensor, "n s"]:
    """c without any modality: from a mixture of Gaussians fitted to embeddings of all views, or those themselves."""
    world = first.world
    embedded = first.shared.embed(world.sample(n, "prior of c").x)
    if prior == "resampled":
        return embedded
    parts = max(1, min(COMPONENTS, n // ROWS_A_COMPONENT))
    seed = seeding.derive(world.seed, "mixture of c") % 2**32
    fitted = GaussianMixture(parts, random_state=seed, reg_covar=1e-4).fit(embedded.double().cpu().numpy())
    return torch.as_tensor(fitted.sample(n)[0], dtype=embedded.dtype, device=embedded.device)
