# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process in which Blender works, as the bpy module or as an installed Blender.

    python worker.py TASK --report FD
    blender --background --python worker.py -- TASK --report FD

TASK is a file of JSON lines. The first is a header whose ``task`` is ``probe``, ``convert``, ``measure``, ``render`` or
``live``; what follows are items. The ``memory`` and the ``seconds`` in a header of ``convert`` are the most bytes and
seconds of processors that a mesh may take beyond what Blender takes by itself. The items of ``live`` are lines
that come on the descriptor ``requests`` of the header, until it ends. Every outcome is one JSON line written to the
descriptor FD:
``{"ready": ...}`` once, ``{"start": i}`` before item i and ``{"done": i, ...}`` or
``{"failed": i, "error": ..., "errno": ...}`` after it, and ``{"end": true}``.
``{"lost": ...}`` says that the header's ``claims`` do not hold any more: then nothing is written. The process ends when
the reader of its reports is gone. Standard output and error belong
to Blender's own messages.
"""

import argparse
import ctypes
import hashlib
import json
import math
import os
import secrets
import select
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

STACK = 10 << 20  # bytes that the system counts for a thread, touched or not
PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent ends

sys.path.insert(0, str(Path(__file__).resolve().parent))


class Reports:
    """The descriptor to which outcomes are written, one JSON line each."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, **message: object) -> None:
        # Where the reader is gone nobody waits for the rest: the broken pipe ends this process.
        os.write(self._descriptor, (json.dumps(message) + "\n").encode())

    def have_reader(self, seconds: float | None = 0) -> bool:
        """Whether anybody can still read them; waits so many seconds, or None for ever, for that to end."""
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return not poll.poll(None if seconds is None else 1000 * seconds)


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    parser = argparse.ArgumentParser(prog="worker.py")
    parser.add_argument("task", type=Path)
    parser.add_argument("--report", type=int, required=True)
    options = parser.parse_args(arguments)
    report = Reports(options.report)
    _end_with_reader(report)
    header, *items = (json.loads(line) for line in options.task.read_text().splitlines())
    try:
        tasks = {"probe": probe, "convert": convert, "measure": measure, "render": render, "live": live}
        tasks[header["task"]](header, items, report)
        report(end=True)
    except BrokenPipeError:
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # Blender's own shutdown takes time and can crash; everything is on disk by now


def _end_with_reader(report: Reports) -> None:
    """End this process when its parent ends, or else as soon as nobody reads its reports."""
    with suppress(OSError, AttributeError):  # Linux alone
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        report.have_reader(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if not report.have_reader():
        os._exit(1)


def _bound_memory(most: int) -> None:
    """Let this process take no more than ``most`` bytes beyond those that it has, and the stacks of its threads."""
    import resource

    with suppress(ValueError, OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        has = int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024
        most += has + STACK * (os.cpu_count() or 1)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _bound_seconds(most: int) -> None:
    """Let the system end this process when it has used its processors for ``most`` more seconds."""
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + most, hard))


def probe(header: dict, items: list, report: Reports) -> None:
    """Say which Blender this is and which devices Cycles finds."""
    import bpy

    import devices

    report(
        ready=True, blender=bpy.app.version_string, build=bpy.app.build_hash.decode(), devices=devices.found()
    )


def convert(header: dict, items: list[dict], report: Reports) -> None:
    """Turn each mesh file ``source`` by ``orientation`` and make it a normalised ``target``.npz times ``scale``."""
    import importers
    import meshes

    report(ready=True)
    _bound_memory(header["memory"])
    for number, item in enumerate(items):
        report(start=number)
        _bound_seconds(header["seconds"])
        try:
            mesh = importers.read(Path(item["source"]))
            turned = meshes.turn(mesh.vertices, item["orientation"])
            vertices, faces, centre_of = meshes.place(turned, mesh.faces)
            with _whole(Path(item["target"])) as part:
                notes = {"left_out": "; ".join(mesh.left_out), "centre_of": centre_of}
                meshes.save(part, vertices * item["scale"], faces, **notes)
        except MemoryError:
            most = header["memory"] >> 20
            report(
                failed=number, error=f"expected a mesh that takes at most {most} MiB, got more", errno=None
            )
        except Exception as error:
            report(failed=number, error=_one_line(error), errno=getattr(error, "errno", None))
        else:
            report(done=number)


def measure(header: dict, items: list[dict], report: Reports) -> None:
    """Report the figures of the surface of each ``mesh``.npz."""
    import meshes

    report(ready=True)
    for number, item in enumerate(items):
        report(done=number, **meshes.measure_surface(*meshes.load(item["mesh"])))


def render(header: dict, items: list[dict], report: Reports) -> None:
    """Render each record to its ``file`` below the header's ``folder``."""
    from studio import Studio

    folder = Path(header["folder"])
    with tempfile.TemporaryDirectory() as scratch:
        studio = Studio(header["settings"])
        report(ready=True)
        for number, record in enumerate(items):
            report(start=number)
            try:
                _render_one(studio, record, folder / record["file"], Path(scratch), header, report)
            except LostClaim as error:
                report(lost=str(error))
                return
            except Exception as error:
                report(failed=number, error=_one_line(error), errno=getattr(error, "errno", None))
            else:
                report(done=number)


def live(header: dict, items: list, report: Reports) -> None:
    """Render records as they come, each with a ``size`` and ``samples`` of its own, until no more can come."""
    from studio import Studio

    with tempfile.TemporaryDirectory() as scratch, os.fdopen(header["requests"]) as requests:
        studio = Studio(header["settings"])
        report(ready=True)
        for number, line in enumerate(requests):
            report(start=number)
            try:
                record = json.loads(line)
                studio.set_quality(record["size"], record["samples"])
                target = Path(header["folder"]) / record["file"]
                _render_one(studio, record, target, Path(scratch), header, report)
            except Exception as error:
                report(failed=number, error=_one_line(error), errno=getattr(error, "errno", None))
            else:
                report(done=number)


def _render_one(studio, record: dict, target: Path, scratch: Path, header: dict, report: Reports) -> None:
    """Render a record to ``target``, whole or not at all."""
    import png

    raw = scratch / "raw.png"
    raw.unlink(missing_ok=True)
    studio.render(record, raw)
    content = png.strip(raw.read_bytes())
    with _whole(target) as part:
        part.write_bytes(content)
        _expect_claims(header.get("claims", []), report)


class LostClaim(Exception):
    """The folder belongs to other work by now."""


def _expect_claims(claims: list[dict[str, str]], report: Reports) -> None:
    """Raise LostClaim where a file of ``claims`` has another content than when the work was given out.

    A claim has the ``path`` of a file, and the ``sha256`` of its content or a ``token`` that it contains.
    """
    if not report.have_reader():
        raise BrokenPipeError
    for claim in claims:
        try:
            content = Path(claim["path"]).read_bytes()
        except FileNotFoundError:
            content = b""
        token = claim.get("token", "").encode()
        if token not in content or claim.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
            raise LostClaim(claim["path"])


class _whole:
    """Gives a temporary path beside ``path``; it is renamed to ``path`` when the block succeeds, removed otherwise.

    The file is made here, under a name that nobody can have prepared, so that no link is followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.part")

    def __enter__(self) -> Path:
        os.close(os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        return self.part

    def __exit__(self, failure: type | None, *details: object) -> None:
        if failure is None:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()
