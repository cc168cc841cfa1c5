"""Counterfactual splits of the dataset of drawn squares, made without a renderer."""

from dataclasses import replace
from pathlib import Path

from drawn_squares import draw
from identbox.data import folder as data_folder
from identbox.data.counterfactuals import parse_all
from identbox.data.recipe import Recipe
from identbox.rendering import generation


def add(folder: Path, *specs: str, of: str = "test") -> None:
    """Add counterfactual splits to a folder of `drawn_squares.make_dataset`."""
    recipe = replace(Recipe.read(folder), counterfactuals=parse_all(specs, of))
    generation.prepare_folder(folder, recipe)
    for one in recipe.counterfactuals:
        n, place = recipe.samples[one.name], folder / one.name / "images"
        for i, image in enumerate(draw(recipe.latents(one.name)["image"], n)):
            image.save(place / data_folder.image_name(i, n))
