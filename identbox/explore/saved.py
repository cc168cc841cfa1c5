"""The static version of a page: files that any web server can show, with a few hundred samples of each split.

The files have the names of the addresses that the server answers, so that one script reads both. Of the live scene
there are images that were rendered before: some samples, each with every variable at a few values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from identbox import files
from identbox.errors import IdentboxError
from identbox.explore.desk import Desk
from identbox.explore.guard import POLICY
from identbox.explore.images import LiveImages
from identbox.explore.samples import ROWS_AT_ONCE
from identbox.explore.scene import Asked, LiveProcess, Move
from identbox.explore.server import page_files

MOST_SAVED = 300  # samples of each split
VALUES = 5  # of a variable that is a number
FRAMES = "; frame-ancestors 'none'"  # which a file cannot ask for: only a server can


def save(
    desk: Desk,
    folder: Path,
    *,
    samples: int = MOST_SAVED,
    moved: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the static version of a dataset's page into a new folder; returns the number of its files.

    Of the first ``moved`` test samples every variable is rendered at several values. The folder appears when whole.
    Raises IdentboxError for a folder that is there, and for a page without a dataset.
    """
    if desk.dataset is None:
        raise IdentboxError("--save: expected a dataset, got none")
    if folder.exists():
        raise IdentboxError(f"{folder}: expected a new folder, got one that is there")
    try:
        with files.whole_folder(folder) as part:
            count = 0
            for name, content in _contents(desk, samples, moved, on_progress):
                path = part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                count += 1
            return count
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error


def _contents(
    desk: Desk, samples: int, moved: int, on_progress: Callable[[int, int], None]
) -> Iterator[tuple[str, bytes]]:
    """Each file of the static version: its name and its content."""
    assert desk.dataset is not None
    info = desk.dataset.info(samples)
    frames = moved_frames(desk.scene, moved) if desk.scene is not None and desk.images is not None else []
    pages = ["dataset", *(["frames"] if frames else [])]
    yield "index.html", desk.page(POLICY.replace(FRAMES, "")).encode()
    yield (
        "info.json",
        _json({"title": desk.title, "live": False, "pages": pages, "dataset": info, "encoders": []}),
    )
    for name, content in page_files().items():
        yield f"static/{name}", content
    total, done = sum(split["n"] for split in info["splits"]) + len(frames), 0
    for place, split in enumerate(info["splits"]):
        view, at, n = desk.dataset.split(place), f"data/{place}", split["n"]
        for column in range(len(split["columns"])):
            yield f"{at}/columns/{column}.f64", view.values(column, n)
        for chunk in range(-(-n // ROWS_AT_ONCE)):
            yield f"{at}/sentences/{chunk}.json", _json(view.sentences(chunk)[: n - chunk * ROWS_AT_ONCE])
        yield f"{at}/dependence.json", _json(view.dependence)
        for row in range(n):
            yield f"{at}/images/{row}.png", view.image(row)
            if info["records"]:
                yield f"{at}/records/{row}.json", _json(desk.dataset.record(place, row))
            done += 1
            on_progress(done, total)
    if frames:
        assert desk.images is not None
        assert desk.scene is not None
        yield "frames.json", _json(_frame_table(desk.scene, frames))
        for place, asked in enumerate(frames):
            yield f"frames/{place}.png", _rendered(desk.images, asked)
            done += 1
            on_progress(done, total)


def moved_frames(scene: LiveProcess, moved: int) -> list[Asked]:
    """The first samples as they are, and with each variable of the image moved to several values."""
    splits = {} if scene.recipe is None else scene.recipe.splits
    split = "test" if splits.get("test") else "train"
    found = []
    for row in range(min(moved, splits.get(split, 0))):
        found.append(Asked(split=split, row=row, moves={}))
        for variable in scene.table()["variables"]:
            if variable["view"] not in ("", scene.process.views[0]) or variable["dim"] != 1:
                continue
            found += [
                Asked(split=split, row=row, moves={variable["name"]: Move(to=(value,))})
                for value in _saved_values(variable)
            ]
    return found


def _saved_values(variable: dict[str, Any]) -> list[float]:
    """The values that a variable is moved to."""
    low, high = variable["low"], variable["high"]
    if variable["kind"] == "class":
        return [float(value) for value in range(int(high) + 1)]
    steps = VALUES if variable["kind"] == "circle" else VALUES - 1  # the ends of a circle are one point
    return [low + (high - low) * k / steps for k in range(VALUES)]


def _frame_table(scene: LiveProcess, frames: list[Asked]) -> dict[str, Any]:
    """What each frame shows, for the page."""
    told = []
    for asked in frames:
        answer = scene.answer(asked)
        moves = {name: list(move.to) for name, move in asked.moves.items()}
        after = answer["after"]
        told.append({
            "split": asked.split, "row": asked.row, "moves": moves, "values": after["values"],
            "sentence": after["sentence"], "followed": answer["followed"],
        })  # fmt: skip
    return {**scene.table(), "frames": told}


def _rendered(images: LiveImages, asked: Asked) -> bytes:
    return images.request(asked, "after", quick=False, client="save").result()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
