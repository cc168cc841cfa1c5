"""The command line: each command parses, calls, and prints."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from identbox import __version__, export_commands, image_text_commands, simulation_commands, verify_commands
from identbox.errors import IdentboxError

if TYPE_CHECKING:
    from rich.progress import Progress


class Numbers(click.ParamType):
    """I/K, two whole numbers."""

    name = "I/K"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            first, second = str(value).split("/")
            return int(first), int(second)
        except ValueError:
            self.fail(f"expected I/K, like 1/4, got {value}", param, ctx)


OFFLINE = "Never touch the network: the published shapes must be in the cache."


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="identbox")
def cli() -> None:
    """Multimodal data whose hidden causes are known, and tests of whether a learner found them."""


@cli.command()
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
@click.option("--offline", is_flag=True, help=OFFLINE)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that render side by side.  [default: cores]"
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "optix", "hip", "metal"]),
    default="auto",
    show_default=True,
    help="Where Cycles renders.",
)
@click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)
@click.option(
    "--split",
    "splits",
    type=click.Choice(["train", "val", "test"]),
    multiple=True,
    help="Render the images of this split only; may be repeated.",
)
@click.option(
    "--shard",
    type=Numbers(),
    default=(1, 1),
    help="Render the I-th of K equal parts, so that K machines share one folder.",
)
@click.option("--overwrite", is_flag=True, help="Remove another dataset that is in the folder.")
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
) -> None:
    """Make a Multimodal3DIdent dataset: latents, sentences and images.

    Interrupted, the same command goes on where it stopped. A ready-made process draws the shapes that the
    pack's pack.toml names; a process file that declares object_shape draws the shapes it names.
    """
    from identbox import blender, dataset, generation, processes, rendering, sources
    from identbox import shapes as packs

    settings = rendering.Settings(size=size, samples=samples)
    part = generation.Part(splits=splits or sources.SPLITS, shard=shard)
    process = processes.load(process_name)
    dataset.check_views(process)
    listing = packs.find(shapes)
    if listing.declared and processes.inherits(process_name, "object_shape"):
        process = dataset.with_shapes(process, listing.classes)
    counts = {"train": n, "val": share(n) if val is None else val, "test": share(n) if test is None else test}
    runner = blender.Blender(executable=executable)
    found = blender.probe(runner)
    pack = packs.load(
        shapes, dataset.shape_names(process), runner, offline=offline, on_download=print_download
    )
    recipe = dataset.Recipe(
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
    with progress_bar() as progress:
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
        )
    whole = generation.is_complete(out, recipe)
    click.echo(
        f"{out}: {outcome.done} images rendered"
        + (f"; the dataset is whole, see {out / 'gallery.png'}" if whole else "")
    )


def print_download(name: str) -> None:
    """Say that a file is being fetched."""
    click.echo(f"fetching {name}", err=True)


def share(n: int) -> int:
    """8% of n, as the published 10 000 are of 125 000."""
    return round(n * 0.08)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress_bar() -> Progress:
    """A bar with images, images a second (of this run) and the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            done = task.completed - task.fields.get("already", 0)
            speed = done / task.elapsed if task.elapsed and done else 0.0
            return Text(f"{speed:.2f} images/s")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


@cli.command()
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
@click.option("--offline", is_flag=True, help=OFFLINE)
@click.option(
    "--blender",
    "executable",
    metavar="PATH",
    help="An installed Blender instead of the bpy module, for --rerender.",
)
def check(folder: Path, rerender: int, shapes: str, offline: bool, executable: str | None) -> None:
    """Prove a dataset folder whole: files, pixels, sentences, latents and dependencies."""
    from identbox import blender, checking

    good = True
    runner = blender.Blender(executable=executable)
    for finding in checking.check(folder, rerender=rerender, runner=runner, pack=shapes, offline=offline):
        print_finding(f"{finding.split:<6}{finding.what}", finding.good, finding.detail)
        good = good and finding.good is not False
    if not good:
        raise IdentboxError(f"{folder}: expected a whole dataset, got the faults above")
    click.echo(f"{folder}: whole")


def print_finding(what: str, good: bool | None, detail: str) -> None:
    """One line: a mark, what was looked at, and what was seen."""
    mark, color = {True: ("ok", "green"), False: ("FAULT", "red"), None: ("-", "yellow")}[good]
    click.echo(f"{click.style(f'{mark:<6}', fg=color)}{what:<36} {detail}")


@cli.group()
def process() -> None:
    """Generative processes: the ready-made ones, and your own."""


@process.command()
@click.argument("name")
@click.option("--dot", is_flag=True, help="Print the graph in Graphviz's language.")
def show(name: str, dot: bool) -> None:
    """Draw a process, by NAME or from a TOML FILE: graph, roles, distributions, assumptions."""
    from rich.console import Console

    from identbox import diagrams, processes

    found = processes.load(name)
    if dot:
        click.echo(diagrams.dot(found))
    else:
        Console().print(diagrams.terminal(found))


@process.command("list")
def list_processes() -> None:
    """List the ready-made processes."""
    from identbox import processes

    for name, make in processes.PRESETS.items():
        click.echo(f"{name:<32} {make().description}")


@cli.group()
def shapes() -> None:
    """Packs of shapes: 'builtin', 'published', or a folder of your own."""


@shapes.command("list")
def list_shapes() -> None:
    """List the packs that come without a folder: licence, credit and classes. Touches no network."""
    from identbox import downloads
    from identbox import shapes as packs

    for name in ("builtin", "published"):
        listing = packs.find(name)
        lacking = len(downloads.missing(listing.folder)) if name == "published" else 0
        state = f"{lacking} of {len(listing.classes)} files not fetched" if lacking else "here"
        click.echo(f"{name:<10} {state}; {listing.licence}; {listing.credit}")
        click.echo(f"{'':<10} {', '.join(listing.classes)}")


@shapes.command()
@click.option("--offline", is_flag=True, help="Only prove those that are in the cache.")
def fetch(offline: bool) -> None:
    """Download the published shapes into the cache, each proved by its hash."""
    from identbox import downloads
    from identbox import shapes as packs

    folder = packs.find("published").folder
    downloads.fetch(folder, offline=offline, on_file=print_download)
    click.echo(f"{folder}: {len(downloads.BLOBS)} files, each with the content that was published")


@shapes.command("check")
@click.argument("pack", default="builtin")
@click.option(
    "--turns", type=click.IntRange(min=2), default=64, show_default=True, help="Random orientations of each."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the orientations."
)
@click.option("--offline", is_flag=True, help=OFFLINE)
@click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)
def check_shapes(pack: str, turns: int, seed: int, offline: bool, executable: str | None) -> None:
    """Measure the meshes of a PACK, and say whether a class could be told by its size alone."""
    from rich.console import Console

    from identbox import blender, shape_reports
    from identbox import shapes as packs

    runner = blender.Blender(executable=executable)
    found = packs.load(pack, None, runner, offline=offline, on_download=print_download)
    rows = shape_reports.examine(found, runner, turns=turns, seed=seed)
    Console(width=None if sys.stdout.isatty() else 110).print(shape_reports.table(rows))
    for warning in shape_reports.warnings(rows):
        click.echo(f"{click.style('warning', fg='yellow')}: {warning}")


@shapes.command("show")
@click.argument("pack", default="builtin")
@click.option("--out", type=Path, required=True, metavar="FILE.png", help="Where the picture goes.")
@click.option(
    "--samples", type=int, default=4, show_default=True, help="Cycles samples a pixel, before denoising."
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that render side by side.  [default: cores]"
)
@click.option("--offline", is_flag=True, help=OFFLINE)
@click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)
def show_shapes(
    pack: str, out: Path, samples: int, workers: int | None, offline: bool, executable: str | None
) -> None:
    """Draw each shape of a PACK from eight directions, in large and at 64 pixels."""
    from identbox import blender, shape_reports
    from identbox import shapes as packs

    runner = blender.Blender(executable=executable)
    shape_reports.expect_writable(out)
    found = packs.load(pack, None, runner, offline=offline, on_download=print_download)
    with progress_bar() as progress:
        task = progress.add_task("images", total=shape_reports.images(found), already=0)
        shape_reports.show(
            found,
            out,
            runner,
            samples=samples,
            workers=workers or cores(),
            on_image=lambda: progress.advance(task),
        )
    click.echo(str(out))


@cli.command()
@click.option(
    "--blender", "executable", metavar="PATH", help="An installed Blender instead of the bpy module."
)
@click.option("--install", is_flag=True, help="Install the system libraries that Blender lacks, if you may.")
def doctor(executable: str | None, install: bool) -> None:
    """Say what works here: Blender, its libraries, torch, GPU, disk, cores."""
    from identbox import doctor as examiner

    if install:
        examiner.install(executable)
    findings = examiner.examine(executable)
    for finding in findings:
        print_finding(finding.what, finding.good, finding.detail)
    if any(finding.good is False for finding in findings):
        raise IdentboxError("doctor: expected all of the above to work, got what is marked FAULT")


for command in (
    export_commands.export,
    simulation_commands.simulate,
    simulation_commands.sweep,
    simulation_commands.report,
    image_text_commands.train,
    image_text_commands.probe,
    verify_commands.verify,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line: a user's mistake is one line and exit code 1, Ctrl-C is 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        click.echo(f"identbox: {error.format_message()}", err=True)
    except IdentboxError as error:
        click.echo(f"identbox: {error}", err=True)
    except (KeyboardInterrupt, click.Abort):
        click.echo("identbox: stopped; the same command goes on where it stopped", err=True)
        sys.exit(130)
    sys.exit(1)
