"""CUB Image-Captions (section 4.3) from the user's copy: photographs of birds, each with ten captions.

    DIR/train/CLASS/*.jpg, DIR/test/CLASS/*.jpg                    a folder a class; the classes of the splits differ
    DIR/text_trainvalclasses.txt, DIR/text_testclasses.txt         ten consecutive lines are the captions of an image

DIR is the folder that is given, or cub within it. Images are in the order of their classes and names. A sample is a
caption with its image. Words with more than three occurrences in the training captions have a number; 0 stands for all
others, 1 fills a caption up, and 2 ends it. Captions of more than 32 words are cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from identbox import files
from identbox.data.multiview import DeclaredFactor, ModalitySpec, MultiviewRecipe
from identbox.data.multiview_writer import MultiviewWriter, ranges_of
from identbox.data.photographs import read_photograph
from identbox.data.text import tokenize
from identbox.errors import IdentboxError
from identbox.settings import between, settings

CUB_MAKER = "cub"
EACH = 10  # captions of an image
CAPTION_LENGTH = 32  # words of a caption, with the mark of its end
RARE = 3  # occurrences that are too few for a number
OTHER, PADDING, END = "<exc>", "<pad>", "<eos>"
TEXTS = {"train": "text_trainvalclasses.txt", "test": "text_testclasses.txt"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
BIRDS_AT_ONCE = 64  # images in memory at a time


@settings
class CubSettings:
    """How CUB Image-Captions is made of its files."""

    side: Annotated[int, between(8, 512)] = 64  # pixels a side, to which every photograph is resized


def build_cub(
    source: Path,
    folder: Path,
    settings: CubSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MultiviewRecipe:
    """Make the dataset in a folder; what is whole there already is not made again.

    Raises IdentboxError for a split without images, another number of captions than ten an image, a caption without
    words, and photographs that cannot be read.
    """
    place = source / "cub" if (source / "cub").is_dir() else source
    photographs = {split: _photographs(place / split) for split in TEXTS}
    captions = {split: _captions(place / name, len(photographs[split])) for split, name in TEXTS.items()}
    words = vocabulary_of_captions(captions["train"])
    classes = sorted({path.parent.name for paths in photographs.values() for path in paths})
    recipe = MultiviewRecipe(
        name="CUB Image-Captions",
        description="A photograph of a bird, and one of its captions.",
        splits={split: len(own) for split, own in captions.items()},
        modalities={
            "image": ModalitySpec(kind="image", shape=(settings.side, settings.side, 3)),
            "text": ModalitySpec(kind="text", shape=(CAPTION_LENGTH,), words=words, padding=1, separator=" "),
        },
        factors={"class": DeclaredFactor(kind="discrete", names=tuple(classes))},
        made_of={
            "maker": CUB_MAKER,
            "side": settings.side,
            "words": len(words),
            "captions of an image": EACH,
        },
    )
    writer = MultiviewWriter(folder, recipe)
    total, done = sum(map(len, captions.values())), 0
    for split, paths in photographs.items():
        writer.array(split, "image", "u1", _birds(paths, settings.side))
        writer.array(split, "text", "<u2", iter([encoded_caption(captions[split], words)]))
        labels = np.array([classes.index(path.parent.name) for path in paths], np.int64)
        writer.factors(split, {"class": labels.repeat(EACH)})
        done += len(captions[split])
        on_progress(done, total)
    return writer.finish()


def vocabulary_of_captions(captions: list[list[str]]) -> tuple[str, ...]:
    """The words that have a number: three marks, then those with more than three occurrences, as they appear."""
    counts = Counter(word for caption in captions for word in caption)
    return (OTHER, PADDING, END, *(word for word, count in counts.items() if count > RARE))


def encoded_caption(captions: list[list[str]], words: tuple[str, ...]) -> Int[np.ndarray, "n 32"]:
    """Captions as numbers of words, each with its end, cut or filled up to 32.

    >>> encoded_caption([["a", "red", "bird"]], ("<exc>", "<pad>", "<eos>", "bird", "a"))[0, :6].tolist()
    [4, 0, 3, 2, 1, 1]
    """
    place = {word: number for number, word in enumerate(words)}
    numbers = np.full((len(captions), CAPTION_LENGTH), place[PADDING], np.int64)
    for row, caption in zip(numbers, captions, strict=True):
        own = [place.get(word, 0) for word in caption[: CAPTION_LENGTH - 1]] + [place[END]]
        row[: len(own)] = own
    return numbers


def _photographs(folder: Path) -> list[Path]:
    paths = sorted(
        path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES and path.parent.is_dir()
    )
    if not paths:
        raise IdentboxError(f"{folder}: expected a folder of photographs for each class, got none")
    return paths


def _captions(path: Path, images: int) -> list[list[str]]:
    lines = files.read_text(path, what="captions, a line each").split("\n")
    if not lines[-1].strip():
        lines.pop()
    if len(lines) != EACH * images:
        raise IdentboxError(
            f"{path}: expected {EACH * images} captions, {EACH} for each of {images} images, got {len(lines)}"
        )
    captions = [tokenize(line.strip().lower()) for line in lines]
    for number, caption in enumerate(captions):
        if not caption:
            raise IdentboxError(f"{path}: line {number + 1}: expected a caption, got no words")
    return captions


def _birds(paths: list[Path], side: int) -> Iterator[UInt8[np.ndarray, "b side side 3"]]:
    """Each photograph once for each of its captions."""
    for rows in ranges_of(len(paths), BIRDS_AT_ONCE):
        yield np.stack([_bird(paths[k], side) for k in rows]).repeat(EACH, 0)


def _bird(path: Path, side: int) -> UInt8[np.ndarray, "side side 3"]:
    image = read_photograph(path, "a photograph")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
