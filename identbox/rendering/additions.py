"""Counterfactual splits that are added to a dataset folder: from interventions to a plan that is rendered like any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from identbox.data.counterfactuals import parse_all
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.rendering.blender import Blender, describe_blender
from identbox.rendering.generation import Part
from identbox.rendering.requests import RenderPlan
from identbox.rendering.shapes import load_pack


def plan_counterfactuals(
    folder: Path,
    interventions: Sequence[str],
    *,
    of: str = "test",
    shapes: str = "builtin",
    offline: bool = False,
    executable: str | None = None,
    shard: tuple[int, int] = (1, 1),
    on_step: Callable[[str], None] = lambda what: None,
) -> RenderPlan:
    """The plan of the samples of the split ``of`` once more under each of some interventions.

    >>> plan = plan_counterfactuals(Path("m3di"), ["permute:object_color", "permute:object_xpos"])  # doctest: +SKIP
    >>> render_here(Path("m3di"), plan, workers=2)  # doctest: +SKIP

    ``interventions`` are texts or TOML files, as `identbox.data.counterfactuals` describes them. All else is that of
    the dataset in ``folder``: process, seed, scene, renderer. Raises IdentboxError for a folder without a recipe, for
    interventions that its process does not know, and for shapes and a Blender that are not those of the recipe.
    """
    recipe = Recipe.read(folder)
    if recipe is None:
        raise IdentboxError(
            f"{folder}: expected a dataset of identbox to add to, got a folder without dataset.toml"
        )
    added = parse_all(interventions, of)
    for one in added:
        one.variables(recipe.process)
        one.size(recipe.splits)
    blender = Blender(executable=executable)
    version = describe_blender(blender)["blender"]
    if version != recipe.renderer["blender"]:
        raise IdentboxError(
            f"Blender: expected {recipe.renderer['blender']}, with which {folder} was rendered, got {version}"
        )
    pack = load_pack(shapes, recipe.shape_names, blender, offline=offline, on_step=on_step)
    if pack.table() != recipe.shapes:
        raise IdentboxError(f"--shapes {shapes}: expected those of {folder}, got others")
    others = tuple(one for one in recipe.counterfactuals if one not in added)
    return RenderPlan(
        recipe=replace(recipe, counterfactuals=(*others, *added)),
        part=Part(splits=tuple(one.name for one in added), shard=shard),
        pack=pack,
        pack_name=shapes,
        blender=blender,
        offline=offline,
    )
