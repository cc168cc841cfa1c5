"""Broken input gives a result, or one line that says what is wrong; never a traceback, and it never hangs.

Valid files are changed at random: keys and values of tables, rows of text, bytes. The normal run has a few hundred
cases; ``make fuzz`` sets FUZZ to 10 000 and counts the outcomes.
"""

import io
import json
import math
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import meshfiles
from conftest import ROOT
from drawn_squares import make_dataset
from fuzzing import (
    cases,
    changed,
    damaged,
    expect_a_result_or_one_line,
    write_toml,
)
from identbox import Multimodal3DIdent, config, seeding
from identbox.csvfiles import read_csv
from identbox.data import exports, published_polymnist
from identbox.data import shards as shard_readers
from identbox.data.arrays import map_array, read_arrays
from identbox.data.photographs import read_photograph
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.experiments import image_text, records, simulation, sweeps
from identbox.learning import training
from identbox.process import presets
from identbox.process import tables as process_tables
from identbox.rendering import blender, shapes
from meshes import MeshError

SWEEPS = [
    path for path in sorted((ROOT / "simulations").glob("*.toml")) if path.stem != "shape_causes_background"
]
PROCESSES = [
    config.toml_values(process_tables.table_from_process(make())) for make in presets.PROCESSES.values()
] + [config.read_toml(ROOT / "simulations" / "shape_causes_background.toml")]


@cases()
@given(table=changed(PROCESSES))
def test_process_files(scratch, table):
    def load_and_sample() -> None:
        process = process_tables.load_process(write_toml(scratch / "process.toml", table))
        size = sum(variable.distribution.dim for variable in process.variables)
        if size < 1000:
            realised = process.realise(seed=0)
            realised.sample(8, generator=seeding.generator(0, "fuzz"))

    expect_a_result_or_one_line("process", load_and_sample)


@cases()
@given(table=changed([config.read_toml(path) for path in SWEEPS]))
def test_sweep_files(scratch, table):
    expect_a_result_or_one_line(
        "sweep", lambda: sweeps.read_sweep_file(write_toml(scratch / "sweep.toml", table), "quick")
    )


@cases()
@given(table=changed([config.toml_values(simulation.Simulation.from_preset("quick", {}).table())]))
def test_configurations_of_simulations(table):
    expect_a_result_or_one_line(
        "simulation", lambda: simulation.Simulation.from_preset("thesis", table, "file")
    )


@cases()
@given(table=changed([config.toml_values(image_text.Experiment.from_preset("quick").table())]))
def test_configurations_of_images_and_text(table):
    expect_a_result_or_one_line(
        "image-text", lambda: image_text.Experiment.from_preset("thesis", table, "file")
    )


@cases()
@given(content=damaged([path.read_bytes() for path in SWEEPS]))
def test_damaged_toml(scratch, content):
    path = scratch / "any.toml"
    path.write_bytes(content)
    expect_a_result_or_one_line("toml", lambda: sweeps.read_sweep_file(path, "quick"))


RECORDS = [
    json.loads(path.read_text())
    for path in sorted((ROOT / "simulations/results").glob("*/runs/*/results.json"))[:3]
]


@cases()
@given(table=changed(RECORDS))
def test_records_of_runs(scratch, table):
    path = scratch / "results.json"
    path.write_text(json.dumps(table))
    expect_a_result_or_one_line("record", lambda: records.read_run(path))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("fuzz-data") / "data", {"train": 14, "val": 3, "test": 2})


FILES = ("train/latents_image.csv", "train/latents_text.csv", "train/text/text_raw.txt", "vocab.json")


@cases(2)
@given(data=st.data())
def test_files_of_datasets(dataset, data):
    name = data.draw(st.sampled_from(FILES))
    path = dataset / name
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged([whole])))
        expect_a_result_or_one_line("dataset", lambda: Multimodal3DIdent(dataset)[0])
    finally:
        path.write_bytes(whole)


@cases()
@given(data=st.data())
def test_recipes(dataset, scratch, data):
    write_toml(scratch / "dataset.toml", data.draw(changed([config.read_toml(dataset / "dataset.toml")])))
    expect_a_result_or_one_line("recipe", lambda: Recipe.read(scratch))


PACK = {
    "name": "mine",
    "licence": "CC0-1.0",
    "credit": "me",
    "shapes": {
        "cube": {"file": "cube.obj", "orientation": [0.0, 0.0, 90.0], "scale": 1.0},
        "ball": {"file": "ball.ply"},
    },
}


@cases()
@given(table=changed([PACK]))
def test_packs(scratch, table):
    for name in ("cube.obj", "ball.ply"):
        (scratch / name).write_bytes(b"")
    write_toml(scratch / "pack.toml", table)
    expect_a_result_or_one_line("pack", lambda: shapes.find_pack(str(scratch)))


@pytest.fixture(scope="module")
def shards(dataset: Path, tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for form in exports.SUFFIXES:
        folders[form] = tmp_path_factory.mktemp("fuzz-shards") / form
        exports.export_dataset(dataset, form, folders[form])
    return folders


@cases()
@given(data=st.data())
def test_shards(shards, data):
    folder = shards[data.draw(st.sampled_from(sorted(shards)))]
    path = next((folder / "data").glob("train-*"))
    whole = path.read_bytes()

    def read() -> None:
        shard_readers._row_group.cache_clear()
        Multimodal3DIdent(folder)[3]

    try:
        path.write_bytes(data.draw(damaged([whole])))
        expect_a_result_or_one_line("shard", read)
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz-run")
    model = torch.nn.Linear(3, 2)
    training.minimise(
        model,
        lambda step: model(torch.ones(1, 3)).square().sum(),
        training.TrainingSettings(steps=2, log_every=1),
        folder,
    )
    return folder


@cases()
@given(data=st.data())
def test_checkpoints(checkpoint, data):
    path = checkpoint / training.CHECKPOINT
    whole = path.read_bytes()
    for other in checkpoint.glob("*previous*"):
        other.unlink()
    try:
        path.write_bytes(data.draw(damaged([whole])))
        expect_a_result_or_one_line(
            "checkpoint", lambda: training.load_model(checkpoint, torch.nn.Linear(3, 2))
        )
    finally:
        path.write_bytes(whole)


def files_of_others() -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """What other programs write, whole, and the reader of each kind."""
    levels = np.arange(20 * 18 * 3, dtype=np.uint8).reshape(20, 18, 3)
    made: dict[str, tuple[bytes, Callable[[Path], object]]] = {}

    def add(name: str, write: Callable[[io.BytesIO], object], reader: Callable[[Path], object]) -> None:
        content = io.BytesIO()
        write(content)
        made[name] = content.getvalue(), reader

    for form in ("PNG", "JPEG"):
        add(f"a.{form.lower()}", partial(Image.fromarray(levels).save, format=form), a_photograph)
    add("a.npy", lambda file: np.save(file, levels), lambda path: map_array(path).sum())
    add("a.npz", lambda file: np.savez(file, a=levels, b=levels[0]), read_arrays)
    add("a.pt", lambda file: torch.save(torch.arange(9), file), published_polymnist.read_tensor)
    lists = b'image_id,"a, b",c\n1.jpg,1,-1\n2.jpg,-1,1\n'
    made["a.csv"], made["b.csv"] = (lists, read_csv), (lists.replace(b'"a, b"', b"a"), read_csv)
    return made


def a_photograph(path: Path) -> object:
    return read_photograph(path, "a photograph")


OTHERS = files_of_others()


@cases()
@given(name=st.sampled_from(sorted(OTHERS)), data=st.data())
def test_files_of_other_programs(scratch, name, data):
    whole, reader = OTHERS[name]
    path = scratch / name
    path.write_bytes(data.draw(damaged([whole])))
    expect_a_result_or_one_line(name, lambda: reader(path))


def test_files_of_other_programs_are_read_before_they_are_damaged(tmp_path):
    for name, (content, reader) in OTHERS.items():
        (tmp_path / name).write_bytes(content)
        reader(tmp_path / name)


CUBE = (
    b"".join(b"v %d %d %d\n" % (x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1))
    + b"f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"
)
PLY = b"""ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z
element face 4\nproperty list uchar int vertex_indices\nend_header
0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"""


CORNERS = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
SIDES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
TEXT_STL = b"".join(
    b"facet normal 0 0 0\nouter loop\n"
    + b"".join(b"vertex %d %d %d\n" % CORNERS[corner] for corner in side)
    + b"endloop\nendfacet\n"
    for side in SIDES
)
STL = bytes(80) + struct.pack("<I", 4)
STL += b"".join(struct.pack("<12fH", 0, 0, 0, *(x for k in side for x in CORNERS[k]), 0) for side in SIDES)
BINARY_PLY = PLY.split(b"end_header\n")[0].replace(b"ascii", b"binary_little_endian") + b"end_header\n"
BINARY_PLY += b"".join(struct.pack("<3f", *corner) for corner in CORNERS)
BINARY_PLY += b"".join(struct.pack("<B3i", 3, *side) for side in SIDES)
MESHES = [
    ("obj", CUBE),
    ("ply", PLY),
    ("ply", BINARY_PLY),
    ("stl", STL),
    ("stl", b"solid x\n" + TEXT_STL + b"endsolid x\n"),
]
damaged_meshes = st.sampled_from(MESHES).flatmap(lambda one: st.tuples(st.just(one[0]), damaged([one[1]])))


@pytest.mark.parametrize(("suffix", "content"), MESHES)
def test_meshes_are_whole_before_they_are_damaged(suffix, content):
    assert meshfiles.READERS[f".{suffix}"](content).sizes.tolist() in ([4] * 6, [3] * 4)


@cases(2)
@given(mesh=damaged_meshes)
def test_readers_of_mesh_files(mesh):
    """Without Blender, which shows a mesh that is refused here no better."""
    suffix, content = mesh

    def read() -> None:
        try:
            meshfiles.READERS[f".{suffix}"](content)
        except MeshError as error:
            raise IdentboxError(" ".join(str(error).split())) from error

    expect_a_result_or_one_line("mesh file", read)


@cases(0.1)
@given(meshes=st.lists(damaged_meshes, min_size=1, max_size=3))
def test_meshes(scratch, meshes):
    """Meshes as Blender reads them; each is in a pack of its own, so that each is read."""
    for suffix, content in meshes:
        folder = scratch / "meshes"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / f"thing.{suffix}").write_bytes(content)
        expect_a_result_or_one_line(
            "mesh", lambda folder=folder: shapes.load_pack(str(folder), ("thing",), blender.Blender())
        )


def test_strategies_reach_nan_and_missing_keys():
    """Or the tests above would pass without trying what they are for."""
    from hypothesis import find

    assert math.isnan(find(st.floats(), math.isnan))
    assert find(changed(PROCESSES), lambda table: "variables" not in table)
