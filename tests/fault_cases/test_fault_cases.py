"""Each situation of the table costs at most one line, some seconds and 500 MiB, and nothing outside changes."""

from pathlib import Path

import pytest
from fault_cases.limited import run_limited
from fault_cases.situations import SITUATIONS, Situation, a_sweep, copied

from conftest import identbox
from drawn_squares import make_dataset
from identbox.data import exports

MOST_MEMORY = 500  # MiB


@pytest.fixture(scope="module")
def starts(tmp_path_factory) -> dict[str, Path | None]:
    """What situations start from, by name; made once."""
    folder = tmp_path_factory.mktemp("starts")
    data = make_dataset(folder / "data", {"train": 20, "val": 12, "test": 12})
    for form, name in (("webdataset", "tar"), ("parquet", "parquet")):
        exports.export_dataset(data, form, folder / name)
    (folder / "sweep").mkdir()
    a_sweep(folder / "sweep")
    # So that the libraries are there already when a process is forked.
    for words in (("check", data), ("report", folder / "sweep")):
        assert identbox(*words).returncode == 0
    return {"": None, **{name: folder / name for name in ("data", "tar", "parquet", "sweep")}}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.what.replace(" ", "-"))
def test_a_situation_costs_at_most_one_line(situation: Situation, starts, tmp_path: Path):
    folder = copied(starts[situation.make], tmp_path / "it")
    situation.edit(folder)
    around = {path.name for path in tmp_path.iterdir()}
    words = [word.format(folder, out=tmp_path / "made") for word in situation.command.split(" ")]
    outcome = run_limited(words, tmp_path)
    assert outcome.code == situation.code, outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.memory < MOST_MEMORY
    assert "\x1b" not in outcome.output
    assert situation.says in outcome.output
    if situation.code:
        assert len([line for line in outcome.output.splitlines() if line.startswith("identbox: ")]) == 1
    if (tmp_path / "victim").exists():
        assert (tmp_path / "victim").read_text() == "mine"
    written = {"home", "output", "made"} if situation.code == 0 else {"home", "output"}
    assert {path.name for path in tmp_path.iterdir()} - around <= written
