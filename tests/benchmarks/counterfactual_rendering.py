"""Counterfactual splits cost what their split costs, and kills change no byte of them: three JSON lines.

    python tests/benchmarks/counterfactual_rendering.py [--images 60] [--size 224] [--kills 3] [--seed 0]

A test split is rendered, then the same samples once more under interventions that change every image. ``s_per_image``
is wall clock, ``cpu_s_per_image`` what all processes used, start included in both. Then an intervention is rendered
again in a copy of the dataset, and all processes of the command are killed when a random number of images is there, so
many times. In the end every file must have the bytes of the undisturbed one. Exit code 1 where one has not, or where
fewer kills struck.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

RENDER = [sys.executable, "-m", "identbox", "render"]
INTERVENTIONS = ("permute:object_gammarot", "permute:object_xpos")
KILLED = "permute:object_color,object_shape"
PASSING = ("logs", ".cache")  # folders that say when something was done, not what


def timed(*options: object) -> tuple[float, float]:
    """Wall clock and CPU seconds of a rendering."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*RENDER, *map(str, options)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def kill(command: subprocess.Popen[bytes]) -> None:
    """Kill all processes of a command at once."""
    for process in [psutil.Process(command.pid), *psutil.Process(command.pid).children(recursive=True)]:
        if process.is_running():
            process.kill()
    command.wait()


def killed(folder: Path, n: int, kills: int, rng: random.Random) -> list[int]:
    """Render the intervention in ``folder``, kill it so many times on the way, and let it end.

    Returns how many of the ``n`` images there were at each kill.
    """
    images = folder / f"test.{KILLED.replace(':', '.').replace(',', '.')}" / "images"
    found = []
    for wanted in sorted(rng.sample(range(1, n), kills)):
        command = subprocess.Popen(
            [*RENDER, "--out", str(folder), "--intervene", KILLED],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while command.poll() is None and len(list(images.glob("*.png"))) < wanted:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        if command.poll() is None:
            kill(command)
            found.append(len(list(images.glob("*.png"))))
    subprocess.run([*RENDER, "--out", str(folder), "--intervene", KILLED], check=True, capture_output=True)
    return found


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every file that is of the dataset."""
    there = (path for path in folder.rglob("*") if path.is_file())
    named = {str(path.relative_to(folder)): path for path in there}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(PASSING)}


def main() -> int:
    """Measure, kill, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n = given.images
    with tempfile.TemporaryDirectory() as scratch:
        folder, other = Path(scratch, "m3di"), Path(scratch, "killed")
        sizes = ("--n", 1, "--val", 0, "--test", n, "--size", given.size)
        taken = {"split": timed(*sizes, "--out", folder)}
        shutil.copytree(folder, other)
        for one in INTERVENTIONS:
            taken[one] = timed("--out", folder, "--intervene", one)
        for name, (wall, cpu) in taken.items():
            print(
                json.dumps(
                    {
                        "rendered": name,
                        "s_per_image": round(wall / n, 3),
                        "cpu_s_per_image": round(cpu / n, 3),
                    }
                )
            )
        for one in INTERVENTIONS:
            shutil.rmtree(folder / f"test.{one.replace(':', '.')}")
        timed("--out", folder, "--intervene", KILLED)
        at = killed(other, n, given.kills, random.Random(given.seed))
        whole, made = files(folder), files(other)
        differing = sorted(name for name in whole.keys() | made.keys() if whole.get(name) != made.get(name))
        print(
            json.dumps(
                {"kills": given.kills, "images_at_kills": at, "files": len(whole), "differing": differing}
            )
        )
    return 1 if differing or len(at) < given.kills else 0


if __name__ == "__main__":
    sys.exit(main())
