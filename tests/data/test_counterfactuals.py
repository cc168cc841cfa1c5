"""Counterfactual splits: what an intervention changes, how they are read and exported, what a check of them finds."""

import ast
import json
import shutil
from pathlib import Path

import drawn_counterfactuals
import numpy as np
import pytest
import torch

from drawn_squares import make_dataset
from identbox import IdentboxError, Multimodal3DIdent
from identbox.data import checks, counterfactuals, exports, scene, untouched
from identbox.data.counterfactuals import Counterfactual
from identbox.data.latents import BLOCK_OF_SAMPLES, columns_of_sample, draw_latents
from identbox.data.recipe import Recipe
from identbox.process import presets

N, SEED = 60, 3
PROCESS = presets.multimodal3dident()
INTERVALS = 3  # x-positions, each of which names a third of the hues


def drawn(spec: str, n: int = N):
    return columns_of_sample(Counterfactual.parse(spec).sample(PROCESS, SEED, n))


def changed(spec: str) -> set[str]:
    before, after = draw_latents(PROCESS, SEED, "test", N), drawn(spec)
    return {
        name
        for view, columns in after.items()
        for name, column in columns.items()
        if not np.array_equal(column, before[view][name])
    }


@pytest.mark.parametrize(
    ("spec", "variables"),
    [
        ("permute:object_color", {"object_color"}),
        ("permute:object_xpos", {"object_xpos"}),
        ("permute:object_xpos:recompute", {"object_xpos", "object_color"}),
        ("set:background_color=0.5", {"background_color"}),
        ("shift:object_shape=1", {"object_shape"}),
        ("resample:spotlight_pos", {"spotlight_pos"}),
        ("permute:content", {"object_shape", "object_xpos", "object_ypos"}),
        ("permute:text_phrasing", {"text_phrasing"}),
    ],
)
def test_an_intervention_changes_its_variables_and_no_other(spec: str, variables: set[str]) -> None:
    assert changed(spec) == variables
    declared = Counterfactual.parse(spec).changed(PROCESS)
    assert variables <= declared


def test_redrawn_style_and_specific_variables_follow_the_content_that_stays() -> None:
    before, after = draw_latents(PROCESS, SEED, "test", N), drawn("redraw:style,specific")
    assert changed("redraw:style,specific").isdisjoint({"object_shape", "object_xpos", "object_ypos"})
    hue, x = after["image"]["object_color"], after["image"]["object_xpos"]
    assert np.array_equal(np.floor(hue * INTERVALS), x)
    assert (
        abs(np.corrcoef(before["image"]["background_color"], after["image"]["background_color"])[0, 1]) < 0.4
    )


def test_values_after_each_intervention() -> None:
    before = draw_latents(PROCESS, SEED, "test", N)["image"]
    permuted = drawn("permute:object_color")["image"]["object_color"]
    assert np.array_equal(np.sort(permuted), np.sort(before["object_color"]))
    assert set(drawn("set:object_xpos=2")["image"]["object_xpos"]) == {2}
    turned = drawn("shift:object_gammarot=0.25")["image"]["object_gammarot"]
    np.testing.assert_allclose(turned, (before["object_gammarot"] + 0.25) % 1)
    moved = drawn("shift:object_ypos=-1")["image"]["object_ypos"]
    assert np.array_equal(moved, (before["object_ypos"] - 1) % 3)


def test_samples_do_not_depend_on_the_number_of_samples() -> None:
    for spec in ("resample:object_color", "redraw:style", "shift:object_color=0.1"):
        few, many = drawn(spec, 5), drawn(spec, BLOCK_OF_SAMPLES + 5)
        for view, columns in few.items():
            for name, column in columns.items():
                assert np.array_equal(column, many[view][name][:5]), (spec, name)


@pytest.mark.parametrize(
    "spec",
    [
        "permute",
        "swap:object_color",
        "permute:object_color=1",
        "set:object_color",
        "set:object_color=red",
        "permute:object_color,object_color",
        "permute:",
        "permute:object_color:first=0",
        "permute:object_color:often",
    ],
)
def test_another_form_of_an_intervention_is_named(spec: str) -> None:
    with pytest.raises(IdentboxError, match="expected"):
        Counterfactual.parse(spec)


@pytest.mark.parametrize("spec", ["set:object_shape=0.5", "set:object_xpos=3", "permute:hue"])
def test_values_and_targets_that_the_process_does_not_have(spec: str) -> None:
    with pytest.raises(IdentboxError, match="expected"):
        drawn(spec)


def test_a_file_of_interventions(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(
        '[[interventions]]\nhow = "permute"\ntargets = ["object_color"]\n'
        '[[interventions]]\nhow = "set"\ntargets = ["object_xpos"]\nvalue = 1\nof = "val"\n'
    )
    found = counterfactuals.parse_all([str(file), "permute:object_color"], "test")
    assert [one.name for one in found] == ["test.permute.object_color", "val.set.object_xpos.1"]
    file.write_text("[[interventions]]\nhow = 'permute'\ntarget = 'x'\n")
    with pytest.raises(IdentboxError, match="interventions"):
        counterfactuals.parse_all([str(file)], "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = make_dataset(tmp_path_factory.mktemp("data") / "squares", {"train": 20, "val": 4, "test": 12})
    drawn_counterfactuals.add(place, "permute:object_xpos", "set:background_color=0.5:first=5")
    return place


def test_pairs_by_index(folder: Path) -> None:
    pairs = Multimodal3DIdent(folder, "test", intervention="permute:object_xpos")
    plain = Multimodal3DIdent(folder, "test")
    assert len(pairs) == len(plain) == 12
    moved = 0
    for index in range(12):
        before, after = pairs[index]
        assert torch.equal(before["image"], plain[index]["image"])
        for name in before["z_image"]:
            if name != "object_xpos":
                assert before["z_image"][name] == after["z_image"][name]
        moved += before["z_image"]["object_xpos"] != after["z_image"]["object_xpos"]
        assert torch.equal(before["text"], after["text"]) == (
            before["z_image"]["object_xpos"] == after["z_image"]["object_xpos"]
        )
    assert moved > 0
    first = Multimodal3DIdent(folder, "test", intervention="set:background_color=0.5")
    assert len(first) == 5
    assert set(first.image_latents["background_color"]) == {0.5}
    with pytest.raises(IdentboxError, match="--intervene permute:object_shape --of test"):
        Multimodal3DIdent(folder, "test", intervention="permute:object_shape")


@pytest.mark.parametrize("to", ["parquet", "webdataset"])
def test_an_export_has_the_counterfactual_splits(folder: Path, tmp_path: Path, to: str) -> None:
    exports.export_dataset(folder, to, tmp_path / "out")
    for spec in ("permute:object_xpos", "set:background_color=0.5"):
        here = Multimodal3DIdent(folder, "test", intervention=spec)
        there = Multimodal3DIdent(tmp_path / "out", "test", intervention=spec)
        assert here.sentences == there.sentences
        for name, column in here.image_latents.items():
            assert np.array_equal(column, there.image_latents[name])
        assert torch.equal(here[2][1]["image"], there[2][1]["image"])


def found(folder: Path, what: str, split: str = "test.permute.object_xpos") -> checks.DatasetFinding:
    return next(f for f in checks.check_dataset(folder) if f.split == split and f.what == what)


def test_a_check_finds_what_changed_besides(folder: Path, tmp_path: Path) -> None:
    assert found(folder, "counterfactual").good
    assert found(folder, "images left").good
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    place = copy / "test.permute.object_xpos"
    header, *rows = (place / "latents_image.csv").read_text().splitlines()
    column = header.split(",").index("background_color")
    values = rows[3].split(",")
    values[column] = "0.25"
    (place / "latents_image.csv").write_text("\n".join([header, *rows[:3], ",".join(values), *rows[4:], ""]))
    finding = found(copy, "counterfactual")
    assert finding.good is False
    assert "background_color (image)" in finding.detail


def test_a_check_finds_an_image_of_an_unchanged_sample_that_is_another(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = Multimodal3DIdent(copy, "test").image_latents["object_xpos"]
    after = Multimodal3DIdent(copy, "test", intervention="permute:object_xpos").image_latents["object_xpos"]
    same, other = np.flatnonzero(before == after)[0], np.flatnonzero(before != after)[0]
    images = copy / "test.permute.object_xpos" / "images"
    shutil.copyfile(images / f"{other:02d}.png", images / f"{same:02d}.png")
    assert found(copy, "images left").good is False


def test_the_recipe_of_the_dataset_does_not_change(folder: Path) -> None:
    recipe = Recipe.read(folder)
    assert set(recipe.samples) == {
        "train",
        "val",
        "test",
        "test.permute.object_xpos",
        "test.set.background_color.0p5.first5",
    }
    assert "counterfactuals" not in recipe.table()
    json.dumps(recipe.table()["splits"])


def test_the_camera_and_lights_are_those_of_the_renderer() -> None:
    studio = Path(__file__).parents[2] / "render" / "studio.py"
    code = ast.parse(studio.read_text())
    wanted = {
        "CAMERA_LOCATION": scene.CAMERA,
        "LENS": untouched.LENS,
        "SENSOR": untouched.SENSOR,
        "AREA_LOCATION": untouched.AREA,
        "AREA_SIDE": untouched.AREA_SIDE,
        "SPOT_CONE": untouched.SPOT_CONE,
        "SPOT_SOFT_SIZE": untouched.SPOT_SOFT_SIZE,
    }
    known: dict[str, object] = {"pi": np.pi}
    for line in code.body:
        if isinstance(line, ast.Assign):
            exec(compile(ast.Module([line], []), "studio", "exec"), known)
    assert {name: known[name] for name in wanted} == wanted
