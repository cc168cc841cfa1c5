"""What is installed, what is packed, and what a file of weights may do."""

import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from conftest import ROOT
from identbox.errors import IdentboxError
from identbox.learning.checkpoints import read_checkpoint
from identbox.process.presets import SHAPE_NAMES

# What torch needs beside the lock, where it is not the build for processors.
OF_CUDA = ("nvidia-", "cuda-", "triton")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_of_the_tests_is_locked_with_a_hash():
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(
        r"^([\w-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)", lock, re.MULTILINE
    )
    locked = {name: number for name, number, _ in entries}
    assert len(entries) == len(locked) == len([line for line in lock.splitlines() if "==" in line])
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    pins = {plain(name): number for name, number in pins.items()}
    assert pins.items() <= locked.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    named = {plain(re.split(r"[^\w.-]", one)[0]) for one in every} - {"identbox"}
    assert named <= locked.keys()
    below = set(needed([Requirement(one) for one in every]))
    assert {one for one in below if not one.startswith(OF_CUDA)} <= locked.keys()
    torch_version = version("torch").partition("+")[0]
    assert tuple(map(int, torch_version.split(".")[:2])) >= (2, 10)  # before, weights alone could run code


def needed(wanted: list[Requirement]) -> Iterator[str]:
    """The names of the packages that are wanted, and of all that they need."""
    seen: set[tuple[str, str]] = set()
    while wanted:
        one = wanted.pop()
        for extra in one.extras or {""}:
            key = (plain(one.name), extra)
            if key in seen or key[0] == "identbox":
                continue
            seen.add(key)
            yield key[0]
            for text in requires(one.name) or ():
                below = Requirement(text)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    wanted.append(below)


class Hostile:
    """What a pickle does to whoever opens it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_runs_no_command(tmp_path: Path, zipped: bool):
    path, victim = tmp_path / "checkpoint.pt", tmp_path / "victim"
    state = {"format": 2, "step": Hostile(f"touch {victim}"), "model": {}, "optimizer": {}}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(IdentboxError, match="checkpoint.pt: expected a whole checkpoint, got a damaged one"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(IdentboxError, match="got a damaged one"):
        read_checkpoint(path)
    assert not victim.exists()
    os.system(f"touch {victim}")
    assert victim.exists()  # or the command would do nothing in any case


def test_the_wheel_carries_what_it_needs_and_nothing_else(tmp_path: Path):
    tree = tmp_path / "tree"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if name.split("/")[0] in ("identbox", "render", "simulations") or "/" not in name:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    secrets = (
        "identbox/checkpoint.pt",
        "identbox/.env",
        "identbox/data/a.pem",
        "render/.env.local",
        "render/key",
    )
    secrets += (
        "simulations/results/x/runs/a/checkpoint.pt",
        "simulations/results/x/run.lease",
        "identbox/.cache/a.npy",
    )
    for name in secrets:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(tree),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    wanted = ["files.py", "_render/worker.py", "_render/LICENSE", "_simulations/shape_causes_background.toml"]
    wanted += ["_render/shapes/pack.toml", *(f"_render/shapes/{shape}.npz" for shape in SHAPE_NAMES)]
    assert {f"identbox/{name}" for name in wanted} <= names
    assert not [name for name in names if name.startswith(("tests/", "render")) or "/test_" in name]
    leaked = {
        name.replace("render/", "_render/").replace("simulations/", "_simulations/") for name in secrets
    }
    assert not [name for name in names if any(name.endswith(one.removeprefix("identbox/")) for one in leaked)]
