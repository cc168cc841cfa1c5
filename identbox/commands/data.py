"""The commands of datasets: render, check, export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.commands.display import cores, images_bar, print_download, print_failure, print_finding, warn
from identbox.commands.options import PartOfWhole, blender_option, cluster_options, offline_option
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    from identbox.data.recipe import Recipe
    from identbox.jobs.clusters import Cluster
    from identbox.rendering.blender import Blender
    from identbox.rendering.generation import Part


@click.command()
@click.option(
    "--n", type=int, required=True, help="Number of training samples; the published dataset has 125000."
)
@click.option("--val", type=int, help="Number of validation samples.  [default: 8% of n]")
@click.option("--test", type=int, help="Number of test samples.  [default: 8% of n]")
@click.option("--out", type=Path, default=Path("m3di"), show_default=True, help="Folder of the dataset.")
@click.option(
    "--process",
    "process_name",
    default="multimodal3dident",
    show_default=True,
    help="Name or TOML file of the process.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all latents and pixels."
)
@click.option("--size", type=int, default=224, show_default=True, help="Pixels a side.")
@click.option(
    "--samples", type=int, default=4, show_default=True, help="Cycles samples a pixel, before denoising."
)
@click.option(
    "--scene",
    type=click.Choice(["thesis", "published"]),
    default="thesis",
    show_default=True,
    help="As the thesis describes it, or with the quirks of the published generator.",
)
@click.option(
    "--shapes",
    default="builtin",
    show_default=True,
    help="'builtin', 'published', or a folder with a mesh a class (obj, ply, stl, glb, blend).",
)
@offline_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that render side by side; on a cluster, in a piece of work.  [default: cores, or --cpus]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "optix", "hip", "metal"]),
    default="auto",
    show_default=True,
    help="Where Cycles renders.",
)
@blender_option
@click.option(
    "--split",
    "splits",
    type=click.Choice(["train", "val", "test"]),
    multiple=True,
    help="Render the images of this split only; may be repeated.",
)
@click.option(
    "--shard",
    type=PartOfWhole(),
    default=(1, 1),
    help="Render the I-th of K equal parts, so that K machines share one folder.",
)
@click.option("--overwrite", is_flag=True, help="Remove another dataset that is in the folder.")
@cluster_options
def render(
    n: int,
    val: int | None,
    test: int | None,
    out: Path,
    process_name: str,
    seed: int,
    size: int,
    samples: int,
    scene: Any,
    shapes: str,
    offline: bool,
    workers: int | None,
    device: str,
    executable: str | None,
    splits: tuple[str, ...],
    shard: tuple[int, int],
    overwrite: bool,
    cluster: Cluster | None,
) -> None:
    """Make a Multimodal3DIdent dataset: latents, sentences and images.

    Interrupted, the same command goes on where it stopped. A ready-made process draws the shapes that the
    pack's pack.toml names; a process file that declares object_shape draws the shapes it names.
    """
    from identbox.data import folder as data_folder
    from identbox.data import recipe as data_recipe
    from identbox.process import tables
    from identbox.rendering import blender, generation
    from identbox.rendering import shapes as packs
    from identbox.rendering.workers import Settings

    settings = Settings(size=size, samples=samples)
    part = generation.Part(splits=splits or data_folder.SPLITS, shard=shard)
    process = tables.load_process(process_name)
    data_recipe.check_views(process)
    listing = packs.find(shapes)
    if listing.declared and tables.inherits(process_name, "object_shape"):
        process = data_recipe.with_shapes(process, listing.classes)
    counts = {"train": n, "val": share(n) if val is None else val, "test": share(n) if test is None else test}
    runner = blender.Blender(executable=executable)
    found = blender.probe(runner)
    pack = packs.load(
        shapes, data_recipe.shape_names(process), runner, offline=offline, on_download=print_download
    )
    recipe = data_recipe.Recipe(
        process=process,
        splits=counts,
        seed=seed,
        scene=scene,
        shapes=pack.table(),
        renderer={
            "blender": found["blender"],
            "device": blender.choose_device(device, found["devices"]),
            "size": settings.size,
            "samples": settings.samples,
        },
    )
    generation.prepare(out, recipe, overwrite=overwrite)
    if cluster is not None:
        if shard != (1, 1):
            raise IdentboxError("--shard: expected none beside --cluster, which makes its own")
        _render_there(out, recipe, part, shapes, runner, cluster, workers, offline)
        return
    with images_bar() as progress:
        task = progress.add_task("images", total=None)
        outcome = generation.render(
            out,
            recipe,
            part,
            pack.files,
            runner,
            workers=workers or cores(),
            on_start=lambda done, total: progress.update(task, total=total, completed=done, already=done),
            on_image=lambda: progress.advance(task),
            on_message=warn,
        )
    generation.finish(out, recipe)
    whole = generation.is_complete(out, recipe)
    click.echo(
        f"{out}: {outcome.done} images rendered"
        + (f"; the dataset is whole, see {out / 'gallery.png'}" if whole else "")
    )


def _render_there(
    out: Path,
    recipe: Recipe,
    part: Part,
    pack: str,
    runner: Blender,
    cluster: Cluster,
    workers: int | None,
    offline: bool,
) -> None:
    """Render on a cluster, with the display of rendering here."""
    from identbox.jobs import clusters
    from identbox.rendering import generation, shards

    beside = out.resolve().with_name(
        f"{out.resolve().name}-cluster"
    )  # the dataset's own folder stays as it is
    with clusters.connect(cluster, beside) as pool:
        click.echo(pool.summary)
        with images_bar(workers=pool.slots) as progress:
            there = shards.count(out, part)
            total = sum(recipe.splits.get(split, 0) for split in part.splits)
            task = progress.add_task("images", total=total, completed=there, already=there)
            shards.render(
                shards.jobs(
                    out, recipe, part, pack, runner, workers=workers or cluster.cpus, offline=offline
                ),
                out,
                recipe,
                part,
                pool.executor,
                slots=pool.slots,
                threads=cluster.cpus,
                on_images=lambda there: progress.update(task, completed=there),
                on_failure=lambda name, reason: print_failure(progress, name, reason),
            )
    whole = generation.is_complete(out, recipe)
    click.echo(f"{out}: " + ("the dataset is whole" if whole else "all that was asked for is rendered"))


def share(n: int) -> int:
    """8% of n, as the published 10 000 are of 125 000."""
    return round(n * 0.08)


@click.command()
@click.argument("folder", type=Path)
@click.option(
    "--rerender",
    type=click.IntRange(min=0),
    default=0,
    metavar="K",
    help="Render K random images again and compare pixels.",
)
@click.option(
    "--shapes",
    default="builtin",
    show_default=True,
    help="The pack that the images were rendered with, for --rerender.",
)
@offline_option
@blender_option
def check(folder: Path, rerender: int, shapes: str, offline: bool, executable: str | None) -> None:
    """Prove a dataset folder whole: files, pixels, sentences, latents and dependencies."""
    from identbox.data import checks
    from identbox.rendering import blender, generation

    good = True
    runner = blender.Blender(executable=executable)

    def findings() -> Iterator[checks.Finding]:
        yield from checks.check(folder)
        if rerender:
            yield generation.rerender(folder, rerender, runner=runner, pack=shapes, offline=offline)

    for finding in findings():
        print_finding(f"{finding.split:<6}{finding.what}", finding.good, finding.detail)
        good = good and finding.good is not False
    if not good:
        raise IdentboxError(f"{folder}: expected a whole dataset, got the faults above")
    click.echo(f"{folder}: whole")


@click.command()
@click.argument("dataset", type=Path)
@click.option(
    "--to",
    type=click.Choice(["parquet", "webdataset"]),
    required=True,
    help="Parquet files for Hugging Face's datasets, or tar files for webdataset.",
)
@click.option("--out", type=Path, required=True, help="Folder of the shards; it must be new.")
@click.option("--per-shard", type=int, default=1000, show_default=True, help="Samples a shard, at most.")
def export(dataset: Path, to: Any, out: Path, per_shard: int) -> None:
    """Write a DATASET folder as a few large files, which identbox and others read.

    OUT appears when all of it is written.
    """
    from identbox.data import exports

    with images_bar("samples") as progress:
        task = progress.add_task("samples", total=None, already=0)
        shards = exports.export(
            dataset,
            to,
            out,
            per_shard=per_shard,
            on_start=lambda total: progress.update(task, total=total),
            on_sample=lambda: progress.advance(task),
        )
    click.echo(f"{out}: {len(shards)} shards in {out / 'data'}")
