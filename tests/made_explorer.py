"""A dataset of drawn squares with counterfactual splits, and the page on it; no renderer."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import drawn_counterfactuals
import pytest

from drawn_squares import make_dataset
from identbox.explore.desk import Desk
from identbox.explore.guard import Guard
from identbox.explore.samples import DatasetView

TOKEN = "a-token-that-nobody-can-guess"


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_dataset(tmp_path_factory.mktemp("data") / "squares", {"train": 300, "val": 30, "test": 40})
    drawn_counterfactuals.add(folder, "permute:object_color", "permute:object_xpos:recompute:first=20")
    return folder


@pytest.fixture(scope="session")
def desk(squares: Path) -> Desk:
    return Desk(dataset=DatasetView(squares), title="squares")


@dataclass(frozen=True)
class Answer:
    """What a request got."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(app: Guard, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """One request as a server hands it over, its path as it was sent: clients would put `..` right."""
    sent = {"Host": "127.0.0.1:8765", "Content-Length": str(len(body))} | headers
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    path = unquote(target)
    scope = {"type": "http", "method": method, "path": path, "raw_path": target.encode(), "headers": raw}
    scope |= {
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8765),
    }
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    got: list[dict] = []

    async def receive() -> dict:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        got.append(message)

    asyncio.run(app(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in got[0]["headers"]}
    return Answer(got[0]["status"], found, b"".join(one.get("body", b"") for one in got[1:]))
