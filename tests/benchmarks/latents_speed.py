"""Seconds and memory for the latents and sentences of 145 000 samples, written: one JSON line.

    python tests/benchmarks/latents_speed.py

A fresh process does it. ``s`` is the time of the work, ``s_with_start`` that of the whole process with its
imports (most of the difference is torch's), ``peak_gib`` the most memory that it held.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPLITS = {"train": 125_000, "val": 10_000, "test": 10_000}


def write(folder: Path) -> float:
    """Write everything but the images; returns seconds."""
    from identbox.data import recipe as data_recipe
    from identbox.process import presets
    from identbox.rendering import generation

    shapes = {"name": "builtin", "sha256": "0" * 64}
    renderer = {"blender": "none", "device": "cpu", "size": 224, "samples": 4}
    start = time.perf_counter()
    recipe = data_recipe.Recipe(
        process=presets.multimodal3dident(), splits=SPLITS, shapes=shapes, renderer=renderer
    )
    generation.prepare_folder(folder, recipe)
    return time.perf_counter() - start


def main() -> None:
    """Measure a fresh process and print one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, __file__, folder], check=True, capture_output=True, text=True)
        whole = time.perf_counter() - start
    figures = {
        "benchmark": "latents",
        "samples": sum(SPLITS.values()),
        "s": round(float(done.stdout), 2),
        "s_with_start": round(whole, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(write(Path(sys.argv[1]) / "m3di"))
    else:
        main()
