"""Ten meshes, each moved, scaled, mirrored, wound and split at random: do all files of one mesh give one image?

    python tests/benchmarks/mesh_placement.py --variants 30 --seed 0

A variant is the same surface in another file: turned (the pack turns it back), moved by up to a million of its extents,
scaled by up to a million, mirrored (and compared with the mirrored mesh), with windings turned in all faces, in some or
in both ways at once, split by planes into parts with corners of their own, its faces in another order; as .obj, .ply or
.stl, in 32 or 64 bits. Its image must differ from that of the mesh itself by no more than two images of the mesh with
other sampling seeds differ (mean over all pixels, and share of pixels that are more than LARGE levels apart), or the
file must be refused in one line. As a control, the mesh itself is rendered at MOVED, which must differ by more.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "render")]

from identbox import files  # noqa: E402
from identbox.errors import IdentboxError  # noqa: E402
from identbox.rendering.blender import Blender  # noqa: E402
from identbox.rendering.mesh_cache import read_mesh  # noqa: E402
from identbox.rendering.shapes import load_pack  # noqa: E402
from identbox.rendering.workers import RenderSettings, render_all  # noqa: E402

BUILTIN = ("hare", "dragon", "cow", "horse", "teapot")
SIZE, SAMPLES, LARGE = 96, 32, 24  # pixels a side, samples of a pixel, and levels of 255
SEEDS = 4  # of the images of a mesh itself
MOVED = [0.0, 0.1, 0.0]  # metres, of an object of 4.2
Mesh = tuple[np.ndarray, np.ndarray]


def grid(points: np.ndarray, *, around: tuple[bool, bool]) -> Mesh:
    """A surface of a grid of points, (rows, columns, 3), that may close around either axis."""
    rows, columns = points.shape[:2]
    corner = np.arange(rows * columns).reshape(rows, columns)
    below = np.roll(corner, -1, 0) if around[0] else corner[1:]
    above = corner if around[0] else corner[:-1]
    right = [np.roll(part, -1, 1) if around[1] else part[:, 1:] for part in (above, below)]
    left = [part if around[1] else part[:, :-1] for part in (above, below)]
    a, b, c, d = (part.ravel() for part in (left[0], left[1], right[1], right[0]))
    return points.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def sphere(radius: float = 1.0, centre: tuple[float, float, float] = (0, 0, 0), n: int = 24) -> Mesh:
    u, v = np.meshgrid(
        np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, 2 * n, endpoint=False), indexing="ij"
    )
    points = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], -1)
    return grid(radius * points + np.array(centre), around=(False, True))


def torus() -> Mesh:
    u, v = np.meshgrid(*[np.linspace(0, 2 * np.pi, 40, endpoint=False)] * 2, indexing="ij")
    r = 1 + 0.4 * np.cos(v)
    return grid(np.stack([r * np.cos(u), r * np.sin(u), 0.4 * np.sin(v)], -1), around=(True, True))


def cup() -> Mesh:
    """A surface that does not close: a bowl without a thickness."""
    u, v = np.meshgrid(
        np.linspace(0, 0.75 * np.pi, 24), np.linspace(0, 2 * np.pi, 48, endpoint=False), indexing="ij"
    )
    return grid(
        np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), -np.cos(u)], -1), around=(False, True)
    )


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def ten_meshes() -> dict[str, Mesh]:
    builtin = load_pack("builtin", BUILTIN, Blender()).files
    made = {
        "torus": torus(),
        "cup": cup(),
        "nested": joined(sphere(), sphere(0.4, (0.3, 0, 0))),
        "three": joined(sphere(0.5), sphere(0.3, (1, 0.4, 0)), sphere(0.2, (0, 0, 1))),
        "dome": joined(cup(), sphere(0.3, (0, 0.9, 0.5))),
    }
    return {name: read_mesh(path) for name, path in builtin.items()} | made


def variant(mesh: Mesh, rng: np.random.Generator, *, single: bool) -> tuple[Mesh, list[float]]:
    """The same surface otherwise, and the angles by which a pack turns it back."""
    vertices, faces = mesh
    angles = rng.uniform(-180, 180, 3)
    vertices = Rotation.from_euler("xyz", angles, degrees=True).inv().apply(vertices)
    for _ in range(rng.integers(0, 4)):  # parts with corners of their own, on either side of a plane
        side = (vertices[faces].mean(axis=1) - vertices.mean(axis=0)) @ rng.normal(size=3) > 0
        vertices, faces = joined((vertices, faces[side]), (vertices, faces[~side]))
    winding = rng.choice(["as it is", "all", "some", "both"])
    if winding == "all":
        faces = faces[:, ::-1]
    elif winding == "some":
        turned = rng.random(len(faces)) < 0.5
        faces = np.where(turned[:, None], faces[:, ::-1], faces)
    elif winding == "both":
        faces = np.concatenate([faces, faces[:, ::-1]])
    faces = rng.permutation(faces)
    scale = 10.0 ** rng.uniform(-6, 6)
    away = 10.0 ** rng.uniform(-2, 3 if single else 6)
    return (scale * (vertices + away * rng.normal(size=3)), faces), angles.tolist()


def write(path: Path, mesh: Mesh) -> None:
    """A mesh in the form that the ending of a name and of its stem say."""
    vertices, faces = mesh
    if path.suffix == ".obj":
        vertices = vertices[:, [0, 2, 1]] * [1, 1, -1]  # Y is up
        lines = [*(f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist())]
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".stl":
        rows = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
        rows["corners"] = vertices[faces]
        path.write_bytes(b"made by a test".ljust(80) + len(faces).to_bytes(4, "little") + rows.tobytes())
    else:
        kind, word = ("<f4", "float") if path.stem.endswith("single") else ("<f8", "double")
        rows = np.zeros(len(faces), [("n", "u1"), ("corners", "<i4", 3)])
        rows["n"], rows["corners"] = 3, faces
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        head += "".join(f"property {word} {axis}\n" for axis in "xyz")
        head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
        path.write_bytes(head.encode() + vertices.astype(kind).tobytes() + rows.tobytes())


def converted(
    folder: Path, entries: dict[str, tuple[str, list[float]]]
) -> tuple[dict[str, Path], dict[str, str]]:
    """The normalised meshes by name, and the message of each file that is refused."""
    refused: dict[str, str] = {}
    while True:
        left = {name: entry for name, entry in entries.items() if name not in refused}
        tables = [
            f'[shapes.{name}]\nfile = "{file}"\norientation = {angles}\n'
            for name, (file, angles) in left.items()
        ]
        (folder / "pack.toml").write_text("".join(tables))
        try:
            return load_pack(str(folder), None, Blender()).files, refused
        except IdentboxError as error:
            (name,) = [name for name, (file, _) in left.items() if str(folder / file) in str(error)]
            refused[name] = str(error)


def images(
    folder: Path, meshes: dict[str, Path], seeds: int = 1, location: list[float] | None = None
) -> dict[str, np.ndarray]:
    """An image of each mesh, in one rotation; of ``seeds`` sampling seeds each."""
    folder.mkdir()
    record = {
        "extent": 4.2, "location": location or [0.0, 0.0, 0.0], "rotation": [0.4, -0.7, 1.1],
        "object_color": [0.8, 0.3, 0.1], "ground_z": -4.2, "ground_color": [0.5, 0.5, 1],
        "spot_location": [0, 4, 10.2], "spot_color": [1, 1, 1],
    }  # fmt: skip
    records = [
        {**record, "shape": name, "seed": seed, "file": f"{name}-{seed}.png"}
        for name in meshes
        for seed in range(seeds)
    ]
    render_all(records, folder, meshes, RenderSettings(size=SIZE, samples=SAMPLES), Blender())
    return {
        one["file"][:-4]: np.asarray(Image.open(folder / one["file"]).convert("RGB"), float)
        for one in records
    }


def gaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean difference in levels, and share of pixels that differ by more than LARGE."""
    difference = np.abs(one - other)
    return np.array([difference.mean(), (difference.max(axis=2) > LARGE).mean()])


def word(number: int) -> str:
    """A number in letters, for the name of a class."""
    return chr(97 + number // 26) + chr(97 + number % 26)


def compare(name: str, mesh: Mesh, scratch: Path, rng: np.random.Generator, variants: int) -> Counter[str]:
    """Count the variants of a mesh by what became of them; those that differ are printed."""
    folder = scratch / name
    folder.mkdir()
    entries, mirrored = {}, {}
    both = {"plain": mesh, "mirrored": (mesh[0] * [-1, 1, 1], mesh[1])}
    for which, one in both.items():
        write(folder / f"{which}.obj", one)
        entries[which] = f"{which}.obj", [0.0, 0.0, 0.0]
    for number in range(variants):
        kind = str(rng.choice([".obj", "-double.ply", "-single.ply", ".stl"]))
        which = "mirrored" if rng.random() < 0.5 else "plain"
        made, angles = variant(both[which], rng, single=kind in ("-single.ply", ".stl"))
        file = f"{word(number)}{kind}"
        write(folder / file, made)
        entries[word(number)], mirrored[word(number)] = (file, angles), which
    meshes, refused = converted(folder, entries)
    own = images(scratch / f"{name}-own", {which: meshes[which] for which in both}, SEEDS)
    moved = images(scratch / f"{name}-moved", {which: meshes[which] for which in both}, location=MOVED)
    drawn = images(scratch / f"{name}-images", {k: path for k, path in meshes.items() if k not in both})
    counts = Counter({"refused in one line": len(refused)})
    noises = {
        which: np.max([gaps(own[f"{which}-0"], own[f"{which}-{seed}"]) for seed in range(1, SEEDS)], axis=0)
        for which in both
    }
    for which, noise in noises.items():
        control = gaps(own[f"{which}-0"], moved[f"{which}-0"])
        print(f"  {which}: noise {noise.round(4)}, moved by {MOVED[1]} m {control.round(4)}", flush=True)
        if (control <= noise).all():
            raise SystemExit(f"{name}: expected a mesh that is moved to differ by more than the noise")
    for variant_name, which in mirrored.items():
        if variant_name in refused:
            assert "\n" not in refused[variant_name]
            continue
        noise = noises[which]
        found = gaps(own[f"{which}-0"], drawn[f"{variant_name}-0"])
        equal = bool((found <= noise).all())
        counts["equal" if equal else "DIFFERENT"] += 1
        if not equal:
            print(
                f"  {entries[variant_name][0]} of {name}, {which}: {found} where the noise is {noise}",
                flush=True,
            )
    for message in sorted({text.partition(": ")[2][:150] for text in refused.values()}):
        print(f"  refused: {message}", flush=True)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--variants", type=int, default=30, help="of each mesh")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, total = np.random.default_rng(options.seed), Counter()
    with files.scratch() as scratch:
        for name, mesh in ten_meshes().items():
            counts = compare(name, mesh, scratch, rng, options.variants)
            print(f"{name:<8} {dict(counts)}", flush=True)
            total += counts
    print(f"{sum(total.values())} variants: {dict(total)}")
    return bool(total["DIFFERENT"])


if __name__ == "__main__":
    sys.exit(main())
