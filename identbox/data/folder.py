"""The files of a dataset folder: latents, sentences, vocabulary, and the names of images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from identbox import files
from identbox.data.scene import IMAGE_FACTORS
from identbox.data.text import TEXT_FACTORS, tokenize
from identbox.errors import IdentboxError, first_few

SPLITS = ("train", "val", "test")
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
            if rows != n:
                raise IdentboxError(
                    f"{place}/latents_{view}.csv: expected {n} rows, one a sentence, got {rows}"
                )
        self.files = [place / "images" / image_name(i, n) for i in range(n)]
        there = {path.name for path in (place / "images").glob("*.png")}
        missing = [path.name for path in self.files if path.name not in there]
        if missing:
            raise IdentboxError(
                f"{place}/images: expected {n} images, got none of {first_few(missing, 3)}; "
                f"give the command that made the folder again, and it makes those that are missing"
            )

    def png(self, index: int) -> bytes:
        return self.files[index].read_bytes()

    def where(self, index: int) -> str:
        return str(self.files[index])


def image_name(index: int, n: int) -> str:
    """The file name of an image in a split of n, zero-padded as in the published dataset.

    >>> image_name(42, 125_000), image_name(3, 10)
    ('000042.png', '3.png')
    """
    return f"{index:0{max(1, math.ceil(math.log10(n)))}d}.png"


def read_sentences(folder: Path) -> list[str]:
    """The sentences of a split. Raises IdentboxError where they are missing or not UTF-8."""
    return read_text(folder / "text" / "text_raw.txt").splitlines()


def read_text(path: Path) -> str:
    """A file's text. Raises IdentboxError where it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise IdentboxError(f"{path}: expected a file, got {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise IdentboxError(f"{path}: expected UTF-8, got {error}") from error


def read_latents(path: Path) -> Columns:
    """The columns of a latents CSV: int64, float64, or str for values that are not numbers.

    Raises IdentboxError for a missing file, a row of another length, or a number that is not finite.
    """
    lines = read_text(path).splitlines()
    if not lines:
        raise IdentboxError(f"{path}: expected a header, got an empty file")
    names = [name.strip() for name in lines[0].split(",")]
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise IdentboxError(f"{path}: line {number + 2}: expected {len(names)} values, got {len(row)}")
    columns: Columns = {}
    for name, values in zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True):
        columns[name] = _column_of_texts(values)
        if columns[name].dtype.kind == "f" and not np.isfinite(columns[name]).all():
            place = int(np.argmin(np.isfinite(columns[name])))
            raise IdentboxError(
                f"{path}: line {place + 2}: {name}: expected a finite number, got {values[place]}"
            )
    return columns


def _column_of_texts(values: Sequence[str]) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
    return np.array(values, dtype=object)
