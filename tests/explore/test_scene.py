"""A sample is moved as the process says, and rendered as it was in the dataset."""

import math
from pathlib import Path

import numpy as np
import pytest

from identbox.data.dataset import Multimodal3DIdent
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.explore.scene import Asked, LiveProcess, Move
from identbox.process.distributions import Categorical, Normal
from identbox.process.effects import Linear
from identbox.process.model import Change, Process, Variable
from identbox.process.presets import multimodal3dident, numerical_simulation
from identbox.rendering.generation import records_of


@pytest.fixture(scope="module")
def live(squares: Path) -> LiveProcess:
    recipe = Recipe.read(squares)
    return LiveProcess(recipe.process, recipe)


def asked(split: str = "test", row: int = 3, **moves: Move) -> Asked:
    return Asked(split=split, row=row, moves=moves)


def test_before_is_the_sample_of_the_dataset(live: LiveProcess, squares: Path):
    test = Multimodal3DIdent(squares, "test")
    recipe = Recipe.read(squares)
    for row in (0, 17, 39):
        shown = live.shown(live.base(asked(row=row)), asked(row=row))
        assert shown.sentence == test.sentences[row]
        assert shown.values["object_color"] == [test.image_latents["object_color"][row]]
        wanted = records_of(recipe, "test", range(row, row + 1))[0]
        assert shown.record == {key: value for key, value in wanted.items() if key != "file"}


def test_what_a_moved_variable_causes_follows_or_stays(live: LiveProcess):
    before = live.answer(asked())["before"]["values"]
    x = (before["object_xpos"][0] + 1) % 3
    follows = live.answer(asked(object_xpos=Move(to=(x,))))
    assert (follows["moved"], follows["followed"]) == (["object_xpos"], ["object_color"])
    # The hue keeps its place within the third that the position names (section 4.4).
    assert follows["after"]["values"]["object_color"][0] == pytest.approx(
        before["object_color"][0] % (1 / 3) + x / 3
    )
    stays = live.answer(asked(object_xpos=Move(to=(x,), follow=False)))
    assert (stays["moved"], stays["followed"]) == (["object_xpos"], [])
    assert stays["after"]["sentence"] != stays["before"]["sentence"]


def test_the_order_of_moves_does_not_matter(live: LiveProcess):
    one, other = Move(to=(2.0,)), Move(to=(0.4,))
    first = live.answer(asked(object_xpos=one, object_color=other))["after"]
    second = live.answer(asked(object_color=other, object_xpos=one))["after"]
    assert first == second
    assert first["values"]["object_color"] == [0.4]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"split": "test", "row": 40}, "expected one of the 40"),
        ({"split": "nowhere"}, "expected one of the 0"),
        ({"row": -1}, "row"),
        ({"moves": []}, "expected a table"),
        ({"moves": {"object_xpos": {"to": [3]}}}, "expected a class in 0..2"),
        ({"moves": {"object_xpos": {"to": [0.5]}}}, "expected a class"),
        ({"moves": {"object_color": {"to": [0.1, 0.2]}}}, "expected 1 numbers"),
        ({"moves": {"object_color": {"to": []}}}, "expected 1 numbers"),
        ({"moves": {"object_color": {"to": [math.nan]}}}, "object_color|to"),
        ({"moves": {"object_color": {"to": "0.5"}}}, "to"),
        ({"moves": {"nothing": {"to": [0]}}}, "expected a variable among"),
        ({"moves": {"object_color": {"to": [0.5], "extra": 1}}}, "extra"),
    ],
)
def test_a_request_of_another_form_is_one_line(live: LiveProcess, table: dict, what: str):
    with pytest.raises(IdentboxError, match=what):
        live.answer(Asked.of_request(table))


def test_a_value_out_of_the_scene_moves_but_gives_no_image(live: LiveProcess):
    answer = live.answer(asked(spotlight_pos=Move(to=(1.5,))))
    assert answer["after"]["values"]["spotlight_pos"] == [1.5]
    assert not answer["after"]["image"]
    assert "spotlight_pos" in answer["without"]


def test_a_process_of_no_scene_moves_all_the_same():
    live = LiveProcess(numerical_simulation(content=2, style=2, specific=1, causal=True), seed=1)
    table = {one["name"]: one for one in live.table()["variables"]}
    assert table["content"]["dim"] == 2
    assert table["content"]["effects"] == ["style"]
    assert table["content"]["low"] < -2 < 2 < table["content"]["high"]
    answer = live.answer(Asked(row=5, moves={"content": Move(to=(1.0, -1.0))}))
    assert answer["followed"] == ["style"]
    assert set(answer["after"]["seen"]["2"]) == {"style"}  # which the second view sees changed
    assert not answer["after"]["image"]
    assert "views image and text" in live.without


def test_any_process_of_the_user_s_own_has_sliders_in_its_range():
    coin = Variable(name="coin", role="content", distribution=Categorical(classes=("heads", "tails")))
    height = Variable(
        name="height",
        role="style",
        distribution=Normal(mean=7.0),
        change=Change(),
        effects={"coin": Linear()},
    )
    process = Process(name="own", variables=(coin, height))
    table = {one["name"]: one for one in LiveProcess(process).table()["variables"]}
    assert (table["coin"]["names"], table["coin"]["high"]) == (["heads", "tails"], 1.0)
    assert table["height"]["low"] < 7 < table["height"]["high"]
    values = [
        LiveProcess(process).answer(Asked(row=row, moves={}))["before"]["values"]["height"][0]
        for row in range(3)
    ]
    assert len(set(values)) == 3


def test_ranges_of_factors_are_those_that_can_be_rendered():
    for one in LiveProcess(multimodal3dident()).table()["variables"]:
        if one["kind"] != "class":
            assert (one["low"], one["high"]) == (0.0, 1.0), one["name"]
        else:
            assert one["high"] == np.round(one["high"])
