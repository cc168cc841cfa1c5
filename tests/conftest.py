import importlib
import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

import checked_shapes  # noqa: F401  before any module of identbox

ROOT = Path(__file__).resolve().parent.parent
REAL_MESHES = ROOT.parent / "shared" / "meshes"  # classic meshes, where the machine has them

sys.path.insert(0, str(ROOT / "render"))  # its numpy-only files are tested without Blender

# jaxtyping keeps what our modules import, compiled, under a name of its own. Imported before them, torch and its like
# are not compiled again by each process of a first run.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("torch", "scipy.stats", "sklearn.neural_network", "pandas", "matplotlib.pyplot"):
        importlib.import_module(name)


# Files that take a minute and more are run first, so that two processes end together.
LONG = (
    "clusters",
    "verification",
    "workers",
    "notebooks",
    "image_text",
    "faults",
    "shapes",
    "sweeps",
    "oracle",
)
# Fixtures that render, train or start a cluster: every test that uses one is marked slow.
SLOW_FIXTURES = {"small", "real_meshes", "finished", "short", "probed", "made", "real", "dask", "slurm"}
SLOW_FILES = {"test_notebooks", "test_workers"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark slow tests before -m chooses among them."""
    if item.path.stem in SLOW_FILES or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep the user's cache out of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["IDENTBOX_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def real_meshes() -> Path:
    if not REAL_MESHES.is_dir():
        pytest.skip(f"needs the meshes in {REAL_MESHES}")
    return REAL_MESHES


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command left: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def identbox(*arguments: object) -> Done:
    """Run the command line in this process: one of its own would import torch again, which takes seconds."""
    from identbox.commands.main import main

    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch.object(sys, "argv", ["identbox", *map(str, arguments)]),
            pytest.raises(SystemExit) as end,
        ):
            main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Done(returncode=end.value.code or 0, stdout=out.getvalue(), stderr=err.getvalue())


def identbox_process(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run the command line as a user would, where the process itself is what is tested."""
    command = [sys.executable, "-m", "identbox", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


SMALL = ("--n", 14, "--val", 3, "--test", 2, "--size", 48, "--samples", 1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A small dataset, rendered for real by one worker without any interruption. Not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "small"
    done = identbox("render", *SMALL, "--workers", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder
