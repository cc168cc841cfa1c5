"""Images as they are asked for, by one Blender that stays alive.

Of the requests for one place of a page, only the newest is rendered: a slider that moves faster than the renderer
leaves out what nobody would see. A worker that dies is replaced at once, and what it was rendering is rendered again.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from identbox import files
from identbox.errors import IdentboxError
from identbox.rendering.blender import Blender, Child, last_words
from identbox.rendering.workers import FALSE_STARTS, RenderSettings

ATTEMPTS = 2  # workers that one image may kill
SLOWEST = 120.0  # seconds that one image may take, and the start of a worker
ENDING = 10.0  # seconds that the reader of a worker may take to see that it has ended
KEPT_IMAGES = 64  # images that are kept in memory
MOST_PLACES = 64  # that wait at a time
IMAGE = "live.png"


class Superseded(Exception):
    """A newer request for the same place came before this one was rendered."""


@dataclass
class _Job:
    record: dict[str, Any]
    key: str
    image: Future[bytes] = field(default_factory=Future)
    attempts: int = 0


class LiveRenderer:
    """Renders scene records one after the other, in a child that is kept.

    ``shapes`` maps a shape to its .npz. `request` returns at once; its future has the PNG, or raises Superseded or
    IdentboxError. ``state`` says what the worker is doing, ``note`` what happened to the last one that died.
    """

    def __init__(self, runner: Blender, shapes: Mapping[str, Path], settings: RenderSettings) -> None:
        self._runner = runner
        self._settings = {**asdict(settings), "shapes": {name: str(path) for name, path in shapes.items()}}
        # What happened, to which child, and what it reported.
        self._events: queue.SimpleQueue[tuple[str, Child | None, dict[str, Any]]] = queue.SimpleQueue()
        self._waiting: OrderedDict[str, _Job] = OrderedDict()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False
        self._false_starts = 0
        self._ready = False
        self._busy: _Job | None = None
        self.state, self.note, self.rendered, self.replaced = "starting", "", 0, 0
        self.pid: int | None = None
        # The child ends with the thread that started it, so that one thread starts all of them.
        self._thread = threading.Thread(target=self._work, name="live-renderer", daemon=True)
        self._thread.start()

    def request(self, place: str, record: Mapping[str, Any], *, size: int, samples: int) -> Future[bytes]:
        """The PNG of a record in ``size`` pixels a side, with so many ``samples`` a pixel.

        A request for a ``place`` takes the place of one that waits there.
        """
        whole = {**record, "size": size, "samples": samples, "file": IMAGE}
        job = _Job(whole, json.dumps(whole, sort_keys=True))
        with self._lock:
            if self._closed or self.state == "failed":
                job.image.set_exception(
                    IdentboxError(self.note or "renderer: expected one that runs, got none")
                )
                return job.image
            older = self._waiting.pop(place, None)
            kept = self._kept.get(job.key)
            if kept is not None:
                self._kept.move_to_end(job.key)
                job.image.set_result(kept)
            elif len(self._waiting) >= MOST_PLACES:
                job.image.set_exception(Superseded())
            else:
                self._waiting[place] = job
                self._events.put(("job", None, {}))
        if older is not None:
            older.image.set_exception(Superseded())
        return job.image

    def close(self) -> None:
        """End the worker; what waits is superseded."""
        with self._lock:
            self._closed = True
        self._events.put(("close", None, {}))
        self._thread.join(timeout=10)

    def _work(self) -> None:
        with files.scratch() as folder:
            while not self._closed:
                try:
                    self._serve(folder)
                except (IdentboxError, OSError) as error:  # no Blender, or no room
                    self._fail(str(error))
                    return
                if self._false_starts >= FALSE_STARTS:
                    words = last_words(folder / "log")
                    self._fail(f"Blender: expected a worker that starts, got none of {FALSE_STARTS}: {words}")
                    return
        for job in self._all_jobs():
            job.image.set_exception(Superseded())

    def _all_jobs(self) -> list[_Job]:
        """Every job that is not done; none is kept."""
        with self._lock:
            jobs = [*([self._busy] if self._busy else []), *self._waiting.values()]
            self._busy = None
            self._waiting.clear()
        return jobs

    def _fail(self, reason: str) -> None:
        with self._lock:
            self.state, self.note = "failed", str(IdentboxError(reason))
        for job in self._all_jobs():
            job.image.set_exception(IdentboxError(reason))

    def _serve(self, folder: Path) -> None:
        """Start a child, and give it one job after the other until it ends."""
        header = {"task": "live", "folder": str(folder), "settings": self._settings}
        child = Child(self._runner, header, [], folder / "log", takes_requests=True)
        self.pid, self._ready, given = child.pid, False, False
        listener = threading.Thread(target=self._listen, args=(child,), daemon=True)
        listener.start()
        ended = False
        try:
            while True:
                try:
                    kind, sender, message = self._events.get(
                        timeout=SLOWEST if given or not self._ready else None
                    )
                except queue.Empty:
                    child.stop()
                    continue
                ended = kind == "end" and sender is child
                if ended or kind == "close":
                    break
                if kind == "report" and sender is child:
                    self._ready = self._false_start_over()
                    given = given and not self._finish(message, folder)
                if self._ready and not given:
                    given = self._give(child)
        finally:
            if not ended:
                child.stop()
            listener.join(ENDING)  # before the pipe that it reads is closed
            code = child.close()
        if not self._closed:
            self._bury(child.death(code))

    def _listen(self, child: Child) -> None:
        """Pass on what a child reports, and its end."""
        for message in child.reports(None):
            self._events.put(("report", child, message))
        self._events.put(("end", child, {}))

    def _false_start_over(self) -> bool:
        if not self._ready:
            self._false_starts = 0
            self.state = "ready"
        return True

    def _give(self, child: Child) -> bool:
        """Give the child the job that the last one left, or else the next; whether there was one."""
        with self._lock:
            if self._busy is None and self._waiting:
                self._busy = self._waiting.popitem(last=False)[1]
            job = self._busy
        if job is None:
            self.state = "ready"
            return False
        job.attempts += 1
        self.state = "rendering"
        with suppress(BrokenPipeError):  # its end is an event
            child.send(job.record)
        return True

    def _finish(self, message: dict[str, Any], folder: Path) -> bool:
        """Hand out the image that a report is about; whether it ends the job."""
        job = self._busy
        if job is None or not {"done", "failed"} & message.keys():
            return False
        if "failed" in message:
            job.image.set_exception(IdentboxError(f"renderer: expected an image, got {message['error']}"))
        else:
            content = files.read_bytes(folder / IMAGE, files.LARGEST_IMAGE)
            with self._lock:
                self.rendered += 1
                self._kept[job.key] = content
                while len(self._kept) > KEPT_IMAGES:
                    self._kept.popitem(last=False)
            job.image.set_result(content)
        self._busy = None
        return True

    def _bury(self, death: str) -> None:
        """Note how a child ended; a job that has ended several is given up."""
        if not self._ready:
            self._false_starts += 1
        self.replaced += 1
        self.state, self.note = "starting", f"the renderer ended ({death}); another one takes its place"
        job = self._busy
        if job is not None and job.attempts >= ATTEMPTS:
            self._busy = None
            job.image.set_exception(IdentboxError(f"renderer: expected an image, got a worker with {death}"))
