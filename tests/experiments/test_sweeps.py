import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from children import until
from conftest import ROOT, identbox
from identbox import config
from identbox.errors import IdentboxError
from identbox.experiments import records as experiments_records
from identbox.experiments import simulation, sweeps

FILE = """
title = "A small sweep"
report = "table"
seeds = [0, 1]
grid.process.change_probability = [1.0, 0.5]

[config]
process = { content = 1, style = 1, specific = 1 }
mixing = { pool = 100, ratio = 0.1 }
encoder = { widths = [8] }
training = { steps = 60, batch = 32, log_every = 20, checkpoint_every = 0.5 }
probes = { samples = 60, bootstrap = 5, interventions = false }

[thesis.config]
training = { steps = 80 }
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(FILE)
    return path


def test_rows_times_grid_times_seeds(file):
    file.write_text(FILE + '\n[[rows]]\nsetting = "multiview"\n[[rows]]\nprocess.causal = true\n')
    sweep = sweeps.read_sweep_file(file, "quick")
    assert [cell.name for cell in sweep.cells] == [
        "multiview-change_probability1.0",
        "multiview-change_probability0.5",
        "causal-change_probability1.0",
        "causal-change_probability0.5",
    ]
    assert sweep.cells[3].values == {"causal": True, "change_probability": 0.5}
    assert sweep.cells[3].config.process.causal
    assert sweep.cells[3].config.training.steps == 60
    assert len(list(sweep.runs())) == 8


def test_a_preset_replaces_keys_of_a_sweep(file):
    assert sweeps.read_sweep_file(file, "thesis").cells[0].config.training.steps == 80
    assert sweeps.read_sweep_file(file, "thesis").cells[0].config.process.content == 1
    assert sweeps.read_sweep_file(file, "quick", seeds=(7,)).plan.seeds == (7,)


@pytest.mark.parametrize("path", sorted((ROOT / "simulations").glob("*_*.toml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("preset", list(simulation.SIMULATION_PRESETS))
def test_every_sweep_of_the_project_can_be_read(path, preset):
    text = path.read_text()
    if path.stem == "shape_causes_background":
        pytest.skip("a process, not a sweep")
    if preset in ("laptop", "gpu") and 'kind = "' in text:
        with pytest.raises(IdentboxError, match=f"preset: expected one of .*; got {preset}"):
            sweeps.read_sweep_file(path, preset)
        return
    sweep = sweeps.read_sweep_file(path, preset)
    command = "verify --preset" if path.stem == "theorem_2" else f"sweep simulations/{path.name}"
    assert f"identbox {command}" in text
    for cell in sweep.cells:
        if isinstance(cell.config, simulation.Simulation):
            cell.config.process.make(cell.config.setting).realise(seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("grid.process.colour = [1]", "process: expected keys among"),
        ("grid.setting = []", "grid.setting: expected a list of values, got []"),
        ("grid.setting = 'multiview'", "grid.setting: expected a list of values, got 'multiview'"),
        ("seeds = [0, 0]", "seeds: expected different numbers"),
        ("report = 'pie'", "report: expected"),
        ("colour = 1", "expected keys among"),
        ("rows = [{}, {}]", "got change_probability1.0 twice"),
        ("grid.process.change_probability = [2.0]", "expected a number in [0, 1], got 2.0"),
    ],
)
def test_bad_sweep_files(file, change, message):
    key = change.partition(" ")[0]
    lines = [line for line in FILE.splitlines() if not line.startswith(f"{key} ")]
    file.write_text(change + "\n" + "\n".join(lines))
    with pytest.raises(IdentboxError) as error:
        sweeps.read_sweep_file(file, "quick")
    assert message in str(error.value)


@pytest.mark.slow
def test_a_sweep_runs_skips_what_is_done_and_names_what_failed(file, tmp_path):
    out = tmp_path / "out"
    broken = experiments_records.run_folder(out, "change_probability1.0", 0)
    broken.mkdir(parents=True)
    (broken / "notes.txt").write_text("in the way")
    done = identbox("sweep", file, "--out", out, "--seeds", 0, "--workers", 2)
    assert done.returncode == 1
    assert "got 1 that failed (change_probability1.0-seed0)" in done.stderr
    assert "expected an empty folder or a run of this configuration, got notes.txt" in done.stderr
    (record,) = out.glob("runs/*/results.json")
    written = record.stat().st_mtime_ns

    (broken / "notes.txt").unlink()
    done = identbox("sweep", file, "--out", out, "--seeds", 0, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert record.stat().st_mtime_ns == written
    assert len(list(out.glob("runs/*/results.json"))) == 2
    table = config.read_toml(out / "sweep.toml")
    assert [cell["name"] for cell in table["cells"]] == ["change_probability1.0", "change_probability0.5"]

    done = identbox("sweep", file, "--out", out, "--seeds", 0, "--preset", "thesis")
    assert done.returncode == 1
    assert "got one that differs in preset" in done.stderr


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended_and_named(file, tmp_path):
    file.write_text(FILE.replace("steps = 60", "steps = 1000000"))
    out = tmp_path / "out"
    done = identbox("sweep", file, "--out", out, "--seeds", 0, "--timeout", 0.0001)  # a third of a second
    assert done.returncode == 1
    assert "failed: change_probability1.0-seed0: took longer than 0.36 s" in done.stdout
    assert "got 2 that failed" in done.stderr
    assert not list(out.glob("runs/*/results.json"))


@pytest.mark.slow
def test_an_interrupted_sweep_stops_its_runs_and_the_same_command_continues_them(file, tmp_path):
    file.write_text(FILE.replace("steps = 60", "steps = 240").replace("[1.0, 0.5]", "[1.0]"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "identbox", "sweep", str(file), "--out", str(out), "--seeds", "0"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    metrics = out / "runs" / "change_probability1.0-seed0" / "metrics.jsonl"
    until(metrics.exists, seconds=300)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=120) == 130
    lines = metrics.read_text()
    time.sleep(0.5)
    assert metrics.read_text() == lines
    assert not (metrics.parent / "results.json").exists()
    done = identbox("sweep", file, "--out", out, "--seeds", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads((metrics.parent / "results.json").read_text())["steps"] == 240


def test_more_seeds_may_be_added(file, tmp_path):
    out = tmp_path / "out"
    for seeds in ((1,), (0,)):
        sweeps.read_sweep_file(file, "quick", seeds).claim(out)
    assert config.read_toml(out / "sweep.toml")["seeds"] == [0, 1]
    done = identbox("sweep", file, "--seeds", "0,x")
    assert "--seeds: expected numbers like 0,1,2; got 0,x" in done.stderr


def test_how_a_row_is_trained_is_no_part_of_its_name(file):
    row = "\n[[rows]]\nprocess.causal = true\nconfig.training = { steps = 7 }\nconfig.encoder = { whitening = 200 }\n"
    file.write_text(FILE + "\n[[rows]]\nprocess.causal = false\n" + row)
    before, after = sweeps.read_sweep_file(file, "quick").cells[1:3]
    assert after.name == "causal-change_probability1.0"
    assert after.values == {"causal": True, "change_probability": 1.0}
    assert (before.config.training.steps, after.config.training.steps) == (60, 7)
    assert after.config.encoder.whitening == 200
    file.write_text(FILE + "\n[[rows]]\nconfig = 3\n")
    with pytest.raises(IdentboxError, match=r"rows.config: expected a table, got 3"):
        sweeps.read_sweep_file(file, "quick")


@pytest.fixture
def finished(file, tmp_path):
    """The folder of the sweep with records by hand; of the last run there is only its configuration."""
    planned, folder = sweeps.read_sweep_file(file, "quick"), tmp_path / "finished"
    planned.claim(folder)
    for place, (cell, seed) in enumerate(planned.runs()):
        run = simulation.simulation_folder(
            experiments_records.run_folder(folder, cell.name, seed), cell.config, seed=seed
        )
        run.claim()
        for name in ("metrics.jsonl", "run.lease", "run.log", *["results.json"] * (place < 3)):
            (run.path / name).write_text(f'"{cell.name}, seed {seed}"')
    return folder


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_finished_runs_of_another_sweep_are_copied_where_configuration_and_seed_are_the_same(
    finished, file, tmp_path
):
    wider = file.with_name("wider.toml")
    wider.write_text(FILE.replace("[1.0, 0.5]", "[0.5, 0.25, 1.0]").replace("A small sweep", "A wider sweep"))
    out = tmp_path / "out"
    assert sweeps.read_sweep_file(wider, "quick", seeds=(1, 0, 7)).take(out, finished) == 3
    for name in ("change_probability1.0-seed0", "change_probability0.5-seed0", "change_probability1.0-seed1"):
        theirs = contents(finished / "runs" / name)
        assert contents(out / "runs" / name) == {k: v for k, v in theirs.items() if not k.startswith("run.")}
    assert (
        len(list((out / "runs").iterdir())) == 3
    )  # nothing of what is not finished, and no temporary folder


def test_no_run_of_another_configuration_is_copied(finished, file, tmp_path):
    file.write_text(FILE.replace("steps = 60", "steps = 61"))
    assert sweeps.read_sweep_file(file, "quick").take(tmp_path / "out", finished) == 0
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_there_is_not_replaced_by_a_copy(finished, file, tmp_path):
    begun = tmp_path / "out" / "runs" / "change_probability1.0-seed0"
    begun.mkdir(parents=True)
    (begun / "notes.txt").write_text("mine")
    assert sweeps.read_sweep_file(file, "quick").take(tmp_path / "out", finished) == 2
    assert contents(begun) == {"notes.txt": "mine"}


def test_what_is_no_folder_of_a_sweep_has_no_runs_to_copy(file, tmp_path):
    with pytest.raises(
        IdentboxError, match="expected the folder of a sweep, with a folder runs in it, got none"
    ):
        sweeps.read_sweep_file(file, "quick").take(tmp_path / "out", tmp_path)


def test_the_command_trains_nothing_where_all_runs_are_copied(finished, file, tmp_path):
    out = tmp_path / "out"
    (finished / "runs" / "change_probability0.5-seed1" / "results.json").write_text("{}")
    done = identbox("sweep", file, "--out", out, "--reuse", finished)
    assert done.returncode == 0, done.stderr
    assert f"{finished}: 4 finished runs copied" in done.stdout
    assert "all runs are done" in done.stdout
    assert not list(out.glob("runs/*/checkpoint.pt"))


RESULTS = ROOT / "simulations" / "results"
# Its VAEs are older than what tells them apart from VAEs of images.
NOT_CONTINUED = ("causes-quick",)


def committed_sweeps():
    for folder in sorted(path.parent for path in RESULTS.glob("*/sweep.toml")):
        file = ROOT / "simulations" / f"{config.read_toml(folder / 'sweep.toml')['name']}.toml"
        if file.exists() and folder.name not in NOT_CONTINUED:
            yield pytest.param(folder, file, id=folder.name)


@pytest.mark.parametrize(("folder", "file"), committed_sweeps())
def test_a_committed_sweep_is_continued_by_its_file_with_a_further_seed(folder, file, tmp_path, monkeypatch):
    """Keys that came after a run was trained are no reason to turn its folder away."""
    out = shutil.copytree(folder, tmp_path / "out")
    table, of_a_run = (
        config.read_toml(path) for path in (out / "sweep.toml", next(out.glob("runs/*/config.toml")))
    )
    data = of_a_run.get("dataset")
    on = "simulation" if data is None else "pairs" if "image_size" in of_a_run["data"] else "multiview"
    monkeypatch.setattr(sweeps.formats, "fingerprint", lambda folder: data["sha256"])
    planned = sweeps.read_sweep_file(file, table["preset"], (*table["seeds"], 99), on=on)
    planned.claim(out)
    jobs = list(planned.jobs(out, device="cpu", dataset=None if data is None else tmp_path))
    for job in jobs:
        job.claim()
    assert [job.name for job in jobs if not job.done()] == [f"{cell.name}-seed99" for cell in planned.cells]
