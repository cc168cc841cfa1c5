"""Whatever a user hands in: a result, or one line that says what is wrong. Never a traceback, never a hang.

Files that are right are changed at random: keys and values of tables, rows of text, bytes. The normal run has a few
hundred cases; ``make fuzz`` sets FUZZ to 10 000 and counts the outcomes.
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
from identbox.data import exports, formats
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.experiments import image_text, records, simulation, sweeps
from identbox.learning import training
from identbox.process import presets
from identbox.process import tables as process_tables
from identbox.rendering import blender, shapes

CASES = int(os.environ.get("FUZZ", "400"))
KINDS = 12  # tests that share the cases
SECONDS = 20  # that one case may take at most
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
    """The settings of a test that has so much of an equal share of the cases."""
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


def like(value: Any) -> st.SearchStrategy:
    """Values of the same type, of a size that may well be right."""
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
            parent[path[-1]] = draw(like(parent[path[-1]]))
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
def spoilt(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of the contents cut short, with bytes changed, put in, or doubled."""
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


def judge(kind: str, function: Callable[[], object]) -> None:
    """Call it: a result, or an IdentboxError of one line, which the command line prints."""
    message = None
    try:
        function()
    except IdentboxError as error:
        message = str(error)
    outcomes[f"{kind}: {'accepted' if message is None else 'refused'}"] += 1
    assert message is None or (message and message.isprintable()), repr(message)


@pytest.fixture(scope="module", autouse=True)
def told() -> Iterator[None]:
    """In the long run, the count by outcome."""
    yield
    if "FUZZ" in os.environ:
        for name, count in sorted(outcomes.items()):
            print(f"{count:7d}  {name}")
        print(f"{sum(outcomes.values()):7d}  in all")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Iterator[Path]:
    """A folder, beside which nothing may appear."""
    above = tmp_path_factory.mktemp("fuzz")
    place = above / "scratch"
    place.mkdir()
    yield place
    assert [path.name for path in above.iterdir()] == ["scratch"]


def toml(path: Path, table: dict[str, Any]) -> Path:
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
        process = process_tables.load_process(toml(scratch / "process.toml", table))
        size = sum(variable.distribution.dim for variable in process.variables)
        if size < 1000:
            realised = process.realise(seed=0)
            realised.sample(8, generator=seeding.generator(0, "fuzz"))

    judge("process", load_and_sample)


@cases()
@given(table=changed([config.read_toml(path) for path in SWEEPS]))
def test_sweep_files(scratch, table):
    judge("sweep", lambda: sweeps.read_sweep_file(toml(scratch / "sweep.toml", table), "quick"))


@cases()
@given(table=changed([config.toml_values(simulation.Simulation.from_preset("quick", {}).table())]))
def test_configurations_of_simulations(table):
    judge("simulation", lambda: simulation.Simulation.from_preset("thesis", table, "file"))


@cases()
@given(table=changed([config.toml_values(image_text.Experiment.from_preset("quick").table())]))
def test_configurations_of_images_and_text(table):
    judge("image-text", lambda: image_text.Experiment.from_preset("thesis", table, "file"))


@cases()
@given(content=spoilt([path.read_bytes() for path in SWEEPS]))
def test_toml_that_is_none(scratch, content):
    path = scratch / "any.toml"
    path.write_bytes(content)
    judge("toml", lambda: sweeps.read_sweep_file(path, "quick"))


RECORDS = [
    json.loads(path.read_text())
    for path in sorted((ROOT / "simulations/results").glob("*/runs/*/results.json"))[:3]
]


@cases()
@given(table=changed(RECORDS))
def test_records_of_runs(scratch, table):
    path = scratch / "results.json"
    path.write_text(json.dumps(table))
    judge("record", lambda: records.read_run(path))


@pytest.fixture(scope="module")
def dataset(small: Path, tmp_path_factory) -> Path:
    return shutil.copytree(small, tmp_path_factory.mktemp("fuzz-data") / "data")


FILES = ("train/latents_image.csv", "train/latents_text.csv", "train/text/text_raw.txt", "vocab.json")


@cases(2)
@given(data=st.data())
def test_files_of_datasets(dataset, data):
    name = data.draw(st.sampled_from(FILES))
    path = dataset / name
    right = path.read_bytes()
    try:
        path.write_bytes(data.draw(spoilt([right])))
        judge("dataset", lambda: Multimodal3DIdent(dataset)[0])
    finally:
        path.write_bytes(right)


@cases()
@given(data=st.data())
def test_recipes(dataset, scratch, data):
    toml(scratch / "dataset.toml", data.draw(changed([config.read_toml(dataset / "dataset.toml")])))
    judge("recipe", lambda: Recipe.read(scratch))


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
    toml(scratch / "pack.toml", table)
    judge("pack", lambda: shapes.find_pack(str(scratch)))


@pytest.fixture(scope="module")
def shards(small: Path, tmp_path_factory) -> dict[str, Path]:
    found = {}
    for form in exports.SUFFIXES:
        found[form] = tmp_path_factory.mktemp("fuzz-shards") / form
        exports.export_dataset(small, form, found[form])
    return found


@cases()
@given(data=st.data())
def test_shards(shards, data):
    folder = shards[data.draw(st.sampled_from(sorted(shards)))]
    path = next((folder / "data").glob("train-*"))
    right = path.read_bytes()

    def read() -> None:
        formats._row_group.cache_clear()
        Multimodal3DIdent(folder)[3]

    try:
        path.write_bytes(data.draw(spoilt([right])))
        judge("shard", read)
    finally:
        path.write_bytes(right)


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
    right = path.read_bytes()
    for other in checkpoint.glob("*previous*"):
        other.unlink()
    try:
        path.write_bytes(data.draw(spoilt([right])))
        judge("checkpoint", lambda: training.load_model(checkpoint, torch.nn.Linear(3, 2)))
    finally:
        path.write_bytes(right)


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
        st.tuples(st.sampled_from(["obj", "ply", "stl"]), spoilt([CUBE, PLY])), min_size=3, max_size=6
    )
)
def test_meshes(scratch, meshes):
    """As Blender reads them; each in a pack of its own, so that each is judged."""
    for suffix, content in meshes:
        folder = scratch / "meshes"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / f"thing.{suffix}").write_bytes(content)
        judge("mesh", lambda folder=folder: shapes.load_pack(str(folder), ("thing",), blender.Blender()))


def test_numbers_that_are_none_are_drawn():
    """The strategies do reach what they are for."""
    from hypothesis import find

    assert math.isnan(find(st.floats(), math.isnan))
    assert find(changed(PROCESSES), lambda table: "variables" not in table)
