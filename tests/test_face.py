"""What `from identbox import ...` gives: the names, lazily, with dir() and help."""

import subprocess
import sys

import pytest

import identbox


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded("import identbox; dir(identbox)") & {"torch", "numpy", "scipy", "click", "rich", "bpy"}


def test_every_name_is_there_and_documented():
    assert 26 <= len(identbox.__all__) <= 32
    assert set(identbox.__all__) <= set(dir(identbox))
    for name in identbox.__all__:
        offered = getattr(identbox, name)
        assert name == "__version__" or offered.__doc__


def test_rooms_are_reached_through_the_package():
    assert identbox.process.presets.numerical_simulation is identbox.numerical_simulation
    with pytest.raises(AttributeError, match="module 'identbox' has no attribute 'nothing'"):
        identbox.nothing  # noqa: B018


def test_a_star_import_gives_the_names():
    names: dict[str, object] = {}
    exec("from identbox import *", names)
    assert set(identbox.__all__) - {"__version__"} <= set(names)
