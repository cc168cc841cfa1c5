"""The recipe of a dataset: all that it is made from, so that equal recipes give equal files."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from identbox import __version__, config, seeding
from identbox.data.colors import DEFAULT_NAMING, Naming
from identbox.data.folder import Columns
from identbox.data.scene import Flavour
from identbox.errors import IdentboxError
from identbox.process import presets, tables
from identbox.process.distributions import Categorical
from identbox.process.model import Process
from identbox.process.tables import table_from_process
from identbox.settings import at_least, build, settings

BLOCK_OF_SAMPLES = 4096  # drawn from one set of streams
RECIPE_FORMAT = 1


@settings
class Recipe:
    """All that a dataset is made from; two folders of equal recipes hold equal files."""

    process: Process
    splits: dict[str, int]  # number of samples of each split
    seed: Annotated[int, at_least(0)] = 0
    scene: Flavour = "thesis"
    naming: Naming = DEFAULT_NAMING  # the distance by which the nearest colour name is found
    shapes: dict[str, str]  # name and sha256 of the pack, its licence and credit
    renderer: dict[str, Any]  # size, samples, device, Blender's version

    def __post_init__(self) -> None:
        for split, n in self.splits.items():
            if n < 0 or (split == "train" and n < 1):
                least = 1 if split == "train" else 0
                raise IdentboxError(f"number of {split} samples: expected at least {least}, got {n}")

    @property
    def shape_names(self) -> tuple[str, ...]:
        return shape_names(self.process)

    def table(self) -> dict[str, Any]:
        """The table of dataset.toml. The naming of colours is in it only where it is not the default."""
        naming = {} if self.naming == DEFAULT_NAMING else {"naming": self.naming}
        return {
            "format": RECIPE_FORMAT,
            "identbox": __version__,
            "seed": self.seed,
            "scene": self.scene,
            **naming,
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
        if table.get("format") != RECIPE_FORMAT:
            raise IdentboxError(f"{path}: format: expected {RECIPE_FORMAT}, got {table.get('format')}")
        table = {key: value for key, value in table.items() if key not in ("format", "identbox")}
        if "process" in table:
            table["process"] = tables.from_table(table["process"], f"{path}: process")
        return build(Recipe, table, str(path))


def shape_names(process: Process) -> tuple[str, ...]:
    """The class names of a process's object_shape; a number k stands for the first k published classes."""
    shape = process["object_shape"].distribution
    if not isinstance(shape, Categorical):
        raise IdentboxError(
            f"variables.object_shape: expected a categorical variable, got a {shape.kind} one"
        )
    if isinstance(shape.classes, tuple):
        return shape.classes
    if shape.k > len(presets.SHAPE_NAMES):
        raise IdentboxError(
            f"variables.object_shape.classes: expected names for more than {len(presets.SHAPE_NAMES)}, got {shape.k}"
        )
    return presets.SHAPE_NAMES[: shape.k]


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
            BLOCK_OF_SAMPLES,
            generator=partial(_stream, seed, split, block),
            dtype=torch.float64,
        ).views
        for block in range(math.ceil(n / BLOCK_OF_SAMPLES))
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
