"""Seconds an image, fidelity and memory of rendering: one JSON line each.

    python tests/benchmarks/render_speed.py [--shapes DIR] [--images 70] [--reference 1024] [--memory 2000]

Images are 224 x 224 at the default quality, shapes in turn. ``s_per_image`` is the wall time between the
first and the last image of all workers, so that their start does not count. With ``--reference N`` the mean
PSNR against N samples a pixel without denoising is measured over two images of each shape (minutes an image
at 1024). With ``--memory N`` one worker renders N images and its resident memory is fitted by a line.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from identbox import files
from identbox.data import recipe
from identbox.data.scene import Scene
from identbox.process import presets
from identbox.rendering import blender, shapes, workers

RUNNER = blender.Blender()
# A worker without the denoiser: the reference must not share the denoiser's errors.
WITHOUT_DENOISING = """#!{python}
import runpy, sys
sys.path.insert(0, {render!r})
sys.argv = [{worker!r}, *sys.argv[sys.argv.index("--") + 1:]]
import studio
build = studio.Studio.__init__
def plain(self, settings):
    build(self, settings)
    self.scene.cycles.use_denoising = False
studio.Studio.__init__ = plain
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="builtin")
    parser.add_argument("--images", type=int, default=70)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, nargs="+", default=[4])
    parser.add_argument("--reference", type=int, default=0)
    parser.add_argument("--memory", type=int, default=0)
    options = parser.parse_args()
    pack = shapes.load_pack(options.shapes, presets.SHAPE_NAMES, RUNNER)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for samples in options.samples:
            seconds = speed(folder, pack, samples, options)
            show("render", shapes=pack.name, samples=samples, workers=options.workers, threads=options.threads,
                 s_per_image=round(seconds, 3), images_per_s=round(1 / seconds, 2))  # fmt: skip
        if options.reference:
            fidelity(folder, pack, options)
        if options.memory:
            memory(folder, pack, options.memory)


def show(benchmark: str, **figures: object) -> None:
    """Print one JSON line."""
    print(json.dumps({"benchmark": benchmark, **figures}), flush=True)


def records(folder: Path, n: int, name: str) -> list[dict]:
    """Scene records of n samples, shapes in turn, to be rendered below ``folder``/``name``."""
    latents = recipe.draw_latents(presets.multimodal3dident(), 0, "train", n)["image"]
    latents["object_shape"] = np.arange(n) % len(presets.SHAPE_NAMES)
    (folder / name).mkdir(exist_ok=True)
    records = Scene().records(latents, presets.SHAPE_NAMES)
    return [record | {"file": f"{name}/{k:06d}.png", "seed": k} for k, record in enumerate(records)]


def speed(folder: Path, pack: shapes.Pack, samples: int, options: argparse.Namespace) -> float:
    """Seconds an image at steady state."""
    stamps: list[float] = []
    run = workers.RenderRun(
        records(folder, options.images, f"speed-{samples}"),
        folder,
        pack.files,
        workers.RenderSettings(samples=samples, threads=options.threads),
        RUNNER,
        on_image=lambda: stamps.append(time.perf_counter()),
    )
    run.execute(options.workers)
    warm = 2 * options.workers  # the first images of a worker load its meshes
    return (stamps[-1] - stamps[warm]) / (len(stamps) - 1 - warm)


def fidelity(folder: Path, pack: shapes.Pack, options: argparse.Namespace) -> None:
    """Mean PSNR of the default quality against many samples."""
    worker = Path(files.packaged("render")) / "worker.py"
    script = folder / "without_denoising"
    script.write_text(
        WITHOUT_DENOISING.format(python=sys.executable, render=str(worker.parent), worker=str(worker))
    )
    script.chmod(0o755)
    chosen = records(folder, 2 * len(presets.SHAPE_NAMES), "reference")
    settings = workers.RenderSettings(samples=options.reference, threads=options.threads)
    reseeded = [record | {"seed": record["seed"] + 1_000_000} for record in chosen]
    plain = blender.Blender(executable=str(script))
    workers.RenderRun(reseeded, folder, pack.files, settings, plain).execute(options.workers)
    for samples in options.samples:
        psnr = []
        for record in chosen:
            name = Path(record["file"]).name
            images = [
                np.asarray(Image.open(folder / part / name), float)
                for part in (f"speed-{samples}", "reference")
            ]
            psnr.append(10 * np.log10(255**2 / np.mean((images[0] - images[1]) ** 2)))
        show("fidelity", shapes=pack.name, samples=samples, reference=options.reference, images=len(psnr),
             mean_psnr_db=round(float(np.mean(psnr)), 2), least_psnr_db=round(min(psnr), 2))  # fmt: skip


def memory(folder: Path, pack: shapes.Pack, n: int) -> None:
    """Resident memory of one worker over n images, fitted by a line after the first tenth."""
    seen: list[tuple[int, float]] = []
    workers.IMAGES_PER_CHILD = n  # one worker for all of them
    settings = workers.RenderSettings(size=64, samples=1)
    run = workers.RenderRun(records(folder, n, "memory"), folder, pack.files, settings, RUNNER)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            for pid in run.worker_pids():
                try:
                    seen.append((run.outcome.done, psutil.Process(pid).memory_info().rss / 2**20))
                except psutil.Error:  # it has just ended
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    run.execute(1)
    done.set()
    thread.join()
    images, mib = np.array([entry for entry in seen if entry[0] > n / 10]).T
    slope, _ = np.polyfit(images, mib, 1)
    show("memory", images=n, first_mib=round(mib[0], 1), last_mib=round(mib[-1], 1),
         slope_kib_per_image=round(float(slope) * 1024, 2))  # fmt: skip


if __name__ == "__main__":
    main()
