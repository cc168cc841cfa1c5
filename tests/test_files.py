import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from identbox import files
from identbox.errors import IdentboxError


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


def test_a_folder_in_the_place_of_a_file_is_left_alone(tmp_path: Path):
    (tmp_path / "name").mkdir()
    with pytest.raises(IdentboxError, match="name: expected a file or nothing, got a folder"):
        files.write_whole(tmp_path / "name", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_two_processes_write_one_file_under_different_temporary_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "file"
    with files.whole(path) as part:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        files.write_whole(path, b"another process's")
        part.write_bytes(b"ours")
    assert path.read_bytes() == b"ours"


def test_a_temporary_file_is_new_and_a_link_that_waits_for_it_is_not_followed(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in (f".file.{os.getpid()}.part", ".file.part"):
        (tmp_path / name).symlink_to(victim)
    (tmp_path / "file").symlink_to(victim)
    files.write_whole(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()
    (tmp_path / "log").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        files.open_log(tmp_path / "log")


def test_what_killed_processes_left_long_ago_is_removed_and_nothing_else(tmp_path: Path):
    old, young, other = (
        tmp_path / f".{name}.part" for name in (f"file.1.{'a' * 16}", f"file.2.{'b' * 16}", "file.x")
    )
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    files.write_whole(tmp_path / "file", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", young.name, other.name}


def test_a_folder_appears_when_all_of_it_is_written(tmp_path: Path):
    out = tmp_path / "out"
    with suppress(RuntimeError), files.whole_folder(out) as part:
        (part / "file").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with files.whole_folder(out) as part:
        (part / "file").touch()
        assert not out.exists()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["out", "file"]


def test_of_two_processes_that_fill_one_folder_one_makes_it_and_the_other_learns_that(tmp_path: Path):
    out = tmp_path / "out"

    def late() -> None:
        with files.whole_folder(out) as part:
            with files.whole_folder(out) as other:
                (other / "file").write_text("first")
            (part / "other").write_text("second")

    with pytest.raises(FileExistsError):
        late()
    assert [entry.name for entry in out.iterdir()] == ["file"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_the_temporary_folders_of_dead_processes_are_removed_and_no_others(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with files.scratch() as mine:
        dead = tmp_path / f"identbox-{2**22 + 1}-7-{mine.name.split('-')[3]}-x"
        foreign = tmp_path / f"identbox-{2**22 + 1}-7-1-x"
        for folder in (dead, foreign, tmp_path / "identbox-notes"):
            folder.mkdir()
        files._sweep.cache_clear()
        with files.scratch():
            assert not dead.exists()
        assert foreign.exists()
        assert mine.exists()


def test_only_regular_files_are_read_and_none_that_is_too_large(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IdentboxError, match="pipe: expected a regular file"):
        files.read_bytes(tmp_path / "pipe", 100)
    with pytest.raises(IdentboxError, match="zero: expected a regular file"):
        files.read_bytes(Path("/dev/zero"), 100)
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(IdentboxError, match="large: expected a file of at most"):
        files.read_bytes(tmp_path / "large", 100)
    for path, message in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
        ("a\0b", "zero byte"),
    ):
        with pytest.raises(IdentboxError, match=message):
            files.read_bytes(path, 100)


def test_text_is_read_with_and_without_a_byte_order_mark_and_with_any_line_end(tmp_path: Path):
    for content in (b"a\nb\n", b"\xef\xbb\xbfa\r\nb\r\n", b"a\rb\r"):
        (tmp_path / "text").write_bytes(content)
        assert files.read_text(tmp_path / "text") == "a\nb\n"
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(IdentboxError, match="text: expected UTF-8"):
        files.read_text(tmp_path / "text")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '"\\ud800"', '{"a": "\\uDFFF"}', "9" * 5000])
def test_json_that_no_reader_can_take_is_refused_in_one_line(text):
    with pytest.raises(IdentboxError, match="place: expected JSON"):
        files.parse_json(text, "place")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "a\0b", "a\nb", "\x1b[1m", "x" * 300, "\ud800"]
)
def test_names_from_files_that_are_no_names_are_refused(name, tmp_path):
    with pytest.raises(IdentboxError, match="here: expected a name for a file"):
        files.expect_name(name, "here")


def test_a_link_may_lead_to_the_blobs_of_a_hub_and_nowhere_else_outside(tmp_path: Path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snap").mkdir()
    (tmp_path / "blobs" / "0123abcd").touch()
    (tmp_path / "secret").touch()
    for target in ("blobs/0123abcd", "secret"):
        (tmp_path / "snap" / Path(target).name).symlink_to(f"../{target}")
    assert files.inside(tmp_path / "snap", "0123abcd", "here").exists()
    for name in ("secret", "../secret", "/etc/passwd", "", ".", "a\0b", "x" * 5000):
        with pytest.raises(IdentboxError, match="here: expected the name of a file inside"):
            files.inside(tmp_path / "snap", name, "here")


def test_a_proof_is_this_users_alone(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "one"))
    one = files.proof("a", "b")
    assert one == files.proof("a", "b")
    assert (tmp_path / "one" / "key").stat().st_mode & 0o77 == 0
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "two"))
    assert files.proof("a", "b") != one


@pytest.mark.parametrize("change", ["content", "cut", "proof", "pipe", "name", "kind"])
def test_a_file_of_a_cache_is_believed_only_as_it_was_written(tmp_path: Path, monkeypatch, change):
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "cache"))
    path, kind = tmp_path / "name.pt", "judge"
    files.write_proved(path, b"weights", kind)
    assert files.read_proved(path, 100, kind) == b"weights"
    if change == "content":
        path.write_bytes(b"Weights")
    elif change == "cut":
        path.write_bytes(b"")
    elif change == "proof":
        path.with_suffix(".proof").unlink()
    elif change == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif change == "name":
        for suffix in (".pt", ".proof"):
            path.with_suffix(suffix).rename(tmp_path / f"other{suffix}")
        path = tmp_path / "other.pt"
    else:
        kind = "mesh"
    assert files.read_proved(path, 100, kind) is None


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
