"""Multimodal VAEs on datasets: a run from its data to its record (chapters 5 to 7).

Beside what every run of a multimodal VAE says, the record has for each subset of the modalities what its embedding
predicts, how coherent and how good the modalities are that are generated from it, and the joint log-likelihood by
importance sampling from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config, seeding
from identbox.data.cub import encoded_caption
from identbox.data.factors import VIEWS
from identbox.data.multiview import MultiviewSplit
from identbox.errors import IdentboxError
from identbox.experiments.factors import FactorProbeSettings
from identbox.experiments.generative import (
    NO_OPTIMUM,
    GenerationSettings,
    Generative,
    bound_record,
    vae_folder,
)
from identbox.experiments.image_text import dataset_of_run, probe_split
from identbox.experiments.judges import Judges, judges_of
from identbox.experiments.multiview import MultiviewData, open_multiview_data, two_modalities
from identbox.experiments.pair_learner import DataSettings
from identbox.experiments.run import CONFIG_FILE, Trainable
from identbox.experiments.simulation import ProbeSettings
from identbox.experiments.vae_learners import DatasetVae
from identbox.experiments.vae_networks import multiview_modalities
from identbox.learning import training
from identbox.learning.generation import Inference
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained
from identbox.learning.vae import MultimodalVAE
from identbox.metrics import coherence, color_proxy
from identbox.metrics.likelihood import log_likelihood
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets
from identbox.metrics.targets import Target


@runtime_checkable
class Measured(Protocol):
    """What a configuration says of the measures after a training."""

    @property
    def probes(self) -> ProbeSettings:
        """How embeddings are probed."""

    @property
    def generation(self) -> GenerationSettings:
        """What is generated and judged."""


def run_vae(
    experiment: Generative,
    data: MultiviewData,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train, probe and judge a multimodal VAE on a dataset; writes and returns the record.

    Raises IdentboxError for a batch larger than the training split, as `RunFolder.run` does, and names the term of the
    bound where a step is not finite.
    """
    data = data.only(experiment.modalities)
    data.expect_batch(experiment.training.batch)
    experiment.generation.expect_inception()  # before the training, not after it

    def make() -> Trainable:
        learner = dataset_vae(experiment, data, seed=seed).to(device)
        learner.vae.expect_range(learner.data(0, "train"))
        return learner.trainable(
            lambda trained: _measured_vae(learner, data, trained, experiment, callbacks.on_message)
        )

    place = vae_folder(folder, experiment, seed=seed, dataset=(data.folder, data.sha256))
    return place.run(make, callbacks)


def dataset_vae(experiment: Generative, data: MultiviewData, *, seed: int) -> DatasetVae:
    """The untrained model of the modalities of a dataset."""
    latents = experiment.encoder.latents(data.content_size)
    parts = multiview_modalities(data.train, latents, experiment.encoder, experiment.decoder, seed=seed)
    vae = MultimodalVAE(parts, latents, experiment.subsets_of(tuple(parts)))
    splits = {"train": data.train, "validation": data.validation}
    return DatasetVae(splits, vae, experiment.elbo, experiment.training, seed=seed)


def load_vae(folder: Path, dataset: Path | None = None) -> tuple[DatasetVae, MultiviewData, Generative]:
    """The model of a run with its last weights, its data and its configuration; the dataset may have moved.

    Raises IdentboxError where the folder is no run on a dataset, has no checkpoint, or the dataset is another.
    """
    table = config.read_toml(folder / CONFIG_FILE)
    there, seed = table.pop("dataset", None), table.pop("seed", None)
    if not isinstance(there, dict) or type(seed) is not int or "model" not in table:
        raise IdentboxError(f"{folder}: expected a run of identbox train DATA --model, got another")
    experiment = Generative.from_preset("thesis", table, str(folder))
    data = data_of_run(folder, there, dataset, experiment.data).only(experiment.modalities)
    learner = dataset_vae(experiment, data, seed=seed)
    training.load_model(folder, learner)
    return learner, data, experiment


def data_of_run(
    folder: Path, there: Mapping[str, Any], dataset: Path | None, settings: DataSettings
) -> MultiviewData:
    """The dataset that a run was trained on, perhaps in another place. Raises IdentboxError where it is another."""
    return open_multiview_data(dataset_of_run(folder, there, dataset), settings)


def _measured_vae(
    learner: DatasetVae,
    data: MultiviewData,
    trained: Trained,
    experiment: Generative,
    on_message: Callable[[str], None],
) -> dict[str, Any]:
    """What the record says of a model, its embeddings and what it generates."""
    learner.eval()
    held_out = learner.read(data.test, torch.arange(min(len(data.test), max(1, experiment.likelihood.data))))
    return {
        **data.facts(),
        **bound_record(learner, trained, held_out, experiment),
        **dataset_probes(learner, data, experiment),
        **_likelihood_by_inputs(learner, held_out, experiment),
        **judged_generation(learner, data, experiment, on_message),
    }


def dataset_probes(learner: DatasetVae, data: MultiviewData, experiment: Measured) -> dict[str, Any]:
    """What embeddings predict of the factors of a dataset: as contrastive encoders are probed, where it has pairs."""
    return (_probed_pairs if data.pairs is not None else _probed)(learner, data, experiment)


def _probed_pairs(learner: DatasetVae, data: MultiviewData, experiment: Measured) -> dict[str, Any]:
    """Probes of image-text pairs as contrastive encoders get them, how far content is identified, and what moves it."""
    pairs = data.pairs
    assert pairs is not None
    settings = FactorProbeSettings(samples=experiment.probes.samples, bootstrap=experiment.probes.bootstrap)

    def encode(split: Any, n: int, mode: bool) -> Mapping[str, Tensor]:
        return learner.encodings(two_modalities(split, pairs), n, mode)

    made = probe_split(encode, pairs, settings, seed=learner.seed)
    return {
        **made,
        "probes": [one for one in made["probes"] if one["view"] in VIEWS],
        "probes_subsets": [one for one in made["probes"] if one["view"] not in VIEWS],
        "optimum": NO_OPTIMUM,
    }


def _probed(learner: DatasetVae, data: MultiviewData, experiment: Measured) -> dict[str, Any]:
    """What the embedding of each modality predicts of the factors that it shows, and each subset of the shared ones.

    Probes are fitted on random training samples and scored on the test split. Subsets get linear probes alone.
    """
    rows = [
        torch.randperm(len(data.train), generator=seeding.generator(learner.seed, "probing", "rows")),
        torch.arange(len(data.test)),
    ]
    rows[0] = rows[0][: experiment.probes.samples]
    fit, score = (
        _embeddings(learner, split, own) for split, own in zip((data.train, data.test), rows, strict=True)
    )
    options = PredictorSettings(bootstrap=experiment.probes.bootstrap, centre=True)
    names = data.names
    records: dict[str, list[dict[str, Any]]] = {"probes": [], "probes_subsets": []}
    for view in fit:
        alone = view in names
        modality = view.partition(", ")[0] if ", " in view or alone else None
        wanted = [name for name, one in data.train.declared.items() if one.modality in (None, modality or "")]
        scores = probe_targets(
            fit[view],
            score[view],
            [one for name in wanted if (one := _target(data, name, rows)) is not None],
            settings=options,
            seed=seeding.derive(learner.seed, "probing", view),
            kinds=("linear", "nonlinear") if alone else ("linear",),
        )
        key = "probes" if alone else "probes_subsets"
        records[key] += [dataclasses.replace(one, view=view).record() for one in scores]
    return records


def _target(data: MultiviewData, name: str, rows: list[Tensor]) -> Target | None:
    """A factor as what probes predict; None where it is constant."""
    one = data.train.declared[name]
    columns = [
        torch.from_numpy(split.factors[name][own.numpy()])[:, None]
        for split, own in zip((data.train, data.test), rows, strict=True)
    ]
    if any(len(column.unique()) < 2 for column in columns):
        return None
    classes = len(one.names) or None if one.kind == "discrete" else None
    return Target(
        name=name,
        role=one.role,
        train=columns[0],
        test=columns[1],
        kind=one.kind,
        period=one.period,
        classes=classes,
    )


@torch.no_grad()
def _embeddings(learner: DatasetVae, split: MultiviewSplit, rows: Tensor) -> dict[str, Float[Tensor, "n d"]]:
    """The embedding given every subset, named as in a record, and the dimensions that are specific to each modality."""
    names = learner.vae.names
    parts: dict[str, list[Tensor]] = {}
    for own in rows.split(coherence.GENERATED_AT_ONCE):
        inference = Inference.of(learner.vae, learner.read(split, own))
        for size in range(1, len(names) + 1):
            for given in combinations(names, size):
                parts.setdefault("+".join(given), []).append(inference.embedding(given))
        specific = inference.encoded.specific
        if specific is not None:
            for place, name in enumerate(names):
                parts.setdefault(f"{name}, specific", []).append(specific.mean[place])
    return {name: torch.cat(values) for name, values in parts.items()}


def _likelihood_by_inputs(
    learner: DatasetVae, held_out: Mapping[str, Tensor], experiment: Generative
) -> dict[str, Any]:
    """The joint log-likelihood by importance sampling from the posterior given each subset (Figure 5.1c)."""
    if not experiment.likelihood.data or not experiment.generation.by_inputs:
        return {}
    names, found = learner.vae.names, []
    for size in range(1, len(names) + 1):
        for given in combinations(names, size):
            one = log_likelihood(
                learner.vae, held_out, inputs=given, samples=experiment.likelihood.samples, seed=learner.seed
            )
            found.append({"inputs": list(given), **one.record()})
    return {"likelihood_by_inputs": found}


def judged_generation(
    learner: DatasetVae, data: MultiviewData, experiment: Measured, on_message: Callable[[str], None]
) -> dict[str, Any]:
    """Coherence and Frechet distances of what is generated from subsets of modalities, and from the prior."""
    settings = experiment.generation
    samples = min(settings.samples, len(data.test))
    if samples < 2:
        return {}
    judges = judges_of(
        data,
        settings.judge,
        samples=samples,
        inception=settings.expect_inception(),
        device=learner.device,
        on_message=on_message,
    )
    colors = color_coherence(learner, data)
    if not judges.read:
        return colors
    made = generation_record(learner, data, judges, samples=samples, by_inputs=settings.by_inputs)
    return {**made, **colors}


@torch.no_grad()
def color_coherence(learner: DatasetVae, data: MultiviewData) -> dict[str, Any]:
    """The colour proxy of A.4, of models of CUB Image-Captions: images made from captions of eight colours."""
    text, image = data.train.modalities.get("text"), data.train.modalities.get("image")
    if text is None or image is None or set(color_proxy.COLOR_RANGES) - set(text.words):
        return {}
    found = {}
    for color in color_proxy.COLOR_RANGES:
        tokens = torch.from_numpy(encoded_caption([color_proxy.caption_of(color).split()], text.words))
        inputs = {"text": tokens.expand(color_proxy.IMAGES_A_COLOR, -1).to(learner.device)}
        inference = Inference.of(learner.vae, inputs)
        stream = seeding.generator(learner.seed, "colors", color, device=learner.device)
        shared = inference.shared(["text"], generator=stream)
        images = inference.made("image", shared, shape=image.sample_shape, generator=stream)
        found[color] = color_proxy.shows_color(images, color).double().mean().item()
    score = sum(found.values()) / len(found)
    return {
        "color_coherence": {
            "score": score,
            "images": color_proxy.IMAGES_A_COLOR * len(found),
            "by_color": found,
        }
    }


def generation_record(
    learner: DatasetVae, data: MultiviewData, judges: Judges, *, samples: int, by_inputs: bool = True
) -> dict[str, Any]:
    """Everything that is generated from the first test samples and judged, as the record has it."""
    names = data.names
    sizes = None if by_inputs else sorted({1, len(names) - 1} - {0})
    shapes = {name: spec.sample_shape for name, spec in data.test.modalities.items()}

    def made(subsets: list[tuple[str, ...]], reconstruct: bool) -> coherence.ByInputs:
        return coherence.conditional(
            learner.vae,
            learner.batches(data.test, samples, coherence.GENERATED_AT_ONCE),
            judges.read,
            subsets=subsets,
            reconstruct=reconstruct,
            seed=learner.seed,
        )

    crossed = made(coherence.subsets_of(names, sizes), False)
    kept = made([(name,) for name in names], True)
    free = coherence.unconditional(
        learner.vae, judges.read, samples=samples, shapes=shapes, seed=learner.seed
    )
    from_prior: coherence.ByInputs = {((), name): one for name, one in free.items()}
    scores: dict[str, Sequence[coherence.CoherenceScore | coherence.FrechetScore]] = {
        "coherence": coherence.coherence_scores(crossed, judges.factors),
        "coherence_unconditional": coherence.agreement_scores(free, judges.factors),
        "reconstruction": coherence.coherence_scores(kept, (*judges.factors, *judges.own)),
        "frechet": coherence.frechet_scores(crossed, judges.real, judges.features),
        "frechet_unconditional": coherence.frechet_scores(from_prior, judges.real, judges.features),
        "frechet_reconstruction": coherence.frechet_scores(kept, judges.real, judges.features),
    }
    return {key: [config.toml_values(one.record()) for one in own] for key, own in scores.items()}
