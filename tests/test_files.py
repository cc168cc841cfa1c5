import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import ROOT
from identbox import files
from identbox.errors import IdentboxError
from identbox.process.presets import SHAPE_NAMES


def write_until_the_disk_is_full(path: Path) -> None:
    with files.whole(path) as part:
        part.write_bytes(b"n")
        raise OSError(28, os.strerror(28))


def test_a_file_is_written_whole_or_the_old_one_stays(tmp_path: Path):
    path = tmp_path / "file"
    with files.whole(path) as part:
        part.write_bytes(b"old")
        assert not path.exists()
    with pytest.raises(OSError, match="No space left"):
        write_until_the_disk_is_full(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_two_processes_write_one_file_under_different_temporary_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "file"
    with files.whole(path) as part:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        files.write_whole(path, b"another process's")
        part.write_bytes(b"ours")
    assert path.read_bytes() == b"ours"


def test_the_only_writer_of_a_file_overwrites_what_a_killed_process_left(tmp_path: Path):
    (tmp_path / ".file.part").write_bytes(b"of a killed process")
    with files.whole(tmp_path / "file", only_writer=True) as part:
        assert part.name == ".file.part"
        part.write_bytes(b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_when_all_of_it_is_written(tmp_path: Path):
    out = tmp_path / "out"
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "of a killed process").touch()
    with suppress(RuntimeError), files.whole_folder(out) as part:
        (part / "file").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with files.whole_folder(out) as part:
        (part / "file").touch()
        assert not out.exists()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["out", "file"]


def test_write_once_completes_a_file_cut_short_and_leaves_another_alone(tmp_path: Path):
    path = tmp_path / "file"
    for there in (None, b"", b"one t"):
        if there is not None:
            path.write_bytes(there)
        files.write_once(path, b"one two")
        assert path.read_bytes() == b"one two"
    before = path.stat().st_mtime_ns
    files.write_once(path, b"one two")
    assert path.stat().st_mtime_ns == before
    for there in (b"two", b"one two three"):
        path.write_bytes(there)
        with pytest.raises(IdentboxError, match="file: expected what this version would write, got another"):
            files.write_once(path, b"one two")
        assert path.read_bytes() == there


def test_folders_of_the_checkout_are_found():
    assert (files.packaged("render") / "worker.py").is_file()
    with pytest.raises(IdentboxError, match="expected its folder nothing"):
        files.packaged("nothing")


def test_folders_of_an_installed_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "identbox"
    (package / "_render").mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    assert files.packaged("render") == package / "_render"


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
    wanted = ["files.py", "_render/worker.py", "_render/LICENSE", "_simulations/shape_causes_background.toml"]
    wanted += ["_render/shapes/pack.toml", *(f"_render/shapes/{shape}.npz" for shape in SHAPE_NAMES)]
    assert {f"identbox/{name}" for name in wanted} <= names
    assert not [name for name in names if "test" in name.lower() or name.startswith("render")]
