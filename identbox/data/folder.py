"""The files of a dataset folder: latents, sentences, vocabulary, and the names of images."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from identbox import files
from identbox.csvfiles import read_csv
from identbox.data.scene import IMAGE_FACTORS
from identbox.data.text import TEXT_FACTORS, tokenize
from identbox.errors import IdentboxError, first_few

SPLITS = ("train", "val", "test")
INDEX = re.compile(r"(Unnamed: \d+)?")  # the name of the column of row numbers that pandas writes
NUMBERS = {*IMAGE_FACTORS, *TEXT_FACTORS} - {"object_color_name"}
LONGEST_SENTENCE = 10_000  # characters
PAD, EOS, UNKNOWN = "{pad}", "{eos}", "{unk}"  # as in the published vocabularies
Columns = dict[str, np.ndarray]


def write_split(
    folder: Path, latents: dict[str, Columns], sentences: list[str], text: dict[str, list]
) -> None:
    """Write the latents and the sentences of a split, where the files are missing or cut short.

    ``sentences`` and ``text`` are what `text.describe` makes of the latents. Raises IdentboxError for files of another
    content.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "text").mkdir(exist_ok=True)
    image = {name: latents["image"][name].tolist() for name in IMAGE_FACTORS}
    standard = {*IMAGE_FACTORS, *TEXT_FACTORS, "color_palette"}
    for columns, view in ((image, "image"), (text, "text")):
        columns |= {name: column.tolist() for name, column in latents[view].items() if name not in standard}
        files.write_once(folder / f"latents_{view}.csv", _csv(columns).encode())
    files.write_once(folder / "text" / "text_raw.txt", "\n".join(sentences).encode())


def _csv(columns: Mapping[str, list]) -> str:
    texts = [column if isinstance(column[0], str) else list(map(repr, column)) for column in columns.values()]
    return "\n".join([",".join(columns), *map(",".join, zip(*texts, strict=True)), ""])


def write_vocabulary(path: Path, sentences: list[str]) -> None:
    """Write the vocabulary of some sentences (``w2i``, ``i2w``) where the file is missing or cut short."""
    files.write_once(path, json.dumps(vocabulary_of(sentences)).encode())


def vocabulary_of(sentences: list[str]) -> dict[str, dict]:
    """The words of some sentences and their indices in the published form, in the order of their appearance."""
    words = dict.fromkeys((PAD, EOS, UNKNOWN))
    for sentence in dict.fromkeys(sentences):  # many occur more than once
        words.update(dict.fromkeys(tokenize(sentence)))
    return {
        "w2i": {word: index for index, word in enumerate(words)},
        "i2w": {str(index): word for index, word in enumerate(words)},
    }


def read_vocabulary(path: Path) -> dict[str, int]:
    """The indices of words in a vocab.json. Raises IdentboxError for another form, and for one that cannot be read."""
    value = files.read_json(path, "a vocabulary")
    words = value.get("w2i") if isinstance(value, dict) else None
    if not isinstance(words, dict) or not all(type(i) is int and 0 <= i < 2**31 for i in words.values()):
        raise IdentboxError(
            f"{path}: expected a vocabulary with w2i, an index for each word, got another form"
        )
    return words


class FolderSource:
    """A split of a dataset folder, identbox's own or the published one."""

    def __init__(self, folder: Path, split: str) -> None:
        place = folder / split
        self.sentences = read_sentences(place)
        self.image_latents = read_latents(place / "latents_image.csv")
        self.text_latents = read_latents(place / "latents_text.csv")
        n = len(self.sentences)
        for view, columns in (("image", self.image_latents), ("text", self.text_latents)):
            rows = len(next(iter(columns.values())))
            if rows != n or not n:
                raise IdentboxError(
                    f"{place}/latents_{view}.csv: expected {n} rows, one a sentence, got {rows}"
                )
        self._images = place / "images"
        there = set(_names_in(self._images))
        missing = [name for name in image_names(n) if name not in there]
        if missing:
            raise IdentboxError(
                f"{self._images}: expected {n} images, got none of {first_few(missing, 3)}; "
                f"give the command that made the folder again, and it makes those that are missing"
            )

    @cached_property
    def files(self) -> list[Path]:
        return [self._images / name for name in image_names(len(self.sentences))]

    def png(self, index: int) -> bytes:
        return files.read_bytes(self._image(index), files.LARGEST_IMAGE, "an image")

    def where(self, index: int) -> str:
        return str(self._image(index))

    def _image(self, index: int) -> Path:
        return self._images / image_name(index, len(self.sentences))


def images_there(images: Path, n: int) -> int:
    """The number of images of a split of n in their folder, by their names; other files do not count."""
    if not n:
        return 0
    width = _digits(n)
    return sum(
        name.endswith(".png")
        and len(name) == width + 4
        and name[:width].isdecimal()
        and int(name[:width]) < n
        for name in _names_in(images)
    )


def _names_in(folder: Path) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 — names alone, and no path is built for each
    except OSError:
        return []


def image_name(index: int, n: int) -> str:
    """The file name of an image in a split of n, zero-padded as in the published dataset.

    >>> image_name(42, 125_000), image_name(3, 10)
    ('000042.png', '3.png')
    """
    return f"{index:0{_digits(n)}d}.png"


def image_names(n: int) -> list[str]:
    """The names of all images of a split of n, in order."""
    digits = _digits(n)
    return [f"{index:0{digits}d}.png" for index in range(n)]


def _digits(n: int) -> int:
    return max(1, math.ceil(math.log10(n)))


def read_sentences(folder: Path) -> list[str]:
    """The sentences of a split. Raises IdentboxError where they are missing, not UTF-8, or far too long."""
    path = folder / "text" / "text_raw.txt"
    sentences = files.read_text(path).split("\n")
    if not sentences[-1]:  # behind the last line feed
        sentences.pop()
    return expect_sentences(sentences, str(path))


def expect_sentences(sentences: Sequence[Any], where: str) -> list[str]:
    """The sentences as they are. Raises IdentboxError for what is no text, or one of more than LONGEST_SENTENCE."""
    for line, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise IdentboxError(f"{where}: line {line + 1}: expected a sentence, got {sentence!r:.40}")
        if len(sentence) > LONGEST_SENTENCE:
            raise IdentboxError(
                f"{where}: line {line + 1}: expected a sentence of at most {LONGEST_SENTENCE} characters, "
                f"got {len(sentence)}"
            )
    return list(sentences)


def read_latents(path: Path) -> Columns:
    """The columns of a latents CSV: int64, float64, or str for values that are not numbers.

    A column without a name, which is the index that pandas writes, is left out. Raises IdentboxError for a missing
    file, a row of another length, a word where a factor is a number, or a number that is not finite.
    """
    columns = {
        name: _column_of_texts(name, values, path)
        for name, values in read_csv(path).items()
        if not INDEX.fullmatch(name)
    }
    if not columns:
        raise IdentboxError(f"{path}: expected columns with names, got none")
    return columns


def _column_of_texts(name: str, values: Sequence[str], path: Path) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            column = np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
        if not np.isfinite(column).all():
            place = int(np.argmin(np.isfinite(column)))
            raise IdentboxError(
                f"{path}: line {place + 2}: {name}: expected a finite number, got {values[place]:.40}"
            )
        return column
    if name in NUMBERS:
        place = next(k for k, value in enumerate(values) if not _reads_as_number(value))
        raise IdentboxError(f"{path}: line {place + 2}: {name}: expected a number, got {values[place]!r:.40}")
    return np.array(values, dtype=object)


def _reads_as_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
