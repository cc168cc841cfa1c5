"""The samples of a dataset as the page reads them: columns of latents, sentences, images, and what depends on what.

A place in the address is a number: of a split, a column, a chunk or a sample. No name from a dataset becomes a part of
a path. The static version has a file for each answer, so that the page reads both in the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from identbox import files, seeding
from identbox.data import factors
from identbox.data.counterfactuals import Counterfactual, counterfactuals_of
from identbox.data.folder import SPLITS, Columns, FolderSource
from identbox.data.formats import Source, has_split, open_source
from identbox.data.recipe import Recipe
from identbox.data.scene import IMAGE_FACTORS, Scene
from identbox.errors import IdentboxError
from identbox.process import presets
from identbox.process.distributions import Categorical
from identbox.process.model import Process

PNG = b"\x89PNG\r\n\x1a\n"  # how each such file begins
ROWS_AT_ONCE = 250  # sentences in an answer
MOST_SHOWN_CLASSES = 2000  # different texts of a column, up to which they are classes


@dataclass(frozen=True)
class Column:
    """One factor of a split as numbers: values themselves, or the places of texts in ``names``."""

    name: str
    view: str  # image, text, or both
    values: np.ndarray
    kind: str  # number, circle or class
    role: str
    names: tuple[str, ...] = ()  # of classes, where they have names
    causes: tuple[str, ...] = ()

    def table(self, n: int) -> dict[str, Any]:
        """What the page knows of it before it reads its values; ``n`` values are shown."""
        values = self.values[:n]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        return {
            "name": self.name, "label": factors.factor_label(self.name), "view": self.view, "kind": self.kind,
            "role": self.role, "names": list(self.names), "causes": list(self.causes), "low": low, "high": high,
            "varies": high > low,
        }  # fmt: skip


class SplitView:
    """One split: its source, and its factors as columns. A factor that both views show is there once."""

    def __init__(self, folder: Path, name: str, process: Process | None) -> None:
        self.name, self._folder = name, folder
        if (folder / name).is_dir():
            for file in ("latents_image.csv", "latents_text.csv", "text/text_raw.txt", "images"):
                files.inside(folder, f"{name}/{file}", str(folder / name))
        self.source: Source = open_source(folder, name)
        self.columns = list(_columns_of_split(self.source.image_latents, self.source.text_latents, process))

    def __len__(self) -> int:
        return len(self.source.sentences)

    def sentences(self, chunk: int) -> list[str]:
        """Some of the sentences. Raises IndexError for a chunk that there is not."""
        return self.source.sentences[_in_range(chunk, -(-len(self) // ROWS_AT_ONCE)) * ROWS_AT_ONCE :][
            :ROWS_AT_ONCE
        ]

    def values(self, column: int, n: int | None = None) -> bytes:
        """The values of a column as 64-bit floats, the least significant byte first."""
        return self.columns[_in_range(column, len(self.columns))].values[:n].astype("<f8").tobytes()

    def image(self, row: int) -> bytes:
        """The PNG of a sample. Raises IndexError for one that there is not, IdentboxError for what is no PNG of it."""
        where = self.source.where(_in_range(row, len(self)))
        if isinstance(self.source, FolderSource):
            files.inside(self._folder, f"{self.name}/images/{Path(where).name}", where)
        try:
            content = self.source.png(row)
        except OSError as error:
            raise IdentboxError(f"{where}: expected an image, got {error}") from error
        if not content.startswith(PNG):
            raise IdentboxError(f"{where}: expected a PNG, got another file")
        return content

    @cached_property
    def dependence(self) -> dict[str, Any]:
        """How strongly each two factors depend on each other; see `dependence`."""
        from identbox.explore.dependence import dependence  # its statistics are a second of the start

        return dependence(self.columns)


class DatasetView:
    """A dataset folder, an export, or the published dataset; splits are opened when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = Recipe.read(folder)
        self.added: dict[str, Counterfactual] = {one.name: one for one in counterfactuals_of(folder)}
        self.names = [name for name in (*SPLITS, *self.added) if has_split(folder, name)]
        if not self.names:
            raise IdentboxError(f"{folder}: expected a dataset with at least one split, got none")
        self._open: dict[int, SplitView] = {}
        self._lock = threading.Lock()

    @cached_property
    def process(self) -> Process | None:
        """The process that made it, or None for a dataset without a recipe."""
        return None if self.recipe is None else self.recipe.process.realise(seed=self.recipe.seed)

    def split(self, place: int) -> SplitView:
        """A split by its place. Raises IndexError where there is none."""
        name = self.names[_in_range(place, len(self.names))]
        with self._lock:
            if place not in self._open:
                self._open[place] = SplitView(self.folder, name, self.process)
            return self._open[place]

    def info(self, most: int | None = None) -> dict[str, Any]:
        """What the dataset is, and its splits with their columns; ``most`` bounds the samples that each shows."""
        splits = []
        for place, name in enumerate(self.names):
            view = self.split(place)
            n = len(view) if most is None else min(most, len(view))
            added = self.added.get(name)
            splits.append({
                "name": name, "n": n, "whole": len(view), "columns": [one.table(n) for one in view.columns],
                "of": None if added is None else self._place_of(added.of),
                "intervention": None if added is None else str(added),
                "changed": [] if added is None or self.process is None else sorted(added.changed(self.process)),
            })  # fmt: skip
        return {
            "name": self.folder.resolve().name,
            "chunk": ROWS_AT_ONCE,
            "splits": splits,
            "facts": self._facts(),
            "records": self.recipe is not None,
        }

    def _place_of(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def _facts(self) -> list[tuple[str, str]]:
        """The recipe in a few words."""
        if self.recipe is None:
            return [("recipe", "none: the published dataset, or one of the same form")]
        one = self.recipe
        renderer = one.renderer
        return [
            ("process", one.process.name),
            ("seed", str(one.seed)),
            ("scene", one.scene),
            ("shapes", str(one.shapes["name"])),
            ("images", f"{renderer['size']} × {renderer['size']}, {renderer['samples']} samples a pixel"),
            ("renderer", f"Blender {renderer['blender']} on {renderer['device']}"),
        ]

    def record(self, place: int, row: int) -> dict[str, Any]:
        """The scene of a sample in metres, radians and RGB. Raises IdentboxError for latents that make no scene."""
        view = self.split(place)
        _in_range(row, len(view))
        if self.recipe is None:
            raise IdentboxError(f"{self.folder}: expected a recipe, from which a scene follows, got none")
        latents = view.source.image_latents
        one = {name: latents[name][row : row + 1] for name in IMAGE_FACTORS if name in latents}
        record = Scene(flavour=self.recipe.scene).records(one, self.recipe.shape_names)[0]
        added = self.added.get(view.name)
        drawn = view.name if added is None else added.of
        return {**record, "seed": seeding.derive(self.recipe.seed, "render", drawn, row) % 2**31}


def _in_range(place: int, n: int) -> int:
    """A place from 0 to n - 1. Raises IndexError for any other: a negative one does not count from the end."""
    if not 0 <= place < n:
        raise IndexError(place)
    return place


def _columns_of_split(image: Columns, text: Columns, process: Process | None) -> Iterable[Column]:
    """The factors of both views, those of the image first."""
    known = {} if process is None else {variable.name: variable for variable in process.variables}
    for view, columns in (("image", image), ("text", text)):
        for name, values in columns.items():
            shared = name in image and name in text and np.array_equal(image[name], text[name])
            if shared and view == "text":
                continue
            shown = name + factors.TEXT if name in image and view == "text" else name
            variable = known.get(name)
            distribution = None if variable is None else variable.distribution
            names: tuple[str, ...] = ()
            kind = "class" if values.dtype.kind == "i" else "circle" if name in factors.CIRCULAR else "number"
            if values.dtype == object:
                there, values = np.unique(values.astype(str), return_inverse=True)
                if len(there) > MOST_SHOWN_CLASSES:
                    continue
                kind, names = "class", tuple(map(str, there))
            elif isinstance(distribution, Categorical) and isinstance(distribution.classes, tuple):
                names = distribution.classes
            elif process is None:
                names = PUBLISHED_NAMES.get(name, ())
            role = factors.role(shown) if variable is None else variable.role
            yield Column(
                name=shown,
                view="both" if shared else view,
                values=values,
                kind=kind,
                role=role,
                names=names,
                causes=() if variable is None else tuple(variable.effects),
            )


PUBLISHED_NAMES = {
    "object_shape": presets.SHAPE_NAMES,
    "object_xpos": presets.X_POSITIONS,
    "object_ypos": presets.Y_POSITIONS,
}
