"""Multimodal VAEs from their configuration to their record (chapters 5 to 7), and their runs on simulations.

A model is a name: which subsets its posterior mixes and which bound it maximises. The rest of a configuration is that
of other runs. A run's folder is that of every run, and its embeddings go through the same probes and verdicts as those
of contrastive encoders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch

from identbox import config, seeding
from identbox.config import configuration
from identbox.errors import IdentboxError
from identbox.experiments.identification import identification_record
from identbox.experiments.multiview import DataKind
from identbox.experiments.pair_learner import DataSettings
from identbox.experiments.records import DMVAE, GENERATIVE
from identbox.experiments.run import RunFolder, Trainable
from identbox.experiments.simulation import ProbeSettings, ProcessSettings, conditioning, probed
from identbox.experiments.vae_learners import VaeLearner, WorldVae, embeddings
from identbox.experiments.vae_networks import (
    VaeDecoderSettings,
    VaeEncoderSettings,
    world_modalities,
)
from identbox.learning.elbo import VaeObjective
from identbox.learning.inception import Inception, load_inception
from identbox.learning.judges import JudgeSettings
from identbox.learning.posteriors import Subsets
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained, TrainingSettings
from identbox.learning.vae import Data as VaeData
from identbox.learning.vae import MultimodalVAE
from identbox.metrics.interventional import content_r2
from identbox.metrics.likelihood import log_likelihood
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import seen, target_of
from identbox.process.mixing import Mixing
from identbox.process.tables import table_from_process
from identbox.process.world import World
from identbox.settings import Count, Probability, at_least, settings

NO_OPTIMUM = "a multimodal VAE, whose objective has no optimum in the theorem's proof"

ModelName = Literal[
    "unimodal-vaes",
    "mvae",
    "mmvae",
    "mmvae-iwae",
    "mopoe-vae",
    "naive-mvae",
    "naive-mmvae",
    "naive-mopoe-vae",
    "mmvae-plus",
]
MODEL_NAMES: tuple[str, ...] = get_args(ModelName)
PARTITION = {"encoder": {"specific": 2}}
# Sizes of a partitioned model on each kind of data; on PolyMNIST those of MMVAE+.
PARTITIONS: dict[DataKind, dict[str, int]] = {
    "simulation": {"specific": 2},
    "law": {"specific": 1},
    "pairs": {"specific": 2},
    "multiview": {"encoding_size": 32, "specific": 32},
}
# What makes each model: which subsets, and what differs from the defaults of the other settings.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "unimodal-vaes": ("single", {"elbo": {"decoded": "own"}}),
    "mvae": ("all", {}),
    "mmvae": ("single", {}),
    "mmvae-iwae": (
        "single",
        {
            "encoder": {"family": "laplace", "prior_expert": False},
            "elbo": {"bound": "iwae", "divergence": "mixture", "samples": 10},
        },
    ),
    "mopoe-vae": ("powerset", {}),
    "naive-mvae": ("all", PARTITION),
    "naive-mmvae": ("single", {**PARTITION, "elbo": {"divergence": "mixture"}}),
    "naive-mopoe-vae": ("powerset", PARTITION),
    "mmvae-plus": (
        "single",
        {**PARTITION, "elbo": {"divergence": "mixture", "crossmodal": "published"}},
    ),
}


@settings
class LikelihoodEstimate:
    """How log-likelihoods are estimated after the training."""

    data: Annotated[int, at_least(0)] = 256  # samples, at most; 0 for no estimate
    samples: Count = 1000  # K, of the latent variables for each of them


@settings
class GenerationSettings:
    """What is generated and judged after the training, on a dataset."""

    samples: Annotated[int, at_least(0)] = 2000  # of the test split, at most; 0 for none
    by_inputs: bool = True  # from subsets of every size, or from single modalities and from all others alone
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    # the file of Inception's weights, with which Frechet distances are FIDs; without it, features are the judges'
    inception: str | None = None

    def expect_inception(self) -> Inception | None:
        """Inception with the weights of the file, where one is named. Raises IdentboxError as `load_inception` does."""
        return None if self.inception is None else load_inception(Path(self.inception))


@settings
class Generative:
    """All that a run of a multimodal VAE is, but for its seed and its data."""

    model: ModelName = "mopoe-vae"
    # the posterior's subsets, by the names of modalities, and their weights; without them, those of the model
    subsets: tuple[tuple[str, ...], ...] = ()
    weights: tuple[Probability, ...] = ()
    process: ProcessSettings = field(default_factory=ProcessSettings)  # of a simulation
    mixing: Mixing = field(default_factory=Mixing)  # of a simulation
    data: DataSettings = field(default_factory=DataSettings)  # of images and sentences
    modalities: tuple[str, ...] = ()  # those of a dataset that are modelled; without them, all
    encoder: VaeEncoderSettings = field(default_factory=VaeEncoderSettings)
    decoder: VaeDecoderSettings = field(default_factory=VaeDecoderSettings)
    elbo: VaeObjective = field(default_factory=VaeObjective)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)
    likelihood: LikelihoodEstimate = field(default_factory=LikelihoodEstimate)
    generation: GenerationSettings = field(default_factory=GenerationSettings)

    def __post_init__(self) -> None:
        if self.weights and not self.subsets:
            raise IdentboxError("weights: expected subsets beside them, got none")
        changed = [
            name for name in ("shift", "hue", "light", "more_sentences", "pairs") if getattr(self.data, name)
        ]
        if changed:
            raise IdentboxError(f"data.{changed[0]}: expected none for a model of the data, got a value")

    @staticmethod
    def from_preset(
        preset: str,
        table: Mapping[str, Any] | None = None,
        where: str = "config",
        *,
        on: DataKind = "simulation",
    ) -> Generative:
        """The configuration of a preset and of the model that ``table`` names, changed by the rest of it.

        ``on`` says what it is trained on: presets differ for simulations, laws, image-text pairs and other datasets.

        Raises IdentboxError for an unknown preset or model, and for keys and values that do not fit.
        """
        changes = dict(table or {})
        name = changes.get("model", "mopoe-vae")
        if not isinstance(name, str) or name not in MODELS:
            raise IdentboxError(
                f"{where}: model: expected one of {', '.join((*MODELS, DMVAE))}; got {name!r:.60}"
            )
        model = MODELS[name][1]
        if model.get("encoder", {}).get("specific"):
            model = config.merge(model, {"encoder": PARTITIONS[on]})
        presets = {
            key: config.merge(config.merge(tables["all"], tables[on]), model)
            for key, tables in GENERATIVE_PRESETS.items()
        }
        return configuration(Generative, presets, preset, changes, where)

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)

    def subsets_of(self, names: tuple[str, ...]) -> Subsets:
        """The subsets of the posterior, of modalities of these names."""
        if self.subsets:
            return Subsets.of_names(names, self.subsets, self.weights)
        kind = {"all": Subsets.all_modalities, "single": Subsets.single, "powerset": Subsets.powerset}
        return kind[MODELS[self.model][0]](len(names))


# For each preset what all runs have, and what those on each kind of data have besides.
GENERATIVE_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "thesis": {
        "all": {},
        "simulation": {},
        "law": {},
        "pairs": {
            "training": {"steps": 100_000, "batch": 256, "learning_rate": 5e-4},
            "encoder": {"image": "resnet18"},
        },
        # PolyMNIST in chapter 5: 300 epochs of 60 000 samples.
        "multiview": {
            "training": {"steps": 70_200, "batch": 256, "learning_rate": 5e-4, "log_every": 1000},
            "encoder": {"encoding_size": 512},
            "decoder": {"image_scale": 0.75},
            "elbo": {"beta": 2.5},
            "probes": {"samples": 500},
            "generation": {"samples": 10_000, "judge": {"steps": 10_000}},
        },
    },
    "quick": {
        "all": {
            "process": {"content": 2, "style": 2, "specific": 2},
            "training": {"steps": 3000, "batch": 256, "learning_rate": 1e-3, "schedule": "cosine"},
            "probes": {"samples": 1024},
        },
        "simulation": {},
        # A few classes: with more layers the posterior stays at the prior.
        "law": {
            "encoder": {"widths": [8]},
            "decoder": {"widths": [16, 16]},
            "training": {"steps": 1500, "learning_rate": 0.02},
        },
        "pairs": {
            "process": {"content": 5, "style": 5, "specific": 5},
            "encoder": {"encoding_size": 16},
            "data": {"image_size": 64},
            "training": {"steps": 6000, "batch": 64, "log_every": 200},
            "probes": {"samples": 4096},
            "likelihood": {"data": 32, "samples": 100},
            "generation": {"samples": 1000, "judge": {"steps": 2000}},
        },
        # 28 pixels a side: decoders draw digits after some hundred steps of SOAP, and not after 1 500 of Adam. With the
        # scale 0.75 of the thesis a digit is worth too few nats to be encoded within so few steps.
        "multiview": {
            "training": {
                "optimizer": "soap",
                "steps": 300,
                "batch": 64,
                "learning_rate": 1e-2,
                "log_every": 50,
            },
            "encoder": {"encoding_size": 64, "channels": [12, 24, 32], "hidden": 96},
            "decoder": {
                "image_likelihood": "gaussian",
                "image_scale": 0.1,
                "channels": [12, 24, 32],
                "hidden": 96,
            },
            "elbo": {"beta": 1.0, "subsets": "one"},
            "probes": {"samples": 500, "bootstrap": 10},
            "likelihood": {"data": 16, "samples": 64},
            "generation": {"samples": 1000, "judge": {"steps": 1000}},
        },
    },
}


def vae_folder(
    folder: Path, experiment: Generative, *, seed: int, dataset: tuple[Path, str] | None = None
) -> RunFolder:
    """The folder of a run; ``dataset`` is the folder and the hash of the dataset, where it is trained on one."""
    run = RunFolder(path=folder, kind=GENERATIVE, seed=seed, config=experiment.table())
    return run if dataset is None else run.on_dataset(*dataset)


def run_vae_on_world(
    experiment: Generative,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train and probe a multimodal VAE on a numerical simulation; writes and returns the record.

    Raises IdentboxError as `run_simulation` does, and names the term of the bound where a step is not finite.
    """

    def make() -> Trainable:
        learner = world_vae(experiment, seed=seed, device=device)
        learner.vae.expect_range(learner.data(0, "train"))
        return dataclasses.replace(
            learner.trainable(lambda trained: _measured_world(learner, trained, experiment)),
            watch=lambda: {"content_r2": content_r2(learner.world, learner.encode)},
            curves=learner.curves,
        )

    return vae_folder(folder, experiment, seed=seed).run(make, callbacks)


def world_vae(experiment: Generative, *, seed: int, device: torch.device | str = "cpu") -> WorldVae:
    """The untrained model of a simulation, on its world."""
    process = experiment.process.make("multimodal")
    world = World(process, seed=seed, mixing=experiment.mixing)
    latents = experiment.encoder.latents(world.content_size)
    parts = world_modalities(world, latents, experiment.encoder, experiment.decoder, seed=seed)
    vae = MultimodalVAE(parts, latents, experiment.subsets_of(tuple(parts)))
    return WorldVae(world, vae, experiment.elbo, experiment.training).to(device)


def _measured_world(learner: WorldVae, trained: Trained, experiment: Generative) -> dict[str, Any]:
    """What the record says of a model, its world and its embeddings."""
    learner.eval()
    world, settings = learner.world, experiment.probes
    held_out = world.sample(max(1, experiment.likelihood.data), "likelihood").x
    return {
        "process": config.toml_values(table_from_process(world.process)),
        "mixing": config.toml_values(conditioning(world)),
        **bound_record(learner, trained, held_out, experiment),
        "probes": [score.record() for score in probed(world, learner.encode, settings)],
        "probes_subsets": _subset_probes(learner, settings),
        **identification_record(
            world,
            learner.encode,
            NO_OPTIMUM,
            objective=None,
            samples=2 * settings.samples,
            interventions=settings.interventions,
        ),
    }


def bound_record(
    learner: VaeLearner, trained: Trained, held_out: VaeData, experiment: Generative
) -> dict[str, Any]:
    """Losses with the name of the bound that they are of, and log-likelihoods with the raw likelihoods and beta 1."""
    scales = "; ".join(f"{name}: {one}" for name, one in learner.vae.likelihoods.items())
    losses = {"train": trained.loss, "validation": learner.validation_loss()}
    subsets = ", ".join(
        f"{name} ({weight:.3g})"
        for name, weight in zip(
            learner.vae.subsets.names(learner.vae.names), learner.vae.subsets.weights, strict=True
        )
    )
    return {
        "losses": config.toml_values(losses),
        "bound": f"negative {experiment.elbo}; posterior: {subsets}; likelihoods: {scales}",
        "likelihood": likelihoods(learner, held_out, experiment.likelihood),
    }


def likelihoods(
    learner: VaeLearner, x: VaeData, estimate: LikelihoodEstimate
) -> list[dict[str, float | int | str]]:
    """The joint log-likelihood, and those of each modality given the others."""
    if not estimate.data:
        return []
    options: dict[str, Any] = {"samples": estimate.samples, "seed": learner.seed}
    return [
        log_likelihood(learner.vae, x, names, given=given, **options).record()
        for names, given in likelihoods_asked(tuple(x))
    ]


def likelihoods_asked(names: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of which modalities, given which, log-likelihoods are estimated: all, then each given the others."""
    return [(names, ()), *(((n,), tuple(other for other in names if other != n)) for n in names)]


@torch.no_grad()
def _subset_probes(learner: WorldVae, settings: ProbeSettings) -> list[dict[str, Any]]:
    """Every variable from the embeddings of all views together, and of the specific dimensions of each.

    The latents of each view are targets of their own, since style differs between views.
    """
    world = learner.world
    drawn = [world.sample(settings.samples, "probe", part) for part in ("fit", "score")]
    fit, score = (embeddings(learner.vae, sample.x) for sample in drawn)
    records = []
    for name in fit:
        if name in world.views:
            continue
        for view in world.views:
            targets = [
                target_of(variable, *(seen(sample.latent, view, variable) for sample in drawn))
                for variable in world.process.variables
                if not variable.distribution.constant
            ]
            options = PredictorSettings(bootstrap=settings.bootstrap, centre=True)
            seed = seeding.derive(world.seed, "probing", name, view)
            for one in probe_targets(fit[name], score[name], targets, settings=options, seed=seed):
                records.append(dataclasses.replace(one, view=f"{name} (latents of {view})").record())
    return records
