"""Rendering in shards: parts of a split as jobs for several machines, each a child process that renders its part.

The images on the shared folder say what is done; see `children` for what becomes of shards whose worker is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from identbox.data import png
from identbox.data.folder import image_name
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.jobs import execution
from identbox.jobs.execution import Job
from identbox.rendering import blender, generation, shapes
from identbox.rendering.generation import Part

SHARD = 500  # images: the start of a child and of its Blender are some hundredths of their time


def jobs(
    folder: Path,
    recipe: Recipe,
    part: Part,
    pack: str,
    runner: blender.Blender,
    *,
    workers: int = 1,
    offline: bool = False,
) -> Iterator[Job]:
    """A job for every SHARD images of a part of a dataset that is prepared in ``folder``.

    Each renders with so many processes side by side, and with ``offline`` takes published shapes from the cache alone.
    """
    there = (pack, runner.executable or "", str(workers), "offline" if offline else "")
    folder = folder.resolve()
    logs = folder / "logs"
    for split in part.splits:
        n = recipe.splits.get(split, 0)
        count = -(-n // SHARD)
        for place in range(1, count + 1):
            shard = Part(splits=(split,), shard=(place, count))
            yield Job(
                name=f"{split} {place}/{count}",
                done=partial(_is_done, folder, recipe, shard),
                claim=partial(logs.mkdir, exist_ok=True),
                command=("identbox.rendering.shards", str(folder), split, str(place), str(count), *there),
                log=logs / f"shard-{split}-{place}.log",
            )


def _is_done(folder: Path, recipe: Recipe, shard: Part) -> bool:
    """Whether every image of a shard is whole."""
    (split,) = shard.splits
    n, size = recipe.splits[split], recipe.renderer["size"]
    images = folder / split / "images"
    return all(png.is_whole(images / image_name(k, n), size) for k in shard.indices(n))


def render(
    pieces: Iterable[Job],
    folder: Path,
    recipe: Recipe,
    part: Part,
    executor: Executor,
    *,
    slots: int,
    threads: int,
    on_images: Callable[[int], None] = lambda there: None,
    on_failure: Callable[[str, str], None] = lambda name, reason: None,
) -> None:
    """Do the `jobs` of a part on the workers of an executor, and finish the dataset when no image is missing.

    ``on_images`` gets the number of images on the folder, every few seconds, ``on_failure`` a job and why it failed.
    Raises IdentboxError for shards that failed.
    """
    failed = execution.execute(
        pieces,
        workers=slots,
        threads=threads,
        executor=executor,
        on_done=lambda name, reason: on_failure(name, reason) if reason else None,
        on_look=lambda: on_images(count(folder, part)),
    )
    execution.expect_no_failures(folder, failed)
    on_images(count(folder, part))
    generation.finish(folder, recipe)


def count(folder: Path, part: Part) -> int:
    """The number of images of a part's splits on the folder, by name."""
    return sum(generation.images_there(folder, split) for split in part.splits)


def _child(arguments: list[str]) -> None:
    """Render what is missing of a shard, as the recipe on the folder has it."""
    place, split, number, of, pack, executable, workers, offline = arguments
    folder = Path(place)
    part = Part(splits=(split,), shard=(int(number), int(of)))
    runner = blender.Blender(executable=executable or None)
    recipe = Recipe.read(folder)
    if recipe is None:
        raise IdentboxError(f"{folder}: expected a dataset of identbox, got one without dataset.toml")
    version = blender.probe(runner)["blender"]
    if version != recipe.renderer["blender"]:
        raise IdentboxError(f"Blender: expected {recipe.renderer['blender']}, got {version} on this machine")
    found = shapes.load(pack, recipe.shape_names, runner, offline=bool(offline))
    if found.table() != recipe.shapes:
        raise IdentboxError(f"shapes {pack}: expected those of {folder}, got others on this machine")
    generation.render(folder, recipe, part, found.files, runner, workers=int(workers))


if __name__ == "__main__":
    execution.run_child(_child)
