"""How long files take to be read, beside another version of the code: a mesh pack, a dataset, a sweep, a whole check.

    git worktree add /tmp/before COMMIT
    python tests/benchmarks/reader_speed.py --before /tmp/before --check 100000

Each is read by processes of both versions in turn, `--repeats` times; the ratio is that of the shortest times of the
processor, which other work on the machine disturbs least. The dataset is drawn, not rendered: images of 18 pixels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# What a process does: {} is the folder. The time is that of this process and of those that it started.
READ = {
    "mesh pack of 7": """
from identbox.rendering import shapes
from identbox.rendering.blender import Blender
shapes.load_pack({folder!r} + "/pack", None, Blender())
""",
    "dataset of 6 000": """
from identbox import Multimodal3DIdent
for split in ("train", "val"):
    data = Multimodal3DIdent({folder!r} + "/data", split)
""",
    "sweep of 30 runs": """
from pathlib import Path
from identbox.experiments import records
folder = Path({folder!r}) / "sweep"
records.read_runs(folder, records.read_sweep(folder / "sweep.toml"))
""",
    "check": """
from pathlib import Path
from identbox.data import checks
bad = [found for found in checks.check_dataset(Path({folder!r}) / "large") if found.good is False]
assert not bad, bad
""",
}
TIMED = """
import os, sys, torch
def now():
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
begun = now()
{body}
print(now() - begun)
"""


def make(folder: Path, images: int) -> None:
    """What is read, made by this version."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from drawn_squares import make_dataset
    from identbox.rendering.blender import Blender
    from identbox.rendering.mesh_cache import read_mesh
    from identbox.rendering.shapes import load_pack
    from made_records import probes, run_at, write_run, write_sweep

    (folder / "pack").mkdir()
    for name, path in load_pack("builtin", None, Blender()).files.items():
        vertices, faces = read_mesh(path)
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
        (folder / "pack" / f"{name}.obj").write_text("\n".join(lines) + "\n")
    make_dataset(folder / "data", {"train": 6000, "val": 480, "test": 480})
    make_dataset(folder / "large", {"train": images, "val": 12, "test": 12})
    write_sweep(folder / "sweep", {f"cell{k}": {"x": k} for k in range(10)})
    for cell in range(10):
        for seed in range(3):
            scores = [one | {"intervention": f"step{k}"} for k in range(25) for one in probes(0.9, 0.3, 0.0)]
            write_run(run_at(folder / "sweep", f"cell{cell}", seed), seed=seed, scores=scores)


def seconds(what: str, folder: Path, code: Path) -> float:
    """The time of the processor that one version takes, in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": str(code), "IDENTBOX_CACHE": cache, "OMP_NUM_THREADS": "1"}
        body = TIMED.format(body=READ[what].format(folder=str(folder)))
        done = subprocess.run(
            [sys.executable, "-c", body],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
        )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, required=True, help="a checkout of another version")
    parser.add_argument("--check", type=int, default=20_000, help="images of the dataset that is checked")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reader-speed-") as place:
        folder = Path(place)
        make(folder, options.check)
        for what in READ:
            times: dict[str, list[float]] = {"before": [], "now": []}
            for _ in range(options.repeats):
                for version, code in (("before", options.before.resolve()), ("now", ROOT)):
                    times[version].append(seconds(what, folder, code))
            before, now = (min(times[version]) for version in ("before", "now"))
            print(
                f"{what:<17} before {before:8.3f} s   now {now:8.3f} s   ratio {now / before:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
