"""What a trained model makes of an image and its sentence: what it predicts, how far its encodings move, what is near.

A run of contrastive encoders and one of a multimodal VAE are read alike. The first samples of the training split fit
the predictors, and the first of the test split say how good they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from identbox import config
from identbox.data import png
from identbox.data.factors import CIRCULAR, factor_label
from identbox.data.folder import EOS, PAD, UNKNOWN
from identbox.data.multiview import MultiviewSplit
from identbox.data.pairs import split_of_pairs
from identbox.data.pixels import Split
from identbox.data.text import tokenize
from identbox.errors import IdentboxError
from identbox.experiments import image_text
from identbox.experiments.factors import factors
from identbox.experiments.pair_learner import PairLearner
from identbox.experiments.run import CONFIG_FILE
from identbox.experiments.vae_learners import DatasetVae
from identbox.experiments.vae_runs import load_vae
from identbox.learning.generation import Inference
from identbox.metrics.normal_scores import NEGLIGIBLE, whitening

FITTED_SAMPLES, SCORED = 1500, 500  # samples that fit the predictors, and that say how good they are
MOST_READ_CLASSES = 40  # of a factor that is predicted; names of colours are too many for so few samples
PAIRS = 4000  # random pairs, whose distance is the unit of a displacement
NEAREST_PAIRS = 6  # training pairs that are shown
SEED = 0


@dataclass(frozen=True)
class FactorReader:
    """One factor from the encodings of one view, with its score on the test split."""

    name: str
    kind: str  # number, circle or class
    predict: Callable[[np.ndarray], np.ndarray]
    score: float
    chance: float


@dataclass(frozen=True)
class Space:
    """The encodings of one view: of the training split, and what distances among them mean."""

    encodings: Float[Tensor, "n d"]
    mean: Float[Tensor, " d"]
    directions: Float[Tensor, "d r"]  # to uncorrelated directions of unit variance
    random_pairs: Float[Tensor, " p"]  # squared distances in these directions, in order

    @staticmethod
    def of(encodings: Float[Tensor, "n d"]) -> Space:
        """The space of the encodings of n samples."""
        rows = encodings.detach().double().cpu()
        mean, spread = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-12)
        directions = whitening((rows - mean) / spread, NEGLIGIBLE) / spread[:, None]
        white = (rows - mean) @ directions
        generator = torch.Generator().manual_seed(SEED)
        one, other = torch.randint(len(rows), (2, PAIRS), generator=generator)
        gaps = (white[one] - white[other]).square().sum(1)[one != other]
        return Space(rows, mean, directions, gaps.sort().values)

    def displacement(self, before: Float[Tensor, " d"], after: Float[Tensor, " d"]) -> dict[str, float]:
        """How far an encoding moved, over the mean squared distance of random pairs; and farther than how many."""
        moved = ((after - before).double() @ self.directions).square().sum()
        whole = self.random_pairs.mean()
        farther = float((self.random_pairs < moved).double().mean())
        return {"share": float(moved / whole) if whole > 0 else 0.0, "farther": farther}

    def nearest(self, encoding: Float[Tensor, " d"], most: int = NEAREST_PAIRS) -> list[int]:
        """The training samples whose encodings are nearest."""
        gaps = (self.encodings - encoding.double()).square().sum(1)
        return gaps.topk(min(most, len(gaps)), largest=False).indices.tolist()


class ReadModel:
    """A trained model with its data, its spaces and its predictors; ``on_step`` is told what is being done.

    Raises IdentboxError where the folder is no run on a dataset, has no checkpoint, or the dataset is another.
    """

    def __init__(self, run: Path, dataset: Path | None, on_step: Callable[[str], None]) -> None:
        def tell(split: str, done: int, total: int) -> None:
            on_step(f"decoding images of {split}: {done} of {total}")

        self.learner: PairLearner | DatasetVae
        if "model" in config.read_toml(run / CONFIG_FILE):
            self.learner, data, _ = load_vae(run, dataset)
            if data.pairs is None:
                raise IdentboxError(
                    f"{run}: expected a run on images and sentences, got {', '.join(data.names)}"
                )
            self.data = data.pairs
        else:
            self.learner, self.data = image_text.load(run, dataset, on_progress=tell)
        self.learner.eval()
        on_step("encoding the training split")
        known = self._encodings(self.data.train, FITTED_SAMPLES)
        held_out = self._encodings(self.data.test, SCORED)
        self.spaces = {view: Space.of(rows) for view, rows in known.items()}
        self.predictors: dict[str, list[FactorReader]] = {}
        for view in known:
            on_step(f"fitting predictors on encodings of the {view}")
            self.predictors[view] = list(
                fitted(
                    known[view].double().numpy(),
                    held_out[view].double().numpy(),
                    self.data.train,
                    self.data.test,
                )
            )

    @property
    def generates(self) -> bool:
        """Whether it makes images and sentences."""
        return isinstance(self.learner, DatasetVae)

    def _encodings(self, split: Split, most: int) -> dict[str, Tensor]:
        n = min(len(split), most)
        with torch.no_grad():
            if isinstance(self.learner, DatasetVae):
                rows = self.learner.encodings(self._as_modalities(split), n)
            else:
                rows = self.learner.encodings(split, n)
        return {view: encoded.cpu() for view, encoded in rows.items()}

    def _as_modalities(self, split: Split) -> MultiviewSplit:
        """A split as the model of modalities reads it, its sentences as long as those of its training."""
        return split_of_pairs(split, self.data.process, self.data.train.tokens.shape[1])

    def read(self, images: tuple[bytes, bytes], sentences: tuple[str, str]) -> dict[str, Any]:
        """What the model makes of an image and its sentence, each before and after something was moved."""
        pair = self.split_of(images, sentences)
        encoded = self._encodings(pair, 2)
        views = {}
        for view, rows in encoded.items():
            space = self.spaces[view]
            inputs = rows.double().numpy()
            views[view] = {
                "predicted": [
                    {"name": one.name, "label": factor_label(one.name), "kind": one.kind, "score": one.score,
                     "chance": one.chance, "values": [float(value) for value in one.predict(inputs)]}
                    for one in self.predictors[view]
                ],
                "displacement": space.displacement(rows[0], rows[1]),
                "nearest": [{"row": row} for row in space.nearest(rows[1])],
            }  # fmt: skip
        made = self.generated(pair) if isinstance(self.learner, DatasetVae) else {}
        return {"views": views, "generated": made}

    def split_of(self, images: tuple[bytes, ...], sentences: tuple[str, ...]) -> Split:
        """Images and sentences as a split of the size and the words that the model was trained on."""
        train = self.data.train
        side = train.pixels.shape[1]
        pixels = np.stack([np.asarray(_resized(content, "the image", side)) for content in images])
        words = train.vocabulary
        rows = [
            [*(words.get(token, words[UNKNOWN]) for token in tokenize(one)), words[EOS]] for one in sentences
        ]
        length = max(train.tokens.shape[1], *map(len, rows))
        tokens = torch.tensor([row + [words[PAD]] * (length - len(row)) for row in rows])
        return Split(
            name="live",
            pixels=pixels,
            tokens=tokens,
            image_latents={},
            text_latents={},
            vocabulary=words,
            mean=train.mean,
            std=train.std,
        )

    @torch.no_grad()
    def generated(self, pair: Split) -> dict[str, Any]:
        """Each modality as the model makes it from either one: the mean of the decoder at the mean of the posterior."""
        learner = self.learner
        assert isinstance(learner, DatasetVae)
        given = learner.read(self._as_modalities(pair), torch.tensor([len(pair) - 1]))
        inference = Inference.of(learner.vae, given)
        made: dict[str, Any] = {}
        for source in given:
            shared = inference.embedding([source])
            drawn = {
                name: inference.made(
                    name, shared, shape=tuple(x.shape[1:]), scale=0.0, generator=torch.Generator()
                )
                for name, x in given.items()
            }
            made[source] = {"image": _pixels_of(drawn["image"][0]), "text": self._sentence(drawn["text"][0])}
        return made

    def _sentence(self, tokens: Tensor) -> str:
        words = {index: word for word, index in self.data.train.vocabulary.items()}
        told = []
        for token in tokens.tolist():
            if words.get(token) in (EOS, PAD):
                break
            told.append(words.get(token, UNKNOWN))
        return " ".join(told)


def _resized(content: bytes, where: str, side: int) -> Image.Image:
    image = png.decode(content, where)
    return image if image.width == side else image.resize((side, side), Image.Resampling.HAMMING)


def _pixels_of(image: Float[Tensor, "3 h w"]) -> dict[str, Any]:
    """The red, green and blue of each pixel, row by row, for a canvas."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return {"side": levels.shape[0], "levels": levels.flatten().tolist()}


def fitted(known: np.ndarray, held_out: np.ndarray, train: Split, test: Split) -> Iterator[FactorReader]:
    """A predictor of every factor that varies and has no more than MOST_READ_CLASSES classes."""
    from sklearn.preprocessing import StandardScaler

    learned, scored = factors([train, test])
    scale = StandardScaler().fit(known)
    inputs, others = scale.transform(known), scale.transform(held_out)
    for name, column in learned.items():
        values, truth = column[: len(known)], scored[name][: len(held_out)]
        whole = column.dtype.kind == "i"
        if len(np.unique(values)) < 2 or (whole and len(np.unique(values)) > MOST_READ_CLASSES):
            continue
        kind = "class" if whole else "circle" if name in CIRCULAR else "number"
        model, score, chance = _fit(kind, inputs, values, others, truth, CIRCULAR.get(name, 1.0))
        yield FactorReader(name, kind, partial(_scaled, model, scale.transform), score, chance)


def _scaled(
    model: Callable[[np.ndarray], np.ndarray], scale: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> np.ndarray:
    return model(scale(rows))


def _fit(
    kind: str, x: np.ndarray, values: np.ndarray, others: np.ndarray, truth: np.ndarray, period: float
) -> tuple[Callable[[np.ndarray], np.ndarray], float, float]:
    """A predictor by kernel ridge regression, or an MLP of classes; its score and that of chance."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    if kind == "class":
        net = MLPClassifier((100,), early_stopping=len(x) >= 100, max_iter=200, random_state=SEED).fit(
            x, values
        )
        counts = np.unique(truth, return_counts=True)[1]
        return net.predict, float((net.predict(others) == truth).mean()), float(counts.max() / len(truth))
    columns = _target_columns(kind, values, period)
    grid = {"alpha": [1.0, 0.1, 0.01], "gamma": np.logspace(-2, 2, 4).tolist()}
    mean = columns.mean(0)
    ridge = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=3).fit(x, columns - mean).best_estimator_

    def predict(rows: np.ndarray) -> np.ndarray:
        made = ridge.predict(rows).reshape(len(rows), -1) + mean
        if kind == "number":
            return made[:, 0]
        return np.mod(np.arctan2(made[:, 1], made[:, 0]) / (2 * math.pi), 1.0) * period

    fit = ridge.predict(others).reshape(len(others), -1) + mean
    return predict, float(r2_score(_target_columns(kind, truth, period), fit)), 0.0


def _target_columns(kind: str, values: np.ndarray, period: float) -> np.ndarray:
    """A number itself, or the cosine and the sine of a point on a circle."""
    if kind == "number":
        return values[:, None].astype(float)
    angle = 2 * math.pi * values / period
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
