from pathlib import Path

from PIL import Image

from identbox.data import cards
from identbox.data import recipe as data_recipe
from identbox.process import presets


def test_the_picture_shows_the_first_images(small: Path):
    sheet = cards.gallery(small, "train", presets.SHAPE_NAMES, columns=4, rows=2)
    assert sheet.size == (
        4 * (cards.TILE + cards.GAP) + cards.GAP,
        2 * (cards.TILE + cards.CAPTION + cards.GAP) + cards.GAP,
    )
    with Image.open(small / "train" / "images" / "05.png") as file:
        tile = file.resize((cards.TILE, cards.TILE), Image.Resampling.NEAREST)
    x, y = cards.GAP + cards.TILE + cards.GAP, 2 * cards.GAP + cards.TILE + cards.CAPTION
    assert sheet.crop((x, y, x + cards.TILE, y + cards.TILE)).tobytes() == tile.tobytes()


def test_captions_stay_within_their_space(small: Path):
    sheet = cards.gallery(small, "train", presets.SHAPE_NAMES)
    for row in range(3):
        bottom = (row + 1) * (cards.GAP + cards.TILE + cards.CAPTION)
        strip = sheet.crop((0, bottom, sheet.width, bottom + cards.GAP))
        assert strip.getextrema() == ((255, 255),) * 3


def test_the_card_says_what_the_dataset_is(small: Path):
    recipe = data_recipe.Recipe.read(small)
    card = cards.card(recipe)
    assert card == (small / "README.md").read_text()
    for words in ("| train | 14 |", "object_xpos (interval)", recipe.shapes["sha256"], "48 x 48", "seed: 0"):
        assert words in card
    for variable in recipe.process.variables:
        assert f"| {variable.name} |" in card
