"""Makes a dataset folder from a recipe: first latents and sentences, then images, then the card and the picture."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from identbox import config, files, seeding
from identbox.data import cards, counterfactuals, png
from identbox.data.counterfactuals import Counterfactual
from identbox.data.folder import (
    SPLITS,
    Columns,
    image_name,
    write_split,
    write_vocabulary,
)
from identbox.data.recipe import Recipe, check_views
from identbox.data.scene import Scene, check_image_latents
from identbox.data.text import describe
from identbox.errors import IdentboxError, first_few
from identbox.jobs import leases
from identbox.rendering.blender import Blender
from identbox.rendering.workers import ATTEMPTS_PER_IMAGE, RenderOutcome, RenderRun, RenderSettings
from identbox.settings import settings

LONGEST_NAME = 100  # characters of the splits in the name of a part; file systems allow 255 in all


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
        named = "+".join(self.splits)
        if len(named) > LONGEST_NAME:
            named = f"{named[:LONGEST_NAME]}-{seeding.derive(0, *self.splits):x}"
        return f"{named}-{self.shard[0]}of{self.shard[1]}"

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
    ready = {split: _observe(recipe, split) for split, n in recipe.samples.items() if n}
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
            added = recipe.intervention(split)
            if added is not None:
                _claim_counterfactual(folder / split, added)
            write_split(folder / split, latents, sentences, text)
            if split == "train":
                write_vocabulary(folder / "vocab.json", sentences)
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error


def _claim_counterfactual(place: Path, added: Counterfactual) -> None:
    """Write into the folder of a counterfactual split what it is. Raises IdentboxError where it is another."""
    config.claim(
        place / counterfactuals.FILE,
        added.table(),
        what=f"the samples of {added.of} under {added}",
        advice="; remove it first",
    )


def _remove_dataset(folder: Path) -> None:
    """Remove all files of a dataset; other files in the folder stay."""
    added = [one.name for one in counterfactuals.counterfactuals_of(folder)]
    for name in (*SPLITS, *added, "logs", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("vocab.json", "README.md", "gallery.png", "dataset.toml"):
        (folder / name).unlink(missing_ok=True)


def _observe(recipe: Recipe, split: str) -> tuple[dict[str, Columns], list[str], dict[str, list]]:
    """Latents, sentences and text latents of a split. Their ranges are checked before anything is written."""
    latents = recipe.latents(split)
    check_image_latents(latents["image"], len(recipe.shape_names), f"process {recipe.process.name}: {split}")
    return latents, *describe(latents["text"], recipe.shape_names, recipe.naming)


def settings_of(recipe: Recipe) -> RenderSettings:
    """The settings of the renderer that a recipe names."""
    return RenderSettings(**{name: recipe.renderer[name] for name in ("size", "samples", "device")})


def records_of(recipe: Recipe, split: str) -> list[dict]:
    """The scene records of a split, each with its ``file`` below the dataset folder and its sampling ``seed``.

    A sample of a counterfactual split has the sampling seed of the sample that it is made from.
    """
    n, added = recipe.samples[split], recipe.intervention(split)
    drawn = split if added is None else added.of
    records = Scene(flavour=recipe.scene).records(recipe.latents(split)["image"], recipe.shape_names)
    for index, record in enumerate(records):
        record["file"] = f"{split}/images/{image_name(index, n)}"
        record["seed"] = seeding.derive(recipe.seed, "render", drawn, index) % 2**31
    return records


def missing_records(folder: Path, recipe: Recipe, part: Part) -> tuple[list[dict], int]:
    """The records of a part whose images are missing or not whole, and the number of images of the part."""
    missing, total = [], 0
    for split in part.splits:
        if not recipe.samples.get(split):
            continue
        chosen = part.indices(recipe.samples[split])
        total += len(chosen)
        wanted = records_of(recipe, split)[chosen.start : chosen.stop]
        size = recipe.renderer["size"]
        missing += [record for record in wanted if not png.is_whole(folder / record["file"], size)]
    return missing, total


def _without_copies(folder: Path, recipe: Recipe, missing: Sequence[dict]) -> list[dict]:
    """The records of which no image is there yet. Of samples that an intervention leaves as they were it is copied."""
    left = []
    known: dict[str, list[dict]] = {}
    for record in missing:
        split, _, name = record["file"].split("/")
        added = recipe.intervention(split)
        if added is not None:
            before = known.setdefault(added.of, records_of(recipe, added.of))[int(Path(name).stem)]
            source = folder / before["file"]
            if {**before, "file": record["file"]} == record and png.is_whole(source, recipe.renderer["size"]):
                files.write_whole(folder / record["file"], source.read_bytes())
                continue
        left.append(record)
    return left


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
        missing = _without_copies(folder, recipe, missing)
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
    """Write the card and the picture, and remove the logs, when every image of every split is there.

    Logs stay while a counterfactual split that the recipe does not name is incomplete: another process may be at it.
    """
    if not is_complete(folder, recipe):
        return
    for name in (*recipe.samples, "logs"):
        for path in (folder / name).rglob(".*.part"):  # left by killed processes
            path.unlink(missing_ok=True)
    every = replace(recipe, counterfactuals=counterfactuals.counterfactuals_of(folder))
    if is_complete(folder, every):
        shutil.rmtree(folder / "logs", ignore_errors=True)
    cards.write(folder, every)


def images_there(folder: Path, split: str) -> int:
    """The number of images of a split; their content is not looked at."""
    return sum(1 for _ in (folder / split / "images").glob("*.png"))


def is_complete(folder: Path, recipe: Recipe) -> bool:
    """Whether every image of every split is there; their content is not looked at."""
    return all(images_there(folder, split) == n for split, n in recipe.samples.items() if n)
