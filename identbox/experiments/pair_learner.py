"""Two encoders that learn from images and their sentences: their configuration, training loss and encodings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from identbox import config, seeding
from identbox.data.factors import VIEWS
from identbox.data.folder import PAD
from identbox.data.pixels import Split, batch
from identbox.errors import IdentboxError
from identbox.experiments.factors import FactorProbeSettings, targets
from identbox.experiments.learner import Placed
from identbox.experiments.records import SCORES_KEY
from identbox.learning import contrastive
from identbox.learning.augmentation import lit, moved, turned
from identbox.learning.contrastive import Objective
from identbox.learning.encoders import image_encoder, text_encoder
from identbox.learning.training import TrainingSettings
from identbox.metrics.curves import SAMPLES, cheap_scores, is_due
from identbox.settings import Count, NonNegative, at_least, between, settings

VALIDATION = 2000  # samples, at most, that the validation loss is taken on (section 8.4.3)


@settings
class EncoderSettings:
    """The two encoders."""

    image: Literal["small", "resnet18"] = "resnet18"
    encoding_size: Count = 4  # dimensions of both encodings
    hidden: Count = 100  # units of the image encoder's head
    width: Count = 64  # channels of the text encoder


@settings
class DataSettings:
    """How images are read."""

    image_size: int | None = None  # pixels a side to resize to; without it, the images' own
    # pixels, at most, by which a training image is moved in each direction at random; its edges are repeated
    shift: Annotated[int, at_least(0)] = 0
    # turns, at most, by which all hues of a training image are rotated in either direction at random
    hue: Annotated[float, between(0, 0.5)] = 0.0
    # logarithm of the gain, at most, by which one side of a training image is brighter than its middle
    light: NonNegative = 0.0
    # extra sentences used as negatives for each image, besides those of the batch
    more_sentences: Annotated[int, at_least(0)] = 0
    # a negative control: sentences are permuted over each training batch; without it, pairs are as they are
    pairs: Literal["shuffled"] | None = None


@settings
class Experiment:
    """All that an experiment is, but for its seed and its dataset."""

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    data: DataSettings = field(default_factory=DataSettings)
    objective: Objective = field(default_factory=lambda: Objective(similarity="cosine"))
    training: TrainingSettings = field(default_factory=TrainingSettings)
    probes: FactorProbeSettings = field(default_factory=FactorProbeSettings)

    def __post_init__(self) -> None:
        if self.objective.negatives != "other-view":
            raise IdentboxError(f"objective: negatives: expected other-view, got {self.objective.negatives}")

    @staticmethod
    def from_preset(preset: str, table: Mapping[str, Any] | None = None, where: str = "config") -> Experiment:
        """The configuration of a preset, changed by a table of the same form as config.toml.

        Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
        """
        return config.configuration(Experiment, EXPERIMENT_PRESETS, preset, table or {}, where)

    def table(self) -> dict[str, Any]:
        """Every key with its value, as tables of TOML."""
        return dataclasses.asdict(self)


EXPERIMENT_PRESETS: dict[str, dict[str, Any]] = {
    # Table A.2b.
    "thesis": {
        "objective": {"similarity": "cosine", "temperature": 1.0},
        "training": {"steps": 100_000, "batch": 256, "learning_rate": 1e-5},
    },
    # Small images and a small encoder, with interventions on hue and light: 40 minutes on two cores.
    "quick": {
        "encoder": {"image": "small", "encoding_size": 6},
        "data": {"image_size": 64, "shift": 4, "hue": 0.5, "light": 0.8, "more_sentences": 128},
        "objective": {"similarity": "cosine", "temperature": 0.1},
        "training": {
            "steps": 6000,
            "batch": 64,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "weight_decay": 0.05,
            "log_every": 200,
        },
    },
}


class PairLearner(Placed):
    """The two encoders, and how they are trained and read."""

    def __init__(self, experiment: Experiment, train: Split, *, seed: int) -> None:
        super().__init__()
        expect_a_batch(train, experiment.training.batch)
        _expect_sentences(train, experiment)
        self.experiment, self.split, self.seed = experiment, train, seed
        made = experiment.encoder
        self.image = image_encoder(
            made.image, made.encoding_size, hidden=made.hidden, seed=seed, name="encoder/image"
        )
        self.text = text_encoder(
            len(train.vocabulary),
            made.encoding_size,
            width=made.width,
            padding=train.vocabulary[PAD],
            seed=seed,
            name="encoder/text",
        )
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def forward(
        self, images: Float[Tensor, "n 3 h w"], tokens: Int[Tensor, "m l"]
    ) -> list[Float[Tensor, "_ d"]]:
        """The encodings of images and of their sentences, in float32 whatever the precision inside."""
        low = self.experiment.training.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
            return [self.image(images).float(), self.text(tokens).float()]

    def loss(self, step: int) -> Float[Tensor, ""]:
        """The objective on a step's own batch: every sample comes once an epoch, each epoch in its order."""
        size, data = self.experiment.training.batch, self.experiment.data
        epoch, place = divmod(step, len(self.split) // size)
        if self._order[0] != epoch:
            order = torch.randperm(len(self.split), generator=seeding.generator(self.seed, "order", epoch))
            self._order = epoch, order
        order = self._order[1].roll(-place * size)
        images, tokens = self._read(self.split, order[:size])
        if data.pairs == "shuffled":
            tokens = tokens[torch.randperm(size, generator=seeding.generator(self.seed, "pairs", step))]
        if data.shift:
            generator = seeding.generator(self.seed, "shift", step)
            images = moved(images, torch.randint(-data.shift, data.shift + 1, (size, 2), generator=generator))
        if data.hue:
            turns = torch.rand(size, generator=seeding.generator(self.seed, "hue", step))
            images = turned(images, data.hue * (2 * turns - 1), self.split.mean, self.split.std)
        if data.light:
            drawn = torch.rand(2, size, generator=seeding.generator(self.seed, "light", step))
            strength, side = data.light * drawn[0], 2 * math.pi * drawn[1]
            images = lit(images, strength, side, self.split.mean, self.split.std)
        more = data.more_sentences
        if not more:
            return contrastive.info_nce(self(images, tokens), self.experiment.objective)
        # One pass for all sentences, so that batch norm sees them together.
        tokens = torch.cat([tokens, self.split.tokens[order[size : size + more]].to(tokens.device)])
        image, text = self(images, tokens)
        further = [None, text[size:]]
        return contrastive.info_nce([image, text[:size]], self.experiment.objective, further=further)

    def _read(self, split: Split, indices: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """A batch of any split, normalised by the statistics of the training split."""
        return batch(split, indices, device=self.device, mean=self.split.mean, std=self.split.std)

    @torch.no_grad()
    def validation_loss(self, split: Split) -> float:
        """The objective on the first samples of a split in evaluation mode, in batches of the training's size."""
        size = self.experiment.training.batch
        expect_a_batch(split, size)
        with self._in_mode(training=False):
            losses = [
                contrastive.info_nce(
                    self(*self._read(split, torch.arange(k * size, (k + 1) * size))),
                    self.experiment.objective,
                )
                for k in range(max(1, min(len(split), VALIDATION) // size))
            ]
        return torch.stack(losses).mean().item()

    @torch.no_grad()
    def encodings(self, split: Split, n: int, train_mode: bool = False) -> dict[str, Float[Tensor, "n d"]]:
        """The encodings of the first n samples, with batch norm's running statistics.

        They are as the objective sees them: of length 1 where it compares by the cosine, for it leaves the length
        of an encoding to chance. With ``train_mode`` batch norm takes the statistics of each batch instead. Batches
        are equal but for one sample, and at most as large as the training's: a small rest would have statistics of
        its own.
        """
        batches = torch.arange(n).tensor_split(math.ceil(n / self.experiment.training.batch))
        with self._in_mode(training=train_mode):
            parts = [self(*self._read(split, part)) for part in batches]
        whole = {view: torch.cat([part[k] for part in parts]) for k, view in enumerate(VIEWS)}
        if self.experiment.objective.similarity == "cosine":
            return {view: contrastive.of_length_one(encodings) for view, encodings in whole.items()}
        return whole

    def curves(self, step: int, split: Split) -> dict[str, Any]:
        """The scores of every factor of a split's first samples, for about 20 of the steps; see `metrics.curves`."""
        training = self.experiment.training
        if not is_due(step, steps=training.steps, log_every=training.log_every):
            return {}
        n = min(len(split) // 2, SAMPLES)
        wanted = targets(split.part(slice(n)), split.part(slice(n, 2 * n)), n, n)
        found: list[dict[str, Any]] = []
        for view, encodings in self.encodings(split, 2 * n).items():
            found += cheap_scores(view, encodings[:n], encodings[n:], wanted)
        return {SCORES_KEY: found}

    @contextmanager
    def _in_mode(self, *, training: bool) -> Iterator[None]:
        """Training or evaluation mode inside; outside the mode and the statistics of batch norms as before."""
        was, before = self.training, [buffer.clone() for buffer in self.buffers()]
        self.train(training)
        try:
            yield
        finally:
            self.train(was)
            for buffer, value in zip(self.buffers(), before, strict=True):
                buffer.copy_(value)


def expect_a_batch(split: Split, size: int) -> None:
    """Raise IdentboxError where a split has fewer samples than a batch."""
    if len(split) < size:
        raise IdentboxError(
            f"training.batch: expected at most the {len(split)} samples of the split {split.name}, got {size}"
        )


def _expect_sentences(split: Split, experiment: Experiment) -> None:
    more, rest = experiment.data.more_sentences, len(split) - experiment.training.batch
    if more > rest:
        raise IdentboxError(
            f"data.more_sentences: expected at most the {rest} of the split {split.name} beyond a batch, got {more}"
        )
