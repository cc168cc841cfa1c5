"""Broken input gives a result, or one line that says what is wrong; never a traceback, and it never hangs.

Valid files are changed at random: keys and values of tables, rows of text, bytes. The normal run has a few hundred
cases; ``make fuzz`` sets FUZZ to 10 000 and counts the outcomes.
"""

import copy
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from identbox import Multimodal3DIdent, config, seeding
from identbox.data import exports
from identbox.data import shards as shard_readers
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.experiments import image_text, records, simulation, sweeps
from identbox.learning import training
from identbox.process import presets
from identbox.process import tables as process_tables
from identbox.rendering import blender, shapes

CASES = int(os.environ.get("FUZZ", "400"))
KINDS = 12  # tests, among which the cases are divided
SECONDS = 20  # the longest that one case may take
outcomes: Counter[str] = Counter()

words = st.text(max_size=8) | st.sampled_from(["", "a\nb", "../../x", "\x00", "content", "noise", "é", "nan"])
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.integers(-3, 12),
    st.floats(),
    words,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def cases(share: float = 1.0) -> Any:
    """Hypothesis settings of a test; ``share`` is a factor of the number of cases that each test has."""
    return settings(
        max_examples=max(1, round(share * CASES / KINDS)),
        deadline=SECONDS * 1000,
        derandomize=True,  # the same cases each time: a failure can be seen again
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def places(table: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value within tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def similar(value: Any) -> st.SearchStrategy:
    """Values of the same type, many of them valid."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(-1, 9)
    if isinstance(value, float):
        return st.floats(-1, 4)
    if isinstance(value, str):
        return st.sampled_from(
            ["content", "style", "specific", "uniform", "normal", "image", "text", "1", value]
        )
    if isinstance(value, list) and value:
        return st.lists(st.sampled_from(value), max_size=5)
    return st.just(value)


@st.composite
def changed(draw: st.DrawFn, tables: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the tables with one to three values replaced, removed, or added."""
    table = copy.deepcopy(draw(st.sampled_from(tables)))
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(table))
        if not known:
            break
        path = draw(st.sampled_from(known))
        parent = table
        for key in path[:-1]:
            parent = parent[key]
        how = draw(st.sampled_from(["nudge", "nudge", "replace", "replace", "remove", "add"]))
        if how == "nudge":
            parent[path[-1]] = draw(similar(parent[path[-1]]))
        elif how == "replace":
            parent[path[-1]] = draw(values)
        elif how == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(words)] = draw(values)
        else:
            parent.append(draw(values))
    return table


@st.composite
def damaged(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of the contents cut short, or with bytes changed, inserted, repeated or removed."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        some = draw(
            st.binary(min_size=1, max_size=6) | st.sampled_from([b",", b"\n", b"9" * 30, b"nan", b"-1", b'"'])
        )
        how = draw(st.sampled_from(["cut", "change", "insert", "double", "drop"]))
        if how == "cut":
            del content[at:]
        elif how == "change":
            content[at : at + len(some)] = some
        elif how == "insert":
            content[at:at] = some
        elif how == "double":
            content[at:at] = content[at : at + 200]
        else:
            del content[at : at + len(some)]
    return bytes(content)


def expect_a_result_or_one_line(kind: str, function: Callable[[], object]) -> None:
    """Call a function: it must return, or raise an IdentboxError whose message is one line."""
    message = None
    try:
        function()
    except IdentboxError as error:
        message = str(error)
    outcomes[f"{kind}: {'accepted' if message is None else 'refused'}"] += 1
    assert message is None or (message and message.isprintable()), repr(message)


@pytest.fixture(scope="module", autouse=True)
def counts_printed() -> Iterator[None]:
    """Print the number of cases by outcome at the end, where FUZZ is set."""
    yield
    if "FUZZ" in os.environ:
        for name, count in sorted(outcomes.items()):
            print(f"{count:7d}  {name}")
        print(f"{sum(outcomes.values()):7d}  in all")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Iterator[Path]:
    """A folder; at the end nothing else may lie beside it."""
    above = tmp_path_factory.mktemp("fuzz")
    place = above / "scratch"
    place.mkdir()
    yield place
    assert [path.name for path in above.iterdir()] == ["scratch"]


def write_toml(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(config.toml_values(table)), encoding="utf-8", errors="surrogatepass")
    return path


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
def dataset(small: Path, tmp_path_factory) -> Path:
    return shutil.copytree(small, tmp_path_factory.mktemp("fuzz-data") / "data")


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
def shards(small: Path, tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for form in exports.SUFFIXES:
        folders[form] = tmp_path_factory.mktemp("fuzz-shards") / form
        exports.export_dataset(small, form, folders[form])
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
    import torch

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
    import torch

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


CUBE = (
    b"".join(b"v %d %d %d\n" % (x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1))
    + b"f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"
)
PLY = b"""ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z
element face 4\nproperty list uchar int vertex_indices\nend_header
0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"""


@cases(0.1)
@given(
    meshes=st.lists(
        st.tuples(st.sampled_from(["obj", "ply", "stl"]), damaged([CUBE, PLY])), min_size=1, max_size=3
    )
)
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
