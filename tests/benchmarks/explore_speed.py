"""The page of `identbox explore` in a real browser, and its live renderer: a JSON line with seconds and MiB.

    python tests/benchmarks/explore_speed.py [--browser /usr/bin/chromium] [--samples 145000] [--rounds 3]

First the renderer of the live scene at 224 x 224: a full image, a quick one, ten changes within a second, and a new
worker after the old one was killed. Then a dataset of many samples, real latents and sentences, whose images are
links to a few rendered ones: from the command to its address, from the address to images and sentences in sight, and
until every histogram is drawn, a filter, and the memory of the server. Of each the median of the rounds.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

from identbox.data.folder import image_names
from identbox.data.recipe import Recipe
from identbox.process import presets
from identbox.rendering import generation
from identbox.rendering.blender import Blender, describe_blender
from identbox.rendering.live import LiveRenderer
from identbox.rendering.shapes import load_pack
from identbox.rendering.workers import RenderSettings

FULL, QUICK = {"size": 224, "samples": 4}, {"size": 112, "samples": 1}
IN_SIGHT = """() => {
    const seen = [...document.querySelectorAll(".tile")].filter((tile) => {
        const box = tile.getBoundingClientRect();
        return box.top < innerHeight && box.bottom > 0;
    });
    return seen.length > 0 && seen.every((tile) =>
        tile.querySelector("img").naturalWidth > 0 && tile.querySelector(".sentence").textContent.length > 0);
}"""


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def live_renderer(rounds: int) -> dict[str, float]:
    """Seconds of the images of a live scene, and how many of ten requests within a second were rendered."""
    blender = Blender()
    recipe = Recipe(
        process=presets.multimodal3dident(),
        splits={"test": 40},
        shapes={"name": "builtin", "sha256": "0" * 64},
        renderer={"blender": describe_blender(blender)["blender"], "device": "cpu", **FULL},
    )
    records = generation.records_of(recipe, "test", range(40))
    pack = load_pack("builtin", recipe.shape_names, blender)
    renderer = LiveRenderer(blender, pack.files, RenderSettings(**FULL, threads=2))
    try:

        def image(index: int, how: dict[str, int]) -> None:
            renderer.request("scene", records[index], **how).result()

        image(0, FULL)
        found = {
            name: statistics.median(seconds_of(lambda k=k, how=how: image(k, how)) for k in range(1, 8))
            for name, how in (("full image", FULL), ("quick image", QUICK))
        }
        waiting = []
        for index in range(10):
            waiting.append(renderer.request("scene", records[10 + index], **QUICK))
            time.sleep(0.01)
        found["rendered of ten changes within 0.1 s"] = sum(one.exception() is None for one in waiting)

        def killed() -> None:
            os.kill(renderer.pid, signal.SIGKILL)
            image(next(unseen), FULL)

        unseen = iter(range(20, 40))  # an image that was made once is kept
        found["replaced after a kill"] = statistics.median(seconds_of(killed) for _ in range(rounds))
    finally:
        renderer.close()
    return found


def make_dataset(folder: Path, samples: int) -> None:
    """A dataset folder as `render` makes it, in which each image is a link to one of 64 rendered ones."""
    few = folder.with_name("few")
    identbox = [sys.executable, "-m", "identbox"]
    subprocess.run([*identbox, "render", "--n", "64", "--val", "1", "--test", "1", "--out", few], check=True)
    tail = samples // 14
    recipe = Recipe.read(few)
    recipe = Recipe(
        process=recipe.process,
        splits={"train": samples - 2 * tail, "val": tail, "test": tail},
        shapes=recipe.shapes,
        renderer=recipe.renderer,
    )
    generation.prepare_folder(folder, recipe)
    images = sorted((few / "train" / "images").glob("*.png"))
    for split, n in recipe.splits.items():
        for index, name in enumerate(image_names(n)):
            os.link(images[index % len(images)], folder / split / "images" / name)


def page_of(folder: Path, browser: str) -> dict[str, float]:
    """Seconds from the command to its address, and in the browser; the server's largest memory in MiB."""
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "identbox", "explore", folder], stdout=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().strip()
        found = {"address": time.perf_counter() - begun}
        with sync_playwright() as drivers:
            page = drivers.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
            begun = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_function(IN_SIGHT, polling="raf")
            found["images and sentences in sight"] = time.perf_counter() - begun
            page.wait_for_selector("html[data-ready]")
            found["histograms drawn"] = time.perf_counter() - begun
            found["filter"] = filtered(page)
        found["MiB"] = psutil.Process(server.pid).memory_info().rss / 2**20
        return found
    finally:
        server.kill()


def filtered(page: Page) -> float:
    """Seconds that the page took to find the rows of one shape in a filter not used before."""
    page.locator('[data-factor="object_shape"] .chip').first.click()
    page.wait_for_function("() => document.querySelector('.bound-one') !== null")
    return float(page.locator(".counted").get_attribute("data-milliseconds")) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--samples", type=int, default=145_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = live_renderer(arguments.rounds)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "many"
        make_dataset(folder, arguments.samples)
        rounds = [page_of(folder, arguments.browser) for _ in range(arguments.rounds)]
    found |= {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    found["load"] = os.getloadavg()[0]
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
