"""Rendering on several machines: parts of a split as jobs, each a child process that renders its part.

The images in the shared folder say what is done; `jobs.execution` says what becomes of a job whose worker is killed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from identbox.data import png
from identbox.data.folder import image_name, images_there
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.jobs import clusters, execution
from identbox.jobs.clusters import Cluster, Pool
from identbox.jobs.execution import Job
from identbox.rendering import generation
from identbox.rendering.blender import Blender, describe_blender
from identbox.rendering.generation import Part
from identbox.rendering.requests import RenderPlan
from identbox.rendering.shapes import load_pack

# So that the start of a child and of its Blender takes some hundredths of the job's time.
IMAGES_PER_JOB = 500


def render_on_cluster(
    folder: Path,
    plan: RenderPlan,
    cluster: Cluster,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    on_pool: Callable[[Pool], None] = lambda pool: None,
    on_images: Callable[[int], None] = lambda there: None,
    on_failure: Callable[[str, str], None] = lambda name, reason: None,
) -> None:
    """Make the dataset of a plan in ``folder``, which all machines of a cluster share.

    Each job renders with ``workers`` processes (None: as many as it has cores). ``on_pool`` gets the machines when they
    are connected, ``on_images`` every few seconds the number of images in the folder, ``on_failure`` a job and why it
    failed. Raises IdentboxError as `clusters.connect` does, for a plan of a part of K, and for jobs that failed.
    """
    if plan.part.shard != (1, 1):
        raise IdentboxError("--shard: expected none beside --cluster, which makes its own")
    generation.prepare_folder(folder, plan.recipe, overwrite=overwrite)
    # Beside the dataset, so that nothing of the cluster's is in the dataset's own folder.
    notes = folder.resolve().with_name(f"{folder.resolve().name}-cluster")
    pieces = shard_jobs(
        folder,
        plan.recipe,
        plan.part,
        plan.pack_name,
        plan.blender,
        workers=workers or cluster.cpus,
        offline=plan.offline,
    )
    with clusters.connect(cluster, notes) as pool:
        on_pool(pool)
        failed = execution.execute(
            pieces,
            workers=pool.slots,
            threads=cluster.cpus,
            executor=pool.executor,
            on_done=lambda name, reason: on_failure(name, reason) if reason else None,
            on_look=lambda: on_images(count_images(folder, plan.recipe, plan.part)),
        )
        execution.expect_no_failures(folder, failed)
        on_images(count_images(folder, plan.recipe, plan.part))
        generation.finish(folder, plan.recipe)


def shard_jobs(
    folder: Path,
    recipe: Recipe,
    part: Part,
    pack: str,
    blender: Blender,
    *,
    workers: int = 1,
    offline: bool = False,
) -> Iterator[Job]:
    """A job for every IMAGES_PER_JOB images of a part of a dataset whose ``folder`` is prepared.

    Each renders with ``workers`` processes; with ``offline`` it takes published shapes from the cache alone.
    """
    settings = (pack, blender.executable or "", str(workers), "offline" if offline else "")
    folder = folder.resolve()
    logs = folder / "logs"
    for split in part.splits:
        count = math.ceil(recipe.samples.get(split, 0) / IMAGES_PER_JOB)
        for place in range(1, count + 1):
            shard = Part(splits=(split,), shard=(place, count))
            yield Job(
                name=f"{split} {place}/{count}",
                done=partial(_is_done, folder, recipe, shard),
                claim=partial(logs.mkdir, exist_ok=True),
                command=("identbox.rendering.shards", str(folder), split, str(place), str(count), *settings),
                log=logs / f"shard-{split}-{place}.log",
            )


def _is_done(folder: Path, recipe: Recipe, shard: Part) -> bool:
    """Whether every image of a shard is whole."""
    (split,) = shard.splits
    n, size = recipe.samples[split], recipe.renderer["size"]
    images = folder / split / "images"
    return all(png.is_whole(images / image_name(k, n), size) for k in shard.indices(n))


def count_images(folder: Path, recipe: Recipe, part: Part) -> int:
    """The number of images of a part's splits in the folder, by their names."""
    return sum(images_there(folder / split / "images", recipe.samples.get(split, 0)) for split in part.splits)


def _render_shard(arguments: list[str]) -> None:
    """What the child process of a job does: render the images of a shard that are missing, by the folder's recipe."""
    place, split, number, of, pack, executable, workers, offline = arguments
    folder = Path(place)
    part = Part(splits=(split,), shard=(int(number), int(of)))
    blender = Blender(executable=executable or None)
    recipe = Recipe.read(folder)
    if recipe is None:
        raise IdentboxError(f"{folder}: expected a dataset of identbox, got one without dataset.toml")
    version = describe_blender(blender)["blender"]
    if version != recipe.renderer["blender"]:
        raise IdentboxError(f"Blender: expected {recipe.renderer['blender']}, got {version} on this machine")
    here = load_pack(pack, recipe.shape_names, blender, offline=bool(offline))
    if here.table() != recipe.shapes:
        raise IdentboxError(f"shapes {pack}: expected those of {folder}, got others on this machine")
    generation.render_images(folder, recipe, part, here.files, blender, workers=int(workers))


if __name__ == "__main__":
    execution.run_child(_render_shard)
