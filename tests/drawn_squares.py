"""A coloured square in one of nine places with its sentence: a dataset that is drawn, and a small learner of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from identbox import config
from identbox.data import folder as data_folder
from identbox.data import recipe as data_recipe
from identbox.data.scene import hsv_to_rgb
from identbox.experiments import image_text
from identbox.process import presets
from identbox.rendering import generation

SIZE, CELL = 18, 6  # pixels of an image and of one of its nine places


COUNTS = {"train": 480, "val": 96, "test": 96}


TINY = {
    "encoder": {"image": "small", "encoding_size": 4, "hidden": 32, "width": 32},
    "data": {"image_size": 18, "shift": 0, "hue": 0.0, "light": 0.0, "more_sentences": 0},
    "training": {
        "steps": 75,
        "batch": 24,
        "log_every": 25,
        "checkpoint_every": 0.0,
        "learning_rate": 0.004,
        "weight_decay": 0.0,
    },
    "probes": {"samples": 160, "bootstrap": 10},
}


def draw(latents: dict[str, np.ndarray], n: int):
    """The images of a split: the square's place, colour and side are position, hue and shape; the ground is grey."""
    colors = np.rint(255 * hsv_to_rgb(latents["object_color"], 1.0, 1.0)).astype(np.uint8)
    for i in range(n):
        pixels = np.full((SIZE, SIZE, 3), int(40 * latents["background_color"][i]), dtype=np.uint8)
        top, left = CELL * latents["object_ypos"][i], CELL * latents["object_xpos"][i]
        side = 3 + latents["object_shape"][i] % 4
        pixels[top : top + side, left : left + side] = colors[i]
        yield Image.fromarray(pixels)


def make_dataset(folder: Path, counts: dict[str, int] = COUNTS, seed: int = 0) -> Path:
    recipe = data_recipe.Recipe(
        process=presets.multimodal3dident(),
        splits=counts,
        seed=seed,
        shapes={"name": "squares", "sha256": "0" * 64},
        renderer={"blender": "none", "device": "cpu", "size": SIZE, "samples": 1},
    )
    generation.prepare_folder(folder, recipe)
    for split, n in counts.items():
        place = folder / split / "images"
        place.mkdir(exist_ok=True)
        latents = data_recipe.draw_latents(recipe.process, seed, split, n)["image"]
        for i, image in enumerate(draw(latents, n)):
            image.save(place / data_folder.image_name(i, n))
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "squares")


def made(table=None) -> image_text.Experiment:
    return image_text.Experiment.from_preset("quick", config.merge(TINY, table or {}))


@pytest.fixture(scope="module")
def data(squares: Path) -> image_text.Data:
    return image_text.open_data(squares, made().data)
