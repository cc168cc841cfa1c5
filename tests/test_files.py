import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT
from identbox import files
from identbox.errors import IdentboxError
from identbox.process.presets import SHAPES


def test_folders_of_the_checkout_are_found():
    assert (files.folder("render") / "worker.py").is_file()
    with pytest.raises(IdentboxError, match="expected its folder nothing"):
        files.folder("nothing")


def test_the_wheel_carries_renderer_shapes_and_simulations(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    wanted = ["cli.py", "render/worker.py", "render/LICENSE", "simulations/shape_causes_background.toml"]
    wanted += ["render/shapes/pack.toml", *(f"render/shapes/{shape}.npz" for shape in SHAPES)]
    assert {f"identbox/{name}" for name in wanted} <= names
    assert not [name for name in names if "test" in name.lower() or name.startswith("render")]
