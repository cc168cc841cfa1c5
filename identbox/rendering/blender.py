"""Blender as a child process: which Blender runs, how it is started, and what it reports.

identbox never imports bpy. A child gets a task, a file of JSON lines, and reports each outcome as a JSON line
on a descriptor of its own. Its standard output and error, with all of Blender's messages, go to a log.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from identbox import files
from identbox.errors import IdentboxError
from identbox.settings import settings

RenderDevice = Literal["optix", "cuda", "hip", "metal", "cpu"]  # the fastest kind first
DEVICES: tuple[RenderDevice, ...] = get_args(RenderDevice)
WorkerReport = dict[str, Any]


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


class Child:
    """One running worker on one task.

    ``reports`` yields its reports until it ends. If it did not report its end itself, ``death`` says afterwards how it
    ended.
    """

    def __init__(self, blender: Blender, header: WorkerReport, items: list[WorkerReport], log: Path) -> None:
        # A killed Blender leaves its temporary folder behind; inside this folder it is removed with the child.
        self._scratch = tempfile.TemporaryDirectory(prefix="identbox-", ignore_cleanup_errors=True)
        task = Path(self._scratch.name) / "task.jsonl"
        task.write_text("".join(json.dumps(line) + "\n" for line in (header, *items)))
        self._pipe, writing = os.pipe()
        try:
            with log.open("ab") as output:
                # A session of its own, so that Ctrl-C reaches only the parent, which then stops its children.
                self._process = subprocess.Popen(
                    [*blender.command(), str(task), "--report", str(writing)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"TMPDIR": self._scratch.name},
                    pass_fds=[writing],
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._pipe)
            self._scratch.cleanup()
            raise
        finally:
            os.close(writing)
        self.finished = False
        self.timed_out = False
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def reports(self, timeout: float) -> Iterator[WorkerReport]:
        """Each report as it comes; ends with the child, or after ``timeout`` seconds of silence."""
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
                    message = json.loads(line)
                    if message.get("end"):
                        self.finished = True
                    else:
                        yield message

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
        self._scratch.cleanup()
        return code

    def death(self, code: int) -> str:
        """How the child ended, in words."""
        if self.timed_out:
            return "no report in time"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def run_once(
    blender: Blender, header: WorkerReport, items: list[WorkerReport], timeout: float = 600.0
) -> list[WorkerReport]:
    """Run a short task to its end and return all reports.

    Raises IdentboxError where the worker dies, with the last line of its log.
    """
    with tempfile.TemporaryDirectory(prefix="identbox-") as scratch:
        log = Path(scratch) / "log"
        process = Child(blender, header, items, log)
        try:
            reports = list(process.reports(timeout))
        finally:
            code = process.close()
        if not process.finished:
            raise IdentboxError(
                f"Blender: expected a worker that runs, got {process.death(code)}: {last_words(log)}"
            )
        return reports


def last_words(log: Path) -> str:
    """The last line of a log that is not empty, or its last line about a missing library."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    missing = [line for line in lines if "cannot open shared object file" in line]
    return (missing or lines or ["no message"])[-1]


def describe_blender(blender: Blender) -> WorkerReport:
    """``blender`` (version), ``build``, and ``devices``: names by backend."""
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
