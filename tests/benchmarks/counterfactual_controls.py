"""What moves a trained encoder, and encoders whose answer is known, under the counterfactual splits of a dataset.

    python tests/benchmarks/counterfactual_controls.py RUN --dataset m3di --out simulations/results/NAME

Of image encodings: the learner of RUN from its last checkpoint, the same network untrained, the same trained on
shuffled pairs, the principal components of raw pixels, all true latents, and the true content. Of each there are the
displacement under every counterfactual split of the test split, and the verdict, whose leak is exact where everything
but content was redrawn. The true content passes, and so does a learner that has identified content; the others fail.

The training on shuffled pairs is a run of its own, in RUN-shuffled-pairs: as RUN, but that the sentences of each batch
are permuted. It takes as long as RUN did, or ``--shuffled-steps``; one that is there is used, or continued. ``--only``
takes some encoders alone, and adds them to the record that is there. Writes displacement.json, .md and .png.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from identbox import config, verify
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.pixels import open_split
from identbox.experiments import image_text
from identbox.experiments.pair_learner import PairLearner
from identbox.experiments.records import SHUFFLED_PAIRS
from identbox.identifiability.counterfactuals import content_redrawn, displacements, read_pairs
from identbox.identifiability.datasets import process_of_dataset
from identbox.learning import training
from identbox.metrics.displacement_records import displacement_of_record, displacement_table
from identbox.reports import trial_figures
from identbox.reports.drawing import encode

CONTENT = ("object_shape", "object_xpos", "object_ypos")
COMPONENTS = 20  # of the pixels
ENCODERS = ("trained", "untrained", "shuffled", "pixels", "latents", "content")
NAMES = {
    "shuffled": "trained on shuffled pairs",
    "pixels": f"pixels, {COMPONENTS} principal components",
    "latents": "true latents",
    "content": "true content",
}


def of_latents(dataset: Path, names: tuple[str, ...]):
    """An encoder of some latents: numbers as they are, classes in a column each."""

    def encode(split: str):
        columns = []
        latents = Multimodal3DIdent(dataset, split).image_latents
        for name in names:
            column = torch.from_numpy(latents[name])
            whole = not column.is_floating_point()
            columns.append(torch.eye(10)[column][:, :7] if whole else column[:, None])
        return {"image": torch.cat([c.double() for c in columns], dim=1)}

    return encode


def of_pixels(dataset: Path, size: int):
    """The first principal components of raw pixels, fitted on training images."""
    train = open_split(dataset, "train", size).pixels[:1000].reshape(1000, -1).astype(np.float32)
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:COMPONENTS]

    def encode(split: str):
        pixels = open_split(dataset, split, size).pixels
        flat = pixels.reshape(len(pixels), -1).astype(np.float32)
        return {"image": torch.from_numpy((flat - mean) @ axes.T).double()}

    return encode


def of_learner(learner: PairLearner, data: image_text.Data):
    def encode(split: str):
        one = data.test if split == "test" else image_text.open_like(data.test, data.folder, split)
        return {view: h.double() for view, h in learner.encodings(one, len(one)).items()}

    return encode


def shuffled(learner: PairLearner, data: image_text.Data, folder: Path, steps: int | None) -> PairLearner:
    """The learner of the same configuration that was trained on shuffled pairs, in a run folder of its own."""
    made = learner.experiment
    experiment = replace(
        made,
        data=replace(made.data, pairs="shuffled"),
        training=made.training if steps is None else replace(made.training, steps=steps),
    )
    callbacks = training.Callbacks(
        on_metrics=lambda line: print(f"shuffled pairs, step {line['step']}", flush=True)
    )
    image_text.run_experiment(experiment, data, folder, seed=learner.seed, callbacks=callbacks)
    other = PairLearner(experiment, data.train, seed=learner.seed)
    training.load_model(folder, other)
    return other


def encoder_of(name: str, learner: PairLearner, data: image_text.Data, options: argparse.Namespace):
    """The encoder of that short name: from a split to its encodings."""
    if name == "trained":
        return of_learner(learner, data)
    if name == "untrained":
        return of_learner(PairLearner(learner.experiment, data.train, seed=learner.seed), data)
    if name == "shuffled":
        folder = options.run.with_name(f"{options.run.name}-{SHUFFLED_PAIRS}")
        return of_learner(shuffled(learner, data, folder, options.shuffled_steps), data)
    if name == "pixels":
        return of_pixels(options.dataset, data.test.pixels.shape[1])
    varying = tuple(n for n, c in data.test.image_latents.items() if len(np.unique(c)) > 1)
    return of_latents(options.dataset, varying if name == "latents" else CONTENT)


def judged(encode, dataset: Path):
    """The record of one encoder: verdict and displacements."""
    pairs = read_pairs(dataset, encode)
    exact = content_redrawn(pairs, process_of_dataset(dataset))
    made = {f"test/{view}": matrix for view, matrix in encode("test").items()}
    if exact is not None:
        made |= {f"{exact.intervention.name}/{v}": h for v, h in exact.encoded_after.items()}
    verdict = verify(encodings=made, dataset=dataset)
    print(verdict.outcome, *verdict.reasons, sep="\n  ", flush=True)
    return {
        "outcome": verdict.outcome,
        "views": {view.view: [view.outcome, *view.reasons] for view in verdict.views},
        "evidence": verdict.evidence,
        "displacement": [config.toml_values(one.record()) for one in displacements(pairs)],
    }


def write(record: dict, out: Path) -> None:
    """The record, a table for each encoder, and a picture of all encodings of images."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "displacement.json").write_text(json.dumps(record, indent=1) + "\n")
    tables, images = [], []
    for name, one in record.items():
        found = [displacement_of_record(row, name) for row in one["displacement"]]
        tables.append(displacement_table(found, f"{name}: content {one['outcome']}").markdown())
        images += [replace(moved, view=name) for moved in found if moved.view == "image"]
    (out / "displacement.md").write_text("\n\n".join(tables) + "\n")
    drawn = trial_figures.displacement_figure(images, "What moves encodings of images")
    (out / "displacement.png").write_bytes(encode(drawn)["png"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=ENCODERS, default=ENCODERS, help="some encoders alone")
    parser.add_argument(
        "--shuffled-steps", type=int, help="of the training on shuffled pairs; those of RUN otherwise"
    )
    options = parser.parse_args()
    learner, data = image_text.load(options.run, options.dataset)
    earlier = options.out / "displacement.json"
    record = json.loads(earlier.read_text()) if earlier.exists() else {}
    for name in options.only:
        shown = NAMES.get(name, name)
        print(shown, flush=True)
        record[shown] = judged(encoder_of(name, learner, data, options), options.dataset)
        write(record, options.out)
    for name in ("config.toml", "metrics.jsonl"):
        shutil.copyfile(options.run / name, options.out / name)
    shutil.copyfile(options.dataset / "dataset.toml", options.out / "dataset.toml")


if __name__ == "__main__":
    main()
