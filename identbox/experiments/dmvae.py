"""DMVAE (two-stage) from its configuration to its records, on numerical simulations (chapter 9).

A folder holds one run for each part: ``shared`` for the first stage, ``specific-VIEW`` for the second stage of each
view. Each is a run like others: it may be stopped and continued at any step. The folder's own record says what the
parts encode together, and what they generate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import torch

from identbox import config
from identbox.config import configuration
from identbox.experiments.dmvae_learners import SharedLearner, SpecificLearner
from identbox.experiments.dmvae_measures import generated_content, penalty, probes_of
from identbox.experiments.identification import identification_record
from identbox.experiments.records import DMVAE
from identbox.experiments.run import RunFolder, Trainable
from identbox.experiments.simulation import ProbeSettings, ProcessSettings, conditioning, probed
from identbox.learning import training
from identbox.learning.contrastive import Objective
from identbox.learning.decoders import VectorDecoder
from identbox.learning.dmvae import ConditionalVAE, Embedding, SharedInference
from identbox.learning.encoders import MLP, MLPSettings
from identbox.learning.likelihoods import LikelihoodSettings
from identbox.learning.mutual_information import Discriminator, DiscriminatorSettings
from identbox.learning.posteriors import Subsets
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained, TrainingSettings
from identbox.metrics.interventional import content_r2
from identbox.process.mixing import Mixing
from identbox.process.tables import table_from_process
from identbox.process.world import World
from identbox.settings import Count, NonNegative, Positive, at_least, settings

NO_OPTIMUM = "the first stage of a DMVAE, whose objective has no optimum in the theorem's proof"
SHARED, SPECIFIC = "shared", "specific-{}"


@settings
class SharedStage:
    """Stage 1: the shared latents, and how they are trained."""

    encoding_size: Count | None = None  # of c; without it, as many dimensions as content needs
    widths: tuple[Count, ...] = (20, 40, 40, 20)  # of the encoders' hidden layers, in input dimensions
    slope: float = 0.01  # of LeakyReLU below 0
    whitening: Annotated[int, at_least(100)] | None = None  # see encoder.whitening of a simulation
    prior_expert: bool = True  # whether the prior is a factor of each product of experts
    embedding: Embedding = "mean"  # what is contrasted, and what the second stage sees: the mean, or a draw
    objective: Objective = field(default_factory=Objective)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@settings
class SpecificStage:
    """Stage 2: the latents of each view by itself, and how they are trained."""

    size: Count = 4  # dimensions of m_i
    widths: tuple[Count, ...] = (20, 40, 40, 20)  # of the encoders' hidden layers, in input dimensions
    decoder_widths: tuple[Count, ...] = (
        20,
        40,
        20,
    )  # of the decoders' hidden layers, in dimensions of (c, m_i)
    slope: float = 0.01  # of LeakyReLU below 0
    scale: Positive = 0.1  # standard deviation of the Gaussian likelihood
    beta: NonNegative = 1.0  # weight of the divergence from the prior
    delta: NonNegative = 10.0  # weight of the mutual information of c and m_i
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    training: TrainingSettings = field(
        default_factory=TrainingSettings
    )  # steps of VAE and discriminator in turn


@settings
class DMVAESettings:
    """All that a DMVAE on a simulation is, but for its seed."""

    process: ProcessSettings = field(default_factory=ProcessSettings)
    mixing: Mixing = field(default_factory=Mixing)
    shared: SharedStage = field(default_factory=SharedStage)
    specific: SpecificStage = field(default_factory=SpecificStage)
    probes: ProbeSettings = field(default_factory=ProbeSettings)

    @staticmethod
    def from_preset(
        preset: str, table: Mapping[str, Any] | None = None, where: str = "config"
    ) -> DMVAESettings:
        """The configuration of a preset, changed by a table. Raises IdentboxError for what does not fit."""
        return configuration(DMVAESettings, DMVAE_PRESETS, preset, table or {}, where)

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)


DMVAE_PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {"shared": {"training": {"batch": 1024}}, "specific": {"delta": 400.0}},
    "quick": {
        "process": {"content": 2, "style": 2, "specific": 2},
        "shared": {
            "whitening": 4096,
            "training": {
                "optimizer": "soap",
                "steps": 1500,
                "batch": 512,
                "learning_rate": 3e-3,
                "schedule": "cosine",
                "warmup": 50,
            },
        },
        "specific": {
            "training": {
                "steps": 6000,
                "batch": 512,
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "clip": 100.0,
            }
        },
        "probes": {"samples": 1024},
    },
}


def run_dmvae_on_world(
    experiment: DMVAESettings,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train both stages on a numerical simulation and measure them; writes and returns the folder's record.

    Parts that are finished are not trained again. Raises IdentboxError as `run_simulation` does.
    """
    whole = RunFolder(path=folder, kind=DMVAE, seed=seed, config=experiment.table())
    whole.claim()
    with whole.keep(callbacks):
        first = shared_learner(experiment, seed=seed).to(device)
        records = {SHARED: _train_shared(experiment, first, folder, seed, callbacks)}
        seconds: dict[str, SpecificLearner] = {}
        for view in first.world.views:
            seconds[view] = specific_learner(experiment, first, view, seed=seed).to(device)
            name = SPECIFIC.format(view)
            records[name] = _train_specific(experiment, seconds[view], folder / name, seed, callbacks)
        trained = Trained(
            steps=sum(record["steps"] for record in records.values()),
            seconds=sum(record["seconds"] for record in records.values()),
            loss=None,
        )
        together = Trainable(
            model=first,
            loss=first.loss,
            settings=experiment.shared.training,
            measure=lambda _: _measured_together(experiment, first, seconds, records),
        )
        return whole.finish(together, trained)


def shared_learner(experiment: DMVAESettings, *, seed: int) -> SharedLearner:
    """The untrained first stage of a simulation, on its world."""
    stage = experiment.shared
    world = World(experiment.process.make("multimodal"), seed=seed, mixing=experiment.mixing)
    size = stage.encoding_size or stage.objective.encoding_size(world.content_size)
    layers = MLPSettings(widths=stage.widths, slope=stage.slope)
    encoders = {
        view: MLP(world.mixings[view].dim, 2 * size, layers, seed=seed, name=f"shared/{view}")
        for view in world.views
    }
    if stage.whitening is not None:
        sample = world.sample(stage.whitening, "whitening")
        for view, encoder in encoders.items():
            encoder.whiten(sample.x[view])
    shared = SharedInference(encoders, Subsets.powerset(len(encoders)), prior_expert=stage.prior_expert)
    return SharedLearner(
        world, shared, stage.objective, batch=stage.training.batch, embedding=stage.embedding
    )


def specific_learner(
    experiment: DMVAESettings, first: SharedLearner, view: str, *, seed: int
) -> SpecificLearner:
    """The untrained second stage of a view."""
    stage, world = experiment.specific, first.world
    width = world.mixings[view].dim
    shared = experiment.shared.encoding_size or first.objective.encoding_size(world.content_size)
    inwards = MLPSettings(widths=stage.widths, slope=stage.slope)
    outwards = MLPSettings(widths=stage.decoder_widths, slope=stage.slope)
    vae = ConditionalVAE(
        MLP(width, 2 * stage.size, inwards, seed=seed, name=f"specific/{view}"),
        VectorDecoder(shared + stage.size, (width,), outwards, seed=seed, name=f"decoder/{view}"),
        LikelihoodSettings(kind="gaussian", scale=stage.scale).make(),
        Discriminator(shared, stage.size, stage.discriminator, seed=seed, name=f"discriminator/{view}"),
    )
    return SpecificLearner(first, view, vae, batch=stage.training.batch, beta=stage.beta, delta=stage.delta)


def _train_shared(
    experiment: DMVAESettings, first: SharedLearner, folder: Path, seed: int, callbacks: Callbacks
) -> dict[str, Any]:
    """Train the first stage, or load it where it is finished; returns its record."""
    run = RunFolder(path=folder / SHARED, kind=DMVAE, seed=seed, config=experiment.table())
    learning = Trainable(
        model=first,
        loss=first.loss,
        settings=experiment.shared.training,
        watch=lambda: {"content_r2": content_r2(first.world, first.encode)},
        measure=lambda trained: {
            **_facts(first.world),
            "losses": config.toml_values({"train": trained.loss, "validation": first.validation_loss()}),
            "probes": [score.record() for score in probed(first.world, first.encode, experiment.probes)],
            **identification_record(
                first.world,
                first.encode,
                NO_OPTIMUM,
                objective=first.objective,
                samples=2 * experiment.probes.samples,
                interventions=experiment.probes.interventions,
            ),
        },
    )
    record = run.run(lambda: learning, callbacks)
    training.load_model(run.path, first)
    return record


def _train_specific(
    experiment: DMVAESettings, second: SpecificLearner, folder: Path, seed: int, callbacks: Callbacks
) -> dict[str, Any]:
    """Train the second stage of a view, or load it where it is finished; returns its record."""
    run = RunFolder(path=folder, kind=DMVAE, seed=seed, config=experiment.table())
    learning = Trainable(
        model=second,
        loss=second.loss,
        settings=experiment.specific.training,
        watch=lambda: {"mutual_information": penalty(second)},
        measure=lambda trained: {
            **_facts(second.first.world),
            "losses": config.toml_values({"train": trained.loss, **second.validation_losses()}),
            "mutual_information": {second.view: penalty(second)},
            "probes": probes_of(
                second.first.world,
                lambda x: second.embed(x[second.view]),
                second.view,
                experiment.probes,
                name=f"m of {second.view}",
            ),
        },
    )
    record = run.run(lambda: learning, callbacks)
    training.load_model(run.path, second)
    return record


def _facts(world: World) -> dict[str, Any]:
    return {
        "process": config.toml_values(table_from_process(world.process)),
        "mixing": config.toml_values(conditioning(world)),
    }


def _measured_together(
    experiment: DMVAESettings,
    first: SharedLearner,
    seconds: Mapping[str, SpecificLearner],
    records: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What the folder's record says: the verdict's facts on c, probes of c and of each m, and generated content."""
    shared, world = records[SHARED], first.world
    subsets = [
        one
        for view in world.views
        for one in probes_of(
            world, first.shared.embed, view, experiment.probes, name=f"c of all (latents of {view})"
        )
    ]
    for view in seconds:
        subsets += records[SPECIFIC.format(view)]["probes"]
    return {
        **{
            key: shared[key]
            for key in ("process", "mixing", "probes", "identification", "assumptions", "optimum")
        },
        "losses": {name: record["losses"]["validation"] for name, record in records.items()},
        "mutual_information": {view: penalty(second) for view, second in seconds.items()},
        "probes_subsets": subsets,
        "content_agreement": generated_content(first, seconds, 2 * experiment.probes.samples),
    }
