"""The script that holds a trained encoder beside encoders whose answer is known, on drawn squares."""

import json
import runpy
import sys
from pathlib import Path

import drawn_counterfactuals
import pytest

from conftest import ROOT
from drawn_squares import made, make_dataset
from identbox.experiments import image_text

SCRIPT = ROOT / "tests" / "benchmarks" / "counterfactual_controls.py"


@pytest.mark.slow
def test_shuffled_pairs_and_true_content_in_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_epochs
) -> None:
    """The training on shuffled pairs is a run beside the other; true content moves with content alone."""
    monkeypatch.setattr(image_text, "probe_pairs", lambda learner, data: {})  # which no encoder here needs
    folder = make_dataset(tmp_path / "squares", {"train": 48, "val": 24, "test": 150})
    drawn_counterfactuals.add(folder, "permute:object_color", "redraw:style,specific")
    experiment = made({"training": {"steps": 2}})
    data = image_text.open_data(folder, experiment.data)
    image_text.run_experiment(experiment, data, tmp_path / "run", seed=0)
    out = tmp_path / "out"
    options = ["--dataset", folder, "--out", out, "--shuffled-steps", 1, "--only"]
    for names in (["shuffled"], ["content"]):  # the second adds to the record of the first
        arguments = [SCRIPT, tmp_path / "run", *options, *names]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        runpy.run_path(str(SCRIPT), run_name="__main__")
    run = json.loads((tmp_path / "run-shuffled-pairs" / "results.json").read_text())
    assert (run["control"], run["config"]["data"]["pairs"], run["steps"]) == ("shuffled-pairs", "shuffled", 1)
    record = json.loads((out / "displacement.json").read_text())
    assert list(record) == ["trained on shuffled pairs", "true content"]
    assert record["trained on shuffled pairs"]["outcome"] == "not identified"
    assert record["true content"]["outcome"] != "not identified"
    assert {one["value"] for one in record["true content"]["displacement"]} == {0.0}
    assert (out / "displacement.png").stat().st_size > 10_000
