"""Runs on datasets probed again from their last checkpoints: contrastive encoders and multimodal VAEs alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from identbox.errors import IdentboxError
from identbox.experiments import image_text
from identbox.experiments.dmvae_runs import load_generator
from identbox.experiments.records import IMAGE_TEXT, RESULTS
from identbox.experiments.run import read_results, write_results
from identbox.experiments.vae_runs import dataset_probes


def probe_again(
    run: Path,
    dataset: Path | None = None,
    *,
    workers: int = 1,
    device: torch.device | str = "cpu",
    on_message: Callable[[str], None] = lambda message: None,
) -> None:
    """Probe the encodings of a finished run, and renew what its record says of them; the rest of the record stays.

    ``dataset`` is where its dataset is now. Counterfactual splits that the dataset has got since are looked at.
    ``workers`` processes decode images. Raises IdentboxError for a run that is not finished, or not of a dataset, and
    where the checkpoint or the dataset is missing.
    """
    path = run / RESULTS
    if not path.exists():
        raise IdentboxError(f"{run}: expected a finished run of identbox train, got none")
    record = read_results(path)
    if "dataset" not in record:
        raise IdentboxError(f"{run}: expected a run on a dataset, got one of kind {record.get('kind')}")
    if record.get("kind") == IMAGE_TEXT:
        learner, data = image_text.load(run, dataset, workers=workers, on_message=on_message)
        record |= image_text.probe_pairs(learner.to(device), data)
    else:
        generator, modalities, experiment = load_generator(run, dataset)
        record |= dataset_probes(generator.to(device), modalities, experiment)
    write_results(path, record)
