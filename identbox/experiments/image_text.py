"""Contrastive learning of images and their sentences on a rendered dataset (sections 8.4.2 and 8.4.3, Table A.2b).

An image and a text encoder are trained with the symmetrised InfoNCE objective on the pairs of a dataset folder, and
every factor of either modality (Table 4.1) is then predicted from either encoding. A run's folder is that of a
simulation: ``config.toml``, ``metrics.jsonl``, ``checkpoint.pt``, ``results.json``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from identbox import config
from identbox.data.factors import VIEWS
from identbox.data.folder import SPLITS
from identbox.data.formats import fingerprint
from identbox.data.pixels import Split, open_split
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.experiments.counterfactual_evidence import evidence_record
from identbox.experiments.factors import EncodeSplit, FactorProbeSettings, identification_of_split, probes
from identbox.experiments.pair_learner import DataSettings, Experiment, PairLearner, expect_a_batch
from identbox.experiments.records import IMAGE_TEXT, SHUFFLED_PAIRS
from identbox.experiments.run import CONFIG_FILE, RunFolder, Trainable
from identbox.identifiability.counterfactuals import Pairs, content_redrawn, read_pairs
from identbox.learning import training
from identbox.learning.training import NO_CALLBACKS, Callbacks, Trained
from identbox.process import presets
from identbox.process.tables import process_from_table, table_from_process


@dataclass(frozen=True, kw_only=True)
class Data:
    """The splits of a dataset that an experiment needs."""

    folder: Path
    sha256: str
    process: dict[str, Any]  # as the table of a process file
    train: Split
    val: Split
    test: Split


def open_data(
    dataset: Path,
    settings: DataSettings,
    *,
    workers: int = 1,
    on_progress: Callable[[str, int, int], None] = lambda split, done, total: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Data:
    """Open the three splits of a dataset folder, decoding images where that was not done before.

    Raises IdentboxError where one is missing or broken.
    """

    def one(name: str) -> Split:
        return open_split(
            dataset,
            name,
            settings.image_size,
            workers=workers,
            on_progress=lambda done, total: on_progress(name, done, total),
            on_message=on_message,
        )

    train, val, test = map(one, SPLITS)
    process = process_of(dataset)
    return Data(folder=dataset, sha256=fingerprint(dataset), process=process, train=train, val=val, test=test)


def run_experiment(
    experiment: Experiment,
    data: Data,
    folder: Path,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    callbacks: Callbacks = NO_CALLBACKS,
) -> dict[str, Any]:
    """Train and probe, and write the record to ``folder``/results.json; returns the record.

    A finished run is not trained again: its record is returned. Raises IdentboxError for a folder of another
    configuration or dataset (the keys are named), one in which another process is working, a batch larger than a
    split, and where the loss of a step is not finite.
    """
    learner = PairLearner(experiment, data.train, seed=seed).to(device)
    expect_a_batch(data.val, experiment.training.batch)
    learning = Trainable(
        model=learner,
        loss=learner.loss,
        settings=experiment.training,
        watch=lambda: {"validation_loss": learner.validation_loss(data.val)},
        curves=lambda step: learner.curves(step, data.val),
        measure=lambda trained: _measured_experiment(learner, data, trained),
    )
    place = experiment_folder(folder, experiment, data.folder, data.sha256, seed=seed)
    return place.run(lambda: learning, callbacks)


def experiment_folder(
    folder: Path, experiment: Experiment, dataset: Path, sha256: str, *, seed: int
) -> RunFolder:
    """The folder of an experiment's run, which may be continued after its dataset was moved."""
    run = RunFolder(path=folder, kind=IMAGE_TEXT, seed=seed, config=experiment.table())
    return run.on_dataset(dataset, sha256)


def _measured_experiment(learner: PairLearner, data: Data, trained: Trained) -> dict[str, Any]:
    """What the record says of a trained learner and its data."""
    losses = {
        "train": trained.loss,
        "validation": learner.validation_loss(data.val),
        "chance": math.log(learner.experiment.training.batch),
    }
    shuffled = learner.experiment.data.pairs == "shuffled"
    return {
        **({"control": SHUFFLED_PAIRS} if shuffled else {}),
        "dataset": {"folder": str(data.folder), "sha256": data.sha256, "train": len(data.train)},
        "process": data.process,
        "losses": config.toml_values(losses),
        **probe_pairs(learner, data),
    }


def process_of(folder: Path) -> dict[str, Any]:
    """The process of a dataset folder as a table; that of the published dataset where there is no recipe."""
    recipe = Recipe.read(folder)
    if recipe is None:  # the published dataset
        return config.toml_values(table_from_process(presets.multimodal3dident()))
    return config.toml_values(table_from_process(recipe.process.realise(seed=recipe.seed)))


def load(folder: Path, dataset: Path | None = None, **options: Any) -> tuple[PairLearner, Data]:
    """The learner of a run with its last weights, and its data; ``options`` are those of `open_data`.

    The dataset may have moved to ``dataset``. Raises IdentboxError where the folder is no such run, has no
    checkpoint, or the dataset is another.
    """
    table = config.read_toml(folder / CONFIG_FILE)
    there, seed = table.pop("dataset", None), table.pop("seed", None)
    wanted = {"folder", "sha256"}
    good = isinstance(there, dict) and wanted <= {
        key for key, value in there.items() if isinstance(value, str)
    }
    if not good or type(seed) is not int:
        raise IdentboxError(f"{folder}: expected a run of identbox train, got another")
    experiment = Experiment.from_preset("thesis", table, str(folder))
    data = open_data(dataset_of_run(folder, there, dataset), experiment.data, **options)
    learner = PairLearner(experiment, data.train, seed=seed)
    training.load_model(folder, learner)
    return learner, data


def dataset_of_run(folder: Path, there: Mapping[str, Any], dataset: Path | None) -> Path:
    """The folder of the dataset that a run's config.toml names, or ``dataset`` where it was moved there.

    Raises IdentboxError where that is no dataset, or another one: before its images are decoded, since pixels are kept
    beside them, and a run from a stranger may name any folder of the user's.
    """
    place = dataset or Path(str(there.get("folder")))
    if fingerprint(place) != there.get("sha256"):
        raise IdentboxError(f"{folder}: expected the dataset it was trained on, got another in {place}")
    return place


def probe_pairs(learner: PairLearner, data: Data) -> dict[str, Any]:
    """What can be read from a learner's encodings, as the record has it."""
    return probe_split(learner.encodings, data, learner.experiment.probes, seed=learner.seed)


def probe_split(
    encode: EncodeSplit, data: Data, settings: FactorProbeSettings, *, seed: int
) -> dict[str, Any]:
    """What encodings of the test split predict (see `factors.probes`), how far they identify content, and, where the
    dataset has counterfactual splits, what moves them and what they predict then.

    Content is judged by the encodings of images and of sentences; ``encode`` may give others beside them.
    """
    made = probes(encode, data.train, data.test, settings, process=data.process, seed=seed)
    rows = min(len(data.test), settings.samples)
    process = process_from_table(data.process, f"{data.folder}: process")
    held_out = encode(data.test, rows, False)
    pairs = counterfactual_pairs(lambda split: encode(split, len(split), False), data)
    exact = content_redrawn(pairs, process)
    return {
        **made,
        "identification": identification_of_split(
            process,
            {view: held_out[view] for view in VIEWS},
            data.test,
            redrawn=None if exact is None else exact.encoded_after,
        ),
        **evidence_record(pairs, process=data.process, bootstrap=settings.bootstrap, seed=seed),
    }


def counterfactual_pairs(
    encode: Callable[[Split], Mapping[str, Float[Tensor, "n d"]]], data: Data
) -> list[Pairs]:
    """The counterfactual splits that a dataset has of its test split; ``encode`` gives each view's encodings of one."""

    def encoded(name: str) -> Mapping[str, Float[Tensor, "n d"]]:
        return encode(data.test if name == data.test.name else open_like(data.test, data.folder, name))

    return read_pairs(data.folder, encoded, of=data.test.name)


def open_like(split: Split, folder: Path, name: str) -> Split:
    """Another split of the same dataset, its images of the same size."""
    return open_split(folder, name, split.pixels.shape[1], vocabulary=split.vocabulary)
