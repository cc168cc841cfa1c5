"""What a user asks for, from Python: requests, plans, and rendering them."""

from pathlib import Path

import pytest

from faults import differing, files
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.process import presets
from identbox.rendering.requests import RenderRequest, plan_render, render_here

SMALL_REQUEST = RenderRequest(n=14, val=3, test=2, size=48, samples=1)  # as conftest.SMALL


def test_a_plan_rendered_from_python_gives_the_files_of_the_command(small: Path, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    outcome = render_here(
        tmp_path / "out", plan_render(SMALL_REQUEST), on_start=lambda *counts: seen.append(counts)
    )
    assert (outcome.done, seen) == (19, [(0, 19)])
    assert differing(files(small), files(tmp_path / "out")) == []
    assert render_here(tmp_path / "out", plan_render(SMALL_REQUEST)).done == 0


def test_a_plan_has_the_recipe_of_the_request_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    plan = plan_render(RenderRequest(n=125_000, seed=3, scene="published", naming="lab", splits=("val",)))
    assert plan.recipe.splits == {"train": 125_000, "val": 10_000, "test": 10_000}
    assert (plan.recipe.seed, plan.recipe.scene, plan.recipe.naming) == (3, "published", "lab")
    assert plan.recipe.process == presets.multimodal3dident()
    assert plan.part.splits == ("val",)
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_the_user_is_an_object_or_a_file(tmp_path: Path):
    process = presets.multimodal3dident(position_causes_color=False)
    assert plan_render(RenderRequest(n=5, process=process)).recipe.process == process
    (tmp_path / "own.toml").write_text('base = "multimodal3dident"\n')
    recipe = plan_render(RenderRequest(n=5, process=tmp_path / "own.toml")).recipe
    assert recipe.process.name == "own"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"n": 0}, "number of train samples: expected at least 1, got 0"),
        ({"n": 5, "size": 7}, r"size: expected a number in \[8, 8192\], got 7"),
        ({"n": 5, "seed": -1}, "seed: expected at least 0, got -1"),
        ({"n": 5, "shard": (3, 2)}, "--shard: expected I/K with 1 <= I <= K, got 3/2"),
        ({"n": 5, "process": presets.numerical_simulation()}, "expected the views image and text to render"),
    ],
)
def test_requests_that_cannot_be_rendered_are_named(keys: dict, message: str):
    with pytest.raises(IdentboxError, match=message):
        plan_render(RenderRequest(**keys))


def test_a_recipe_records_the_naming_only_where_it_is_not_the_default():
    known = {
        "process": presets.multimodal3dident(),
        "shapes": {"name": "builtin", "sha256": "0" * 64},
        "renderer": {"size": 64, "samples": 1, "device": "cpu", "blender": "4.5.0"},
    }
    recipes = [Recipe(splits={"train": 1}, naming=naming, **known) for naming in ("rgb", "lab")]
    assert [recipe.table().get("naming") for recipe in recipes] == [None, "lab"]
