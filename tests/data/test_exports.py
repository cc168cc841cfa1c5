"""Exports of a rendered dataset, opened by those they are for: Hugging Face's datasets and webdataset."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import identbox
from identbox import Multimodal3DIdent
from identbox.data import exports, formats
from identbox.data import folder as data_folder
from identbox.data.pixels import open_split
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.rendering import generation

FORMS = ("parquet", "webdataset")
SPLITS = {"train": 14, "val": 3, "test": 2}


@pytest.fixture(scope="module", params=FORMS)
def exported(request, small: Path, tmp_path_factory) -> Path:
    """The dataset in three shards a split."""
    out = tmp_path_factory.mktemp("exports") / request.param
    shards = exports.export_dataset(small, request.param, out, per_shard=5)
    assert sorted(path.name for path in (out / "data").iterdir()) == sorted(path.name for path in shards)
    return out


@pytest.fixture(scope="module")
def thousand(small: Path, tmp_path_factory) -> Path:
    """A dataset of 1 000 samples, whose pixels are noise."""
    recipe = Recipe.read(small)
    assert recipe is not None
    splits, renderer = {"train": 1000, "val": 3, "test": 2}, {**recipe.renderer, "size": 16}
    recipe = replace(recipe, splits=splits, renderer=renderer)
    out = tmp_path_factory.mktemp("thousand") / "data"
    generation.prepare_folder(out, recipe)
    rng = np.random.default_rng(0)
    for split, n in splits.items():
        for k in range(n):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(out / split / "images" / data_folder.image_name(k, n))
    return out


def expect_equal(one: formats.Source, other: formats.Source) -> None:
    assert one.sentences == other.sentences
    for columns, exported in (
        (one.image_latents, other.image_latents),
        (one.text_latents, other.text_latents),
    ):
        assert list(columns) == list(exported)
        for name, column in columns.items():
            assert column.dtype == exported[name].dtype
            np.testing.assert_array_equal(column, exported[name])
    assert all(one.png(k) == other.png(k) for k in range(len(one.sentences)))


def test_an_export_has_every_byte_and_number_of_the_dataset(small: Path, exported: Path):
    for split, n in SPLITS.items():
        there = formats.open_source(exported, split)
        assert len(there.sentences) == n
        expect_equal(formats.open_source(small, split), there)
    assert formats.fingerprint(exported) == formats.fingerprint(small)
    assert (exported / "dataset.toml").read_bytes() == (small / "dataset.toml").read_bytes()


def test_identbox_reads_an_export_as_it_reads_the_dataset(small: Path, exported: Path, tmp_path: Path):
    data, there = Multimodal3DIdent(small), Multimodal3DIdent(exported)
    for k in (0, 13):
        assert data[k]["image"].equal(there[k]["image"])
        assert data[k]["text"].equal(there[k]["text"])
        assert data[k]["z_text"] == there[k]["z_text"]
    folders = [shutil.copytree(folder, tmp_path / folder.name) for folder in (small, exported)]
    pixels, other = (open_split(folder, "train", 32) for folder in folders)
    np.testing.assert_array_equal(pixels.pixels, other.pixels)


def test_an_export_of_an_export_is_the_same_again(small: Path, exported: Path, tmp_path: Path):
    other = FORMS[1 - FORMS.index(exported.name)]
    exports.export_dataset(exported, other, tmp_path / other)
    expect_equal(formats.open_source(small, "train"), formats.open_source(tmp_path / other, "train"))


def test_shards_are_the_same_on_every_export(small: Path, exported: Path, tmp_path: Path):
    exports.export_dataset(small, exported.name, tmp_path / "again", per_shard=5)
    for path in (exported / "data").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / "data" / path.name).read_bytes()


def test_datasets_opens_parquet_as_images_with_named_classes(thousand: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    exports.export_dataset(thousand, "parquet", tmp_path / "out", per_shard=400)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 1000, "val": 3, "test": 2}
    data = Multimodal3DIdent(thousand)
    for k, row in enumerate(loaded["train"]):
        assert isinstance(row["image"], Image.Image)
        assert row["image"].tobytes() == data.image(k).tobytes()
        assert row["text"] == data.sentences[k]
        assert row["z_image"] == {name: column[k] for name, column in data.image_latents.items()}
        assert row["z_text"] == {name: column[k] for name, column in data.text_latents.items()}
    assert loaded["train"].features["z_image"]["object_xpos"].names == ["left", "center", "right"]


def test_webdataset_streams_tar_shards(thousand: Path, tmp_path: Path):
    webdataset = pytest.importorskip("webdataset")
    exports.export_dataset(thousand, "webdataset", tmp_path / "out", per_shard=400)
    shards = str(tmp_path / "out" / "data" / "train-{00000..00002}-of-00003.tar")
    data = Multimodal3DIdent(thousand)
    rows = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert len(rows) == len(data)
    for k, row in enumerate(rows):
        assert row["__key__"] == f"train-{k:03d}"
        assert row["png"].tobytes() == data.image(k).tobytes()
        assert row["txt"] == data.sentences[k]
        assert row["json"]["z_image"] == {name: column[k] for name, column in data.image_latents.items()}
        assert row["json"]["z_text"] == {name: column[k] for name, column in data.text_latents.items()}


def test_the_command_writes_shards_and_says_where(small: Path, tmp_path: Path):
    done = identbox("export", small, "--to", "webdataset", "--out", tmp_path / "out", "--per-shard", 7)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'out'}: 4 shards in {tmp_path / 'out' / 'data'}" in done.stdout
    again = identbox("export", small, "--to", "webdataset", "--out", tmp_path / "out")
    assert again.returncode == 1
    assert again.stderr.strip() == f"identbox: {tmp_path / 'out'}: expected a new folder, got one that exists"


def test_a_broken_image_leaves_nothing_behind(small: Path, tmp_path: Path):
    copy = shutil.copytree(small, tmp_path / "copy")
    image = copy / "train" / "images" / "07.png"
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(IdentboxError, match="07.png: expected a whole PNG, got one cut short"):
        exports.export_dataset(copy, "parquet", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "zip"}, "to: expected one of parquet, webdataset; got zip"),
        ({"per_shard": 0}, "per_shard: expected at least 1 sample, got 0"),
        ({"dataset": "nowhere"}, "nowhere: expected a dataset, got a folder without splits"),
    ],
)
def test_what_cannot_be_exported_is_named(small: Path, tmp_path: Path, options, message):
    given = {"dataset": small, "to": "parquet", **options}
    with pytest.raises(IdentboxError, match=message):
        exports.export_dataset(Path(given.pop("dataset")), given.pop("to"), tmp_path / "out", **given)


def test_damaged_shards_are_named(exported: Path, tmp_path: Path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    suffix = next((copy / "data").iterdir()).suffix
    last = copy / "data" / f"train-00002-of-00003{suffix}"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(IdentboxError, match=rf"train-00002-of-00003{suffix}: .*expected a"):
        formats.open_source(copy, "train")
    last.unlink()
    with pytest.raises(IdentboxError, match=r"expected all shards of .* \(00003\), got 2 of them"):
        formats.open_source(copy, "train")
