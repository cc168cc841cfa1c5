"""PolyMNIST and Translated-PolyMNIST (sections 4.1 and 4.1.1): one digit, written by several hands on several grounds.

Sample i has the label of one digit of the source. For each modality and class the digits of that class are permuted, so
that each modality shows another handwriting. A random crop of the modality's background picture is inverted where the
digit has ink (above 128). In the translated form the digit is smaller, and stands at a random place of the crop.

The factors are the digit (content), and of each modality: the place of the crop, and the ink and the slant of its
handwriting; in the translated form also the place of the digit. Sample i depends on the seed, the source and i alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from identbox import seeding
from identbox.data import backgrounds
from identbox.data.digits import DIGIT_SIDE, Digits, embedded_digits, read_mnist
from identbox.data.folder import Columns
from identbox.data.multiview import DeclaredFactor, ModalitySpec, MultiviewRecipe
from identbox.data.multiview_writer import MultiviewWriter, ranges_of
from identbox.errors import IdentboxError
from identbox.settings import at_least, between, settings

INK_ABOVE = 128  # of 255: a pixel of a digit is one above it
DIGITS_AT_ONCE = 4096  # samples whose random numbers come from one stream, and that are in memory at a time
SMALLEST_SCALE = 0.25
MOST_DIGIT_MODALITIES = 26


@settings
class PolyMnistSettings:
    """What a PolyMNIST is made of, beside the digits and the background pictures."""

    modalities: Annotated[int, between(1, MOST_DIGIT_MODALITIES)] = 5
    seed: Annotated[int, at_least(0)] = 0
    # of the digits, for Translated-PolyMNIST: 0.7 in the thesis, 0.5 in the paper of 2022; 1 for PolyMNIST itself
    scale: Annotated[float, between(SMALLEST_SCALE, 1)] = 1.0
    train: Annotated[int, at_least(1)] | None = None  # samples; without it as many as there are digits
    val: Annotated[int, at_least(0)] = 0  # of digits that are in neither other split
    test: Annotated[int, at_least(1)] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, named as in the published dataset."""
        return tuple(f"m{k}" for k in range(self.modalities))


@dataclass(frozen=True)
class Handwriting:
    """The digits of one split, with what is known of each handwriting."""

    digits: Digits
    scale: float

    @cached_property
    def masks(self) -> Bool[np.ndarray, "n side side"]:
        """Where each digit has ink, at its scale."""
        side = round(DIGIT_SIDE * self.scale)
        if side == DIGIT_SIDE:
            return self.digits.images > INK_ABOVE
        small = np.empty((len(self.digits.images), side, side), np.uint8)
        for image, large in zip(small, self.digits.images, strict=True):
            image[:] = Image.fromarray(large).resize((side, side), Image.Resampling.BILINEAR)
        return small > INK_ABOVE

    @cached_property
    def places(self) -> dict[int, Int[np.ndarray, " k"]]:
        """The numbers of the digits of each class."""
        return {int(k): np.flatnonzero(self.digits.labels == k) for k in np.unique(self.digits.labels)}

    @cached_property
    def handwriting(self) -> Columns:
        """The share of pixels with ink, and the slant: the mean shift in columns for each row further up."""
        parts = [_handwriting(self.digits.images[rows.start : rows.stop]) for rows in self._blocks]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def _blocks(self) -> Iterator[range]:
        return ranges_of(len(self.digits.images), DIGITS_AT_ONCE)

    def order(self, modality: str, split: str, turn: int, seed: int) -> Int[np.ndarray, " n"]:
        """The digits that as many samples show in a modality: those of each class permuted among each other."""
        order = np.empty(len(self.digits.labels), np.int64)
        for label, pool in self.places.items():
            generator = seeding.generator(seed, "polymnist", split, modality, "digits", label, turn)
            order[pool] = pool[torch.randperm(len(pool), generator=generator).numpy()]
        return order


def _handwriting(images: UInt8[np.ndarray, "n 28 28"]) -> Columns:
    ink = images.astype(np.float64) / 255
    total = ink.sum((1, 2))
    total[total == 0] = 1.0
    axis = np.arange(DIGIT_SIDE, dtype=np.float64)
    down = axis - ((ink.sum(2) @ axis) / total)[:, None]
    across = axis - ((ink.sum(1) @ axis) / total)[:, None]
    tall = (ink.sum(2) * down**2).sum(1)
    both = np.einsum("nij,ni,nj->n", ink, down, across)
    slant = np.divide(-both, tall, out=np.zeros_like(both), where=tall > 0)
    return {"ink": (images > INK_ABOVE).mean((1, 2)), "slant": slant}


def build_polymnist(
    folder: Path,
    settings: PolyMnistSettings,
    *,
    mnist: Path | None = None,
    pictures: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MultiviewRecipe:
    """Make the dataset in a folder; what is whole there already is not made again.

    ``mnist`` is the folder of the digits' IDX files (default: the digits of scikit-learn), ``pictures`` that of the
    background pictures (default: textures made by code). ``on_progress`` gets the number of images done and of all.
    Raises IdentboxError for a folder with something else in it, and as `read_mnist` and `read_backgrounds` do.
    """
    digits = embedded_digits() if mnist is None else read_mnist(mnist)
    grounds = (
        [backgrounds.texture(k, seed=settings.seed) for k in range(settings.modalities)]
        if pictures is None
        else backgrounds.read_backgrounds(pictures, settings.modalities, DIGIT_SIDE)
    )
    sources = {
        split: Handwriting(one, settings.scale) for split, one in _split_digits(digits, settings.val).items()
    }
    recipe = _polymnist_recipe(
        settings, sources, digits, grounds, "scikit-learn" if mnist is None else "IDX files"
    )
    writer = MultiviewWriter(folder, recipe)
    total, done = sum(recipe.splits.values()) * settings.modalities, 0
    for split, n in recipe.splits.items():
        made = _Split(sources[split], split, n, settings)
        for name, ground in zip(settings.names, grounds, strict=True):
            writer.array(split, name, "u1", made.images(name, ground))
            done += n
            on_progress(done, total)
        writer.factors(split, made.factors(grounds))
    return writer.finish()


def _split_digits(digits: dict[str, Digits], val: int) -> dict[str, Digits]:
    """The digits of each split; those for validation are the last of the training's."""
    train = digits["train"]
    if not val:
        return {"train": train, "test": digits["test"]}
    keep = len(train.labels) - val
    if keep < 1 or len(np.unique(train.labels[:keep])) < len(np.unique(train.labels)):
        raise IdentboxError(
            f"val: expected fewer, so that every class is left for training, got {val} of {len(train.labels)} digits"
        )
    return {
        "train": Digits(train.images[:keep], train.labels[:keep]),
        "val": Digits(train.images[keep:], train.labels[keep:]),
        "test": digits["test"],
    }


def _polymnist_recipe(
    settings: PolyMnistSettings,
    sources: dict[str, Handwriting],
    digits: dict[str, Digits],
    grounds: list[UInt8[np.ndarray, "_ _ 3"]],
    origin: str,
) -> MultiviewRecipe:
    translated = settings.scale < 1
    wanted = {"train": settings.train, "val": settings.val, "test": settings.test}
    splits = {split: wanted[split] or len(source.digits.labels) for split, source in sources.items()}
    classes = int(max(one.labels.max() for one in digits.values())) + 1
    factors = {"digit": DeclaredFactor(kind="discrete", names=tuple(map(str, range(classes))))}
    for name in settings.names:
        own = ["background_x", "background_y", "ink", "slant", *["x", "y"] * translated]
        factors |= {
            f"{one}_{name}": DeclaredFactor(kind="continuous", role="specific", modality=name) for one in own
        }
    return MultiviewRecipe(
        name="Translated-PolyMNIST" if translated else "PolyMNIST",
        description="One digit, written by a hand of its own on a background of its own in each modality.",
        splits=splits,
        modalities={
            name: ModalitySpec(kind="image", shape=(DIGIT_SIDE, DIGIT_SIDE, 3)) for name in settings.names
        },
        factors=factors,
        made_of={
            "maker": "polymnist",
            "seed": settings.seed,
            "scale": settings.scale,
            "digits": {"from": origin, **{split: one.sha256 for split, one in digits.items()}},
            "backgrounds": [backgrounds.picture_hash(ground) for ground in grounds],
        },
    )


@dataclass(frozen=True)
class _Split:
    """How the samples of a split are made."""

    source: Handwriting
    name: str
    n: int
    settings: PolyMnistSettings

    def shown(self, modality: str) -> Int[np.ndarray, " n"]:
        """The number of the digit that each sample shows; when all were shown, a new permutation begins."""
        turns = range(math.ceil(self.n / len(self.source.digits.labels)))
        orders = [self.source.order(modality, self.name, turn, self.settings.seed) for turn in turns]
        return np.concatenate(orders)[: self.n]

    def uniform(self, modality: str, what: str, block: int) -> Float[np.ndarray, "2 BLOCK"]:
        """Uniform numbers in [0, 1) for the places of a block of samples, two each."""
        names = ("polymnist", self.name, modality, what, block)
        generator = seeding.generator(self.settings.seed, *names)
        return torch.rand(2, DIGITS_AT_ONCE, generator=generator, dtype=torch.float64).numpy()

    def corners(
        self, modality: str, what: str, block: int, choices: tuple[int, int]
    ) -> Int[np.ndarray, "2 BLOCK"]:
        """Rows and columns of corners, uniform over all that there are, both ends included."""
        return (self.uniform(modality, what, block) * np.array(choices)[:, None]).astype(np.int64)

    def images(
        self, modality: str, ground: UInt8[np.ndarray, "_ _ 3"]
    ) -> Iterator[UInt8[np.ndarray, "b 28 28 3"]]:
        """The images of a modality in blocks of samples."""
        shown = self.shown(modality)
        for samples in ranges_of(self.n, DIGITS_AT_ONCE):
            block, count = samples.start // DIGITS_AT_ONCE, len(samples)
            row, column = self.corners(modality, "crop", block, _choices(ground))[:, :count]
            within = np.arange(DIGIT_SIDE)
            images = ground[(row[:, None] + within)[:, :, None], (column[:, None] + within)[:, None]]
            masks = self.source.masks[shown[samples.start : samples.stop]]
            inked = np.zeros((count, DIGIT_SIDE, DIGIT_SIDE), bool)
            side = masks.shape[1]
            down, across = self.corners(modality, "place", block, self._free)[:, :count]
            within = np.arange(side)
            rows, columns = (down[:, None] + within)[:, :, None], (across[:, None] + within)[:, None]
            inked[np.arange(count)[:, None, None], rows, columns] = masks
            yield np.where(inked[..., None], 255 - images, images)

    @property
    def _free(self) -> tuple[int, int]:
        """Rows and columns at which a digit can begin."""
        free = DIGIT_SIDE + 1 - round(DIGIT_SIDE * self.settings.scale)
        return free, free

    def factors(self, grounds: list[UInt8[np.ndarray, "_ _ 3"]]) -> Columns:
        """The factors of all samples; places are shares of what is possible, in [0, 1]."""
        columns: Columns = {"digit": np.resize(self.source.digits.labels, self.n)}
        for name, ground in zip(self.settings.names, grounds, strict=True):
            own = self._places(name, "crop", _choices(ground), ("background_x", "background_y"))
            shown = self.shown(name)
            own |= {key: values[shown] for key, values in self.source.handwriting.items()}
            if self.settings.scale < 1:
                own |= self._places(name, "place", self._free, ("x", "y"))
            columns |= {f"{key}_{name}": values for key, values in own.items()}
        return columns

    def _places(self, modality: str, what: str, choices: tuple[int, int], names: tuple[str, str]) -> Columns:
        """Columns and rows of all samples as shares of the last one that there is."""
        blocks = range(math.ceil(self.n / DIGITS_AT_ONCE))
        corners = np.concatenate([self.corners(modality, what, k, choices) for k in blocks], 1)[:, : self.n]
        row, column = corners / np.maximum(1, np.array(choices) - 1)[:, None]
        return {names[0]: column, names[1]: row}


def _choices(ground: UInt8[np.ndarray, "_ _ 3"]) -> tuple[int, int]:
    """Rows and columns at which a crop can begin."""
    return ground.shape[0] - DIGIT_SIDE + 1, ground.shape[1] - DIGIT_SIDE + 1
