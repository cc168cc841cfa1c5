"""Runs the renderer over many images, in child processes that can be started again.

Only the files on disk count. An image appears under its name when it is whole, so that an interrupted run goes on with
the images that are missing. The pixels of an image depend on its record alone.
"""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from identbox.errors import IdentboxError, first_few
from identbox.rendering import blender
from identbox.rendering.blender import RenderDevice
from identbox.settings import Count, between, settings

# At most: few enough to share among workers, and enough that the start of a child takes a small part of its time.
IMAGES_PER_CHILD = 200
IMAGES_A_START = 20  # about as many images take as long as the start of a worker
ATTEMPTS_PER_IMAGE = 3
FALSE_STARTS = 3  # workers that may die in turn before one has started, until the run gives up

ImageSize = Annotated[int, between(8, 8192)]  # pixels a side
SamplesPerPixel = Annotated[int, between(1, 65536)]


@settings
class RenderSettings:
    """What all images of a run share; the pixels depend on all but ``threads``."""

    size: ImageSize = 224
    samples: SamplesPerPixel = 4  # of Cycles, before denoising
    device: RenderDevice = "cpu"
    threads: Count = 2  # of a worker; with two, one worker samples while another synchronises its scene


@dataclass
class RenderOutcome:
    """What a run did: images ``done``, those ``failed`` with their reason, and whether it was ``stopped``."""

    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class RenderRun:
    """Renders records into a folder with several workers.

    ``records`` are scene records with ``file`` (relative to ``folder``) and ``seed``; ``shapes`` maps a shape
    to its .npz. ``on_image`` is called, from any thread, after each image. `execute` returns a RenderOutcome;
    `stop` makes it return soon.

    ``claims`` are files that say whose the folder is, each a ``path`` with the ``sha256`` of its content or a ``token``
    that it contains. A worker looks at them before each image gets its name, so that none comes into a folder that is
    another's by then.
    """

    def __init__(
        self,
        records: list[dict],
        folder: Path,
        shapes: dict[str, Path],
        settings: RenderSettings,
        runner: blender.Blender,
        *,
        claims: Sequence[dict[str, str]] = (),
        timeout: float = 1200.0,  # seconds that one image may take
        on_image: Callable[[], None] = lambda: None,
    ) -> None:
        self._records, self._folder, self._timeout = records, folder, timeout
        self._runner, self._on_image = runner, on_image
        self._header: dict[str, Any] = {
            "task": "render",
            "folder": str(folder.resolve()),
            "claims": list(claims),
            "settings": {**asdict(settings), "shapes": {k: str(v) for k, v in shapes.items()}},
        }
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: set[blender.Child] = set()
        self._full_disk: str | None = None
        self._start_failure: str | None = None
        # Workers that ended before their first report, since the last report of any worker.
        self._false_starts = 0
        self.outcome = RenderOutcome()

    def execute(self, workers: int) -> RenderOutcome:
        """Render all records. Raises IdentboxError for a full disk or a worker that cannot start.

        An image that fails ATTEMPTS_PER_IMAGE times is named in the outcome; the others are rendered all the same.
        """
        size = max(1, min(IMAGES_PER_CHILD, math.ceil(len(self._records) / workers)))
        shards = [self._records[k : k + size] for k in range(0, len(self._records), size)]
        pool = ThreadPoolExecutor(workers, thread_name_prefix="render")
        futures = [pool.submit(self._render_shard, shard) for shard in shards]
        try:
            while wait(futures, timeout=0.5).not_done:
                pass  # short waits, so that a signal reaches this thread
        except BaseException:
            self.stop()
            wait(futures)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for future in futures:
            future.result()
        if self._full_disk:
            raise IdentboxError(
                f"{self._folder}: expected room for images, got '{self._full_disk}' after {self.outcome.done} "
                f"of {len(self._records)}; make room and give the same command again"
            )
        if self._start_failure:
            raise IdentboxError(self._start_failure)
        return self.outcome

    def stop(self) -> None:
        """End all workers; images that are whole stay in the folder."""
        self.outcome.stopped = True
        self._halt()

    def _halt(self) -> None:
        self._stop.set()
        with self._lock:
            for process in self._running:
                process.stop()

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        with self._lock:
            return [process.pid for process in self._running]

    def _render_shard(self, shard: list[dict]) -> None:
        attempts: Counter[str] = Counter()
        waits = 0
        name = shard[0]["file"].replace("/", "-").removesuffix(".png")
        log = self._folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        left, clean = list(shard), True
        while left and not self._stop.is_set():
            left, started, reason = self._run_child(left, attempts, log)
            clean = clean and not reason
            if self._stop.is_set():
                break
            with self._lock:
                # While others render, a worker that is killed as it starts is no reason to give up.
                self._false_starts = 0 if started else self._false_starts + 1
                hopeless = self._false_starts == FALSE_STARTS
            if hopeless:
                self._start_failure = (
                    f"Blender: expected a worker that starts, got {reason} {FALSE_STARTS} times: "
                    f"{blender.last_words(log)} (log: {log})"
                )
                self._halt()
            elif reason and left:
                waits = 0 if started else min(waits + 1, 50)
                time.sleep(0.2 * (1 + waits))
        if clean and not self._stop.is_set():
            log.unlink(missing_ok=True)

    def _run_child(
        self, records: list[dict], attempts: Counter[str], log: Path
    ) -> tuple[list[dict], bool, str]:
        """Start a child on records; return the records left, whether it became ready, and how it died ('' if not)."""
        left = {record["file"]: record for record in records}
        current: str | None = None
        ready = False
        with self._lock:
            if self._stop.is_set():
                return records, True, ""
            child = blender.Child(self._runner, self._header, records, log)
            self._running.add(child)
        reason = ""
        try:
            for report in child.reports(self._timeout):
                ready, self._false_starts = True, 0
                if "start" in report:
                    current = records[report["start"]]["file"]
                elif "done" in report:
                    del left[records[report["done"]]["file"]]
                    current = None
                    with self._lock:
                        self.outcome.done += 1
                    self._on_image()
                elif "lost" in report:
                    self._lose_folder(report["lost"])
                elif "failed" in report:
                    current, reason = None, report["error"]
                    if report["errno"] in (errno.ENOSPC, errno.EDQUOT):
                        self._full_disk = reason
                        threading.Thread(target=self._halt).start()
                    file = records[report["failed"]]["file"]
                    attempts[file] += 1
                    self._give_up(file, left, attempts, reason)
        finally:
            with self._lock:
                self._running.discard(child)
            code = child.close()
        if not child.finished:
            reason = child.death(code)
            if current is not None and not self._stop.is_set():
                attempts[current] += 1
                self._give_up(current, left, attempts, reason)
        return list(left.values()), ready, reason

    def _lose_folder(self, changed: str) -> None:
        """Stop all work: another process has taken the folder."""
        self._start_failure = (
            f"{self._folder}: expected the folder of this work, got another process's work there "
            f"({changed} has changed); no more images were written"
        )
        threading.Thread(target=self._halt).start()

    def _give_up(self, file: str, left: dict[str, dict], attempts: Counter[str], reason: str) -> None:
        if attempts[file] >= ATTEMPTS_PER_IMAGE:
            del left[file]
            with self._lock:
                self.outcome.failed[file] = reason


def render_all(
    records: list[dict],
    folder: Path,
    shapes: dict[str, Path],
    settings: RenderSettings,
    runner: blender.Blender,
    *,
    timeout: float = 1200.0,
) -> None:
    """Render some records. Raises IdentboxError where one of them cannot be rendered."""
    run = RenderRun(records, folder, shapes, settings, runner, timeout=timeout)
    failed = run.execute(min(math.ceil(len(records) / IMAGES_A_START), os.cpu_count() or 1)).failed
    if failed:
        raise IdentboxError(
            f"expected {len(records)} images, got {len(failed)} that failed: {first_few(failed, 3)}"
        )
