"""What stands before every request: who may ask, and what a browser may do with the answer.

The server listens on the loopback address, but a page of any web site can send requests there, and so can other users
of the machine. So each request needs a secret token in its path; its Host must be a name of the loopback address (a
site that changes its own address to ours fails here), and its Origin, where it has one, the page itself. The answers
forbid the browser to run or load anything but the files of this server.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
LARGEST_REQUEST = 65536  # bytes of a body
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the status, and the reason in words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Guard:
    """An ASGI application: only the page's own requests get through to ``app``, without the token in their path."""

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websocket is ever opened
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower(), value) for name, value in message.get("headers", [])]
                known = {name for name, _ in own}
                added = [
                    (n.lower().encode(), v.encode())
                    for n, v in HEADERS.items()
                    if n.lower().encode() not in known
                ]
                message = {**message, "headers": [*own, *added]}
            await send(message)

        try:
            path = self._admitted(scope)
        except Refused as refused:
            await _answer(guarded, refused.status, refused.reason)
            return
        inner = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        await self._app(inner, _bounded(receive), guarded)

    def _admitted(self, scope: Scope) -> str:
        """The path of a request behind the token. Raises Refused for one that is not of the page."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or not LOOPBACK_HOSTS.fullmatch(hosts[0].lower()):
            raise Refused(403, "Host: expected a name of this machine's loopback address, got another")
        if origins and [origin.lower() for origin in origins] != [f"http://{hosts[0].lower()}"]:
            raise Refused(403, "Origin: expected this page, got another")
        site = headers.get("sec-fetch-site", ["none"])[0]
        opened = headers.get("sec-fetch-mode", [""])[0] == "navigate" and scope["method"] == "GET"
        if site not in ("none", "same-origin") and not opened:
            raise Refused(403, "expected a request of this page, got one of another")
        _, token, rest = [*scope["path"].split("/", 2), "", ""][:3]
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise Refused(
                403, "expected the address that identbox explore printed, with its token, got another"
            )
        self._check_method(scope["method"], headers)
        if scope["path"] == f"/{self._token}":  # links of the page start at its folder
            raise Refused(404, "expected the address with a / at its end, got none")
        return "/" + rest

    def _check_method(self, method: str, headers: dict[str, list[str]]) -> None:
        if method in ("GET", "HEAD"):
            return
        if method != "POST":
            raise Refused(405, f"expected GET or POST, got {method[:10]}")
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        if kind != "application/json":  # which no form of another site can send
            raise Refused(415, "Content-Type: expected application/json, got another")
        length = headers.get("content-length", [""])[0]
        if not (
            length.isascii() and length.isdigit() and int(length[:9]) <= LARGEST_REQUEST and len(length) < 9
        ):
            raise Refused(413, f"Content-Length: expected at most {LARGEST_REQUEST} bytes, got another")


def _bounded(receive: Receive) -> Receive:
    """The body of a request, cut where it is longer than it may be."""
    read = 0

    async def receive_some() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > LARGEST_REQUEST:
                return {"type": "http.disconnect"}
        return message

    return receive_some


async def _answer(send: Send, status: int, reason: str) -> None:
    body = f"identbox explore: {reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
