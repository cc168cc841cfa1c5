"""What moves a trained encoder, and encoders whose answer is known, under the counterfactual splits of a dataset.

    python tests/benchmarks/counterfactual_controls.py RUN --dataset m3di --out simulations/results/NAME

Of image encodings: the learner of RUN from its last checkpoint, the same network untrained, the principal components of
raw pixels, all true latents, and the true content. Writes displacement.json and displacement.md. Of each encoder there
are the displacement under every counterfactual split of the test split, and where everything but content was redrawn
the verdict on content. The right ones pass (content: nothing but content moves it) and the others fail.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from identbox import config, verify
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.pixels import open_split
from identbox.experiments import image_text
from identbox.experiments.pair_learner import PairLearner
from identbox.identifiability.counterfactuals import content_redrawn, displacements, read_pairs
from identbox.identifiability.datasets import process_of_dataset
from identbox.metrics.displacement_records import displacement_table

CONTENT = ("object_shape", "object_xpos", "object_ypos")
COMPONENTS = 20  # of the pixels


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
        one = data.test if split == "test" else image_text._open_like(data.test, data.folder, split)
        return {view: h.double() for view, h in learner.encodings(one, len(one)).items()}

    return encode


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", help="the encoder of that name alone")
    options = parser.parse_args()
    learner, data = image_text.load(options.run, options.dataset)
    size = data.test.pixels.shape[1]
    latents = tuple(n for n, c in data.test.image_latents.items() if len(np.unique(c)) > 1)
    encoders = {
        "trained": of_learner(learner, data),
        "untrained": of_learner(PairLearner(learner.experiment, data.train, seed=learner.seed), data),
        f"pixels, {COMPONENTS} principal components": of_pixels(options.dataset, size),
        "true latents": of_latents(options.dataset, latents),
        "true content": of_latents(options.dataset, CONTENT),
    }
    process = process_of_dataset(options.dataset)
    record, tables = {}, []
    for name, encode in encoders.items():
        if options.only not in (None, name):
            continue
        pairs = read_pairs(options.dataset, encode)
        found = displacements(pairs)
        exact = content_redrawn(pairs, process)
        made = {f"test/{view}": matrix for view, matrix in encode("test").items()}
        if exact is not None:
            made |= {f"{exact.intervention.name}/{v}": h for v, h in exact.encoded_after.items()}
        verdict = verify(encodings=made, dataset=options.dataset)
        print(name, verdict.outcome, *verdict.reasons, sep="\n  ", flush=True)
        record[name] = {
            "outcome": verdict.outcome,
            "views": {view.view: [view.outcome, *view.reasons] for view in verdict.views},
            "evidence": verdict.evidence,
            "displacement": [config.toml_values(one.record()) for one in found],
        }
        tables.append(displacement_table(found, f"{name}: content {verdict.outcome}").markdown())
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "displacement.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.out / "displacement.md").write_text("\n\n".join(tables) + "\n")
    for name in ("config.toml", "metrics.jsonl"):
        shutil.copyfile(options.run / name, options.out / name)
    shutil.copyfile(options.dataset / "dataset.toml", options.out / "dataset.toml")


if __name__ == "__main__":
    main()
