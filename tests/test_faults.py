"""A few faults on the commands; `make faults` has hundreds, on all of them."""

import random

import faults
import pytest


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    return faults.commands(tmp_path_factory.mktemp("commands"))


@pytest.mark.parametrize("name", ["render", "sweep", "train"])
def test_what_a_disturbed_command_leaves_is_what_an_undisturbed_one_does(commands, name, tmp_path):
    command = commands[name]
    seconds = faults.undisturbed(command, tmp_path / "peace", tmp_path / "log")
    rng = random.Random(len(name))
    done = faults.disturbed(command, tmp_path / "out", tmp_path / "log", kills=2, within=seconds / 2, rng=rng)
    assert sum(done.values()) == 2
    expected = command.content(tmp_path / "peace")
    assert expected
    assert faults.differing(expected, command.content(tmp_path / "out")) == []
