"""What the page reads of a dataset is what the dataset has."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

import drawn_folder
from identbox.data.dataset import Multimodal3DIdent
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.explore.dependence import strength
from identbox.explore.desk import Desk
from identbox.explore.samples import ROWS_AT_ONCE, DatasetView
from identbox.rendering.generation import records_of


def test_columns_are_the_latents_of_both_views(desk: Desk, squares: Path):
    train = Multimodal3DIdent(squares, "train")
    columns = desk.info()["dataset"]["splits"][0]["columns"]
    found = {one["name"]: np.frombuffer(desk.column(0, place), "<f8") for place, one in enumerate(columns)}
    for name in ("object_shape", "object_color", "spotlight_pos"):
        assert np.array_equal(found[name], train.image_latents[name])
    names = next(one["names"] for one in columns if one["name"] == "object_color_name")
    assert [names[int(k)] for k in found["object_color_name"]] == list(
        train.text_latents["object_color_name"]
    )
    by_name = {one["name"]: one for one in columns}
    assert by_name["object_color"]["causes"] == ["object_xpos"]
    assert (by_name["object_xpos"]["view"], by_name["object_color"]["view"]) == ("both", "image")


def test_sentences_come_in_chunks_and_images_unchanged(desk: Desk, squares: Path):
    train = Multimodal3DIdent(squares, "train")
    assert desk.sentences(0, 0) + desk.sentences(0, 1) == train.sentences
    assert len(desk.sentences(0, 0)) == ROWS_AT_ONCE
    assert desk.image(0, 7) == (squares / "train" / "images" / "007.png").read_bytes()


def test_a_counterfactual_split_says_what_was_done_to_which_split(desk: Desk):
    splits = {one["name"]: one for one in desk.info()["dataset"]["splits"]}
    one = splits["test.permute.object_xpos.recompute.first20"]
    assert (one["n"], one["intervention"]) == (20, "permute:object_xpos:recompute:first=20")
    assert one["changed"] == ["object_color", "object_xpos"]
    assert list(splits)[one["of"]] == "test"


def test_the_record_of_a_sample_is_that_of_its_rendering(desk: Desk, squares: Path):
    recipe = Recipe.read(squares)
    for place, split in ((2, "test"), (3, desk.dataset.names[3])):
        wanted = records_of(recipe, split, range(5, 6))[0]
        assert desk.record(place, 5) == {key: value for key, value in wanted.items() if key != "file"}


def test_words_are_found_in_small_letters_and_capitals(desk: Desk, squares: Path):
    sentences = Multimodal3DIdent(squares, "train").sentences
    found = np.frombuffer(desk.search(0, {"words": "TEAPOT"}), "<u4")
    assert found.tolist() == [row for row, one in enumerate(sentences) if "teapot" in one]


@pytest.mark.parametrize(("split", "row"), [(-1, 0), (0, -1), (0, 300), (9, 0)])
def test_a_place_that_there_is_not_is_no_place_from_the_end(desk: Desk, split: int, row: int):
    with pytest.raises(IndexError):
        desk.image(split, row)


def test_a_dataset_without_a_recipe_has_everything_but_scenes(tmp_path: Path):
    view = DatasetView(drawn_folder.make(tmp_path / "data", {"train": 11}))
    assert [one["name"] for one in view.info()["splits"]] == ["train"]
    assert not view.info()["records"]
    with pytest.raises(IdentboxError, match="expected a recipe"):
        view.record(0, 0)


def test_the_declared_dependence_is_found_and_no_other(desk: Desk):
    found = desk.dependence(0)
    at = {name: place for place, name in enumerate(found["names"])}
    assert found["declared"] == [["object_xpos", "object_color"]]
    assert found["matrix"][at["object_xpos"]][at["object_color"]] > 0.9
    rest = [
        found["matrix"][at[a]][at[b]]
        for a in ("object_shape", "object_ypos", "spotlight_pos", "background_color")
        for b in ("object_color", "object_gammarot", "text_phrasing")
    ]
    assert max(rest) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_strength_is_normalised_mutual_information_but_for_chance(seed: int):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, 20_000)
    b = np.where(rng.random(20_000) < 0.5, a, rng.integers(0, 4, 20_000))
    wanted = normalized_mutual_info_score(a, b, average_method="min")
    assert strength(a, b) == pytest.approx(wanted, abs=2e-3)
    # Of independent factors the correction takes away what there is by chance: nothing is left on average.
    few = [strength(rng.integers(0, 12, 300), rng.integers(0, 12, 300)) for _ in range(20)]
    raw = [
        normalized_mutual_info_score(rng.integers(0, 12, 300), rng.integers(0, 12, 300), average_method="min")
        for _ in range(5)
    ]
    assert np.mean(few) < 0.02 < np.mean(raw)
