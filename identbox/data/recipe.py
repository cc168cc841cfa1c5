"""The recipe of a dataset: all that it is made from, so that equal recipes give equal files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from identbox import __version__, config
from identbox.data.colors import DEFAULT_NAMING, Naming
from identbox.data.counterfactuals import Counterfactual, counterfactuals_of
from identbox.data.folder import SPLITS, Columns
from identbox.data.latents import columns_of_sample, draw_latents
from identbox.data.scene import Flavour
from identbox.errors import IdentboxError
from identbox.process import presets, tables
from identbox.process.distributions import Categorical
from identbox.process.model import Process
from identbox.process.tables import table_from_process
from identbox.settings import at_least, between, build, settings

RECIPE_FORMAT = 1
CLASS_NAME = re.compile(r"""[^\s",.:'/\\<>|`]+""")  # one word of a sentence, and the name of a file
MOST_SAMPLES = 10**10  # of a split


@settings
class _Renderer:
    """What the renderer's table of a recipe must say; it may say more."""

    blender: str
    device: Literal["optix", "cuda", "hip", "metal", "cpu"]
    size: Annotated[int, between(8, 8192)]
    samples: Annotated[int, between(1, 65536)]


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
    # Splits that were added to the dataset. Each says in its own folder what it is, and none is in dataset.toml.
    counterfactuals: tuple[Counterfactual, ...] = ()

    def __post_init__(self) -> None:
        for split, n in self.splits.items():
            if split not in SPLITS:
                raise IdentboxError(f"splits: expected {', '.join(SPLITS)}; got {split!r:.60}")
            if n > MOST_SAMPLES:
                raise IdentboxError(
                    f"number of {split} samples: expected at most {MOST_SAMPLES}, got {n!r:.40}"
                )
            if n < 0 or (split == "train" and n < 1):
                least = 1 if split == "train" else 0
                raise IdentboxError(f"number of {split} samples: expected at least {least}, got {n}")

        for key in ("name", "sha256"):
            if not self.shapes.get(key):
                raise IdentboxError(f"shapes: expected the key {key}, got {', '.join(self.shapes) or 'none'}")
        build(_Renderer, {key: self.renderer.get(key) for key in _Renderer.__annotations__}, "renderer")

    @property
    def shape_names(self) -> tuple[str, ...]:
        return shape_names(self.process)

    @property
    def samples(self) -> dict[str, int]:
        """The number of samples of each split, the counterfactual ones included."""
        return {**self.splits, **{one.name: one.size(self.splits) for one in self.counterfactuals}}

    def intervention(self, split: str) -> Counterfactual | None:
        """The intervention of a counterfactual split, or None for another split."""
        return next((one for one in self.counterfactuals if one.name == split), None)

    def latents(self, split: str, rows: range | None = None) -> dict[str, Columns]:
        """The latents of any split, or of some of its rows: for each view its variables as columns of shape (n,)."""
        n, one = self.samples[split], self.intervention(split)
        rows = range(n) if rows is None else rows
        if one is None:
            return draw_latents(self.process, self.seed, split, rows.stop, begin=rows.start)
        # A permutation needs all samples.
        views = columns_of_sample(one.sample(self.process, self.seed, n))
        return {
            view: {name: column[rows.start : rows.stop] for name, column in columns.items()}
            for view, columns in views.items()
        }

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
        if "counterfactuals" in table:
            raise IdentboxError(f"{path}: expected no key counterfactuals, got one")
        return replace(build(Recipe, table, str(path)), counterfactuals=counterfactuals_of(folder))


def shape_names(process: Process) -> tuple[str, ...]:
    """The class names of a process's object_shape; a number k stands for the first k published classes."""
    shape = process["object_shape"].distribution
    if not isinstance(shape, Categorical):
        raise IdentboxError(
            f"variables.object_shape: expected a categorical variable, got a {shape.kind} one"
        )
    if isinstance(shape.classes, tuple):
        for name in shape.classes:
            if not CLASS_NAME.fullmatch(name) or not name.isprintable() or len(name) > 60:
                raise IdentboxError(
                    f"variables.object_shape.classes: expected words that a sentence can name, without spaces and "
                    f"punctuation, got {name!r:.80}"
                )
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


def check_views(process: Process) -> None:
    """Raise IdentboxError where a process is not one of an image and a text."""
    if set(process.views) != {"image", "text"}:
        raise IdentboxError(
            f"process {process.name}: expected the views image and text to render, got {', '.join(process.views)}"
        )
