"""Makes a dataset folder from a recipe: first latents and sentences, then images, then the card and the picture."""

from __future__ import annotations

import hashlib
import random
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
    images_there,
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

LONGEST_PART_NAME = 100  # characters of the splits in the name of a part; file systems allow 255 in all
RECIPE_FILE = "dataset.toml"


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
        if len(named) > LONGEST_PART_NAME:
            named = f"{named[:LONGEST_PART_NAME]}-{seeding.derive(0, *self.splits):x}"
        return f"{named}-{self.shard[0]}of{self.shard[1]}"

    @staticmethod
    def named(name: str) -> Part | None:
        """The part of that name; None where it is no name of a part."""
        match = re.fullmatch(r"([\w.+]+)-(\d{1,9})of(\d{1,9})", name)
        if match is None or not 1 <= int(match[2]) <= int(match[3]):
            return None
        return Part(splits=tuple(match[1].split("+")), shard=(int(match[2]), int(match[3])))

    def overlaps(self, other: Part) -> bool:
        """Whether two parts may have images in common."""
        (place, count), (other_place, other_count) = self.shard, other.shard
        before = place * other_count <= (other_place - 1) * count
        behind = other_place * count <= (place - 1) * other_count
        return not before and not behind and bool({*self.splits} & {*other.splits})

    def indices(self, n: int) -> range:
        """The indices of a split of n that belong to the part."""
        place, count = self.shard
        return range((place - 1) * n // count, place * n // count)


def prepare_folder(
    folder: Path,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    on_message: Callable[[str], None] = lambda message: None,
) -> None:
    """Write the recipe, the latents and the sentences, where they are missing or were cut short.

    ``overwrite`` removes another dataset first, and nothing else. Raises IdentboxError where the folder has another
    dataset (the keys that differ are named), or files of no dataset, where links in it lead elsewhere, and where
    another process is rendering in a dataset that is to be replaced.
    """
    check_views(recipe.process)
    for name in (*recipe.samples, "logs"):
        for place in (name, f"{name}/images", f"{name}/text"):
            files.inside(folder, place, str(folder / place))
    ready = {split: _observe(recipe, split) for split, n in recipe.samples.items() if n}
    replaces = overwrite and (folder / RECIPE_FILE).exists()
    if replaces:
        leases.expect_free(sorted((folder / "logs").glob("*.lease")), on_message)
        _remove_dataset(folder)
    config.claim(
        folder / RECIPE_FILE,
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
    for name in ("vocab.json", "README.md", "gallery.png", RECIPE_FILE):
        (folder / name).unlink(missing_ok=True)


def _observe(recipe: Recipe, split: str) -> tuple[dict[str, Columns], list[str], dict[str, list]]:
    """Latents, sentences and text latents of a split. Their ranges are checked before anything is written."""
    latents = recipe.latents(split)
    check_image_latents(latents["image"], len(recipe.shape_names), f"process {recipe.process.name}: {split}")
    return latents, *describe(latents["text"], recipe.shape_names, recipe.naming)


def settings_of(recipe: Recipe) -> RenderSettings:
    """The settings of the renderer that a recipe names."""
    return RenderSettings(**{name: recipe.renderer[name] for name in ("size", "samples", "device")})


def records_of(recipe: Recipe, split: str, rows: range | None = None) -> list[dict]:
    """The scene records of a split, or of some of its rows.

    Each has its ``file`` below the dataset folder and its sampling ``seed``. A sample of a counterfactual
    split has the sampling seed of the sample that it is made from.
    """
    n, added = recipe.samples[split], recipe.intervention(split)
    drawn = split if added is None else added.of
    records = Scene(flavour=recipe.scene).records(recipe.latents(split, rows)["image"], recipe.shape_names)
    for index, record in enumerate(records, 0 if rows is None else rows.start):
        record["file"] = f"{split}/images/{image_name(index, n)}"
        record["seed"] = seeding.derive(recipe.seed, "render", drawn, index) % 2**31
    return records


def random_records(recipe: Recipe, count: int, seed: int) -> list[dict]:
    """The records of ``count`` random samples of a dataset, or of all where there are fewer; no others are drawn."""
    total = sum(recipe.samples.values())
    records = []
    for place in random.Random(seed).sample(range(total), min(count, total)):
        for split, n in recipe.samples.items():
            if place < n:
                records += records_of(recipe, split, range(place, place + 1))
                break
            place -= n
    return records


def missing_records(folder: Path, recipe: Recipe, part: Part) -> tuple[list[dict], int]:
    """The records of a part whose images are missing or not whole, and the number of images of the part."""
    missing, total = [], 0
    for split in part.splits:
        if not recipe.samples.get(split):
            continue
        chosen = part.indices(recipe.samples[split])
        total += len(chosen)
        wanted = records_of(recipe, split, chosen)
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
                files.write_whole(folder / record["file"], files.read_bytes(source, files.LARGEST_IMAGE))
                continue
        left.append(record)
    return left


def remove_leftovers(folder: Path, records: list[dict]) -> None:
    """Remove the temporary files that killed workers left of these records."""
    names = {Path(record["file"]).name for record in records}
    for images in {(folder / record["file"]).parent for record in records}:
        for path in images.glob(".*.part"):
            match = re.fullmatch(r"\.(.+\.png)\.\d+\.(?:[0-9a-f]{16}\.)?part", path.name)
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
    missing, total = missing_records(folder, recipe, part)
    if not missing:  # nothing need be written, so that the folder may be read-only
        on_start(total, total)
        return RenderOutcome()
    with leases.hold(folder / "logs" / f"{part.name}.lease", on_message) as lease:
        _expect_no_overlap(folder, part, on_message)
        missing, total = missing_records(folder, recipe, part)
        missing = _without_copies(folder, recipe, missing)
        on_start(total - len(missing), total)
        outcome = RenderOutcome()
        if missing:
            remove_leftovers(folder, missing)
            claims = [
                _claim_of(folder / RECIPE_FILE),
                {"path": str(lease.path.resolve()), "token": lease.token},
            ]
            run = RenderRun(
                missing, folder, shapes, settings_of(recipe), blender, on_image=on_image, claims=claims
            )
            outcome = run.execute(workers)
    if outcome.failed:
        file, reason = next(iter(outcome.failed.items()))
        raise IdentboxError(
            f"{folder}: expected {total} images, got {len(outcome.failed)} that failed "
            f"{ATTEMPTS_PER_IMAGE} times: {first_few(outcome.failed, 3)} ({file}: {reason}; logs: {folder / 'logs'})"
        )
    return outcome


def _claim_of(path: Path) -> dict[str, str]:
    """What a worker looks at before each image: whether the recipe is still the one that it renders."""
    content = files.read_bytes(path, files.LARGEST_TABLE, "a recipe")
    return {"path": str(path.resolve()), "sha256": hashlib.sha256(content).hexdigest()}


def _expect_no_overlap(folder: Path, part: Part, on_message: Callable[[str], None]) -> None:
    """Raise IdentboxError where another process is rendering a part that has images in common with this one."""
    for path in sorted((folder / "logs").glob("*.lease")):
        other = Part.named(path.stem)
        if other is not None and other != part and part.overlaps(other):
            leases.expect_free([path], on_message)


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
    try:
        cards.write(folder, every)
    except OSError:
        if not all((folder / name).exists() for name in ("README.md", "gallery.png")):
            raise  # or the folder is read-only, and has them


def is_complete(folder: Path, recipe: Recipe) -> bool:
    """Whether every image of every split is there; their content is not looked at."""
    return all(images_there(folder / split / "images", n) == n for split, n in recipe.samples.items() if n)
