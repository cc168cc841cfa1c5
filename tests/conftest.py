import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_MESHES = ROOT.parent / "shared" / "meshes"  # classic meshes, where the machine has them

sys.path.insert(0, str(ROOT / "render"))  # its numpy-only files are tested without Blender


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
SLOW_FIXTURES = {"small", "real_meshes", "finished", "made", "real", "dask", "slurm"}
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


def identbox(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run the command line as a user would."""
    command = [sys.executable, "-m", "identbox", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


@pytest.fixture
def run():
    return identbox


SMALL = ("--n", 14, "--val", 3, "--test", 2, "--size", 48, "--samples", 1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A small dataset, rendered for real by one worker without any interruption. Not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "small"
    done = identbox("render", *SMALL, "--workers", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder
