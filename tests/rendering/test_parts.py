"""Parts of a dataset: which have images in common, and what a client is told who asks for such a part."""

import errno
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drawn_squares import make_dataset
from identbox import files
from identbox.data.recipe import Recipe
from identbox.errors import IdentboxError
from identbox.jobs import leases
from identbox.rendering import generation
from identbox.rendering.blender import Blender
from identbox.rendering.generation import Part, random_records, records_of, render_images
from identbox.rendering.shards import count_images


def test_parts_overlap_where_some_split_gives_both_an_image():
    """Against the images themselves, for sizes that are multiples of both counts: then no part is empty."""
    parts = [
        Part(splits=splits, shard=(place, count))
        for splits in (("train",), ("val",), ("train", "val"))
        for count in (1, 2, 3, 4, 6)
        for place in range(1, count + 1)
    ]
    for one in parts:
        for other in parts:
            both = {*one.splits} & {*other.splits} and {*one.indices(24)} & {*other.indices(24)}
            assert one.overlaps(other) == bool(both)
        assert Part.named(one.name) == one
    assert Part.named("train-3of2") is None


@contextmanager
def refused_beside(part: Part, folder: Path, monkeypatch) -> Iterator[Callable[[str], None]]:
    """Expect a refusal while a living process of another machine renders a part; gives what takes messages."""
    monkeypatch.setattr(leases, "CHECK_EVERY", 0.02)
    other = Path(folder / "logs" / f"{part.name}.lease")
    other.parent.mkdir(exist_ok=True)
    other.write_text(json.dumps({"token": "other", "host": "another machine", "pid": 7}))
    messages: list[str] = []

    def refresh() -> None:
        while not messages:
            time.sleep(0.01)
        os.utime(other, (time.time() - 1, time.time() - 1))

    thread = threading.Thread(target=refresh)
    thread.start()
    with pytest.raises(IdentboxError, match="expected no other process in this folder, got process 7 on"):
        yield messages.append
    thread.join()


def test_a_part_that_overlaps_one_of_another_count_is_refused_while_that_is_rendered(tmp_path, monkeypatch):
    folder = make_dataset(tmp_path / "data", {"train": 20})
    recipe = Recipe.read(folder)
    assert recipe is not None
    (folder / "train" / "images" / "07.png").unlink()
    with refused_beside(Part(shard=(2, 3)), folder, monkeypatch) as take:
        render_images(folder, recipe, Part(shard=(1, 2)), {}, Blender(), workers=1, on_message=take)
    # The first third is not of the second, and all of its images are there: nothing is left to do.
    assert render_images(folder, recipe, Part(shard=(1, 3)), {}, Blender(), workers=1).done == 0


def test_a_dataset_that_a_process_renders_is_not_replaced(tmp_path, monkeypatch):
    folder = make_dataset(tmp_path / "data", {"train": 20})
    recipe = Recipe.read(folder)
    assert recipe is not None
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with refused_beside(Part(shard=(2, 3)), folder, monkeypatch) as take:
        generation.prepare_folder(folder, replace(recipe, seed=1), overwrite=True, on_message=take)
    assert before == {path: path.read_bytes() for path in before}


def test_a_whole_dataset_in_a_folder_that_is_read_only_is_left_as_it_is(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    folder = make_dataset(tmp_path / "data", {"train": 20})
    recipe = Recipe.read(folder)
    assert recipe is not None
    for where, name in ((leases, "hold"), (files, "create_part"), (generation.cards, "write")):
        monkeypatch.setattr(where, name, refuse)
    generation.prepare_folder(folder, recipe)
    assert render_images(folder, recipe, Part(), {}, Blender(), workers=1).done == 0
    with pytest.raises(OSError, match="Read-only"):
        generation.finish(folder, recipe)
    for name in ("README.md", "gallery.png"):
        (folder / name).touch()
    generation.finish(folder, recipe)
    (folder / "train" / "images" / "03.png").unlink()
    with pytest.raises(OSError, match="Read-only"):
        render_images(folder, recipe, Part(), {}, Blender(), workers=1)


def test_images_are_counted_in_splits_that_have_some(tmp_path):
    folder = make_dataset(tmp_path / "data", {"train": 20})  # no val, no test
    recipe = Recipe.read(folder)
    assert recipe is not None
    (folder / "train" / "images" / "07 (1).png").touch()
    assert count_images(folder, recipe, Part()) == 20
    (folder / "train" / "images" / "07.png").unlink()
    assert count_images(folder, recipe, Part()) == 19


def test_random_records_are_those_of_the_whole_split(tmp_path):
    recipe = Recipe.read(make_dataset(tmp_path / "data", {"train": 20, "val": 12, "test": 12}))
    assert recipe is not None
    every = [record for split in recipe.samples for record in records_of(recipe, split)]
    assert random_records(recipe, 9, seed=3) == random.Random(3).sample(every, 9)
    assert len(random_records(replace(recipe, splits={"train": 5}), 9, seed=3)) == 5
