import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SMALL, identbox
from identbox import Multimodal3DIdent
from identbox.data import folder, text
from identbox.data import latents as data_latents
from identbox.data import recipe as data_recipe
from identbox.errors import IdentboxError
from identbox.process import presets

SEED = 0


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small, tmp_path / "copy")


def test_sample_i_depends_on_the_seed_and_i_alone():
    process = presets.multimodal3dident()
    many = data_recipe.draw_latents(process, SEED, "train", data_latents.BLOCK_OF_SAMPLES + 10)
    few = data_recipe.draw_latents(process, SEED, "train", 10)
    for view, columns in few.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(column, many[view][name][:10])
    others = [
        data_recipe.draw_latents(process, *which, 10)["image"]["object_color"]
        for which in ((1, "train"), (0, "val"))
    ]
    assert not any(np.array_equal(few["image"]["object_color"], other) for other in others)
    block = many["image"]["spotlight_pos"]
    assert not np.array_equal(block[:10], block[data_latents.BLOCK_OF_SAMPLES :])


def test_zero_is_a_seed_and_latents_are_written_down_once():
    column = data_recipe.draw_latents(presets.multimodal3dident(), 0, "train", 2)["image"]["object_color"]
    # The dataset of seed 0 as it always was; a change here makes every published seed another dataset.
    np.testing.assert_allclose(column, [0.7925321507457553, 0.9888854037840566], rtol=1e-12)


def test_files_are_those_of_the_published_format(small: Path):
    assert {path.name for path in small.iterdir()} == {
        "train", "val", "test", "dataset.toml", "vocab.json", "README.md", "gallery.png",
    }  # fmt: skip
    train = small / "train"
    assert sorted(p.name for p in (train / "images").iterdir()) == [f"{k:02d}.png" for k in range(14)]
    raw = (train / "text" / "text_raw.txt").read_bytes()
    assert raw.count(b"\n") == 13
    assert not raw.endswith(b"\n")
    header = (train / "latents_image.csv").read_text().splitlines()[0]
    assert header == (
        "object_shape,object_xpos,object_ypos,object_zpos,object_alpharot,object_betarot,object_gammarot,"
        "object_color,spotlight_pos,spotlight_color,background_color"
    )
    header = (train / "latents_text.csv").read_text().splitlines()[0]
    assert header == (
        "object_shape,object_xpos,object_ypos,object_zpos,object_color_name,object_color_index,text_phrasing"
    )


def test_image_names_are_padded_as_in_the_published_dataset():
    assert [folder.image_name(3, n) for n in (1, 10, 11, 10_000, 125_000)] == [
        "3.png", "3.png", "03.png", "0003.png", "000003.png",
    ]  # fmt: skip


def test_an_item_has_the_image_the_tokens_and_the_latents(small: Path):
    data = Multimodal3DIdent(small, "train")
    assert len(data) == 14
    item = data[0]
    assert item["image"].shape == (3, 48, 48)
    assert item["image"].dtype == torch.float32
    assert 0 <= item["image"].min() < item["image"].max() <= 1
    words = [data.i2w[int(i)] for i in item["text"]]
    end = words.index(folder.EOS)
    assert words[:end] == text.tokenize(data.sentences[0])
    assert set(words[end + 1 :]) <= {folder.PAD}
    assert 24 <= data.length <= 31
    assert item["z_image"]["object_shape"] == item["z_text"]["object_shape"]
    assert item["z_image"]["object_color"] == data.image_latents["object_color"][0]
    assert data[-1]["z_text"]["text_phrasing"] == data.text_latents["text_phrasing"][-1]
    with pytest.raises(IndexError):
        data[14]
    loader = torch.utils.data.DataLoader(data, batch_size=7)
    assert [batch["image"].shape for batch in loader] == [(7, 3, 48, 48)] * 2


def test_transform_gets_the_pil_image(small: Path):
    assert Multimodal3DIdent(small, "val", transform=lambda image: image.size)[0]["image"] == (48, 48)


def test_the_published_layout_and_vocabulary_are_read(copy: Path, tmp_path: Path):
    (copy / "dataset.toml").unlink()
    lone = tmp_path / "lone"
    shutil.copytree(copy / "val", lone / "val")
    with pytest.raises(
        IdentboxError, match=r"vocab.json: expected a vocabulary .*, got none; give vocab=PATH"
    ):
        Multimodal3DIdent(lone, "val")
    data = Multimodal3DIdent(lone, "val", vocab=copy / "vocab.json")
    assert data.w2i == Multimodal3DIdent(copy, "train").w2i
    # A vocabulary of another dataset: what it does not know is one token.
    words = {"{pad}": 0, "{eos}": 1, "{unk}": 2, ".": 3}
    (lone / "vocab.json").write_text(json.dumps({"w2i": words, "i2w": {v: k for k, v in words.items()}}))
    tokens = Multimodal3DIdent(lone, "val").tokens
    assert set(tokens.flatten().tolist()) == {0, 1, 2, 3}


def test_vocabulary_without_a_file_is_that_of_the_training_split(copy: Path):
    written = Multimodal3DIdent(copy, "val").w2i
    (copy / "vocab.json").unlink()
    assert Multimodal3DIdent(copy, "val").w2i == written


def damage(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def test_what_is_missing_or_broken_is_named(copy: Path):
    with pytest.raises(IdentboxError, match=r"expected a dataset with the split dev, got train, val, test"):
        Multimodal3DIdent(copy, "dev")
    with pytest.raises(IdentboxError, match="expected sentences of under 5 tokens, got"):
        Multimodal3DIdent(copy, "val", length=5)
    (copy / "train" / "images" / "07.png").unlink()
    with pytest.raises(IdentboxError, match=r"train/images: expected 14 images, got none of 07.png"):
        Multimodal3DIdent(copy)
    (copy / "train" / "images" / "07.png").write_bytes(b"no image")
    with pytest.raises(IdentboxError, match=r"07.png: expected a PNG, got another kind of file"):
        Multimodal3DIdent(copy)[7]
    csv = copy / "val" / "latents_image.csv"
    good = csv.read_text()
    for bad, message in (
        ("", "expected a header, got an empty file"),
        (good.replace(",", ";", 1), "line 2: expected 10 values, got 11"),
        (good + "1,2\n", "line 5: expected 11 values, got 2"),
        ("\n".join(good.splitlines()[:-1]) + "\n", "expected 3 rows, one a sentence, got 2"),
    ):
        csv.write_text(bad)
        with pytest.raises(IdentboxError, match=message):
            Multimodal3DIdent(copy, "val")
    csv.unlink()
    with pytest.raises(IdentboxError, match=r"latents_image.csv: expected a file, got No such file"):
        Multimodal3DIdent(copy, "val")
    (copy / "test" / "text" / "text_raw.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(IdentboxError, match="expected UTF-8"):
        Multimodal3DIdent(copy, "test")
    for bad in ("{", '{"w2i": 3}', "[]", '{"w2i": {"a": "b"}}'):
        (copy / "vocab.json").write_text(bad)
        with pytest.raises(IdentboxError, match=r"vocab.json: expected"):
            Multimodal3DIdent(copy)


def test_a_latent_that_is_not_a_number_is_named(copy: Path):
    csv = copy / "val" / "latents_image.csv"
    lines = csv.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:-1], "nan"])
    csv.write_text("\n".join(lines))
    with pytest.raises(IdentboxError, match="line 2: background_color: expected a finite number, got nan"):
        Multimodal3DIdent(copy, "val")


def test_the_recipe_makes_the_same_dataset_again(small: Path, tmp_path: Path):
    recipe = data_recipe.Recipe.read(small)
    assert recipe.splits == {"train": 14, "val": 3, "test": 2}
    assert recipe.process == presets.multimodal3dident()
    again = tmp_path / "again"
    latents = data_recipe.draw_latents(recipe.process, recipe.seed, "train", 14)
    folder.write_split(again, latents, *text.describe(latents["text"], recipe.shape_names))
    for name in ("latents_image.csv", "latents_text.csv", "text/text_raw.txt"):
        assert (again / name).read_bytes() == (small / "train" / name).read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 9", "dataset.toml: format: expected 1, got 9"),
        ("seed = 0", "seed = 'x'", "dataset.toml.seed: expected an integer, got 'x'"),
        ("seed = 0", "sead = 0", r"dataset.toml: expected keys among .*; got sead"),
        (
            'scene = "thesis"',
            'scene = "moon"',
            "dataset.toml.scene: expected one of thesis, published; got 'moon'",
        ),
        ('role = "content"', 'role = "boss"', r"dataset.toml: process: variables.object_shape.role"),
    ],
)
def test_a_broken_recipe_is_named(copy: Path, old: str, new: str, message: str):
    damage(copy / "dataset.toml", old, new)
    with pytest.raises(IdentboxError, match=message):
        data_recipe.Recipe.read(copy)


def test_processes_that_cannot_be_rendered():
    with pytest.raises(IdentboxError, match="expected the views image and text to render, got 1, 2"):
        data_recipe.check_views(presets.numerical_simulation())
    with pytest.raises(IdentboxError, match="variables.content.dim: expected 1 to be rendered, got 5"):
        data_recipe.draw_latents(presets.numerical_simulation(), 0, "train", 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", 0), "number of train samples: expected at least 1, got 0"),
        (("--n", -3), "number of train samples: expected at least 1, got -3"),
        (("--n", 5, "--val", -1), "number of val samples: expected at least 0, got -1"),
        (("--n", 5, "--size", 0), "size: expected a number in [8, 8192], got 0"),
        (("--n", 5, "--samples", 0), "samples: expected a number in [1, 65536], got 0"),
        (("--n", 5, "--shard", "0/2"), "--shard: expected I/K with 1 <= I <= K, got 0/2"),
        (("--n", 5, "--shard", "two"), "expected I/K, like 1/4, got two"),
        (("--n", 5, "--process", "m3di"), "process: expected one of multimodal3dident"),
        (("--n", 5, "--process", "numerical-simulation"), "expected the views image and text"),
        (
            ("--n", 5, "--shapes", "nowhere"),
            "identbox: shapes: expected 'builtin', 'published' or a folder, got nowhere",
        ),
        (("--n", 5, "--device", "hip"), "--device: expected one of cpu"),
        (("--n", 5, "--blender", "/none"), "--blender: expected an executable Blender, got /none"),
        (("--n", "five"), "'five' is not a valid integer"),
        (("--m", 5), "No such option"),
        ((), "Missing option '--n'"),
    ],
)
def test_bad_commands_get_one_line_and_leave_nothing(tmp_path: Path, arguments: tuple, message: str):
    done = identbox("render", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_content_is_left_alone(copy: Path, tmp_path: Path):
    (copy / "notes.txt").write_text("mine")
    done = identbox("render", *SMALL, "--seed", 5, "--out", copy)
    assert done.returncode == 1
    assert (
        "got one that differs in seed (0 in the folder, 5 asked for); choose another --out, or --overwrite"
        in done.stderr
    )
    replaced = identbox(
        "render",
        "--n",
        2,
        "--val",
        0,
        "--test",
        0,
        "--size",
        16,
        "--samples",
        1,
        "--overwrite",
        "--out",
        copy,
    )
    assert replaced.returncode == 0, replaced.stderr
    assert not (copy / "val").exists()
    assert (copy / "notes.txt").exists(), "a file of the user's was removed"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    for extra in ((), ("--overwrite",)):
        done = identbox("render", *SMALL, *extra, "--out", other)
        assert done.returncode == 1
        assert "expected an empty folder or a dataset of this recipe, got" in done.stderr
        assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_latents_out_of_range_are_refused_before_anything_is_written(tmp_path: Path):
    path = tmp_path / "wild.toml"
    path.write_text(
        'base = "multimodal3dident"\n[variables.spotlight_pos]\nrole = "specific"\nview = "image"\n'
        'distribution = "normal"\n'
        'covariance = [[0.04]]\neffects.object_color = { kind = "linear", matrix = [[0]], intercept = [0.5] }\n'
    )  # N(0.5, 0.2): one in 80 is out of range
    done = identbox("render", "--n", 1000, "--process", path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "process wild: train: spotlight_pos of sample" in done.stderr
    assert not (tmp_path / "out").exists()
