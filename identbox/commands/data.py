"""The commands of datasets: render, check, export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox.commands.display import cores, images_bar, print_failure, print_finding, print_step, warn
from identbox.commands.options import PartOfWhole, blender_option, cluster_options, offline_option
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    from identbox.jobs.clusters import Cluster, Pool
    from identbox.rendering.requests import RenderPlan


@click.command("render")
@click.option(
    "--n",
    type=int,
    help="Number of training samples; the published dataset has 125000.  [required for a dataset]",
)
@click.option("--val", type=int, help="Number of validation samples.  [default: 8% of n]")
@click.option("--test", type=int, help="Number of test samples.  [default: 8% of n]")
@click.option("--out", type=Path, default=Path("m3di"), show_default=True, help="Folder of the dataset.")
@click.option(
    "--process",
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
    help="The scene of the thesis, or with the quirks of the published generator.",
)
@click.option(
    "--naming",
    type=click.Choice(["rgb", "lab"]),
    default="rgb",
    show_default=True,
    help="Colour names by the nearest colour in RGB, or in CIE Lab (CIEDE2000), closer to what a person sees.",
)
@click.option(
    "--shapes",
    default="builtin",
    show_default=True,
    help="'builtin', 'published', or a folder with one mesh for each class (obj, ply, stl, glb, blend).",
)
@offline_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that render side by side; on a cluster, within each job.  [default: cores, or --cpus]",
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
    help="Render part I of K, so that K machines share one folder.",
)
@click.option("--overwrite", is_flag=True, help="First remove another dataset that is in the folder.")
@click.option(
    "--intervene",
    "interventions",
    multiple=True,
    metavar="SPEC|FILE.toml",
    help="Add to the dataset in --out the samples of a split once more under an intervention, as in "
    "permute:object_color; may be repeated.",
)
@click.option(
    "--of",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="For --intervene: the split.",
)
@cluster_options
def render_command(
    out: Path,
    workers: int | None,
    overwrite: bool,
    interventions: tuple[str, ...],
    of: str,
    cluster: Cluster | None,
    **asked: Any,
) -> None:
    """Make a Multimodal3DIdent dataset: latents, sentences and images.

    Interrupted, the same command goes on where it stopped. A ready-made process draws the shapes that the
    pack's pack.toml names; a process file that declares object_shape draws the shapes it names.

    With --intervene the folder must have a dataset. Its samples are rendered again with one variable changed and
    everything else the same: HOW:TARGET[,TARGET...][=VALUE][:recompute][:first=N], where HOW is permute, set, shift,
    resample or redraw, and TARGET a variable or a role.
    """
    from identbox.rendering import additions, blender, generation, requests

    if interventions:
        _expect_only_of_additions(overwrite)
        plan = additions.plan_counterfactuals(
            out,
            interventions,
            of=of,
            **{name: asked[name] for name in ("shapes", "offline", "executable", "shard")},
            on_step=print_step,
        )
    elif asked["n"] is None:
        raise click.UsageError("Missing option '--n', the number of training samples.")
    else:
        plan = requests.plan_render(requests.RenderRequest(**asked), on_step=print_step)
    for note in (*plan.pack.notes, *blender.environment_notes()):
        warn(note)
    if cluster is not None:
        _render_on_cluster(out, plan, cluster, workers, overwrite)
        whole = generation.is_complete(out, plan.recipe)
        click.echo(f"{out}: " + ("the dataset is whole" if whole else "all that was asked for is rendered"))
        return
    done = _render_with_bar(out, plan, workers or cores(), overwrite)
    whole = generation.is_complete(out, plan.recipe)
    click.echo(
        f"{out}: {done} images rendered"
        + (f"; the dataset is whole, see {out / 'gallery.png'}" if whole else "")
    )


def _render_with_bar(out: Path, plan: RenderPlan, workers: int, overwrite: bool) -> int:
    """Render on this machine, with a bar that moves; returns the number of images."""
    from identbox.rendering import requests

    with images_bar() as progress:
        task = progress.add_task("images", total=None, start=False)

        def begin(done: int, total: int) -> None:
            progress.start_task(task)
            progress.update(task, total=total, completed=done, already=done)

        outcome = requests.render_here(
            out,
            plan,
            workers=workers,
            overwrite=overwrite,
            on_start=begin,
            on_image=lambda: progress.advance(task),
            on_message=warn,
        )
    return outcome.done


FROM_THE_DATASET = (
    "n",
    "val",
    "test",
    "process",
    "seed",
    "size",
    "samples",
    "scene",
    "naming",
    "device",
    "splits",
)


def _expect_only_of_additions(overwrite: bool) -> None:
    """Raise IdentboxError for options beside --intervene that the dataset in the folder has answered already."""
    context = click.get_current_context()
    given = [
        name
        for name in FROM_THE_DATASET
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given or overwrite:
        name = given[0].removesuffix("s") if given == ["splits"] else given[0] if given else "overwrite"
        raise IdentboxError(
            f"--{name}: expected none beside --intervene, which takes it from the dataset, got one"
        )


def _render_on_cluster(
    out: Path, plan: RenderPlan, cluster: Cluster, workers: int | None, overwrite: bool
) -> None:
    """Render on a cluster behind a bar of all images, those of other machines too."""
    from identbox.rendering import shards

    total = sum(plan.recipe.samples.get(split, 0) for split in plan.part.splits)
    with ExitStack() as stack:
        progress = images_bar()
        task = progress.add_task("images", total=total, start=False)

        def begin(pool: Pool) -> None:
            click.echo(pool.summary)
            there = shards.count_images(out, plan.recipe, plan.part)
            progress.start_task(task)
            progress.update(task, completed=there, already=there, workers=pool.slots)
            stack.enter_context(progress)

        shards.render_on_cluster(
            out,
            plan,
            cluster,
            workers=workers,
            overwrite=overwrite,
            on_pool=begin,
            on_images=lambda there: progress.update(task, completed=there),
            on_failure=lambda name, reason: print_failure(progress, name, reason),
        )


@click.command("check")
@click.argument("folder", type=Path)
@click.option(
    "--rerender",
    type=click.IntRange(min=0),
    default=0,
    metavar="K",
    help="Render K random images again, and compare pixels.",
)
@click.option(
    "--placement",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="K",
    help="Look in K random images for the object in its cell, by its rendered silhouette.",
)
@click.option(
    "--shapes",
    default="builtin",
    show_default=True,
    help="For --rerender and --placement: the pack that the images were rendered with.",
)
@offline_option
@blender_option
def check_command(
    folder: Path, rerender: int, placement: int, shapes: str, offline: bool, executable: str | None
) -> None:
    """Check a whole dataset folder: files, pixels, sentences, latents, dependencies, and where objects are.

    Of a dataset of identbox data: the content of its arrays, and the ranges of its factors.
    """
    from identbox.data import checks, multiview, multiview_checks
    from identbox.rendering.blender import Blender
    from identbox.rendering.comparison import rerender as render_again
    from identbox.rendering.placement import look_for_objects

    def findings() -> Iterator[checks.DatasetFinding]:
        if multiview.is_multiview(folder):
            yield from multiview_checks.check_multiview(folder)
            return
        yield from checks.check_dataset(folder)
        blender = Blender(executable=executable)
        if placement:
            yield look_for_objects(folder, placement, blender=blender, pack=shapes, offline=offline)
        if rerender:
            yield render_again(folder, rerender, blender=blender, pack=shapes, offline=offline)

    good = True
    for finding in findings():
        print_finding(f"{finding.split:<5} {finding.what}", finding.good, finding.detail)
        good = good and finding.good is not False
    if not good:
        raise IdentboxError(f"{folder}: expected a whole dataset, got the faults above")
    click.echo(f"{folder}: whole")


@click.command("export")
@click.argument("dataset", type=Path)
@click.option(
    "--to",
    type=click.Choice(["parquet", "webdataset"]),
    required=True,
    help="Parquet files for Hugging Face's datasets, or tar files for webdataset.",
)
@click.option("--out", type=Path, required=True, help="Folder of the shards; it must be new.")
@click.option("--per-shard", type=int, default=1000, show_default=True, help="Samples of a shard, at most.")
def export_command(dataset: Path, to: Any, out: Path, per_shard: int) -> None:
    """Write a DATASET folder as a few large files, which identbox and others read.

    OUT appears when all of it is written.
    """
    from identbox.data import exports

    with images_bar("samples") as progress:
        task = progress.add_task("samples", total=None, already=0)
        shards = exports.export_dataset(
            dataset,
            to,
            out,
            per_shard=per_shard,
            on_start=lambda total: progress.update(task, total=total),
            on_sample=lambda: progress.advance(task),
        )
    click.echo(f"{out}: {len(shards)} shards in {out / 'data'}")
