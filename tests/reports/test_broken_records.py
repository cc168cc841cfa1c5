"""Runs and sweeps that cannot be reported are named in one line."""

import math
from pathlib import Path

import pytest

from identbox.errors import IdentboxError
from identbox.reports import runs
from made_records import probe, probes, run_at, write_run, write_sweep


def damage(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1', "expected JSON, got Expecting"),
        ("[]", "expected a table, got []"),
        ('{"format": 1, "probes": 3}', "probes: expected a list, got 3"),
        ('{"format": 1, "probes": []}', "expected the key identbox"),
        ('{"format": 1, "probes": [{"view": "1"}]}', "probes[0]: expected the key target"),
        ('{"format": 1, "probes": [7]}', "probes[0]: expected a table, got 7"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, message: str):
    damage(tmp_path, text)
    with pytest.raises(IdentboxError) as error:
        runs.read_report(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'results.json'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_record_with_a_score_that_is_no_number_is_refused(tmp_path: Path):
    write_run(tmp_path, scores=[probe("1", "content", math.nan)])
    with pytest.raises(IdentboxError, match=r"probes\[0\].score: expected a number, got nan"):
        runs.read_report(tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"report": "poem"}, "elbow, factors, inputs, generation, frontier; got poem"),
        ({"report": "lines"}, "x: expected the name of a value for the report lines, got none"),
        ({"report": "lines", "x": "classes"}, "cells: one: classes: expected a number, got None"),
        ({"report": "elbow", "x": "causal"}, "cells: one: causal: expected a whole number, got True"),
        ({"format": 2}, "format: expected 1, got 2"),
        ({"seeds": []}, "cells and seeds: expected at least one of each"),
        ({"published": "nowhere.csv"}, "published: expected a file in "),
        ({"published": "../table_8_1.toml"}, "published: expected a file in "),
        ({"colour": "red"}, "expected keys among format, name"),
    ],
)
def test_a_damaged_sweep_is_refused(tmp_path: Path, other: dict, message: str):
    write_sweep(tmp_path, {"one": {"causal": True}}, **other)
    with pytest.raises(IdentboxError) as error:
        runs.read_report(tmp_path)
    assert message in str(error.value)


def test_cells_of_the_same_x_are_refused(tmp_path: Path):
    cells = {name: {"classes": 3} for name in ("one", "two")}
    with pytest.raises(IdentboxError, match="expected one cell of each classes in a panel, got one, two"):
        runs.read_report(write_sweep(tmp_path, cells, report="lines", x="classes"))


def test_runs_that_do_not_belong_together_are_refused(tmp_path: Path):
    folder = write_sweep(tmp_path, {"one": {}})
    write_run(run_at(folder, "one", 0), seed=1, scores=probes(0.9, 0.1))
    with pytest.raises(IdentboxError, match="seed: expected 0, got 1"):
        runs.read_report(folder)
    write_run(run_at(folder, "one", 0), seed=0, scores=probes(0.9, 0.1))
    write_run(run_at(folder, "one", 1), seed=1, scores=probes(0.9, 0.1), config={"setting": "multiview"})
    with pytest.raises(IdentboxError, match="config: expected that of seed 0 of its cell, got another one"):
        runs.read_report(folder)


def test_a_folder_without_a_run_or_a_sweep_is_refused(tmp_path: Path):
    with pytest.raises(
        IdentboxError, match=r"expected a folder with sweep.toml or results.json, got neither"
    ):
        runs.read_report(tmp_path)
    with pytest.raises(IdentboxError, match="got no folder"):
        runs.read_report(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_is_an_error(table: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentboxError, match="expected a folder to write to, got"):
        runs.read_report(table).write(tmp_path / "file" / "within")
