"""The dataset folder: its recipe, its files, and reading them (the published Multimodal3DIdent format).

DIR/dataset.toml                 the recipe, from which the dataset can be made again
DIR/vocab.json                   words and their indices, from the training sentences
DIR/SPLIT/images/000042.png      RGB
DIR/SPLIT/text/text_raw.txt      one sentence a line
DIR/SPLIT/latents_image.csv      a row a sample: what the image shows
DIR/SPLIT/latents_text.csv       a row a sample: what the sentence says
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from identbox import __version__, config, processes, seeding
from identbox.distributions import Categorical
from identbox.errors import IdentboxError
from identbox.process import Process
from identbox.process_tables import table_from_process
from identbox.scene import FLAVOURS, IMAGE_FACTORS, Flavour
from identbox.sources import Columns, find, has, read_text, sentences_of
from identbox.text import TEXT_FACTORS, tokenize

BLOCK = 4096  # samples drawn from one set of streams
FORMAT = 1
PAD, EOS, UNKNOWN = "{pad}", "{eos}", "{unk}"  # as in the published vocabularies


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a dataset is made from; two folders of equal recipes hold equal files."""

    process: Process
    splits: dict[str, int]  # number of samples of each split
    seed: int = 0
    scene: Flavour = "thesis"
    shapes: dict[str, str]  # name and sha256 of the pack, its licence and credit
    renderer: dict[str, Any]  # size, samples, device, Blender's version

    def __post_init__(self) -> None:
        for split, n in self.splits.items():
            if n < 0 or (split == "train" and n < 1):
                least = 1 if split == "train" else 0
                raise IdentboxError(f"number of {split} samples: expected at least {least}, got {n}")
        if self.scene not in FLAVOURS:
            raise IdentboxError(f"scene: expected one of {', '.join(FLAVOURS)}; got {self.scene}")

    @property
    def shape_names(self) -> tuple[str, ...]:
        return shape_names(self.process)

    def table(self) -> dict[str, Any]:
        """The table of dataset.toml."""
        return {
            "format": FORMAT,
            "identbox": __version__,
            "seed": self.seed,
            "scene": self.scene,
            "splits": self.splits,
            "shapes": self.shapes,
            "renderer": self.renderer,
            "process": table_from_process(self.process),
        }

    @staticmethod
    def read(folder: Path) -> Recipe | None:
        """The recipe of a folder, or None where it has none (the published dataset)."""
        path = folder / "dataset.toml"
        if not path.exists():
            return None
        table = config.read_toml(path)
        if table.get("format") != FORMAT:
            raise IdentboxError(f"{path}: format: expected {FORMAT}, got {table.get('format')}")
        table = {key: value for key, value in table.items() if key not in ("format", "identbox")}
        if "process" in table:
            table["process"] = processes.from_table(table["process"], f"{path}: process")
        return config.build(Recipe, table, str(path))


def shape_names(process: Process) -> tuple[str, ...]:
    """The class names of a process's object_shape; a number k stands for the first k published classes."""
    shape = process["object_shape"].distribution
    if not isinstance(shape, Categorical):
        raise IdentboxError(
            f"variables.object_shape: expected a categorical variable, got a {shape.kind} one"
        )
    if isinstance(shape.classes, tuple):
        return shape.classes
    if shape.k > len(processes.SHAPES):
        raise IdentboxError(
            f"variables.object_shape.classes: expected names for more than {len(processes.SHAPES)}, got {shape.k}"
        )
    return processes.SHAPES[: shape.k]


def with_shapes(process: Process, names: tuple[str, ...]) -> Process:
    """The process with its object_shape drawn among the classes of those names.

    A process that has just these classes stays as it is, whatever their order, so that the published shapes keep
    their published numbers.
    """
    if set(shape_names(process)) == set(names):
        return process
    variables = tuple(
        replace(variable, distribution=Categorical(classes=names))
        if variable.name == "object_shape"
        else variable
        for variable in process.variables
    )
    return replace(process, variables=variables)


def draw_latents(process: Process, seed: int, split: str, n: int) -> dict[str, Columns]:
    """The first n samples of a split: for each view its variables as columns of shape (n,).

    Sample i depends on the seed, the split and i alone: samples are drawn in blocks of fixed size, each
    variable of a block from a stream of its own. Raises IdentboxError for variables of several dimensions.
    """
    for variable in process.variables:
        if variable.distribution.dim != 1:
            raise IdentboxError(
                f"variables.{variable.name}.dim: expected 1 to be rendered, got {variable.distribution.dim}"
            )
    process = process.realise(seed=seed)
    blocks = [
        process.sample(
            BLOCK,
            generator=partial(_stream, seed, split, block),
            dtype=torch.float64,
        ).views
        for block in range(-(-n // BLOCK))
    ]
    columns: dict[str, Columns] = {}
    for view in process.views:
        columns[view] = {}
        for variable in process.seen_by(view):
            parts = [block[view][variable.name][:, 0] for block in blocks]
            column = torch.cat(parts)[:n].numpy() if parts else np.zeros(0)
            whole = variable.distribution.discrete and np.array_equal(column, np.round(column))
            columns[view][variable.name] = column.astype(np.int64) if whole else column
    return columns


def _stream(seed: int, split: str, block: int, variable: str) -> torch.Generator:
    return seeding.generator(seed, "latents", split, block, variable)


def check_views(process: Process) -> None:
    """Raise IdentboxError where a process is not one of an image and a text."""
    if set(process.views) != {"image", "text"}:
        raise IdentboxError(
            f"process {process.name}: expected the views image and text to render, got {', '.join(process.views)}"
        )


def write_split(
    folder: Path, latents: dict[str, Columns], sentences: list[str], text: dict[str, list]
) -> None:
    """Write the latents of a split, and what `text.describe` says of them, where they are missing or cut short.

    Raises IdentboxError for files that say something else.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "text").mkdir(exist_ok=True)
    image = {name: latents["image"][name].tolist() for name in IMAGE_FACTORS}
    shown = {*IMAGE_FACTORS, *TEXT_FACTORS, "color_palette"}
    for columns, view in ((image, "image"), (text, "text")):
        columns |= {name: column.tolist() for name, column in latents[view].items() if name not in shown}
        config.write_once(folder / f"latents_{view}.csv", _csv(columns).encode())
    config.write_once(folder / "text" / "text_raw.txt", "\n".join(sentences).encode())


def _csv(columns: Mapping[str, list]) -> str:
    texts = [column if isinstance(column[0], str) else list(map(repr, column)) for column in columns.values()]
    return "\n".join([",".join(columns), *map(",".join, zip(*texts, strict=True)), ""])


def write_vocabulary(path: Path, sentences: list[str]) -> None:
    """Write the vocabulary of some sentences in the published form, ``w2i`` and ``i2w``; as `write_split` does."""
    config.write_once(path, json.dumps(_vocabulary(sentences)).encode())


def _vocabulary(sentences: list[str]) -> dict[str, dict]:
    words = dict.fromkeys((PAD, EOS, UNKNOWN))
    for sentence in dict.fromkeys(sentences):  # many are said more than once
        words.update(dict.fromkeys(tokenize(sentence)))
    return {
        "w2i": {word: index for index, word in enumerate(words)},
        "i2w": {str(index): word for index, word in enumerate(words)},
    }


class Multimodal3DIdent(torch.utils.data.Dataset):
    """One split of a dataset folder (identbox's own, the published one, an export) as a map-style torch Dataset.

    Item i is a dict of ``image``, float32 (3, height, width) in [0, 1], or what ``transform`` makes of the
    PIL image; ``text``, int64 (length,), the indices of the words, the end marker and padding; and ``z_image``
    and ``z_text``, dicts of the latents. ``sentences``, ``image_latents`` and ``text_latents`` hold the whole
    split. The vocabulary is ``vocab`` (a file, or indices by word), else the folder's vocab.json, else made from
    the training sentences; unknown words map to one token. ``length`` fixes the number of tokens (default: the
    longest sentence).

    Raises IdentboxError where a file is missing, an image is, or counts differ.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str = "train",
        *,
        transform: Callable[[Image.Image], Any] | None = None,
        vocab: Path | str | Mapping[str, int] | None = None,
        length: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.source = find(self.folder, split)
        self.sentences = self.source.sentences
        self.image_latents, self.text_latents = self.source.image_latents, self.source.text_latents
        self.transform = transform
        self.w2i = self._vocabulary(vocab, split)
        self.i2w = {index: word for word, index in self.w2i.items()}
        words = [tokenize(sentence) for sentence in self.sentences]
        self.length = length or max(map(len, words)) + 1
        self.tokens = torch.full((len(words), self.length), self.w2i[PAD])
        for line, tokens in enumerate(words):
            if len(tokens) >= self.length:
                raise IdentboxError(
                    f"{self.folder}: {split}: expected sentences of under {self.length} tokens, "
                    f"got {len(tokens)} in line {line + 1}"
                )
            indices = [self.w2i.get(token, self.w2i[UNKNOWN]) for token in tokens]
            self.tokens[line, : len(tokens) + 1] = torch.tensor([*indices, self.w2i[EOS]])

    def _vocabulary(self, vocab: Path | str | Mapping[str, int] | None, split: str) -> dict[str, int]:
        path = self.folder / "vocab.json" if vocab is None or isinstance(vocab, Mapping) else Path(vocab)
        where = "vocabulary" if isinstance(vocab, Mapping) else str(path)
        if isinstance(vocab, Mapping):
            words = dict(vocab)
        elif path.exists():
            try:
                words = {str(w): int(i) for w, i in json.loads(read_text(path))["w2i"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise IdentboxError(f"{path}: expected a vocabulary with w2i, got {error!r}") from error
        elif split == "train" or has(self.folder, "train"):
            own = split == "train"
            words = _vocabulary(self.sentences if own else sentences_of(self.folder, "train"))["w2i"]
        else:
            raise IdentboxError(
                f"{path}: expected a vocabulary (or the training split), got none; give vocab=PATH"
            )
        for mark in (PAD, EOS, UNKNOWN):
            if mark not in words:
                raise IdentboxError(f"{where}: expected the token {mark}, got a vocabulary without it")
        return words

    def __len__(self) -> int:
        return len(self.sentences)

    def image(self, index: int) -> Image.Image:
        """The image as PIL decodes it, RGB. Raises IdentboxError where it is missing or broken."""
        try:
            with Image.open(io.BytesIO(self.source.png(index))) as file:
                return file.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise IdentboxError(f"{self.source.where(index)}: expected an image, got {error}") from error

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self))[int(index)]
        image = self.image(index)
        if self.transform is not None:
            pixels = self.transform(image)
        else:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return {
            "image": pixels,
            "text": self.tokens[index],
            "z_image": {name: column[index] for name, column in self.image_latents.items()},
            "z_text": {name: column[index] for name, column in self.text_latents.items()},
        }
