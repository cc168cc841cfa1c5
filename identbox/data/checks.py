"""Checks a whole dataset folder: files, pixels, sentences, latents, and the dependencies that were declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from identbox import files
from identbox.data import png
from identbox.data.colors import DEFAULT_NAMING, Naming, color_index, name_colors, palette_index
from identbox.data.counterfactual_checks import check_counterfactual
from identbox.data.folder import (
    SPLITS,
    Columns,
    image_names,
    read_latents,
    read_sentences,
    read_vocabulary,
)
from identbox.data.formats import Source, has_split, open_source
from identbox.data.recipe import Recipe
from identbox.data.scene import IMAGE_FACTORS, check_classes, check_image_latents
from identbox.data.text import TEXT_FACTORS, parse_sentence
from identbox.errors import IdentboxError, first_few
from identbox.process import presets
from identbox.process.effects import Interval
from identbox.process.model import Process

COMPARED_CONTENT = ("object_shape", "object_xpos", "object_ypos")
FALSE_ALARM = 1e-4  # the chance of one in a whole split, shared among its tests
MOST_BINS = 6  # of a continuous variable in a test of independence
SEEN = 1e-3  # the p-value below which a declared effect counts as seen
FEW_SAMPLES = 1000  # with fewer an effect may be there and not be seen
LEAST_EXPECTED = 5  # samples in each cell of a table, from which the chi-squared test holds


@dataclass(frozen=True)
class DatasetFinding:
    """The result of one check: ``good`` is None where it could not be judged."""

    split: str
    what: str
    good: bool | None
    detail: str


def check_dataset(folder: Path) -> Iterator[DatasetFinding]:
    """Check everything in a dataset folder, the published one or identbox's own; yields one finding for each check.

    Raises IdentboxError where there is no dataset.
    """
    recipe = Recipe.read(folder)
    if recipe is None:
        splits = [split for split in SPLITS if has_split(folder, split)]
        if not splits:
            raise IdentboxError(f"{folder}: expected a dataset with train, val or test, got none of them")
    else:
        splits = [split for split, n in recipe.samples.items() if n]
    for split in splits:
        yield from _check_split(folder, split, recipe)
    if (folder / "vocab.json").exists():
        yield _check_vocabulary_file(folder)


@dataclass(frozen=True)
class _Read:
    """A split as it is read, from its folder or from an export."""

    sentences: list[str]
    image: Columns
    text: Columns
    source: Source | None  # of an export


def _read_split(folder: Path, split: str) -> _Read:
    place = folder / split
    if place.is_dir() or not has_split(folder, split):
        image, text = (read_latents(place / f"latents_{view}.csv") for view in ("image", "text"))
        return _Read(read_sentences(place), image, text, None)
    source = open_source(folder, split)
    return _Read(source.sentences, source.image_latents, source.text_latents, source)


def _check_split(folder: Path, split: str, recipe: Recipe | None) -> Iterator[DatasetFinding]:
    names = recipe.shape_names if recipe else presets.SHAPE_NAMES
    try:
        found = _read_split(folder, split)
    except IdentboxError as error:
        yield DatasetFinding(split, "files", False, str(error))
        return
    n = recipe.samples[split] if recipe else len(found.sentences)
    counts = _check_counts(split, found, n)
    yield counts
    if found.source is None:
        yield _check_images(folder / split, n, recipe)
    else:
        # In their order, one after the other: the images of a row group are read together.
        readers = {found.source.where(i): partial(found.source.png, i) for i in range(len(found.sentences))}
        yield _check_pixels(split, readers, recipe)
    if not counts.good:
        return
    ranges = _check_ranges(folder / split, found, len(names), split)
    yield ranges
    if not ranges.good:
        return
    yield _check_sentences(found.sentences, found.text, names, split, own=recipe is not None)
    yield from _check_views(found.image, found.text, recipe, split)
    if recipe is not None:
        yield _check_seed(recipe, split, found.image, found.text)
        if (added := recipe.intervention(split)) is not None:
            if found.source is None:  # an export has no files of single images to compare
                results = check_counterfactual(folder / split, added, recipe, found.image, found.text)
                yield from (DatasetFinding(split, *result) for result in results)
            return
    process = recipe.process if recipe else _published_process(found.image)
    yield from _check_dependencies(process, found.image, split)


def _check_counts(split: str, found: _Read, n: int) -> DatasetFinding:
    counts = {
        "sentences": len(found.sentences),
        "latents_image": _row_count(found.image),
        "latents_text": _row_count(found.text),
    }
    wrong = [f"{count} {name}" for name, count in counts.items() if count != n]
    detail = f"expected {n}, got {', '.join(wrong)}" if wrong else f"{n} samples"
    return DatasetFinding(split, "counts", not wrong, detail)


def _check_ranges(place: Path, found: _Read, shapes: int, split: str) -> DatasetFinding:
    try:
        check_image_latents(found.image, shapes, str(place / "latents_image.csv"))
        missing = [name for name in TEXT_FACTORS if name not in found.text]
        if missing:
            raise IdentboxError(f"{place}/latents_text.csv: expected the column {missing[0]}, got none")
        limits = {"object_shape": shapes, "object_xpos": 3, "object_ypos": 3, "text_phrasing": 5}
        check_classes(found.text, limits, f"{place}/latents_text.csv")
    except IdentboxError as error:
        return DatasetFinding(split, "ranges", False, str(error))
    return DatasetFinding(split, "ranges", True, "every latent is in the range of Table 4.1")


def _row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _check_images(place: Path, n: int, recipe: Recipe | None) -> DatasetFinding:
    """The images of a folder: each there and whole; hidden files do not count."""
    split, images = place.name, place / "images"
    try:
        there = {path.name for path in images.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        return DatasetFinding(split, "images", False, f"{images}: expected a folder, got {error.strerror}")
    wanted = set(image_names(n)) if n <= len(there) else set()
    if len(there) < n or there != wanted:
        missing, more = sorted(wanted - there), sorted(there - wanted) if wanted else []
        parts = [f"{len(missing)} missing ({first_few(missing, 3)})"] if missing else []
        parts += [f"{len(more)} that do not belong ({first_few(more, 3)})"] if more else []
        parts = parts or [f"{len(there)}"]
        return DatasetFinding(split, "images", False, f"expected {n}, got {'; '.join(parts)}")
    readers = {name: partial(files.read_bytes, images / name, files.LARGEST_IMAGE) for name in sorted(wanted)}
    return _check_pixels(split, readers, recipe)


def _check_pixels(
    split: str, readers: Mapping[str, Callable[[], bytes]], recipe: Recipe | None
) -> DatasetFinding:
    """Each image, read by its name, is a whole PNG in RGB and of the size of the recipe."""
    size = recipe.renderer["size"] if recipe else None
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: _image_fault(name, readers[name], size), readers)
        faults = [fault for fault in found if fault]
    if faults:
        return DatasetFinding(split, "images", False, f"{len(faults)} broken: {first_few(faults, 3)}")
    whole = f"{len(readers)} whole, RGB" + (f", {size} x {size}" if size else "")
    return DatasetFinding(split, "images", True, whole)


def _image_fault(name: str, read: Callable[[], bytes], size: int | None) -> str:
    try:
        png.decode(read(), name, size, "RGB")
    except IdentboxError as error:
        return str(error)
    except OSError as error:
        return f"{name}: {error}"
    return ""


def _check_sentences(
    sentences: list[str], text: Columns, names: tuple[str, ...], split: str, *, own: bool
) -> DatasetFinding:
    what = "sentences"
    if not own:  # of another's templates one can only ask whether the words are there
        for row, sentence in enumerate(sentences):
            shape, position = names[text["object_shape"][row]], _position(text, row)
            wanted = (shape, position, text["object_color_name"][row])
            missing = [word for word in wanted if word not in sentence]
            if missing:
                return DatasetFinding(
                    split, what, False, f"line {row + 1}: expected {missing[0]!r} in {sentence!r}"
                )
        return DatasetFinding(split, what, True, "each names its shape, position and colour")
    for row, sentence in enumerate(sentences):
        try:
            said = parse_sentence(sentence, names)
        except IdentboxError as error:
            return DatasetFinding(split, what, False, f"line {row + 1}: {error}")
        for name, value in said.items():
            if text[name][row] != value:
                return DatasetFinding(
                    split, what, False, f"line {row + 1}: {name}: expected {text[name][row]}, got {value}"
                )
    return DatasetFinding(split, what, True, "each parses back to its latents")


def _position(text: Columns, row: int) -> str:
    y, x = text["object_ypos"][row], text["object_xpos"][row]
    return f"{presets.Y_POSITIONS[y]}-{presets.X_POSITIONS[x]}"


def _check_views(
    image: Columns, text: Columns, recipe: Recipe | None, split: str
) -> Iterator[DatasetFinding]:
    """Content is the same in both views, and the colour's name is the nearest of its palette."""
    shared = [name for name in COMPARED_CONTENT if recipe is None or recipe.process[name].role == "content"]
    differing = [name for name in shared if not np.array_equal(image[name], text[name])]
    if shared:
        detail = f"{', '.join(differing or shared)} {'differ' if differing else 'the same'} in image and text"
        yield DatasetFinding(split, "content", not differing, detail)
    if recipe is None or _is_named_as_shown(recipe):
        yield _check_color_names(image, text, recipe.naming if recipe else DEFAULT_NAMING, split)


def _is_named_as_shown(recipe: Recipe) -> bool:
    """Whether the text names the hue that the image shows, rather than a changed one."""
    color = recipe.process["object_color"]
    return color.role == "content" or (color.change is not None and color.change.how == "mechanism")


def _check_color_names(image: Columns, text: Columns, naming: Naming, split: str) -> DatasetFinding:
    """Each name is that of the nearest colour of its palette, and has the index of that name."""
    named = text["object_color_name"]
    index = color_index()
    wrong = [row for row, name in enumerate(named) if text["object_color_index"][row] != index.get(name)]
    if not wrong:
        palette = np.array([palette_index()[name] for name in named])
        nearest = name_colors(image["object_color"], palette, naming)
        wrong = [row for row, name in enumerate(nearest) if name != named[row]]
    by = "" if naming == DEFAULT_NAMING else f" by {naming}"
    detail = (
        f"sample {wrong[0]}: {named[wrong[0]]!r} is not the nearest"
        if wrong
        else "the nearest of its palette"
    )
    return DatasetFinding(split, "colour names", not wrong, detail + by)


def _check_seed(recipe: Recipe, split: str, image: Columns, text: Columns) -> DatasetFinding:
    drawn = recipe.latents(split)
    pairs = [(view, name) for view in ("image", "text") for name in drawn[view]]
    there = {"image": image, "text": text}
    differing = [
        f"{name} ({view})"
        for view, name in pairs
        if name in there[view] and not np.array_equal(drawn[view][name], there[view][name])
    ]
    detail = (
        f"not those of seed {recipe.seed}: {first_few(differing)}"
        if differing
        else f"those of seed {recipe.seed}"
    )
    return DatasetFinding(split, "latents", not differing, detail)


def _published_process(image: Columns) -> Process:
    """The preset that fits data without a recipe: is the hue in the third that the x-position names?"""
    inside = np.floor(image["object_color"] * 3).clip(max=2) == image["object_xpos"]
    return presets.multimodal3dident(position_causes_color=bool(inside.all()))


def _check_dependencies(process: Process, image: Columns, split: str) -> Iterator[DatasetFinding]:
    """Each declared effect is found in the data, and no dependence where the graph has none."""
    for variable in process.variables:
        for parent, effect in variable.effects.items():
            if variable.name not in image or parent not in image:
                continue
            what = f"{parent} -> {variable.name}"
            if isinstance(effect, Interval) and not variable.distribution.discrete:
                yield _check_interval(process, variable.name, parent, image, split, what)
            else:
                yield _check_effect(image[parent], image[variable.name], split, what)
    yield _check_independence(process, image, split)


def _check_effect(cause: np.ndarray, effect: np.ndarray, split: str, what: str) -> DatasetFinding:
    """A variable depends on its cause; a small dataset in which the dependence is not seen is not judged."""
    p = association(cause, effect)
    if p is None:
        return DatasetFinding(split, what, None, "too few samples to tell")
    if p < SEEN:
        return DatasetFinding(split, what, True, f"found, p = {p:.1g}")
    good = None if len(cause) < FEW_SAMPLES else False
    return DatasetFinding(split, what, good, f"not seen, p = {p:.2g}")


def _check_independence(process: Process, image: Columns, split: str) -> DatasetFinding:
    """Variables without a common cause are independent, by a test of each pair."""
    known = {variable.name for variable in process.variables}
    every = (*IMAGE_FACTORS, *sorted(set(image) - set(IMAGE_FACTORS)))
    factors = [factor for factor in every if factor in known and np.ptp(image[factor])]
    pairs = [(a, b) for a, b in combinations(factors, 2) if not process.dependent(a, b)]
    tested = {pair: p for pair in pairs if (p := association(image[pair[0]], image[pair[1]])) is not None}
    if not tested:
        return DatasetFinding(split, "independence", None, "too few samples to tell")
    least = min(tested, key=tested.__getitem__)
    detail = (
        f"{len(tested)} pairs without a common cause; least p = {tested[least]:.2g} ({' and '.join(least)})"
    )
    return DatasetFinding(split, "independence", tested[least] > FALSE_ALARM / len(tested), detail)


def _check_interval(
    process: Process, name: str, parent: str, image: Columns, split: str, what: str
) -> DatasetFinding:
    """Each sample of a continuous variable lies in the interval of quantiles that its cause chooses."""
    k = process[parent].distribution.domain.classes
    assert k is not None  # which `Interval.check` asks for
    fraction = process[name].distribution.cdf(torch.from_numpy(image[name])[:, None])[:, 0].numpy()
    table = contingency(image[parent], np.floor(fraction * k).clip(0, k - 1).astype(int), k)
    off = int(table.sum() - np.trace(table))
    rows = " / ".join(" ".join(map(str, row)) for row in table.tolist())
    detail = f"rows by {parent}, columns by interval of {name}: {rows}"
    return DatasetFinding(
        split, what, off == 0, detail if off == 0 else f"{off} samples outside their interval; {detail}"
    )


def contingency(
    rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"], *classes: int
) -> Int[np.ndarray, "a b"]:
    """Counts of pairs of classes; ``classes`` is their number (of rows and of columns, where it differs)."""
    from scipy.stats.contingency import crosstab

    return crosstab(rows, columns, levels=(range(classes[0]), range(classes[-1]))).count


def association(a: np.ndarray, b: np.ndarray) -> float | None:
    """The p-value of a chi-squared test of independence, continuous values in equally filled bins.

    None where a cell expects fewer than LEAST_EXPECTED samples even with two bins, so that the test does not hold.
    """
    from scipy.stats import chi2_contingency

    for bins in range(MOST_BINS, 1, -1):
        rows, columns = _binned(a, bins), _binned(b, bins)
        table = contingency(rows, columns, int(rows.max()) + 1, int(columns.max()) + 1)
        if min(table.shape) < 2:
            return None
        if table.sum(1).min() * table.sum(0).min() / table.sum() >= LEAST_EXPECTED:
            return float(chi2_contingency(table, correction=False).pvalue)
    return None


def _binned(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value; classes are bins already."""
    if values.dtype.kind == "i":
        return np.unique(values, return_inverse=True)[1]
    return np.searchsorted(np.quantile(values, np.arange(1, bins) / bins), values)


def _check_vocabulary_file(folder: Path) -> DatasetFinding:
    try:
        words = read_vocabulary(folder / "vocab.json")
    except IdentboxError as error:
        return DatasetFinding("", "vocabulary", False, str(error))
    good = sorted(words.values()) == list(range(len(words)))
    return DatasetFinding(
        "", "vocabulary", good, f"{len(words)} words" if good else "expected indices from 0, each once"
    )
