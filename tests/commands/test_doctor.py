import pytest

from identbox.commands import doctor
from identbox.errors import IdentboxError

MESSAGE = "ImportError: libXrender.so.1: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(("user", "start"), [(0, "; type: apt-get"), (1000, "; type: sudo apt-get")])
def test_a_missing_library_gets_the_command_to_type(monkeypatch, user, start):
    monkeypatch.setattr("os.geteuid", lambda: user)
    remedy = doctor.remedy(MESSAGE)
    assert remedy.startswith(start)
    assert "libxrender1" in remedy
    assert doctor.remedy("libfoo.so.1: cannot open shared object file") == ""
    assert doctor.remedy("out of memory") == ""


def test_install_stops_with_the_command_where_it_may_not(monkeypatch):
    def fail(runner):
        raise IdentboxError(MESSAGE)

    monkeypatch.setattr("identbox.rendering.blender.describe_blender", fail)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(IdentboxError, match="libXrender.*; type: sudo apt-get update"):
        doctor.install()


def test_install_as_root_runs_the_commands(monkeypatch):
    ran = []

    def fail(runner):
        raise IdentboxError(MESSAGE)

    class Done:
        returncode = 0

    monkeypatch.setattr("identbox.rendering.blender.describe_blender", fail)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("subprocess.run", lambda command, **options: ran.append(command) or Done())
    doctor.install()
    assert [command[:2] for command in ran] == [["apt-get", "update"], ["apt-get", "install"]]
    assert set(doctor.SYSTEM_PACKAGES.values()) <= set(ran[1])
