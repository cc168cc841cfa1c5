"""Makes a dataset folder from a recipe: first latents and sentences, then images, then the card and the picture."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from identbox import config, seeding
from identbox.data import cards, png
from identbox.data.folder import (
    SPLITS,
    Columns,
    image_name,
    write_split,
    write_vocabulary,
)
from identbox.data.recipe import Recipe, check_views, draw_latents
from identbox.data.scene import Scene, check_image_latents
from identbox.data.text import describe
from identbox.errors import IdentboxError, first_few
from identbox.jobs import leases
from identbox.rendering.blender import Blender
from identbox.rendering.workers import ATTEMPTS_PER_IMAGE, RenderOutcome, RenderRun, RenderSettings
from identbox.settings import settings


@settings
class Part:
    """Which of the images to render: those of some splits, and of each the part I of K."""

    splits: tuple[str, ...] = SPLITS
    shard: tuple[int, int] = (1, 1)  # I, K

    def __post_init__(self) -> None:
        place, count = self.shard
        if not 1 <= place <= count:
            raise IdentboxError(f"--shard: expected I/K with 1 <= I <= K, got {place}/{count}")

    @property
    def name(self) -> str:
        """A name that a file may have."""
        return f"{'+'.join(self.splits)}-{self.shard[0]}of{self.shard[1]}"

    def indices(self, n: int) -> range:
        """The indices of a split of n that belong to the part."""
        place, count = self.shard
        return range((place - 1) * n // count, place * n // count)


def prepare_folder(folder: Path, recipe: Recipe, *, overwrite: bool = False) -> None:
    """Write the recipe, the latents and the sentences, where they are missing or were cut short.

    ``overwrite`` removes another dataset first, and nothing else. Raises IdentboxError where the folder has another
    dataset (the keys that differ are named), or files of no dataset.
    """
    check_views(recipe.process)
    ready = {split: _observe(recipe, split) for split, n in recipe.splits.items() if n}
    replaces = overwrite and (folder / "dataset.toml").exists()
    if replaces:
        _remove_dataset(folder)
    config.claim(
        folder / "dataset.toml",
        recipe.table(),
        what="a dataset of this recipe",
        in_empty=not replaces,  # the user's own files stay beside a dataset that is replaced
        free=("identbox",),  # the version that made it
        advice="; choose another --out, or --overwrite",
    )
    try:
        for split, (latents, sentences, text) in ready.items():
            write_split(folder / split, latents, sentences, text)
            if split == "train":
                write_vocabulary(folder / "vocab.json", sentences)
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error


def _remove_dataset(folder: Path) -> None:
    """Remove all files of a dataset; other files in the folder stay."""
    for name in (*SPLITS, "logs", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("vocab.json", "README.md", "gallery.png", "dataset.toml"):
        (folder / name).unlink(missing_ok=True)


def _observe(recipe: Recipe, split: str) -> tuple[dict[str, Columns], list[str], dict[str, list]]:
    """Latents, sentences and text latents of a split. Their ranges are checked before anything is written."""
    latents = draw_latents(recipe.process, recipe.seed, split, recipe.splits[split])
    check_image_latents(latents["image"], len(recipe.shape_names), f"process {recipe.process.name}: {split}")
    return latents, *describe(latents["text"], recipe.shape_names, recipe.naming)


def settings_of(recipe: Recipe) -> RenderSettings:
    """The settings of the renderer that a recipe names."""
    return RenderSettings(**{name: recipe.renderer[name] for name in ("size", "samples", "device")})


def records_of(recipe: Recipe, split: str) -> list[dict]:
    """The scene records of a split, each with its ``file`` below the dataset folder and its sampling ``seed``."""
    n = recipe.splits[split]
    latents = draw_latents(recipe.process, recipe.seed, split, n)["image"]
    records = Scene(flavour=recipe.scene).records(latents, recipe.shape_names)
    for index, record in enumerate(records):
        record["file"] = f"{split}/images/{image_name(index, n)}"
        record["seed"] = seeding.derive(recipe.seed, "render", split, index) % 2**31
    return records


def missing_records(folder: Path, recipe: Recipe, part: Part) -> tuple[list[dict], int]:
    """The records of a part whose images are missing or not whole, and the number of images of the part."""
    missing, total = [], 0
    for split in part.splits:
        if not recipe.splits.get(split):
            continue
        chosen = part.indices(recipe.splits[split])
        total += len(chosen)
        wanted = records_of(recipe, split)[chosen.start : chosen.stop]
        size = recipe.renderer["size"]
        missing += [record for record in wanted if not png.is_whole(folder / record["file"], size)]
    return missing, total


def remove_leftovers(folder: Path, records: list[dict]) -> None:
    """Remove the temporary files that killed workers left of these records."""
    names = {Path(record["file"]).name for record in records}
    for images in {(folder / record["file"]).parent for record in records}:
        for path in images.glob(".*.part"):
            match = re.fullmatch(r"\.(.+\.png)\.\d+\.part", path.name)
            if match and match[1] in names:
                path.unlink(missing_ok=True)


def render_images(
    folder: Path,
    recipe: Recipe,
    part: Part,
    shapes: dict[str, Path],
    blender: Blender,
    *,
    workers: int,
    on_start: Callable[[int, int], None] = lambda done, total: None,
    on_image: Callable[[], None] = lambda: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> RenderOutcome:
    """Render the images of a part that are missing.

    ``on_start`` gets the number of images already whole and that of all. Raises IdentboxError as
    `workers.RenderRun.execute` does, for images that could not be rendered, and where another process renders this
    part.
    """
    with leases.hold(folder / "logs" / f"{part.name}.lease", on_message):
        missing, total = missing_records(folder, recipe, part)
        on_start(total - len(missing), total)
        outcome = RenderOutcome()
        if missing:
            remove_leftovers(folder, missing)
            run = RenderRun(missing, folder, shapes, settings_of(recipe), blender, on_image=on_image)
            outcome = run.execute(workers)
    if outcome.failed:
        file, reason = next(iter(outcome.failed.items()))
        raise IdentboxError(
            f"{folder}: expected {total} images, got {len(outcome.failed)} that failed "
            f"{ATTEMPTS_PER_IMAGE} times: {first_few(outcome.failed, 3)} ({file}: {reason}; logs: {folder / 'logs'})"
        )
    return outcome


def finish(folder: Path, recipe: Recipe) -> None:
    """Write the card and the picture, and remove the logs, when every image of every split is there."""
    if is_complete(folder, recipe):
        for name in (*SPLITS, "logs"):
            for path in (folder / name).rglob(".*.part"):  # left by killed processes
                path.unlink(missing_ok=True)
        shutil.rmtree(folder / "logs", ignore_errors=True)
        cards.write(folder, recipe)


def images_there(folder: Path, split: str) -> int:
    """The number of images of a split; their content is not looked at."""
    return sum(1 for _ in (folder / split / "images").glob("*.png"))


def is_complete(folder: Path, recipe: Recipe) -> bool:
    """Whether every image of every split is there; their content is not looked at."""
    return all(images_there(folder, split) == n for split, n in recipe.splits.items() if n)
