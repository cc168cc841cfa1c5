from pathlib import Path

import pytest

from identbox.errors import IdentboxError
from identbox.rendering import blender


def test_a_missing_bpy_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr(blender, "find_spec", lambda name: None)
    monkeypatch.setattr(blender.sys, "version_info", (3, 12, 1))
    with pytest.raises(
        IdentboxError, match="needs Python 3.11, got Python 3.12 without it; type `pip install bpy"
    ):
        blender.Blender().command()


def test_an_installed_blender_gets_its_own_options(tmp_path: Path):
    executable = tmp_path / "blender"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    command = blender.Blender(executable=str(executable)).command()
    assert command[0] == str(executable)
    assert command[-1] == "--"
    assert {"--background", "--factory-startup", "--disable-autoexec"} <= set(command)


def test_the_error_has_the_last_line_of_a_dying_worker(tmp_path: Path):
    executable = tmp_path / "blender"
    executable.write_text(
        "#!/bin/sh\necho first\necho 'libXi.so.6: cannot open shared object file'\necho last\nexit 3\n"
    )
    executable.chmod(0o755)
    with pytest.raises(IdentboxError, match="got exit code 3: libXi.so.6: cannot open shared object file"):
        blender.describe_blender(blender.Blender(executable=str(executable)))


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    blender.run_once(blender.Blender(), {"task": "probe"}, [])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_log_gives_no_message(tmp_path: Path):
    assert blender.last_words(tmp_path / "none") == "no message"
