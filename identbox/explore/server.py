"""The server of the page: which address gives what. `guard` stands before all of it."""

from __future__ import annotations

import asyncio
import mimetypes
import socket
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from identbox import documents, files
from identbox.errors import IdentboxError, expect_library
from identbox.explore.desk import Desk
from identbox.explore.guard import Guard
from identbox.rendering.live import Superseded

with expect_library("explore", "starlette and uvicorn", "explore"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 8765, 20  # where a free port is looked for
STATIC = Path(__file__).parent / "static"
# For a page that was written by others: it may neither run, nor load, nor send anything.
FOREIGN_PAGE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
FILE_KINDS = {b"\x89PNG": "image/png", b"<?xml": "image/svg+xml"}  # of bytes that begin so
KEEP = {
    "Cache-Control": "private, max-age=300"
}  # images and columns, which do not change while a server runs


def explorer(desk: Desk, token: str) -> Guard:
    """The ASGI application: the routes behind their guard."""
    assets = page_files()

    async def page(request: Request) -> Response:
        return Response(desk.page(), media_type="text/html; charset=utf-8")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets:
            return _failure(404, "expected a file of the page, got none")
        return Response(assets[name], media_type=mimetypes.guess_type(name)[0])

    routes = [Route("/", page), Route("/static/{name}", asset), *dataset_routes(desk), *live_routes(desk)]
    return Guard(Starlette(routes=routes), token)


def page_files() -> dict[str, bytes]:
    """The scripts, styles and the icon of the page, by name."""
    paths = [*(path for path in STATIC.iterdir() if path.is_file()), documents.BASE_TEMPLATES / "page.css"]
    return {path.name: files.read_bytes(path, files.LARGEST_RECORD) for path in paths}


def dataset_routes(desk: Desk) -> list[Route]:
    """What the page of the dataset reads."""

    def of(name: str, *parts: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            numbers = [request.path_params[part] for part in parts]
            return await _answered(lambda: getattr(desk, name)(*numbers))

        return answer

    async def verification(request: Request) -> Response:
        made = await _answered(lambda: desk.run_page(request.path_params["run"]).encode())
        if made.status_code != 200:
            return made
        return Response(
            made.body,
            media_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": FOREIGN_PAGE},
        )

    return [
        Route("/info.json", of("info")),
        Route("/data/{split:int}/columns/{column:int}.f64", of("column", "split", "column")),
        Route("/data/{split:int}/sentences/{chunk:int}.json", of("sentences", "split", "chunk")),
        Route("/data/{split:int}/images/{row:int}.png", of("image", "split", "row")),
        Route("/data/{split:int}/records/{row:int}.json", of("record", "split", "row")),
        Route("/data/{split:int}/dependence.json", of("dependence", "split")),
        Route("/scene/status", of("scene_status")),
        Route("/encoders/{run:int}/status", of("encoder_status", "run")),
        Route("/runs.json", of("runs")),
        Route("/runs/{run:int}/curves.json", of("run_curves", "run")),
        Route("/runs/{run:int}/report.json", of("run_report", "run")),
        Route("/runs/{run:int}/figures/{figure:int}.svg", of("run_figure", "run", "figure")),
        Route("/runs/{run:int}/verification.html", verification),
    ]


def live_routes(desk: Desk) -> list[Route]:
    """What the page asks with a table in JSON."""

    def to(name: str, *parts: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                asked = files.parse_json(await request.body(), "the request")
            except IdentboxError:
                asked = None
            if not isinstance(asked, dict):
                return _failure(400, "expected a table in JSON, got something else")
            numbers = [request.path_params[part] for part in parts]
            return await _answered(lambda: getattr(desk, name)(*numbers, asked))

        return answer

    return [
        Route("/data/{split:int}/search", to("search", "split"), methods=["POST"]),
        Route("/scene/state", to("scene_state"), methods=["POST"]),
        Route("/scene/render", to("scene_image"), methods=["POST"]),
        Route("/encoders/{run:int}/read", to("encoder_read", "run"), methods=["POST"]),
    ]


def serve(app: Guard, port: int | None, on_ready: Callable[[int], None]) -> None:
    """Serve on the loopback address until the process is told to end; ``on_ready`` gets the port.

    Without a ``port`` the first free one from FIRST_PORT on is taken. Raises IdentboxError where none is free.
    """
    with _bound(port) as listening:
        number = listening.getsockname()[1]
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off"
        )
        server = uvicorn.Server(settings)
        on_ready(number)
        server.run(sockets=[listening])


def _bound(port: int | None) -> socket.socket:
    """A socket that listens on the loopback address."""
    choices = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]
    for number in choices:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, number))
            listening.listen(128)
            return listening
        except OSError:
            listening.close()
    wanted = (
        f"port {port}" if port is not None else f"one of the ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    )
    raise IdentboxError(f"--port: expected {wanted} to be free, got one in use")


async def _answered(work: Callable[[], Any]) -> Response:
    """What ``work`` returns, done in a thread: bytes of an image or numbers, or a value as JSON."""
    try:
        made = await asyncio.to_thread(work)
        if isinstance(made, Future):
            made = await asyncio.wrap_future(made)
        if isinstance(made, bytes):
            kind = next(
                (kind for start, kind in FILE_KINDS.items() if made.startswith(start)),
                "application/octet-stream",
            )
            return Response(made, media_type=kind, headers=KEEP)
        return JSONResponse(made)
    except Superseded:
        return Response(status_code=204)
    except (IndexError, KeyError):
        return _failure(404, "expected a place in the data, got one that there is not")
    except IdentboxError as error:
        return _failure(400, str(error))
    except Exception:
        traceback.print_exc()
        return _failure(500, "a bug in identbox; its traceback is in the terminal")


def _failure(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=status)
