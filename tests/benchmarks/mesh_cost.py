"""What a large mesh costs Blender's process: seconds of the processor, and memory beyond what Blender takes by itself.

    python tests/benchmarks/mesh_cost.py --triangles 399000

The mesh is a torus that is bent, in each form in which triangles are written; binary .stl has no common vertices.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
COST = """
import sys, time
sys.path.insert(0, {render!r})
from pathlib import Path
import bpy, importers, meshes
def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) // 1024
before, begun = memory("VmRSS"), time.process_time()
mesh = importers.read(Path({mesh!r}))
read = time.process_time() - begun
vertices, faces = mesh.vertices, mesh.faces
del mesh
vertices, faces, _ = meshes.place(vertices, faces)
meshes.save({mesh!r} + ".npz", vertices, faces)
print(len(faces), read, time.process_time() - begun, memory("VmHWM") - before, before)
"""


def torus(triangles: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a closed surface without symmetries."""
    side = round((triangles / 2) ** 0.5)
    u, v = np.meshgrid(*[np.linspace(0, 2 * np.pi, side, endpoint=False)] * 2, indexing="ij")
    ring = (3 + np.cos(v)) * (1 + 0.1 * np.sin(5 * u))
    points = np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v) + 0.05 * np.cos(7 * u)], axis=-1)
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    a, b = i * side + j, (i + 1) % side * side + j
    c, d = (i + 1) % side * side + (j + 1) % side, i * side + (j + 1) % side
    faces = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)])
    return points.reshape(-1, 3), faces.reshape(-1, 3)


def binary_stl(points: np.ndarray, faces: np.ndarray) -> bytes:
    rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["corners"] = points[faces]
    return bytes(80) + len(faces).to_bytes(4, "little") + rows.tobytes()


def text_stl(points: np.ndarray, faces: np.ndarray) -> bytes:
    facet = "facet normal 0 0 0\nouter loop\n" + 3 * "vertex %.6f %.6f %.6f\n" + "endloop\nendfacet\n"
    return f"solid x\n{lines(facet, points[faces].reshape(-1, 9))}endsolid x\n".encode()


def obj(points: np.ndarray, faces: np.ndarray) -> bytes:
    return (lines("v %.6f %.6f %.6f\n", points) + lines("f %d %d %d\n", faces + 1)).encode()


def text_ply(points: np.ndarray, faces: np.ndarray) -> bytes:
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n{axes}element face {len(faces)}\n"
    body = lines("%.6f %.6f %.6f\n", points) + lines("3 %d %d %d\n", faces)
    return f"{head}property list uchar int vertex_indices\nend_header\n{body}".encode()


def lines(form: str, rows: np.ndarray) -> str:
    return "".join(form % tuple(row) for row in rows.tolist())


FORMS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], bytes]]] = {
    "binary .stl": (".stl", binary_stl),
    ".stl of text": (".stl", text_stl),
    ".obj": (".obj", obj),
    ".ply of text": (".ply", text_ply),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--triangles", type=int, default=399_000)
    options = parser.parse_args()
    points, faces = torus(options.triangles)
    with tempfile.TemporaryDirectory(prefix="mesh-cost-") as place:
        for name, (ending, write) in FORMS.items():
            path = Path(place) / f"thing{ending}"
            path.write_bytes(write(points, faces))
            code = COST.format(render=str(ROOT / "render"), mesh=str(path))
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            count, read, whole, memory, before = map(float, done.stdout.split()[-5:])
            print(
                f"{name:<13} {path.stat().st_size / 1e6:5.0f} MB, {count:.0f} triangles: read in {read:.1f} s, "
                f"placed and saved after {whole:.1f} s, {memory:.0f} MiB beyond Blender's {before:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
