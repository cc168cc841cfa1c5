"""A few faults on the commands; `make faults` has hundreds, on all of them."""

import random
import subprocess

import pytest

import faults


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    return faults.commands(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def simulated(commands, tmp_path_factory):
    """What an undisturbed simulation leaves."""
    folder = tmp_path_factory.mktemp("simulated")
    faults.undisturbed(commands["simulate"], folder / "out", folder / "log")
    return commands["simulate"].content(folder / "out")


@pytest.mark.parametrize("name", ["render", "train"])
def test_what_a_disturbed_command_leaves_is_what_an_undisturbed_one_does(commands, name, tmp_path):
    command = commands[name]
    seconds = faults.undisturbed(command, tmp_path / "peace", tmp_path / "log")
    rng = random.Random(len(name))
    done = faults.disturbed(command, tmp_path / "out", tmp_path / "log", kills=2, within=seconds / 2, rng=rng)
    assert sum(done[kind] for kind in faults.KILLS) == 2
    expected = command.content(tmp_path / "peace")
    assert expected
    assert faults.differing(expected, command.content(tmp_path / "out")) == []


def test_who_wakes_after_another_took_over_changes_nothing(commands, simulated, tmp_path):
    """With leases of three seconds, so that it takes no minute."""
    command = commands["simulate"]
    code = (
        "from identbox.jobs import leases; leases.STALE, leases.BEAT = 3.0, 0.5;"
        "from identbox.commands.main import main; main()"
    )
    faults.frozen(command, tmp_path / "out", tmp_path / "log", after=0.3, program=("-c", code))
    assert faults.differing(simulated, command.content(tmp_path / "out")) == []


def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_room(commands, simulated, tmp_path):
    (tmp_path / "tried").mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "tried")], capture_output=True)
    if tried.returncode:
        pytest.skip("a disk in memory may not be mounted here")
    subprocess.run(["umount", str(tmp_path / "tried")], check=True)
    command = commands["simulate"]
    assert faults.squeezed(command, tmp_path / "disk", tmp_path / "log") >= 2
    assert faults.differing(simulated, command.content(tmp_path / "disk-content")) == []
