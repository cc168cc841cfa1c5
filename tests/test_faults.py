"""A few faults on the command simulate; `make faults` has hundreds, on all commands.

What is disturbed is a process. What takes over, or finds a full disk, is the same command in this process, which need
not import torch again. Killed renderings are in rendering/test_workers.py, killed clusters in jobs/test_clusters.py.
That a training continues bit by bit is tested in process, in learning/test_training.py.
"""

import random
import shutil
import subprocess
import time

import pytest

import faults
from conftest import identbox
from identbox.experiments import run as experiments_run
from identbox.jobs import leases
from lives import Command, Life, Machine, end, tree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulate(tmp_path_factory):
    """The command of the harness, with a fifth of its steps."""
    file = tmp_path_factory.mktemp("commands") / "run.toml"
    file.write_text(
        faults.RUN.replace("steps = 1000", "steps = 200").replace("log_every = 20", "log_every = 5")
    )
    return Command(arguments=("simulate", "--config", str(file)), content=faults.runs)


def run(command, out):
    """What the command leaves when it is run in this process."""
    done = identbox(*command.arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    return command.content(out)


def kill_while_it_trains(command, out, folder, pause):
    """Start the command, and kill it that many seconds after the run of ``folder`` has a checkpoint."""
    life = Life(command, out, out.with_suffix(".log"))
    while life.child.poll() is None and not (folder / "checkpoint.pt").exists():
        time.sleep(0.02)
    time.sleep(pause)
    life.kill_all()
    assert life.child.returncode == -9
    assert not (folder / "results.json").exists()


@pytest.fixture(scope="module")
def undisturbed(simulate, tmp_path_factory):
    """What an undisturbed simulation leaves."""
    expected = run(simulate, tmp_path_factory.mktemp("simulated") / "out")
    assert expected
    return expected


def test_a_run_that_was_killed_leaves_what_an_undisturbed_one_leaves(simulate, undisturbed, tmp_path):
    """Weights, metrics and scores, after a kill at a moment that the clock chooses, with a checkpoint to go on from."""
    out = tmp_path / "out"
    kill_while_it_trains(simulate, out, out, random.Random(0).uniform(0, 0.05))
    assert faults.differing(undisturbed, run(simulate, out)) == []


def test_a_dmvae_that_was_killed_in_each_stage_leaves_what_an_undisturbed_one_leaves(tmp_path):
    """Kills at moments that the clock chooses: in the first stage, and in the second stage of either view."""
    file = tmp_path / "dmvae.toml"
    file.write_text(faults.DMVAE)
    command = Command(arguments=("train", "simulation", "--config", str(file)), content=faults.runs)
    expected = run(command, tmp_path / "undisturbed")
    assert {"shared weights", "specific-1 weights", "specific-2 weights"} < expected.keys()
    out, chance = tmp_path / "out", random.Random(0)
    for part in ("shared", "specific-1", "specific-2"):
        kill_while_it_trains(command, out, out / part, chance.uniform(0, 0.2))
    assert faults.differing(expected, run(command, out)) == []


def test_a_process_that_wakes_after_another_took_its_lease_changes_nothing(
    simulate, undisturbed, tmp_path, monkeypatch
):
    """With leases of a second instead of a minute. It is stopped in the middle of its training, and wakes when the
    other has trained and still holds the lease."""
    monkeypatch.setattr(leases, "STALE", 1.0)
    monkeypatch.setattr(leases, "BEAT", 0.2)
    code = (
        "from identbox.jobs import leases; leases.STALE, leases.BEAT = 1.0, 0.2;"
        "from identbox.commands.main import main; main()"
    )
    out, log = tmp_path / "out", tmp_path / "log"
    first = Life(simulate, out, log, Machine(program=("-c", code)))
    while first.child.poll() is None and not (out / "checkpoint.pt").exists():
        time.sleep(0.02)
    asleep = tree(first.child)
    for process in asleep:
        process.suspend()
    assert not (out / "results.json").exists()
    write = experiments_run.write_results

    def write_after_the_first_has_ended(path, record):
        for process in asleep:
            process.resume()
        assert end(first.child) == 1, log.read_text()
        assert not path.exists()
        write(path, record)

    monkeypatch.setattr(experiments_run, "write_results", write_after_the_first_has_ended)
    assert faults.differing(undisturbed, run(simulate, out)) == []
    assert first.child.returncode == 1
    assert "expected the lease of this process, got that of another" in log.read_text()


def test_a_full_disk_is_reported_and_the_same_command_continues_with_more_space(
    simulate, undisturbed, tmp_path
):
    disk, full = tmp_path / "disk", 0
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        pytest.skip("a disk in memory may not be mounted here")
    try:
        while (done := identbox(*simulate.arguments, "--out", disk / "out")).returncode:
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1].startswith("identbox: ")
            full += 1
            size = f"remount,size={16 * 4**full}k"
            subprocess.run(["mount", "-o", size, str(disk)], check=True)
        shutil.copytree(disk / "out", tmp_path / "content")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert full >= 2
    assert faults.differing(undisturbed, simulate.content(tmp_path / "content")) == []
