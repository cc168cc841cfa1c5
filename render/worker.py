# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process in which Blender works, as the bpy module or as an installed Blender.

    python worker.py TASK --report FD
    blender --background --python worker.py -- TASK --report FD

TASK is a file of JSON lines. The first is a header whose ``task`` is ``probe``, ``convert``, ``measure`` or
``render``; what follows are items. Every outcome is one JSON line written to the descriptor FD:
``{"ready": ...}`` once, ``{"start": i}`` before item i and ``{"done": i, ...}`` or
``{"failed": i, "error": ..., "errno": ...}`` after it, and ``{"end": true}``. Standard output and error belong
to Blender's own messages.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    parser = argparse.ArgumentParser(prog="worker.py")
    parser.add_argument("task", type=Path)
    parser.add_argument("--report", type=int, required=True)
    options = parser.parse_args(arguments)
    header, *items = (json.loads(line) for line in options.task.read_text().splitlines())

    def report(**message: object) -> None:
        # Where the reader is gone nobody waits for the rest: the broken pipe ends this process.
        os.write(options.report, (json.dumps(message) + "\n").encode())

    try:
        tasks = {"probe": probe, "convert": convert, "measure": measure, "render": render}
        tasks[header["task"]](header, items, report)
        report(end=True)
    except BrokenPipeError:
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # Blender's own shutdown takes time and can crash; everything is on disk by now


def probe(header: dict, items: list, report: Callable) -> None:
    """Say which Blender this is and which devices Cycles finds."""
    import bpy

    import devices

    report(
        ready=True, blender=bpy.app.version_string, build=bpy.app.build_hash.decode(), devices=devices.found()
    )


def convert(header: dict, items: list[dict], report: Callable) -> None:
    """Turn each mesh file ``source`` by ``orientation`` and make it a normalised ``target``.npz times ``scale``."""
    import importers
    import meshes

    report(ready=True)
    for number, item in enumerate(items):
        report(start=number)
        try:
            vertices, faces = importers.read(Path(item["source"]))
            vertices, faces = meshes.normalise(meshes.turn(vertices, item["orientation"]), faces)
            with _whole(Path(item["target"])) as part:
                meshes.save(part, vertices * item["scale"], faces)
        except Exception as error:
            report(failed=number, error=_one_line(error), errno=getattr(error, "errno", None))
        else:
            report(done=number, **meshes.measure(vertices, faces))


def measure(header: dict, items: list[dict], report: Callable) -> None:
    """Report the figures of each ``mesh``.npz."""
    import meshes

    report(ready=True)
    for number, item in enumerate(items):
        report(done=number, **meshes.measure(*meshes.load(item["mesh"])))


def render(header: dict, items: list[dict], report: Callable) -> None:
    """Render each record to its ``file`` below the header's ``folder``."""
    import png
    from studio import Studio

    folder = Path(header["folder"])
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.png"
        studio = Studio(header["settings"])
        report(ready=True)
        for number, record in enumerate(items):
            report(start=number)
            raw.unlink(missing_ok=True)
            try:
                studio.render(record, raw)
                content = png.strip(raw.read_bytes())
                with _whole(folder / record["file"]) as part:
                    part.write_bytes(content)
            except Exception as error:
                report(failed=number, error=_one_line(error), errno=getattr(error, "errno", None))
            else:
                report(done=number)


class _whole:
    """Gives a temporary path beside ``path``; it is renamed to ``path`` when the block succeeds, removed otherwise."""

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(f".{path.name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
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
