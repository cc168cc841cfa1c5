"""A DMVAE (two-stage) trained and measured: on a numerical simulation, or on a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identbox import config, seeding
from identbox.experiments import dmvae
from identbox.experiments.dmvae import SPECIFIC_FOLDER, DMVAESettings, Stages
from identbox.experiments.dmvae_learners import DatasetSource, SpecificLearner, WorldSource
from identbox.experiments.dmvae_measures import (
    displacement_records,
    generated_content,
    probes_of,
    specific_identification,
)
from identbox.experiments.dmvae_parts import Measures, Parts, SideBySide
from identbox.experiments.factors import specific_identification_of_split
from identbox.experiments.generative import Generative
from identbox.experiments.identification import (
    IDENTIFICATION,
    SPECIFIC_IDENTIFICATION,
    identification_record,
)
from identbox.experiments.multiview import MultiviewData
from identbox.experiments.run import CONFIG_FILE
from identbox.experiments.simulation import conditioning, probed
from identbox.experiments.vae_learners import DatasetVae
from identbox.experiments.vae_networks import multiview_modalities, world_modalities
from identbox.experiments.vae_runs import data_of_run, dataset_probes, judged_generation, load_vae
from identbox.learning import training
from identbox.learning.elbo import VaeObjective
from identbox.learning.mixture_prior import MixturePrior
from identbox.learning.training import NO_CALLBACKS, Callbacks
from identbox.metrics.interventional import content_r2
from identbox.process.tables import process_from_table, table_from_process
from identbox.process.world import World, unique_mixings

MOST_EMBEDDINGS = 20_000  # that the mixture of c is fitted to


def run_dmvae_on_world(
    experiment: DMVAESettings,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
    part: str | None = None,
    side_by_side: SideBySide | None = None,
) -> dict[str, Any]:
    """Train both stages on a numerical simulation and measure them; writes and returns the folder's record.

    Parts that are finished are not trained again. With ``part`` that one alone is trained, and its record returned;
    with ``side_by_side`` second stages are trained by processes of their own. Raises IdentboxError as `run_simulation`
    and `Parts` do.
    """
    world = World(experiment.process.make("multimodal"), seed=seed, mixing=experiment.mixing)
    stages = world_stages(experiment, world, seed=seed, device=device)
    # Kept with the weights, so that a checkpoint is of this world alone.
    stages.first.mixings = nn.ModuleDict(unique_mixings(world.mixings)).to(device)
    parts = Parts(
        experiment=experiment,
        stages=stages,
        measures=_on_world(experiment, stages, world),
        folder=folder,
        seed=seed,
        callbacks=callbacks,
    )
    return parts.train(side_by_side) if part is None else parts.train_one(part)


def world_stages(
    experiment: DMVAESettings, world: World, *, seed: int, device: torch.device | str = "cpu"
) -> Stages:
    """The untrained stages for the views of a world."""
    return dmvae.stages_of(
        experiment,
        WorldSource(world),
        lambda sizes, own: world_modalities(world, sizes, experiment.encoder, experiment.decoder, seed=own),
        experiment.latents(world.content_size),
        seed=seed,
        device=device,
    )


def _on_world(experiment: DMVAESettings, stages: Stages, world: World) -> Measures:
    """What is measured where the mixings are known: a verdict on c, and the content of generated views."""
    first, settings = stages.first, experiment.probes

    def identification() -> dict[str, Any]:
        return {
            "probes": [score.record() for score in probed(world, first.encode, settings)],
            "displacement": displacement_records(world, first.encode),
            **identification_record(
                world,
                first.encode,
                dmvae.NO_SHARED_OPTIMUM,
                objective=first.objective,
                samples=2 * settings.samples,
                interventions=settings.interventions,
            ),
        }

    def specific(second: SpecificLearner) -> dict[str, Any]:
        view = second.view
        return {
            "probes": [
                *probes_of(world, lambda x: second.embed(x[view]), view, settings, name=f"m of {view}"),
                *probes_of(
                    world, lambda x: second.draw(x[view]), view, settings, name=f"draws of m of {view}"
                ),
            ],
            "displacement": [
                {**one, "view": f"m of {view}"}
                for one in displacement_records(world, lambda x, _: second.embed(x), views=[view])
            ],
            SPECIFIC_IDENTIFICATION: [
                specific_identification(
                    world, second.embed, view, draw=second.draw, samples=2 * settings.samples
                )
            ],
        }

    return Measures(
        facts={
            "process": config.toml_values(table_from_process(world.process)),
            "mixing": config.toml_values(conditioning(world)),
        },
        shared=identification,
        specific=specific,
        together=lambda records: _together_on_world(experiment, stages, world, records),
        watch=lambda: {"content_r2": content_r2(world, first.encode)},
    )


def _together_on_world(
    experiment: DMVAESettings, stages: Stages, world: World, records: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the first stage's record says of c, what c of all views and each m predict, and generated content."""
    settings = experiment.probes
    subsets: list[dict[str, Any]] = []
    for view in world.views:
        name = f"c of all (latents of {view})"
        subsets += probes_of(world, stages.first.shared.embed, view, settings, name=name)
    for view in world.views:
        subsets += records[SPECIFIC_FOLDER.format(view)]["probes"]
    kept = ("probes", IDENTIFICATION, "assumptions", "optimum")
    own = [records[SPECIFIC_FOLDER.format(view)] for view in world.views]
    parts = [records[dmvae.SHARED], *own]
    count = 2 * settings.samples
    return {
        **{key: records[dmvae.SHARED][key] for key in kept},
        SPECIFIC_IDENTIFICATION: [one for part in own for one in part.get(SPECIFIC_IDENTIFICATION, [])],
        "displacement": [one for part in parts for one in part.get("displacement", [])],
        "probes_subsets": subsets,
        "content_agreement": generated_content(world, stages, count, experiment.components),
    }


def run_dmvae(
    experiment: DMVAESettings,
    data: MultiviewData,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
    part: str | None = None,
    side_by_side: SideBySide | None = None,
) -> dict[str, Any]:
    """Train both stages on a dataset, probe and judge them; writes and returns the folder's record.

    ``part`` and ``side_by_side`` are those of `run_dmvae_on_world`. Raises IdentboxError for a batch larger than the
    training split, and as `RunFolder.run` and `Parts` do.
    """
    data = data.only(experiment.modalities)
    data.expect_batch(max(experiment.shared.training.batch, experiment.specific.training.batch))
    experiment.generation.expect_inception()
    stages = dataset_stages(experiment, data, seed=seed, device=device)
    parts = Parts(
        experiment=experiment,
        stages=stages,
        measures=_on_dataset(experiment, stages, data, seed, callbacks),
        folder=folder,
        seed=seed,
        callbacks=callbacks,
        dataset=(data.folder, data.sha256),
    )
    return parts.train(side_by_side) if part is None else parts.train_one(part)


def dataset_stages(
    experiment: DMVAESettings, data: MultiviewData, *, seed: int, device: torch.device | str = "cpu"
) -> Stages:
    """The untrained stages for the modalities of a dataset."""
    return dmvae.stages_of(
        experiment,
        DatasetSource(data.train, data.validation, seed),
        lambda sizes, own: multiview_modalities(
            data.train, sizes, experiment.encoder, experiment.decoder, seed=own
        ),
        experiment.latents(data.content_size),
        seed=seed,
        device=device,
    )


def assembled_on_dataset(
    experiment: DMVAESettings, stages: Stages, data: MultiviewData, *, seed: int
) -> DatasetVae:
    """The trained stages as one multimodal VAE; c without any modality is of a mixture fitted to the training split."""
    rows = torch.arange(min(len(data.train), MOST_EMBEDDINGS)).split(experiment.shared.training.batch)
    device = stages.first.device
    embedded = [stages.first.shared.embed(data.train.batch(own, device=device)) for own in rows]
    prior = MixturePrior.fit(
        torch.cat(embedded), components=experiment.components, seed=seeding.derive(seed, "mixture of c")
    )
    splits = {"train": data.train, "validation": data.validation}
    model = stages.assembled(prior)
    return DatasetVae(splits, model, VaeObjective(), experiment.specific.training, seed=seed)


def load_generator(
    folder: Path, dataset: Path | None = None
) -> tuple[DatasetVae, MultiviewData, Generative | DMVAESettings]:
    """What a run on a dataset generates with, its data and its configuration: a multimodal VAE, or both stages of a
    DMVAE as one.

    Raises IdentboxError as `load_vae` does, and where a part of a DMVAE has no checkpoint.
    """
    table = config.read_toml(folder / CONFIG_FILE)
    if "shared" not in table or not isinstance(table.get("dataset"), dict):
        return load_vae(folder, dataset)
    there, seed = table.pop("dataset"), int(table.pop("seed", 0))
    experiment = DMVAESettings.from_preset("thesis", table, str(folder))
    data = data_of_run(folder, there, dataset, experiment.data).only(experiment.modalities)
    stages = dataset_stages(experiment, data, seed=seed)
    training.load_model(folder / dmvae.SHARED, stages.first)
    for view, second in stages.seconds.items():
        training.load_model(folder / SPECIFIC_FOLDER.format(view), second)
    return assembled_on_dataset(experiment, stages, data, seed=seed), data, experiment


def _on_dataset(
    experiment: DMVAESettings, stages: Stages, data: MultiviewData, seed: int, callbacks: Callbacks
) -> Measures:
    """What is measured on a dataset: what every embedding predicts, and how coherent generated modalities are."""

    def together(_: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        learner = assembled_on_dataset(experiment, stages, data, seed=seed)
        return {
            **dataset_probes(learner, data, experiment),
            **_judged_pairs(stages, data, experiment.probes.samples),
            **judged_generation(learner, data, experiment, callbacks.on_message),
        }

    nothing: dict[str, Any] = {"probes": []}
    return Measures(
        facts=data.facts(),
        shared=lambda: nothing,
        specific=lambda _: nothing,
        together=together,
        watch=lambda: {"validation_loss": stages.first.validation_loss()},
    )


def _judged_pairs(stages: Stages, data: MultiviewData, most: int) -> dict[str, Any]:
    """What a verdict needs of images and sentences: what the latents of each modality have of content and of all else,
    and why there is no oracle. Nothing for other data.
    """
    pairs = data.pairs
    if pairs is None:
        return {}
    process = process_from_table(pairs.process, f"{pairs.folder}: process")
    rows = torch.arange(min(len(data.test), most)).split(stages.first.batch)
    found = []
    for view, second in stages.seconds.items():
        device = stages.first.device
        m = torch.cat([second.embed(data.test.batch(own, device=device)[view]) for own in rows])
        found.append(specific_identification_of_split(process, view, m, pairs.test))
    return {
        SPECIFIC_IDENTIFICATION: [one for one in found if one is not None],
        "optimum": dmvae.NO_SHARED_OPTIMUM,
    }
