"""What a stranger may send: values, members and columns of any kind, files that are none, and names that are markup."""

import copy
import csv
import io
import os
import re
import shutil
import socket
import tarfile
import unicodedata
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markdown
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import identbox
from drawn_squares import make_dataset
from fuzzing import cases, expect_a_result_or_one_line, names, outcomes, scalars, values, words
from identbox import Multimodal3DIdent, documents, texts
from identbox.data import cards, checks, exports
from identbox.data.arrays import read_arrays
from identbox.data.recipe import Recipe
from identbox.experiments import records
from identbox.learning import training
from identbox.process.distributions import Categorical, Normal
from identbox.process.model import Change, Process, Variable
from identbox.rendering import shapes
from identbox.reports import graphs, runs
from identbox.tables import Table, TableCell
from made_records import probes, run_at, write_run, write_sweep


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("strangers") / "data", {"train": 12, "val": 3, "test": 3})


@pytest.fixture(scope="module")
def exported(data: Path) -> dict[str, Path]:
    for form in exports.SUFFIXES:
        exports.export_dataset(data, form, data.parent / form)
    return {form: data.parent / form for form in exports.SUFFIXES}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("strangers-run")
    train(folder)
    return folder


def train(folder: Path, steps: int = 2) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    settings = training.TrainingSettings(steps=steps, log_every=1)
    training.minimise(model, lambda step: model(torch.ones(1, 3)).square().sum(), settings, folder)


tensors = st.sampled_from(
    [torch.zeros(2, 3), torch.full((2, 3), float("nan")), torch.zeros(3, 2), torch.zeros(0), torch.tensor(3)]
)


@st.composite
def other_checkpoints(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint with one to three of its values replaced or removed, at any depth."""
    state = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        table: Any = state
        key = draw(st.sampled_from(sorted(table, key=str)))
        while isinstance(table[key], dict) and table[key] and draw(st.booleans()):
            table = table[key]
            key = draw(st.sampled_from(sorted(table, key=str)))
        if draw(st.integers(0, 3)):
            table[key] = draw(
                values | tensors | st.just({}) | st.lists(st.dictionaries(words, scalars), max_size=2)
            )
        else:
            del table[key]
        if not state:
            break
    return state


@cases(2)
@given(data=st.data())
def test_checkpoints_of_other_values(run, scratch, data):
    state = data.draw(other_checkpoints(torch.load(run / training.CHECKPOINT, weights_only=True)))
    folder = scratch / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.save(state, folder / training.CHECKPOINT)
    expect_a_result_or_one_line("checkpoint of other values", lambda: train(folder, steps=3))


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A tar of members of any name, size and kind."""
    content = io.BytesIO()
    for number in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([f"a{number}.png", f"a{number}.txt", "a0.json", "./._a.png"]) | words)
        body = draw(
            st.binary(max_size=20) | st.sampled_from([b'{"z_image": {"a": 1}, "z_text": {}}', b"[" * 5000])
        )
        member = tarfile.TarInfo(name.replace("\0", "") or "x")
        member.size = draw(st.sampled_from([len(body)] * 4 + [0, 2**33, 2**60]))
        member.type = draw(
            st.sampled_from([tarfile.REGTYPE] * 5 + [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
        )
        member.linkname = "/etc/passwd" if member.type == tarfile.SYMTYPE else ""
        if draw(st.integers(0, 3)) == 0:
            key = draw(st.sampled_from(["size", "path", "mtime", "GNU.sparse.size", "GNU.sparse.realsize"]))
            member.pax_headers = {key: draw(st.sampled_from(["-2048", "9" * 30, "x", "1e9", "../x", ""]))}
        with suppress(ValueError, UnicodeError):
            content.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
            content.write(body + b"\0" * (-len(body) % 512))
    return content.getvalue() + b"\0" * draw(st.sampled_from([0, 512, 1024, 1024, 4096]))


@cases()
@given(content=archives())
def test_archives_of_other_members(exported, scratch, content):
    folder = scratch / "archive"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(exported["webdataset"], folder)
    next((folder / "data").glob("train-*.tar")).write_bytes(content)
    expect_a_result_or_one_line("archive", lambda: Multimodal3DIdent(folder)[0])


def arrow_types():
    import pyarrow

    plain = [
        pyarrow.int64(),
        pyarrow.float64(),
        pyarrow.string(),
        pyarrow.binary(),
        pyarrow.bool_(),
        pyarrow.null(),
    ]
    return st.recursive(
        st.sampled_from(plain),
        lambda inner: (
            inner.map(pyarrow.list_)
            | st.dictionaries(words.filter(lambda w: w.isprintable()), inner, max_size=3).map(
                lambda fields: pyarrow.struct(list(fields.items()))
            )
        ),
        max_leaves=4,
    )


@cases()
@given(data=st.data())
def test_parquet_of_other_columns(exported, scratch, data):
    import pyarrow
    from pyarrow import parquet

    folder = scratch / "parquet"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(exported["parquet"], folder)
    path = next((folder / "data").glob("train-*.parquet"))
    table = parquet.read_table(path).slice(0, 3)
    for name in data.draw(st.lists(st.sampled_from(table.column_names), min_size=1, max_size=2, unique=True)):
        how = data.draw(st.sampled_from(["drop", "type", "empty"]))
        place = table.column_names.index(name)
        if how == "drop":
            table = table.remove_column(place)
        elif how == "type":
            column = pyarrow.nulls(len(table), data.draw(arrow_types()))
            table = table.set_column(place, name, column)
        else:
            table = table.slice(0, data.draw(st.integers(0, 1)))
    with suppress(pyarrow.ArrowException):  # what cannot be written
        parquet.write_table(table, path)
        expect_a_result_or_one_line("Parquet", lambda: Multimodal3DIdent(folder)[0])


def put(path: Path, kind: str) -> None:
    """Something else in the place of a file."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
        os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.touch()
        os.truncate(path, 60 << 30)
    else:
        path.symlink_to(
            {"device": "/dev/zero", "circle": path.name, "nowhere": "/none/at/all", "secret": "/etc/shadow"}[
                kind
            ]
        )


KINDS = ["pipe", "socket", "folder", "large", "device", "circle", "nowhere", "secret"]


def places_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@cases()
@given(data=st.data())
def test_no_file_waits_or_fills_the_memory(data, run, exported, scratch, request):
    """Of a dataset, an export, a run, a sweep, a pack and arrays."""
    thing = scratch / "thing"
    shutil.rmtree(thing, ignore_errors=True)
    drawn = request.getfixturevalue("data")
    made, function = data.draw(
        st.sampled_from(
            [
                (drawn, lambda: list(checks.check_dataset(thing))),
                (drawn, lambda: Multimodal3DIdent(thing)[0]),
                (exported["webdataset"], lambda: list(checks.check_dataset(thing))),
                (exported["parquet"], lambda: exports.export_dataset(thing, "webdataset", scratch / "out")),
                (drawn, lambda: exports.export_dataset(thing, "webdataset", scratch / "out")),
                (run, lambda: train(thing, steps=3)),
                (None, lambda: runs.read_report(thing)),
                (None, lambda: shapes.find_pack(str(thing))),
                (None, lambda: read_arrays(thing / "arrays.npz")),
            ]
        )
    )
    if made is not None:
        shutil.copytree(made, thing)
    else:
        write_sweep(thing, {"one": {"process.causal": False}})
        write_run(run_at(thing, "one", 0), scores=probes(0.9, 0.3, 0.0))
        (thing / "pack.toml").write_text('[shapes.cube]\nfile = "cube.obj"\n')
        (thing / "cube.obj").touch()
        (thing / "arrays.npz").write_bytes(b"PK")
    place = data.draw(st.sampled_from(places_of(thing)))
    put(thing / place, data.draw(st.sampled_from(KINDS)))
    expect_a_result_or_one_line("no file", function)
    shutil.rmtree(scratch / "out", ignore_errors=True)
    shutil.rmtree(thing)


def expect_shown(text: str) -> None:
    """What a terminal would obey is not in a text."""
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and c != "\n"}
    assert not found, found


class Tags(HTMLParser):
    """The elements of a page, in their order, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, *(name for name, _ in attributes)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))


# What a variable may be called.
plain_names = names.map(
    lambda name: re.sub(r"""[,"/\\]""", "", "".join(filter(str.isprintable, name)))
).filter(str.strip)


def table_of(name: str) -> Table:
    rows = [(name, 0.5), (TableCell(name, face="italic", below=name, hint=name), name)]
    return Table(name, ("target", name), rows, notes=[name], align="lr", sections={1: name})


@cases(4)
@given(name=names)
def test_a_name_is_text_in_every_format_of_a_table(name):
    outcomes["a name in a table: tried"] += 1
    shown, plain = table_of(name), table_of("x")
    expect_shown(str(shown))
    html = shown.html() + documents.page(name, name, shown, kicker=name, lead=name)
    expect_shown(html)
    assert (
        Tags(html).found == Tags(plain.html() + documents.page("x", "x", plain, kicker="x", lead="x")).found
    )
    rendered = markdown.markdown(shown.markdown(), extensions=["tables"])
    expect_shown(rendered)
    assert Tags(rendered).found == Tags(markdown.markdown(plain.markdown(), extensions=["tables"])).found
    for row in csv.reader(io.StringIO(shown.csv())):
        assert len(row) == 2
        for cell in row:
            expect_shown(cell)
            assert not cell.startswith(texts.FORMULA) or cell.lstrip("+-").replace(".", "").isdecimal()


@cases()
@given(name=names)
def test_a_name_is_text_in_the_card_of_a_dataset(name, data):
    outcomes["a name in a card: tried"] += 1
    recipe = Recipe.read(data)
    assert recipe is not None

    def card(word: str) -> str:
        described = {"name": word, "sha256": word, "licence": word, "credit": word}
        object.__setattr__(recipe, "shapes", described)
        return cards.card(recipe)

    _, front, body = card(name).split("---\n", 2)
    _, plain_front, plain_body = card("x").split("---\n", 2)
    expect_shown(front + body)
    assert yaml.safe_load(front).keys() == yaml.safe_load(plain_front).keys()
    found, wanted = (
        Tags(markdown.markdown(one, extensions=["tables", "fenced_code"])) for one in (body, plain_body)
    )
    assert found.found == wanted.found


@cases()
@given(
    name=names,
    other=plain_names | names,
    parts=st.lists(plain_names, min_size=2, max_size=2, unique=True)
    | st.lists(names, min_size=2, max_size=2),
)
def test_a_name_is_text_in_the_graph_of_a_process(name, other, parts):
    shown: list[str] = []

    def draw() -> None:
        process = Process(
            name=name,
            description=other,
            variables=(
                Variable(name=other, role="content", distribution=Categorical(classes=tuple(parts))),
                Variable(name="style", role="style", distribution=Normal(), change=Change()),
            ),
            views=("1", "2"),
        )
        shown.extend([str(graphs.graph(process)), graphs.dot(process), graphs.described(process)])

    expect_a_result_or_one_line("names of a process", draw)
    if all(text.isidentifier() for text in (other, *parts)) and len({other, "style"}) == 2:
        assert shown  # or nothing would be tried
    if shown:
        for text in shown:
            expect_shown(text)
        ElementTree.fromstring(shown[0])


@cases(0.1)
@given(title=names, scope=names)
def test_a_name_is_text_in_the_report_of_a_sweep(scratch, title, scope):
    outcomes["a name in a report: tried"] += 1
    folder = scratch / "sweep"
    shutil.rmtree(folder, ignore_errors=True)
    write_sweep(folder, {"one": {"process.causal": False, "process.scope": scope}}, title=title)
    write_run(run_at(folder, "one", 0), scores=probes(0.9, 0.3, 0.0))
    done = identbox("report", folder)
    expect_shown(done.stdout.replace("\x1b", "") if done.returncode else done.stdout)
    assert (done.returncode, done.stderr) == (0, "") or len(done.stderr.splitlines()) == 1
    if done.returncode == 0:
        report = (folder / "report.md").read_text()
        expect_shown(report)
        assert not {tag for tag, *_ in Tags(report).found} - {"img", "details", "summary"}
        for path in folder.glob("*.svg"):
            ElementTree.parse(path)
    assert records.read_sweep(folder / "sweep.toml").title == title or done.returncode
