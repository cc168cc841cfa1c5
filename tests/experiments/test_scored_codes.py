"""Scores of encodings in files and of finished runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import identbox
from identbox.errors import IdentboxError
from identbox.experiments.scored_codes import record_scores, scores_of_file, scores_of_run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    z, hue, kind = rng.normal(size=200), rng.random(200), rng.integers(0, 3, 200)
    codes = np.column_stack([z, np.cos(2 * np.pi * hue), np.sin(2 * np.pi * hue), kind])
    moved = codes.copy()
    moved[:, 0] = rng.normal(size=200)
    np.savez(
        tmp_path / "codes.npz",
        **{
            "codes": codes,
            "factors/z": z,
            "factors/hue": hue,
            "factors/kind": kind,
            "pairs/permute:z/before": codes,
            "pairs/permute:z/after": moved,
            "pairs/none/before": codes,
            "pairs/none/after": codes,
        },
    )
    return tmp_path / "codes.npz"


def test_arrays_in_a_file_are_scored(file: Path) -> None:
    found = scores_of_file(file, periods={"hue": 1.0}, only=["MCC", "IRS"])
    assert found["MCC"].value == pytest.approx(1)
    assert found["IRS"].value == 1
    flat = scores_of_file(file, only=["MCC"])
    assert flat["MCC"].value < 0.95  # a number that jumps at red


def test_the_command_prints_and_writes_the_scores(file: Path, tmp_path: Path) -> None:
    done = identbox("scores", file, "--only", "MCC, SAP", "--period", "hue=1", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "SAP" in done.stdout
    assert "DCI" not in done.stdout
    assert (tmp_path / "out" / "scores.html").read_text().startswith("<!DOCTYPE html>")
    assert "SAP" in (tmp_path / "out" / "scores.csv").read_text()


def test_scores_are_added_to_the_record_of_a_finished_run(file: Path, tmp_path: Path) -> None:
    found = scores_of_file(file, only=["MCC", "SAP"])
    assert not record_scores(tmp_path / "unfinished", {"image": found})
    run = tmp_path / "run"
    run.mkdir()
    empty = {"config": {}, "versions": {}, "machine": {}, "losses": {}, "probes": []}
    record = {"format": 1, "identbox": "0", "seed": 7, "steps": 0, "seconds": 0.0, **empty}
    (run / "results.json").write_text(json.dumps(record))
    assert record_scores(run, {"image": found, "text": found})
    again = scores_of_file(file, only=["MCC"], periods={"hue": 1.0})
    assert record_scores(run, {"image": again})
    record = json.loads((run / "results.json").read_text())
    kept = {(one["view"], one["name"]): one["value"] for one in record["disentanglement"]}
    assert record["seed"] == 7
    assert len(kept) == len(record["disentanglement"]) == 2 * len(found)
    assert kept["image", "MCC"] == again["MCC"].value != kept["text", "MCC"] == found["MCC"].value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--period", "hue"], "--period: expected FACTOR=LENGTH"),
        (["--period", "hue=-1"], "--period: expected FACTOR=LENGTH"),
        (["--only", "FactorVAE"], "only: expected some of MCC"),
    ],
)
def test_options_that_do_not_fit_get_one_line(file: Path, options, message) -> None:
    done = identbox("scores", file, *options)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


def test_files_and_folders_that_cannot_be_scored_are_named(file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", codes=np.zeros((200, 2)))
    with pytest.raises(IdentboxError, match="expected arrays named factors/NAME"):
        scores_of_file(tmp_path / "none.npz")
    with pytest.raises(IdentboxError, match="expected"):
        scores_of_run(tmp_path)
