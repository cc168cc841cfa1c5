"""Blender as a child process: which Blender runs, how it is started, and what it reports.

identbox never imports bpy. A child gets a task, a file of JSON lines, and reports each outcome as a JSON line
on a descriptor of its own. Its standard output and error, with all of Blender's messages, go to a log.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from identbox import files
from identbox.errors import IdentboxError
from identbox.settings import settings

RenderDevice = Literal["optix", "cuda", "hip", "metal", "cpu"]  # the fastest kind first
DEVICES: tuple[RenderDevice, ...] = get_args(RenderDevice)
WorkerReport = dict[str, Any]
# Beginnings of the names of variables that change pixels: colour management, and settings of Blender and its libraries.
CHANGE_PIXELS = ("OCIO", "BLENDER_", "CYCLES_", "OIDN_", "EMBREE_", "OPENCOLORIO_")
END_OF_LOG = 65536  # bytes that are looked at for its last line


@settings
class Blender:
    """The bpy module of this Python, or an installed Blender where ``executable`` names one."""

    executable: str | None = None

    def command(self) -> list[str]:
        """The first words of the command line that runs the worker.

        Raises IdentboxError where there is neither the executable nor bpy, and says how to get one.
        """
        worker = str(files.packaged("render") / "worker.py")
        if self.executable is not None:
            program = shutil.which(self.executable)
            if program is None:
                raise IdentboxError(f"--blender: expected an executable Blender, got {self.executable}")
            options = ["--background", "--factory-startup", "--disable-autoexec", "--python-exit-code", "1"]
            return [program, *options, "--python", worker, "--"]
        if find_spec("bpy") is None:
            raise IdentboxError(
                f"Blender: expected the bpy module, which needs Python 3.11, got Python "
                f"{sys.version_info[0]}.{sys.version_info[1]} without it; "
                f"type `pip install bpy==4.5.15` in Python 3.11, or give --blender PATH"
            )
        return [sys.executable, worker]


def worker_environment() -> dict[str, str]:
    """The environment of a worker: this process's own, without what changes pixels."""
    return {name: value for name, value in os.environ.items() if not name.startswith(CHANGE_PIXELS)}


def environment_notes() -> list[str]:
    """A sentence for each variable that a worker does not get, because it changes pixels."""
    names = sorted(name for name in os.environ if name.startswith(CHANGE_PIXELS))
    return [f"the variable {name} changes pixels; Blender runs without it" for name in names]


def _pipe() -> tuple[int, int]:
    """The ends of a pipe, for reading and for writing: never 0, 1 or 2, which a caller may have closed."""
    ends = os.pipe()
    try:
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
    finally:
        for end in ends:
            os.close(end)
    return reading, writing


class Child:
    """One running worker on one task.

    ``reports`` yields its reports until it ends. If it did not report its end itself, ``death`` says afterwards how it
    ended. A child that ``takes_requests`` gets more items by `send` while it runs.
    """

    def __init__(
        self,
        blender: Blender,
        header: WorkerReport,
        items: list[WorkerReport],
        log: Path,
        *,
        takes_requests: bool = False,
    ) -> None:
        with ExitStack() as stack:
            # A killed Blender leaves its temporary folder behind; inside this folder it is removed with the child.
            scratch = stack.enter_context(files.scratch())
            task = scratch / "task.jsonl"
            incoming: tuple[int, ...] = ()
            if takes_requests:
                reading, self._requests = _pipe()
                stack.callback(os.close, self._requests)
                header, incoming = header | {"requests": reading}, (reading,)
            task.write_text("".join(json.dumps(line) + "\n" for line in (header, *items)))
            self._pipe, writing = _pipe()
            try:
                with files.open_log(log) as output:
                    # A session of its own, so that Ctrl-C reaches only the parent, which then stops its children.
                    self._process = subprocess.Popen(
                        [*blender.command(), str(task), "--report", str(writing)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=worker_environment() | {"TMPDIR": str(scratch)},
                        pass_fds=[writing, *incoming],
                        start_new_session=True,
                    )
            except BaseException:
                os.close(self._pipe)
                raise
            finally:
                for end in (writing, *incoming):
                    os.close(end)
            self._open = stack.pop_all()
        self.finished = False
        self.timed_out = False
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def reports(self, timeout: float | None) -> Iterator[WorkerReport]:
        """Each report as it comes; ends with the child, or after ``timeout`` seconds of silence (None: never)."""
        waiting = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while True:
                if not selector.select(timeout):
                    self.timed_out = True
                    return
                part = os.read(self._pipe, 65536)
                if not part:
                    self._ended = True
                    return
                *lines, waiting = (waiting + part).split(b"\n")
                for line in lines:
                    message = files.parse_json(line, "Blender")
                    if message.get("end"):
                        self.finished = True
                    else:
                        yield message

    def send(self, item: WorkerReport) -> None:
        """Give one more item to a child that takes requests. Raises BrokenPipeError where it has ended."""
        os.write(self._requests, (json.dumps(item) + "\n").encode())

    def stop(self) -> None:
        """Kill the child. What it had finished is on disk; a file it was writing has a temporary name."""
        self._process.kill()

    def close(self) -> int:
        """End the child if it still runs, wait for it, and return its exit code (negative: a signal)."""
        try:
            # A child that closed its end of the pipe is about to exit, and its own exit code says more than a kill.
            code = self._process.wait(timeout=10 if self._ended else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        os.close(self._pipe)
        self._open.close()
        return code

    def death(self, code: int) -> str:
        """How the child ended, in words."""
        if self.timed_out:
            return "no report in time"
        if code == -signal.SIGXCPU:
            return "its processor time used up"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def run_once(
    blender: Blender,
    header: WorkerReport,
    items: list[WorkerReport],
    timeout: float = 600.0,
    names: Sequence[str] = (),
    on_report: Callable[[WorkerReport], None] = lambda report: None,
) -> list[WorkerReport]:
    """Run a short task to its end and return all reports; ``timeout`` is in seconds between two of them.

    ``on_report`` gets each report as it comes.

    Raises IdentboxError where the worker dies, with the name of the item that it was at, or the last line of its log.
    """
    with files.scratch() as scratch:
        log = scratch / "log"
        process = Child(blender, header, items, log)
        reports: list[WorkerReport] = []
        try:
            for report in process.reports(timeout):
                reports.append(report)
                on_report(report)
        finally:
            code = process.close()
        if not process.finished:
            death = process.death(code)
            if names and reports and "start" in reports[-1]:
                name = names[reports[-1]["start"]]
                raise IdentboxError(
                    f"{name}: expected a file that Blender can read, got one that ended its process: {death}"
                )
            raise IdentboxError(f"Blender: expected a worker that runs, got {death}: {last_words(log)}")
        return reports


def last_words(log: Path) -> str:
    """The last line of a log that is not empty, or its last line about a missing library."""
    try:
        with files.open_regular(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - END_OF_LOG))
            lines = [
                line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()
            ]
    except (OSError, IdentboxError):
        lines = []
    missing = [line for line in lines if "cannot open shared object file" in line]
    return (missing or lines or ["no message"])[-1]


@functools.cache
def describe_blender(blender: Blender) -> WorkerReport:
    """``blender`` (version), ``build``, and ``devices``: names by backend. A process asks each Blender once.

    Raises IdentboxError where it does not run.
    """
    return run_once(blender, {"task": "probe"}, [])[0]


def choose_render_device(wanted: str, devices: dict[str, list[str]]) -> str:
    """The device to render on: the one wanted, or with ``auto`` the fastest kind that there is.

    Raises IdentboxError where the one wanted is not there.
    """
    if wanted == "auto":
        return next(device for device in DEVICES if device in devices)
    if wanted not in devices:
        raise IdentboxError(f"--device: expected one of {', '.join(devices)} on this machine, got {wanted}")
    return wanted
