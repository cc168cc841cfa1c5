import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import meshes
from conftest import identbox
from identbox.errors import IdentboxError
from identbox.rendering import downloads, shapes
from identbox.rendering.blender import Blender

PUBLISHED = downloads.BLOBS
CONTENT = {"ShapeCow.blend": b"a cow " * 1000, "ShapeHead.blend": b"a head"}


class Server(ThreadingHTTPServer):
    """What it serves, how it misbehaves, and what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/pinned/{name}": content for name, content in CONTENT.items()}
        self.redirects: dict[str, str] = {}
        self.cut: int | None = None  # bytes after which an answer ends
        self.silent = False
        self.asked: list[str] = []
        self.woken = threading.Event()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.silent:
            self.server.woken.wait(10)
            return
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
        elif self.path in self.server.files:
            content = self.server.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Disposition", 'attachment; filename="../../evil.blend"')
            self.end_headers()
            self.wfile.write(content[: self.server.cut])
        else:
            self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An HTTP server on loopback with two files, which are the published ones for as long as the test runs."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("IDENTBOX_SHAPES_URL", f"{running.root}/pinned")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(
        downloads, "BLOBS", {name: downloads.blob(content) for name, content in CONTENT.items()}
    )
    yield running
    running.woken.set()
    running.shutdown()
    thread.join()
    running.server_close()


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*")} if folder.exists() else {}


def test_the_hash_is_that_of_git():
    # `printf 'some content\n' | git hash-object --stdin`
    assert downloads.blob(b"some content\n") == "2ef267e25bd6c6a300bb473e604b092b6a48523b"


def test_whole_files_are_kept_and_not_fetched_again(tmp_path: Path, server: Server):
    folder, said = tmp_path / "new" / "published", []
    assert downloads.missing(folder) == list(CONTENT)
    downloads.fetch_files(folder, on_file=said.append)
    assert said == list(CONTENT)
    assert kept(folder) == CONTENT
    assert server.asked == [f"/pinned/{name}" for name in CONTENT]
    downloads.fetch_files(folder)
    downloads.fetch_files(folder, offline=True)
    assert len(server.asked) == len(CONTENT)


def test_only_what_is_missing_or_broken_is_fetched(tmp_path: Path, server: Server):
    (tmp_path / "ShapeCow.blend").write_bytes(CONTENT["ShapeCow.blend"])
    (tmp_path / "ShapeHead.blend").write_bytes(b"rotten")
    downloads.fetch_files(tmp_path)
    assert server.asked == ["/pinned/ShapeHead.blend"]
    assert kept(tmp_path) == CONTENT


def test_an_answer_that_is_cut_off_is_not_kept(tmp_path: Path, server: Server):
    server.cut = 4000
    with pytest.raises(
        IdentboxError, match=r"ShapeCow.blend: expected 6000 bytes, got 4000 before it was cut"
    ):
        downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == {}
    server.cut = None
    downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == CONTENT


def test_wrong_content_is_refused_and_both_hashes_are_named(tmp_path: Path, server: Server):
    server.files["/pinned/ShapeHead.blend"] = b"a hand"
    wanted, got = downloads.BLOBS["ShapeHead.blend"], downloads.blob(b"a hand")
    with pytest.raises(IdentboxError, match=f"ShapeHead.blend: expected the git blob {wanted}, got {got}"):
        downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == {"ShapeCow.blend": CONTENT["ShapeCow.blend"]}  # what came before was proved


def test_a_file_that_the_server_does_not_have_is_named(tmp_path: Path, server: Server):
    del server.files["/pinned/ShapeCow.blend"]
    with pytest.raises(IdentboxError, match=r"ShapeCow.blend: expected the file, got HTTP 404 Not Found"):
        downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == {}


def test_a_missing_network_is_named(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    closed = Server()  # a port that nobody listens on once it is closed
    closed.server_close()
    monkeypatch.setenv("IDENTBOX_SHAPES_URL", closed.root)
    with pytest.raises(IdentboxError, match=r"ShapeCow.blend: expected a connection, got '.*refused'"):
        downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == {}


def test_a_server_that_does_not_answer_is_named(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    server.silent = True
    with pytest.raises(IdentboxError, match=r"expected a connection, got no answer in 0.3 s"):
        downloads.fetch_files(tmp_path)


def test_offline_sends_no_request(tmp_path: Path, server: Server):
    (tmp_path / "ShapeCow.blend").write_bytes(CONTENT["ShapeCow.blend"])
    message = r"--offline: expected the published shapes in .*, got 1 that are .* \(ShapeHead.blend\); type `identbox"
    with pytest.raises(IdentboxError, match=message):
        downloads.fetch_files(tmp_path, offline=True)
    downloads.fetch_files(tmp_path, ["ShapeCow.blend"], offline=True)
    assert server.asked == []


def test_a_redirect_is_followed_and_its_content_verified(tmp_path: Path, server: Server):
    server.files["/moved/cow"] = server.files.pop("/pinned/ShapeCow.blend")
    server.redirects["/pinned/ShapeCow.blend"] = "/moved/cow"
    downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == CONTENT  # under the pinned name, whatever the server calls it
    (tmp_path / "ShapeCow.blend").unlink()
    server.files["/moved/cow"] = b"another cow"
    with pytest.raises(IdentboxError, match="expected the git blob"):
        downloads.fetch_files(tmp_path)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/cow", "/pinned/ShapeCow.blend"])
def test_redirects_to_other_protocols_and_in_circles_are_refused(tmp_path: Path, server: Server, target: str):
    server.redirects["/pinned/ShapeCow.blend"] = target
    with pytest.raises(IdentboxError, match=r"got HTTP 302|expected a redirect that stays on https, got ftp"):
        downloads.fetch_files(tmp_path)
    assert kept(tmp_path) == {}


def test_a_redirect_from_https_to_http_is_refused():
    from urllib.request import Request

    follower, asked = downloads._Redirects(), Request("https://somewhere/cow")
    with pytest.raises(IdentboxError, match="expected a redirect that stays on https, got http://elsewhere"):
        follower.redirect_request(asked, None, 302, "", {}, "http://elsewhere/cow")
    assert follower.redirect_request(asked, None, 302, "", {}, "https://elsewhere/cow")


@pytest.mark.parametrize("name", ["../evil.blend", "/tmp/evil.blend", "folder/../../evil.blend", ""])
def test_a_name_that_would_leave_the_folder_is_refused(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(downloads, "BLOBS", {name: downloads.blob(b"evil")})
    with pytest.raises(IdentboxError, match=f"expected the name of a file inside .*, got '{name}'"):
        downloads.fetch_files(tmp_path)
    assert server.asked == []


def test_a_link_in_the_cache_is_not_written_through(tmp_path: Path, server: Server):
    folder = tmp_path / "published"
    folder.mkdir()
    (tmp_path / "victim").write_text("precious")
    (folder / "ShapeCow.blend").symlink_to(tmp_path / "victim")
    with pytest.raises(IdentboxError, match="expected the name of a file inside"):
        downloads.fetch_files(folder)
    assert (tmp_path / "victim").read_text() == "precious"


def test_files_that_are_too_large_are_refused(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(downloads, "LIMIT", 5999)
    with pytest.raises(IdentboxError, match="expected at most 5999 bytes, got more"):
        downloads.fetch_files(tmp_path)
    monkeypatch.setattr(downloads, "LIMIT", 6000)
    downloads.fetch_files(tmp_path)


def test_addresses_of_other_protocols_are_refused(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IDENTBOX_SHAPES_URL", "file:///etc")
    with pytest.raises(
        IdentboxError, match="IDENTBOX_SHAPES_URL: expected an http or https address, got file:"
    ):
        downloads.fetch_files(tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, server: Server):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(IdentboxError, match="expected a cache folder that can be written"):
        downloads.fetch_files(tmp_path / "cache" / "published")


BLEND = """
import os, sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cone_add(radius1=1, depth=4)
bpy.context.object.name = "ShapeCow"
bpy.ops.wm.save_as_mainfile(filepath={path!r})
os._exit(0)  # Blender's own shutdown can hang
"""


def test_the_published_pack_from_fetching_to_the_mesh(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    script = BLEND.format(path=str(tmp_path / "made.blend"))
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    content = (tmp_path / "made.blend").read_bytes()
    server.files["/pinned/ShapeCow.blend"] = content
    monkeypatch.setattr(downloads, "BLOBS", {"ShapeCow.blend": downloads.blob(content)})
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path / "cache"))
    with pytest.raises(IdentboxError, match="--offline"):
        shapes.load_pack("published", ("cow",), Blender(), offline=True)
    pack = shapes.load_pack("published", ("cow",), Blender())
    assert (tmp_path / "cache" / "published" / "ShapeCow.blend").read_bytes() == content
    assert pack.licence.startswith("MIT")
    assert downloads.COMMIT.startswith(pack.credit.split()[-1])
    figures = meshes.measure(*meshes.load(pack.files["cow"]))
    # The coordinates are stored to 1/32767 of the extent.
    assert abs(figures["extent"] - 1) < 1e-4
    assert figures["open_edges"] == 0
    server.files.clear()
    assert shapes.load_pack("published", ("cow",), Blender(executable="/nowhere"), offline=True) == pack


def test_the_command_line_fetches_and_refuses(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IDENTBOX_CACHE", str(tmp_path))
    done = identbox("shapes", "fetch", "--offline")
    assert done.returncode == 1
    assert "--offline: expected the published shapes in" in done.stderr
    assert server.asked == []
    done = identbox("shapes", "check", "published", "--offline")
    assert done.returncode == 1
    assert server.asked == []
    # The real table of hashes: what this server has for a teapot, it cannot pass off as the published one.
    monkeypatch.setattr(downloads, "BLOBS", PUBLISHED)
    server.files["/pinned/ShapeTeapot.blend"] = b"no teapot"
    done = identbox("shapes", "fetch")
    assert done.returncode == 1
    assert "expected the git blob 7eb06cd43d91eef1dcf7b08355c7fc2e57598e2e, got" in done.stderr
    assert "7 of 7 files not fetched" in identbox("shapes", "list").stdout
