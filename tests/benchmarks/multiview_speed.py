"""How fast PolyMNIST is made, and its batches are read, beside a loader of PNG files.

    python tests/benchmarks/multiview_speed.py --mnist DIR        # 60 000 and 10 000 digits
    python tests/benchmarks/multiview_speed.py                    # those of scikit-learn

Prints the time of two builds and whether they are equal, the most memory, and the time of batches of 256 samples of
five modalities in random order: from the arrays, and from one PNG file an image.
"""

import argparse
import hashlib
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from identbox.data.multiview import open_multiview
from identbox.data.polymnist import PolyMnistSettings, build_polymnist

BATCH, BATCHES, FILES = 256, 8, 2048


def hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def from_pngs(folder: Path, names: list[str], rows: list[int]) -> dict[str, torch.Tensor]:
    """A batch as a dataset of PNG files usually reads it: one file after the other."""
    return {
        name: torch.stack(
            [
                torch.from_numpy(np.array(Image.open(folder / name / f"{row}.png"))).permute(2, 0, 1) / 255
                for row in rows
            ]
        )
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path)
    mnist = parser.parse_args().mnist
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("one", "two")]
        for folder in folders:
            start, used = time.perf_counter(), time.process_time()
            build_polymnist(folder, PolyMnistSettings(), mnist=mnist)
            print(
                f"built in {time.perf_counter() - start:.1f} s, {time.process_time() - used:.1f} s of one core"
            )
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(f"equal: {hash_of(folders[0]) == hash_of(folders[1])}; at most {memory:.0f} MiB of memory")
        split = open_multiview(folders[0], "train")
        names, files = list(split.modalities), min(FILES, len(split))
        pngs = Path(scratch) / "pngs"
        for name in names:
            (pngs / name).mkdir(parents=True)
            for row in range(files):
                Image.fromarray(split.arrays[name][row]).save(pngs / name / f"{row}.png")
        orders = [np.random.default_rng(k).integers(0, files, BATCH) for k in range(BATCHES)]
        times: dict[str, list[float]] = {"arrays": [], "PNG files": []}
        for order in orders:
            start = time.process_time()
            ours = split.batch(torch.from_numpy(order))
            times["arrays"].append(time.process_time() - start)
            start = time.process_time()
            theirs = from_pngs(pngs, names, order.tolist())
            times["PNG files"].append(time.process_time() - start)
            assert all(torch.equal(ours[name], theirs[name]) for name in names)
        medians = {name: float(np.median(values)) for name, values in times.items()}
        for name, value in medians.items():
            print(f"a batch of {BATCH} samples of {len(names)} modalities from {name}: {1000 * value:.1f} ms")
        print(f"arrays are {medians['PNG files'] / medians['arrays']:.0f} times as fast")


if __name__ == "__main__":
    main()
