"""Random batches from the cache of pixels against decoding their PNGs with Pillow: a JSON line with images a second.

    python tests/benchmarks/reading_speed.py [--dataset DIR] [--image-size 64]

Both go from indices to bytes ("bytes", the reading itself) and to normalised float32 tensors ("tensors", as training
takes them), in turn, in one process and on one thread. The least processor time of each counts, which other work on
the machine does not change. Without a dataset, noisy PNGs of 224 x 224 are drawn. The cache is built in a folder
of its own and has just been written, so that it is in memory, as the PNGs are: the work is compared, not the disk.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from identbox.data import folder as data_folder
from identbox.data.pixels import Split, batch, open_split


def draw(folder: Path, n: int) -> None:
    """A training split of smooth images with a render's grain: about 60 KiB a PNG."""
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    rng = np.random.default_rng(0)
    for index in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((224, 224))
        pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-1, 2, (224, 224, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / "images" / data_folder.image_name(index, n)
        )
    (folder / "text" / "text_raw.txt").write_text("\n".join(["A picture."] * n))
    for view in ("image", "text"):
        (folder / f"latents_{view}.csv").write_text("object_shape\n" + "0\n" * n)


def decoded(paths: list[Path], indices: torch.Tensor, size: int) -> np.ndarray:
    """The same bytes (b, size, size, 3), from the PNGs."""
    images = []
    for index in indices.tolist():
        with Image.open(paths[index]) as file:
            image = file.convert("RGB")
        if image.width != size:
            image = image.resize((size, size), Image.Resampling.HAMMING)
        images.append(np.asarray(image))
    return np.stack(images)


def normalised(pixels: np.ndarray, split: Split) -> torch.Tensor:
    """Bytes as ready-made transforms do it: to [0, 1], channels first, minus the mean, over the deviation."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (split.mean, split.std))
    return images.sub_(mean).div_(std)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--image-size", type=int, help="default: the images' own")
    parser.add_argument("--images", type=int, default=1000, help="to draw, without a dataset")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="threads that build the cache")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.dataset is None:
            draw(folder / "train", options.images)
        else:
            (folder / "train").symlink_to(options.dataset.resolve() / "train")
        start = time.perf_counter()
        split = open_split(folder, "train", options.image_size, workers=options.workers)
        build = time.perf_counter() - start
        start = time.perf_counter()
        open_split(folder, "train", options.image_size)
        reopen = time.perf_counter() - start
        n, size = len(split), split.pixels.shape[1]
        paths = [folder / "train" / "images" / data_folder.image_name(index, n) for index in range(n)]
        ways: dict[str, Callable[[torch.Tensor], object]] = {
            "cache_bytes": lambda indices: split.pixels[indices.numpy()],
            "pillow_bytes": lambda indices: decoded(paths, indices, size),
            "cache_tensors": lambda indices: batch(split, indices),
            "pillow_tensors": lambda indices: normalised(decoded(paths, indices, size), split),
        }
        least = dict.fromkeys(ways, float("inf"))
        generator = torch.Generator().manual_seed(0)
        for _ in range(options.rounds):
            indices = torch.randint(n, (options.batch,), generator=generator)
            for name, way in ways.items():
                start = time.process_time()
                way(indices)
                least[name] = min(least[name], time.process_time() - start)
        bytes_of = sum(path.stat().st_size for path in paths) / n
    rates = {name: round(options.batch / seconds) for name, seconds in least.items()}
    print(json.dumps({
        "benchmark": "reading", "images": n, "image_size": size, "batch": options.batch,
        "png_kib": round(bytes_of / 1024, 1), **{f"{name}_per_s": rate for name, rate in rates.items()},
        "bytes_ratio": round(least["pillow_bytes"] / least["cache_bytes"], 1),
        "tensors_ratio": round(least["pillow_tensors"] / least["cache_tensors"], 1),
        "build_s": round(build, 1), "build_per_s": round(n / build), "reopen_s": round(reopen, 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
