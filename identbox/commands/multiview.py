"""The commands of datasets with any number of modalities: data polymnist, and those read from a user's copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from identbox.commands.display import images_bar

if TYPE_CHECKING:
    from identbox.data.multiview import MultiviewRecipe


@click.group("data")
def data_group() -> None:
    """Datasets of any number of modalities, with their factors: PolyMNIST and others."""


@data_group.command("polymnist")
@click.option("--out", type=Path, default=Path("polymnist"), show_default=True, help="Folder of the dataset.")
@click.option(
    "--mnist",
    type=Path,
    help="Folder with the four IDX files of MNIST, Fashion-MNIST or KMNIST.  [default: scikit-learn's 1797 digits]",
)
@click.option(
    "--backgrounds",
    type=Path,
    help="Folder with a picture for each modality, taken by name.  [default: textures made by code]",
)
@click.option("--modalities", type=int, default=5, show_default=True, help="Number of modalities.")
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="Size of the digits; below 1 they stand at random places: Translated-PolyMNIST has 0.7.",
)
@click.option("--train", type=int, help="Number of training samples.  [default: one for each digit]")
@click.option(
    "--val", type=int, default=0, show_default=True, help="Digits kept from training for validation."
)
@click.option("--test", type=int, help="Number of test samples.  [default: one for each digit]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the dataset.")
@click.option(
    "--published",
    type=Path,
    help="Read a published PolyMNIST from this folder instead of making one: PNG files or tensors.",
)
def polymnist_command(
    out: Path,
    mnist: Path | None,
    backgrounds: Path | None,
    published: Path | None,
    **asked: int | float | None,
) -> None:
    """Make PolyMNIST or Translated-PolyMNIST: one digit by several hands on several backgrounds.

    Every place, slant and amount of ink is kept as a factor. After an interruption the same command continues.
    """
    from identbox.data import polymnist, published_polymnist
    from identbox.settings import build

    if published is not None:
        _expect_nothing_else()
        _made(out, lambda tell: published_polymnist.import_polymnist(published, out))
        return
    settings = build(
        polymnist.PolyMnistSettings, {k: v for k, v in asked.items() if v is not None}, "options"
    )
    _made(
        out,
        lambda tell: polymnist.build_polymnist(
            out, settings, mnist=mnist, pictures=backgrounds, on_progress=tell
        ),
    )


def _expect_nothing_else() -> None:
    """Raise UsageError for options beside --published that only a dataset of our own has."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    given = [name for name in context.params if context.get_parameter_source(name) is source]
    for name in given:
        if name not in ("out", "published"):
            raise click.UsageError(f"--{name}: expected none beside --published, got one")


@data_group.command("celeba")
@click.argument("source", type=Path)
@click.option("--out", type=Path, default=Path("celeba"), show_default=True, help="Folder of the dataset.")
@click.option("--size", "side", type=int, default=64, show_default=True, help="Pixels a side.")
@click.option("--limit", type=int, help="Samples of each split, at most.  [default: all]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the texts' places."
)
def celeba_command(source: Path, out: Path, **asked: int | None) -> None:
    """Make Bimodal-CelebA of a copy of CelebA in SOURCE: a face, and its attributes as a text.

    SOURCE has img_align_celeba, list_attr_celeba and list_eval_partition. After an interruption the same command
    continues.
    """
    from identbox.data import celeba
    from identbox.settings import build

    settings = build(celeba.CelebaSettings, {k: v for k, v in asked.items() if v is not None}, "options")
    _made(out, lambda tell: celeba.build_celeba(source, out, settings, on_progress=tell))


@data_group.command("cub")
@click.argument("source", type=Path)
@click.option("--out", type=Path, default=Path("cub"), show_default=True, help="Folder of the dataset.")
@click.option("--size", "side", type=int, default=64, show_default=True, help="Pixels a side.")
def cub_command(source: Path, out: Path, side: int) -> None:
    """Make CUB Image-Captions of a copy in SOURCE: photographs of birds with ten captions each.

    SOURCE has train, test, text_trainvalclasses.txt and text_testclasses.txt. After an interruption the same command
    continues.
    """
    from identbox.data import cub

    settings = cub.CubSettings(side=side)
    _made(out, lambda tell: cub.build_cub(source, out, settings, on_progress=tell))


def _made(out: Path, make: Callable[[Callable[[int, int], None]], MultiviewRecipe]) -> None:
    """Make a dataset behind a bar, and say what it is."""
    with images_bar("samples") as progress:
        task = progress.add_task("samples", total=None, already=0)
        recipe = make(lambda done, total: progress.update(task, completed=done, total=total))
    splits = ", ".join(f"{n} {split}" for split, n in recipe.splits.items())
    click.echo(f"{out}: {recipe.name}, {splits}; see {out / 'gallery.png'}")
