import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from conftest import SMALL, identbox
from identbox import Multimodal3DIdent
from identbox.data import checks, exports
from identbox.data import folder as data_folder
from identbox.data import recipe as data_recipe
from identbox.errors import IdentboxError
from identbox.process import presets


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small, tmp_path / "copy")


def faults(folder: Path) -> dict[str, str]:
    """What is wrong, by split and thing."""
    return {f"{f.split} {f.what}": f.detail for f in checks.check_dataset(folder) if f.good is False}


def test_a_whole_dataset_has_no_faults(small: Path):
    assert faults(small) == {}
    done = identbox("check", small, "--rerender", 3, "--placement", 0)
    assert done.returncode == 0, done.stdout
    assert "3 images, 0 that differ, by 0 levels at most" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{small}: whole"


def test_the_published_layout_is_checked_without_a_recipe(copy: Path):
    (copy / "dataset.toml").unlink()
    shutil.rmtree(copy / "val")
    assert faults(copy) == {}
    text = copy / "train" / "text" / "text_raw.txt"
    lines = text.read_text().splitlines()
    text.write_text("\n".join([lines[1], lines[0], *lines[2:]]))
    assert list(faults(copy)) == ["train sentences"]


def edit(path: Path, line: int, column: str, value: str) -> None:
    """Set a value of a CSV; line 0 is the first sample."""
    lines = path.read_text().splitlines()
    names = lines[0].split(",")
    row = lines[line + 1].split(",")
    row[names.index(column)] = value
    lines[line + 1] = ",".join(row)
    path.write_text("\n".join(lines) + "\n")


def test_missing_broken_and_extra_images_are_named(copy: Path):
    images = copy / "train" / "images"
    (images / "03.png").unlink()
    (images / "99.png").write_bytes(b"")
    assert faults(copy) == {
        "train images": "expected 14, got 1 missing (03.png); 1 that do not belong (99.png)"
    }
    (images / "99.png").unlink()
    content = (images / "04.png").read_bytes()
    (images / "03.png").write_bytes(content[: len(content) // 2])
    assert "1 broken: 03.png" in faults(copy)["train images"]
    Image.new("L", (48, 48)).save(images / "03.png")
    assert "03.png: expected RGB, got L" in faults(copy)["train images"]
    Image.new("RGB", (48, 40)).save(images / "03.png")
    assert "03.png: expected 48 x 48, got 48 x 40" in faults(copy)["train images"]
    done = identbox("check", copy, "--placement", 0)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"identbox: {copy}: expected a whole dataset, got the faults above"]


def test_wrong_latents_are_named(copy: Path):
    image, text = copy / "train" / "latents_image.csv", copy / "train" / "latents_text.csv"
    saved = image.read_text(), text.read_text()
    shape = int(saved[0].splitlines()[1].split(",")[0])
    edit(image, 0, "object_shape", str((shape + 1) % 7))
    assert set(faults(copy)) == {"train content", "train latents"}
    image.write_text(saved[0])
    edit(image, 2, "object_color", "1.5")
    assert "object_color of sample 2: expected in [0, 1], got 1.5" in faults(copy)["train ranges"]
    image.write_text(saved[0])
    edit(text, 1, "object_shape", "9")
    assert "object_shape of sample 1: expected a class in 0..6, got 9" in faults(copy)["train ranges"]
    text.write_text(saved[1])
    edit(text, 1, "object_color_name", "black")
    assert {"train sentences", "train colour names"} <= set(faults(copy))
    text.write_text("\n".join(saved[1].splitlines()[:-1]) + "\n")
    assert faults(copy)["train counts"] == "expected 14, got 13 latents_text"


def test_a_colour_outside_the_third_of_its_position_is_named(copy: Path):
    image = copy / "train" / "latents_image.csv"
    column = data_folder.read_latents(image)
    hue = (column["object_color"][0] + 1 / 3) % 1
    edit(image, 0, "object_color", repr(hue))
    assert "1 samples outside their interval" in faults(copy)["train object_xpos -> object_color"]


def test_a_dataset_of_another_seed_is_noticed(copy: Path):
    recipe = copy / "dataset.toml"
    recipe.write_text(recipe.read_text().replace("seed = 0", "seed = 1"))
    assert "not those of seed 1" in faults(copy)["train latents"]


LAB = ("--n", 40, "--val", 2, "--test", 2, "--size", 16, "--samples", 1, "--workers", 1, "--naming", "lab")


@pytest.fixture(scope="module")
def named_by_lab(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A dataset rendered with --naming lab. Not to be written to."""
    folder = tmp_path_factory.mktemp("lab") / "data"
    done = identbox("render", *LAB, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_dataset_named_by_lab_passes_the_check_and_records_its_naming(named_by_lab: Path, small: Path):
    assert data_recipe.Recipe.read(named_by_lab).naming == "lab"
    assert "CIEDE2000" in (named_by_lab / "README.md").read_text()
    done = identbox("check", named_by_lab, "--placement", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "colour names" in done.stdout
    assert "the nearest of its palette by lab" in done.stdout
    assert "naming" not in (small / "dataset.toml").read_text()  # the default is left out
    assert "CIEDE2000" not in (small / "README.md").read_text()


def test_names_made_by_the_other_naming_fail_the_check(named_by_lab: Path, tmp_path: Path):
    folder = shutil.copytree(named_by_lab, tmp_path / "copy")
    recipe = folder / "dataset.toml"
    content = recipe.read_text()
    recipe.write_text(content.replace('naming = "lab"\n', ""))
    assert {what.partition(" ")[2] for what in faults(folder)} == {"colour names"}
    assert "is not the nearest" in faults(folder)["train colour names"]
    recipe.write_text(content.replace('"lab"', '"cmyk"'))
    with pytest.raises(IdentboxError, match="naming: expected one of rgb, lab; got 'cmyk'"):
        list(checks.check_dataset(folder))


def test_a_dataset_goes_on_with_its_own_naming_alone(named_by_lab: Path, small: Path):
    done = identbox("render", *LAB[:-2], "--out", named_by_lab)
    assert done.returncode == 1
    assert "got one that differs in naming (lab in the folder, None asked for)" in done.stderr
    done = identbox("render", *SMALL, "--naming", "lab", "--out", small)
    assert done.returncode == 1
    assert "got one that differs in naming (None in the folder, lab asked for)" in done.stderr


def test_a_dataset_named_by_lab_is_read_and_exported_as_any_other(named_by_lab: Path, tmp_path: Path):
    data = Multimodal3DIdent(named_by_lab)
    assert data[0]["z_text"]["object_color_name"] in data.sentences[0]
    exports.export_dataset(named_by_lab, "webdataset", tmp_path / "out")
    assert data_recipe.Recipe.read(tmp_path / "out").naming == "lab"
    assert Multimodal3DIdent(tmp_path / "out").sentences == data.sentences


def test_other_pixels_are_noticed(copy: Path):
    for split, n in data_recipe.Recipe.read(copy).splits.items():
        for k in range(n):
            path = copy / split / "images" / data_folder.image_name(k, n)
            pixels = np.asarray(Image.open(path)).copy()
            pixels[5, 5] ^= 64
            Image.fromarray(pixels).save(path)
    done = identbox("check", copy, "--rerender", 2, "--placement", 0)
    assert done.returncode == 1
    assert "2 images, 2 that differ, by 64 levels at most" in done.stdout


def test_rerender_needs_the_pack_of_the_recipe(copy: Path):
    recipe = copy / "dataset.toml"
    sha = data_recipe.Recipe.read(copy).shapes["sha256"]
    recipe.write_text(recipe.read_text().replace(sha, "0" * 64))
    done = identbox("check", copy, "--rerender", 1, "--placement", 0)
    assert done.returncode == 1
    assert "expected the pack builtin of the recipe, got one of another content" in done.stderr


def test_folders_without_a_dataset_are_refused(tmp_path: Path):
    with pytest.raises(IdentboxError, match="expected a dataset with train, val or test, got none of them"):
        list(checks.check_dataset(tmp_path))
    (tmp_path / "train").mkdir()
    assert "train files" in faults(tmp_path)


def test_association_finds_dependence_and_only_that():
    rng = np.random.default_rng(0)
    p = [checks.association(rng.random(500), rng.integers(0, 3, 500)) for _ in range(300)]
    # p-values of independent pairs are uniform: a Kolmogorov-Smirnov test on a fixed seed.
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    x = rng.integers(0, 3, 500)
    assert checks.association(x, (x + rng.random(500)) / 3) < 1e-50
    assert checks.association(rng.random(5), rng.random(5)) is None
    assert checks.association(np.zeros(100, int), rng.random(100)) is None


@pytest.mark.parametrize("causes", [True, False])
def test_undeclared_dependence_is_noticed(causes: bool):
    # 20 000 samples of the dependent process, held against a recipe that declares none.
    process = presets.multimodal3dident()
    image = data_recipe.draw_latents(process, 0, "train", 20_000)["image"]
    declared = process if causes else presets.multimodal3dident(position_causes_color=False)
    verdicts = {f.what: f.good for f in checks._check_dependencies(declared, image, "train")}
    assert verdicts["independence"] is causes


def test_contingency_counts_pairs_of_classes():
    table = checks.contingency(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    assert table.tolist() == [[1, 1], [0, 1]]
