"""The shapes of the published generator: fetched from one commit of its repository, each verified by its hash.

A file appears under its name only after its content was verified, so that no wrong file is ever read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from identbox import __version__, files
from identbox.errors import IdentboxError, first_few

COMMIT = "1d9781b130cfe9e517c8fa4798336f5cd5452ae8"
ADDRESS = f"https://raw.githubusercontent.com/imantdaunhawer/Multimodal3DIdent/{COMMIT}/assets/shapes/"
BLOBS = {
    "ShapeTeapot.blend": "7eb06cd43d91eef1dcf7b08355c7fc2e57598e2e",
    "ShapeHare.blend": "a8d02004c719e3ccdf2b691a5059e5419e4fec18",
    "ShapeDragon.blend": "417ce12206340bd2f9a78b18f688dcd9e166bca4",
    "ShapeCow.blend": "469fa3a2036d2f8323f8d05a032dfd199a4599ce",
    "ShapeArmadillo.blend": "2426ab8767397ee8755e58c4127a772a9c107731",
    "ShapeHorse.blend": "e4d9bfc1fc1bef2adb1228ee4331ecf3957f0c2a",
    "ShapeHead.blend": "99321cc2dfb0a299c1c6b71836a4d211d4e9218b",
}
TIMEOUT = 30.0  # seconds without a byte
LIMIT = 64 * 2**20  # bytes of a file


def address() -> str:
    """Where the files are fetched from, with a slash at its end: IDENTBOX_SHAPES_URL, or the pinned commit."""
    return (os.environ.get("IDENTBOX_SHAPES_URL") or ADDRESS).rstrip("/") + "/"


def blob(content: bytes) -> str:
    """The hash by which git knows a content: SHA-1 over ``blob <size>``, a zero byte and the content.

    >>> blob(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def missing(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Those of the files (all of BLOBS) that are not in ``folder`` with the content of their hash."""
    paths = {name: files.inside(folder, name, "published shapes") for name in names or BLOBS}
    return [
        name
        for name, path in paths.items()
        if not (path.is_file() and blob(files.read_bytes(path, LIMIT)) == BLOBS[name])
    ]


def fetch_files(
    folder: Path,
    names: Iterable[str] | None = None,
    *,
    offline: bool = False,
    on_file: Callable[[str], None] = lambda name: None,
) -> None:
    """Fetch those of the files (all of BLOBS) that are missing or broken in ``folder``.

    ``on_file`` is called with the name of each file before it is fetched. Raises IdentboxError for one that
    cannot be fetched or has another content, and keeps those fetched before it; with ``offline`` for any
    that is missing, without touching the network.
    """
    wanted = missing(folder, names)
    if wanted and offline:
        raise IdentboxError(
            f"--offline: expected the published shapes in {folder}, got {len(wanted)} that are missing or broken "
            f"({first_few(wanted, 3)}); type `identbox shapes fetch` where there is a network, and copy the folder"
        )
    for name in wanted:
        on_file(name)
        content = download(urljoin(address(), name))
        if blob(content) != BLOBS[name]:
            raise IdentboxError(
                f"{urljoin(address(), name)}: expected the git blob {BLOBS[name]}, got {blob(content)} "
                f"({len(content)} bytes); it was not kept"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.write_whole(folder / name, content)
        except OSError as error:
            raise IdentboxError(
                f"{folder}: expected a cache folder that can be written (IDENTBOX_CACHE names another), "
                f"got {error.strerror}"
            ) from error


def download(url: str) -> bytes:
    """The whole content behind an http or https address.

    Raises IdentboxError where there is no connection or no answer in time, for an answer other than the file, an answer
    that is cut off or larger than LIMIT, and a redirect to an address that is less safe.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise IdentboxError(f"IDENTBOX_SHAPES_URL: expected an http or https address, got {url}")
    request = Request(url, headers={"User-Agent": f"identbox/{__version__}"})
    try:
        with build_opener(_Redirects).open(request, timeout=TIMEOUT) as answer:
            content = answer.read(LIMIT + 1)
            promised = answer.headers.get("Content-Length")
    except HTTPError as error:
        with error:
            raise IdentboxError(
                f"{url}: expected the file, got HTTP {error.code} {' '.join(error.reason.split())}"
            ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        silent = isinstance(reason, TimeoutError)
        got = f"no answer in {TIMEOUT:g} s" if silent else f"'{' '.join(str(reason).split())}'"
        raise IdentboxError(
            f"{url}: expected a connection, got {got}; give the same command again, or use --shapes builtin"
        ) from error
    if len(content) > LIMIT:
        raise IdentboxError(f"{url}: expected at most {LIMIT} bytes, got more")
    if promised is not None and promised.isdigit() and len(content) < int(promised):
        raise IdentboxError(
            f"{url}: expected {promised} bytes, got {len(content)} before it was cut off; give the same command again"
        )
    return content


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to http and https addresses only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise IdentboxError(f"{req.full_url}: expected a redirect that stays on https, got {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
