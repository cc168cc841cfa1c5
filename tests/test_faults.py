"""A few faults on the command simulate; `make faults` has hundreds, on all commands.

Killed renderings are in rendering/test_workers.py, killed clusters in jobs/test_clusters.py. That a training continues
bit by bit is tested in process, in learning/test_training.py.
"""

import random
import subprocess

import pytest

import faults
from lives import Machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulate(tmp_path_factory):
    return faults.commands(tmp_path_factory.mktemp("commands"), with_images=False)["simulate"]


@pytest.fixture(scope="module")
def undisturbed(simulate, tmp_path_factory):
    """What an undisturbed simulation leaves, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("simulated")
    seconds = faults.undisturbed(simulate, folder / "out", folder / "log")
    return simulate.content(folder / "out"), seconds


def test_a_run_that_was_killed_leaves_what_an_undisturbed_one_leaves(simulate, undisturbed, tmp_path):
    """Weights, metrics and scores, after a kill at a moment that the clock chooses."""
    expected, seconds = undisturbed
    assert expected
    done = faults.disturbed(
        simulate, tmp_path / "out", tmp_path / "log", kills=1, within=seconds / 2, rng=random.Random(0)
    )
    assert sum(done[kind] for kind in faults.KILLS) == 1
    assert faults.differing(expected, simulate.content(tmp_path / "out")) == []


def test_a_process_that_wakes_after_another_took_its_lease_changes_nothing(simulate, undisturbed, tmp_path):
    """With leases of three seconds instead of a minute."""
    code = (
        "from identbox.jobs import leases; leases.STALE, leases.BEAT = 3.0, 0.5;"
        "from identbox.commands.main import main; main()"
    )
    faults.frozen(
        simulate, tmp_path / "out", tmp_path / "log", after=0.3, machine=Machine(program=("-c", code))
    )
    assert faults.differing(undisturbed[0], simulate.content(tmp_path / "out")) == []


def test_a_full_disk_is_reported_and_the_same_command_continues_with_more_space(
    simulate, undisturbed, tmp_path
):
    (tmp_path / "tried").mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "tried")], capture_output=True)
    if tried.returncode:
        pytest.skip("a disk in memory may not be mounted here")
    subprocess.run(["umount", str(tmp_path / "tried")], check=True)
    assert faults.squeezed(simulate, tmp_path / "disk", tmp_path / "log", growth=4) >= 2
    assert faults.differing(undisturbed[0], simulate.content(tmp_path / "disk-content")) == []
