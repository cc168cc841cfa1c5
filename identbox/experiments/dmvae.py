"""DMVAE (two-stage) from its configuration to its records (chapter 9), on simulations and on datasets.

A folder holds one run for each part: ``shared`` for the first stage, ``specific-MODALITY`` for the second stage of each
modality. Each is a run like others: it may be stopped and continued at any step. The folder's own record says what the
parts encode together, and what they generate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from identbox import config, seeding
from identbox.config import configuration
from identbox.errors import IdentboxError
from identbox.experiments.dmvae_learners import BatchSource, SharedLearner, SpecificLearner
from identbox.experiments.generative import GenerationSettings
from identbox.experiments.multiview import DataKind
from identbox.experiments.pair_learner import DataSettings
from identbox.experiments.simulation import ProbeSettings, ProcessSettings
from identbox.experiments.vae_networks import VaeDecoderSettings, VaeEncoderSettings
from identbox.learning.contrastive import Objective
from identbox.learning.dmvae import (
    ConditionalVAE,
    Contrast,
    Embedding,
    OfDirections,
    SharedInference,
    directions,
)
from identbox.learning.encoders import MLP
from identbox.learning.mixture_prior import COMPONENTS, MixturePrior
from identbox.learning.mutual_information import Discriminator, DiscriminatorSettings
from identbox.learning.posteriors import Subsets
from identbox.learning.training import TrainingSettings
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.process.mixing import Mixing
from identbox.settings import Count, NonNegative, at_least, settings

NO_SHARED_OPTIMUM = "the first stage of a DMVAE, whose objective has no optimum in the theorem's proof"
SHARED, SPECIFIC_FOLDER = "shared", "specific-{}"
SubsetKind = Literal["powerset", "single", "all"]
SUBSETS: dict[SubsetKind, Callable[[int], Subsets]] = {
    "powerset": Subsets.powerset,
    "single": Subsets.single,
    "all": Subsets.all_modalities,
}


@settings
class SharedStage:
    """Stage 1: how the shared latents are trained."""

    # samples whose mean and covariance the first layers undo, of views of a simulation; see encoder.whitening there
    whitening: Annotated[int, at_least(100)] | None = None
    embedding: Embedding = "mean"  # what is contrasted, and what the second stage sees: the mean, or a draw
    # what a subset of the modalities is contrasted with: all of them (Eq. 9.3), or those not in it
    against: Contrast = "whole"
    # which subsets are drawn: every one (MoPoE, Eq. 9.1), single modalities, or all modalities together alone
    subsets: SubsetKind = "powerset"
    objective: Objective = field(default_factory=Objective)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if self.subsets == "all" and self.against == "rest":
            raise IdentboxError(
                "subsets: expected powerset or single where they are held against the rest, got all"
            )


@settings
class SpecificStage:
    """Stage 2: how the latents of each modality by itself are trained."""

    beta: NonNegative = 1.0  # weight of the divergence from the prior
    delta: NonNegative = 10.0  # weight of the mutual information of c and m_i
    delta_warmup: Annotated[int, at_least(0)] = 0  # steps in which delta grows from 0 along a line
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    training: TrainingSettings = field(
        default_factory=TrainingSettings
    )  # steps of VAE and discriminator in turn


@settings
class DMVAESettings:
    """All that a DMVAE is, but for its seed and its data. ``encoder.specific`` is the size of each m_i."""

    model: Literal["dmvae"] = "dmvae"
    process: ProcessSettings = field(default_factory=ProcessSettings)  # of a simulation
    mixing: Mixing = field(default_factory=Mixing)  # of a simulation
    data: DataSettings = field(default_factory=DataSettings)  # of images and sentences
    modalities: tuple[str, ...] = ()  # those of a dataset that are modelled; without them, all
    encoder: VaeEncoderSettings = field(default_factory=VaeEncoderSettings)
    decoder: VaeDecoderSettings = field(default_factory=VaeDecoderSettings)
    shared: SharedStage = field(default_factory=SharedStage)
    specific: SpecificStage = field(default_factory=SpecificStage)
    components: Count = COMPONENTS  # of the mixture of Gaussians that c is drawn from without any modality
    probes: ProbeSettings = field(default_factory=ProbeSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)

    @staticmethod
    def from_preset(
        preset: str,
        table: Mapping[str, Any] | None = None,
        where: str = "config",
        *,
        on: DataKind = "simulation",
    ) -> DMVAESettings:
        """The configuration of a preset for a kind of data, changed by a table.

        Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
        """
        presets = {key: config.merge(tables["all"], tables[on]) for key, tables in DMVAE_PRESETS.items()}
        return configuration(DMVAESettings, presets, preset, table or {}, where)

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)

    def latents(self, content_size: int) -> Latents:
        """The latent variables, of data with content of that size where no size is set."""
        size = self.encoder.encoding_size or self.shared.objective.encoding_size(content_size)
        own, expert = self.encoder.specific, self.encoder.prior_expert
        return Latents(shared=size, specific=own, prior_expert=expert)


_SOAP = {"optimizer": "soap", "learning_rate": 3e-3, "schedule": "cosine", "warmup": 50}
# For each preset what all runs have, and what those on each kind of data have besides.
DMVAE_PRESETS: dict[str, dict[DataKind | str, dict[str, Any]]] = {
    "thesis": {
        "all": {
            "encoder": {"specific": 32},
            "shared": {"training": {"batch": 1024, "learning_rate": 5e-4}},
            "specific": {"delta": 400.0, "training": {"batch": 256, "learning_rate": 5e-4}},
        },
        "simulation": {"encoder": {"specific": 10}, "specific": {"delta": 10.0}},
        "pairs": {"encoder": {"image": "resnet18"}},
        # 1 000 epochs of 60 000 samples a stage; a step of the discriminator follows each of the VAE.
        "multiview": {
            "encoder": {"encoding_size": 32, "image": "residual"},
            "decoder": {"image": "residual", "image_scale": 0.75},
            "shared": {
                "training": {"steps": 58_000},
                "objective": {"similarity": "cosine", "temperature": 0.1},
            },
            "specific": {"training": {"steps": 468_000}},
            "probes": {"samples": 500},
            "generation": {"samples": 10_000, "judge": {"steps": 10_000}},
        },
    },
    "quick": {
        "all": {
            "process": {"content": 2, "style": 2, "specific": 2},
            "encoder": {"specific": 4},
            "specific": {
                "training": {
                    "steps": 6000,
                    "batch": 256,
                    "learning_rate": 1e-3,
                    "schedule": "cosine",
                    "clip": 100.0,
                }
            },
            "probes": {"samples": 1024},
        },
        "simulation": {"shared": {"whitening": 4096, "training": {**_SOAP, "steps": 1500, "batch": 512}}},
        "pairs": {
            "data": {"image_size": 64},
            "encoder": {"encoding_size": 16, "specific": 16},
            "shared": {
                "objective": {"similarity": "cosine", "temperature": 0.1},
                "training": {"steps": 3000, "batch": 128, "learning_rate": 5e-4, "log_every": 200},
            },
            "specific": {"training": {"batch": 64}},
            "generation": {"samples": 1000, "judge": {"steps": 2000}},
        },
        # As for other multimodal VAEs (GENERATIVE_PRESETS): SOAP, a likelihood that soon draws digits, and the judges.
        "multiview": {
            "encoder": {"encoding_size": 32, "specific": 32, "channels": [12, 24, 32], "hidden": 96},
            "decoder": {
                "image_likelihood": "gaussian",
                "image_scale": 0.3,
                "channels": [12, 24, 32],
                "hidden": 96,
            },
            # Against all modalities, as Eq. 9.3 has it, what one modality shows is encoded as well: docs/dmvae.md.
            "shared": {
                "against": "rest",
                "objective": {"similarity": "cosine", "temperature": 0.5},
                "training": {**_SOAP, "steps": 800, "batch": 256},
            },
            "specific": {
                "delta": 10.0,
                "training": {**_SOAP, "steps": 2000, "batch": 64, "learning_rate": 1e-2},
            },
            "probes": {"samples": 500, "bootstrap": 10},
            "generation": {"samples": 1000, "judge": {"steps": 1000}},
        },
    },
}

Parts = Callable[[Latents, int], Mapping[str, Modality]]  # networks for latents of these sizes, from a seed


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Both stages of a DMVAE, trained or not."""

    first: SharedLearner
    seconds: Mapping[str, SpecificLearner]
    latents: Latents

    def assembled(self, prior: MixturePrior) -> MultimodalVAE:
        """The stages as one model, which generates and is judged like other multimodal VAEs."""
        parts = {
            view: Modality(
                encoder=_Both(self.first.shared.encoders[view], second.vae.encoder),
                decoder=second.vae.decoder,
                likelihood=second.vae.likelihood,
            )
            for view, second in self.seconds.items()
        }
        model = MultimodalVAE(parts, self.latents, self.first.shared.subsets)
        model.shared_prior = prior
        if self.first.of_directions:
            model.seen_of_shared = directions
        return model.to(self.first.device).eval()


class _Both(nn.Module):
    """The outputs of both encoders of a modality: those of shared dimensions first."""

    def __init__(self, shared: nn.Module, specific: nn.Module) -> None:
        super().__init__()
        self.shared, self.specific = shared, specific

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.shared(x), self.specific(x)], 1)


def stages_of(
    experiment: DMVAESettings,
    source: BatchSource,
    make: Parts,
    latents: Latents,
    *,
    seed: int,
    device: torch.device | str,
) -> Stages:
    """The untrained stages; ``make`` makes the networks of every modality."""
    alone = dataclasses.replace(latents, specific=0)
    encoders = {view: part.encoder for view, part in make(alone, seed).items()}
    if experiment.shared.whitening is not None:
        x = source.batch(experiment.shared.whitening, "train", 0, torch.device("cpu"))
        for view, encoder in encoders.items():
            if isinstance(encoder, MLP):
                encoder.whiten(x[view])
    stage = experiment.shared
    subsets = SUBSETS[stage.subsets](len(encoders))
    shared = SharedInference(encoders, subsets, prior_expert=latents.prior_expert)
    first = SharedLearner(
        source,
        shared,
        stage.objective,
        batch=stage.training.batch,
        embedding=stage.embedding,
        against=stage.against,
    ).to(device)
    own = make(Latents(shared=latents.specific), seeding.derive(seed, "specific"))
    whole = make(latents, seed)
    options: dict[str, Any] = {
        "batch": experiment.specific.training.batch,
        "beta": experiment.specific.beta,
        "delta": experiment.specific.delta,
        "warmup": experiment.specific.delta_warmup,
    }
    seconds = {}
    for view, part in whole.items():
        discriminator = Discriminator(
            latents.shared,
            latents.specific,
            experiment.specific.discriminator,
            seed=seed,
            name=f"discriminator/{view}",
        )
        decoder = OfDirections(part.decoder, latents.shared) if first.of_directions else part.decoder
        vae = ConditionalVAE(own[view].encoder, decoder, part.likelihood, discriminator)
        seconds[view] = SpecificLearner(first, view, vae, **options).to(device)
    return Stages(first=first, seconds=seconds, latents=latents)
