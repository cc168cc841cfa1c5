"""Bimodal-CelebA (section 4.2) from the user's copy of CelebA: a face, and its attributes as a text.

    DIR/img_align_celeba/000001.jpg ...
    DIR/list_attr_celeba.(txt|csv)         40 attributes of each image, 1 or -1
    DIR/list_eval_partition.(txt|csv)      0 trains, 1 validates, 2 tests
    DIR/list_attr_text_256_*.csv           optional: image_id and text, which are read instead of made

A text is made of the attributes that are there, in lower case and with spaces for underscores, joined by ", ". Of more
than 256 characters the last attributes are left out. It begins at a random place, and ``*`` fills it up to 256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image

from identbox import files, seeding
from identbox.csvfiles import read_csv
from identbox.data.multiview import DeclaredFactor, ModalitySpec, MultiviewRecipe
from identbox.data.multiview_writer import MultiviewWriter, ranges_of
from identbox.data.photographs import read_photograph
from identbox.errors import IdentboxError, first_few
from identbox.settings import at_least, between, settings

CELEBA_MAKER = "celeba"  # in a recipe
FACE_SIDE, FACE_CROP, TEXT_LENGTH, FILL = 64, 148, 256, "*"
LARGEST_FACE = 4096  # pixels a side
SPLITS_BY_PARTITION = ("train", "val", "test")  # partitions 0, 1 and 2
IMAGE_FOLDER = "img_align_celeba"
IMAGES_AT_ONCE = 512
# Of the texts: letters, digits and signs that the attributes and their separators need, and what fills up.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 ,.-'" + FILL
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns",
    "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip


@settings
class CelebaSettings:
    """How Bimodal-CelebA is made of CelebA."""

    side: Annotated[int, between(8, 178)] = FACE_SIDE  # pixels a side, from the middle 148 x 148
    seed: Annotated[int, at_least(0)] = 0  # of the places at which texts begin
    limit: Annotated[int, at_least(1)] | None = None  # samples of each split, at most


def words_of(attribute: str) -> str:
    """An attribute as a text has it.

    >>> words_of("5_o_Clock_Shadow")
    '5 o clock shadow'
    """
    return attribute.replace("_", " ").lower()


BY_WORDS = {words_of(one): one for one in ATTRIBUTES}


def text_of(present: Sequence[str], start: float) -> str:
    """256 characters that name attributes; ``start`` in [0, 1) says at which of the possible places it begins.

    >>> text_of(["Bald", "Male"], 0.999).lstrip("*")
    'bald, male'
    """
    named = [words_of(one) for one in present]
    while len(", ".join(named)) > TEXT_LENGTH:
        named.pop()
    text = ", ".join(named)
    before = int(start * (TEXT_LENGTH - len(text) + 1))
    return (FILL * before + text).ljust(TEXT_LENGTH, FILL)


def parse_attributes(text: str) -> dict[str, int]:
    """Which attributes a text names, 0 or 1 each; what is no attribute is left out.

    >>> [name for name, there in parse_attributes("**bald, male, elephant***").items() if there]
    ['Bald', 'Male']
    """
    named = {part.strip() for part in text.strip(FILL).split(",")}
    return {one: int(words in named) for words, one in BY_WORDS.items()}


@dataclass(frozen=True)
class _Listed:
    """The rows of CelebA's lists: images, attributes, splits, and texts where the copy has them."""

    names: list[str]
    attributes: Int[np.ndarray, "n 40"]
    partition: Int[np.ndarray, " n"]
    texts: list[str] | None


def build_celeba(
    source: Path,
    folder: Path,
    settings: CelebaSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MultiviewRecipe:
    """Make the dataset in a folder from a copy of CelebA; what is whole there already is not made again.

    Raises IdentboxError for lists that are missing, do not fit together or name images that are not there, texts of
    another length or with characters outside the alphabet, and a partition without samples.
    """
    listed = _read_lists(source)
    rows = {
        split: np.flatnonzero(listed.partition == k)[: settings.limit]
        for k, split in enumerate(SPLITS_BY_PARTITION)
    }
    for split, own in rows.items():
        if not len(own):
            raise IdentboxError(f"{source}: expected images of the split {split}, got none in its partition")
    texts = {split: _texts(listed, own, split, settings.seed, source) for split, own in rows.items()}
    recipe = _celeba_recipe(settings, rows, listed)
    writer = MultiviewWriter(folder, recipe)
    total, done = sum(map(len, rows.values())), 0
    for split, own in rows.items():
        names = [listed.names[k] for k in own]
        writer.array(split, "image", "u1", _faces(source / IMAGE_FOLDER, names, settings.side))
        writer.array(split, "text", "u1", iter([texts[split]]))
        writer.factors(split, {name: listed.attributes[own, k] for k, name in enumerate(ATTRIBUTES)})
        done += len(own)
        on_progress(done, total)
    return writer.finish()


def _celeba_recipe(
    settings: CelebaSettings, rows: Mapping[str, np.ndarray], listed: _Listed
) -> MultiviewRecipe:
    return MultiviewRecipe(
        name="Bimodal-CelebA",
        description="A face, and the attributes that it has as a text.",
        splits={split: len(own) for split, own in rows.items()},
        modalities={
            "image": ModalitySpec(kind="image", shape=(settings.side, settings.side, 3)),
            "text": ModalitySpec(kind="text", shape=(TEXT_LENGTH,), words=tuple(ALPHABET)),
        },
        factors={name: DeclaredFactor(kind="discrete", names=("no", "yes")) for name in ATTRIBUTES},
        made_of={
            "maker": CELEBA_MAKER,
            "seed": settings.seed,
            "side": settings.side,
            "crop": FACE_CROP,
            "texts": "made of the attributes" if listed.texts is None else "read",
            "images": len(listed.names),
        },
    )


def _faces(folder: Path, names: list[str], side: int) -> Iterator[UInt8[np.ndarray, "b side side 3"]]:
    """The middle of each image, by bicubic interpolation."""
    for rows in ranges_of(len(names), IMAGES_AT_ONCE):
        yield np.stack([_face(files.inside(folder, names[k], str(folder)), side) for k in rows])


def _face(path: Path, side: int) -> UInt8[np.ndarray, "side side 3"]:
    image = read_photograph(path, "an aligned face of 178 x 218", least=FACE_CROP, most=LARGEST_FACE)
    left, top = (image.width - FACE_CROP) // 2, (image.height - FACE_CROP) // 2
    middle = image.crop((left, top, left + FACE_CROP, top + FACE_CROP))
    return np.asarray(middle.resize((side, side), Image.Resampling.BICUBIC))


def _texts(
    listed: _Listed, rows: Int[np.ndarray, " n"], split: str, seed: int, source: Path
) -> UInt8[np.ndarray, "n 256"]:
    """The texts of a split as numbers of characters."""
    if listed.texts is None:
        generator = seeding.generator(seed, "celeba", split, "text")
        starts = torch.rand(len(rows), generator=generator, dtype=torch.float64).tolist()
        there = listed.attributes[rows] == 1
        texts = [
            text_of([name for name, one in zip(ATTRIBUTES, row, strict=True) if one], start)
            for row, start in zip(there, starts, strict=True)
        ]
    else:
        texts = [listed.texts[k] for k in rows]
    place = {character: k for k, character in enumerate(ALPHABET)}
    odd = [(row, c) for row, text in enumerate(texts) for c in text if c not in place]
    if odd:
        raise IdentboxError(
            f"{source}: text of {listed.names[rows[odd[0][0]]]}: expected the alphabet {ALPHABET!r}, got {len(odd)} "
            f"other characters in all: {first_few(dict.fromkeys(repr(c) for _, c in odd))}"
        )
    return np.array([[place[c] for c in text] for text in texts], np.uint8)


def _read_lists(source: Path) -> _Listed:
    """CelebA's lists, in the order of the list of attributes."""
    if not (source / IMAGE_FOLDER).is_dir():
        raise IdentboxError(f"{source}: expected a copy of CelebA with {IMAGE_FOLDER}, got none")
    path, header, rows = _read_list(source, "list_attr_celeba")
    if tuple(header) != ATTRIBUTES:
        raise IdentboxError(f"{path}: expected the 40 attributes of CelebA, got {first_few(header)}")
    parsed = {
        name: [_partition_number(value, path, name) for value in values] for name, values in rows.items()
    }
    wrong = [name for name, values in parsed.items() if not set(values) <= {-1, 1}]
    if wrong:
        raise IdentboxError(f"{path}: {wrong[0]}: expected 1 or -1 for each attribute, got another value")
    where, _, parts = _read_list(source, "list_eval_partition")
    if missing := [name for name in rows if name not in parts]:
        raise IdentboxError(
            f"{where}: expected a partition of each image, got none of {first_few(missing, 3)}"
        )
    partition = [_partition_number(parts[name][0], where, name) for name in rows]
    if not set(partition) <= {0, 1, 2}:
        raise IdentboxError(
            f"{where}: expected partitions 0, 1 and 2, got {sorted(set(partition) - {0, 1, 2})[0]}"
        )
    there = {path.name for path in (source / IMAGE_FOLDER).iterdir()}
    if missing := [name for name in rows if name not in there]:
        raise IdentboxError(
            f"{source / IMAGE_FOLDER}: expected {len(rows)} images, got none of {len(missing)}: {first_few(missing, 3)}"
        )
    return _Listed(
        names=list(rows),
        attributes=(np.array(list(parsed.values())) == 1).astype(np.int64),
        partition=np.array(partition),
        texts=_read_texts(source, list(rows)),
    )


def _partition_number(value: str, path: Path, name: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise IdentboxError(f"{path}: {name}: expected a whole number, got {value!r:.40}") from None


def _read_list(source: Path, stem: str) -> tuple[Path, list[str], dict[str, list[str]]]:
    """The columns of a list, and the values of each image, from a .csv or a .txt file."""
    paths = [source / f"{stem}.{suffix}" for suffix in ("csv", "txt")]
    path = next((one for one in paths if one.is_file()), paths[1])
    if path.suffix == ".csv":
        (_, images), *columns = read_csv(path).items()
        if not columns:
            raise IdentboxError(f"{path}: expected values beside the names of images, got one column")
        return path, [name for name, _ in columns], _rows_of(images, [values for _, values in columns])
    text = files.read_text(path, what=f"{stem}.csv or {stem}.txt")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    header = []
    if lines and len(lines[0]) == 1:  # the number of images, then the names of columns
        header, lines = (lines[1] if len(lines) > 1 else []), lines[2:]
    lengths = {len(line) for line in lines}
    if len(lengths) != 1 or min(lengths) < 2:
        raise IdentboxError(
            f"{path}: expected as many values in each line, got lines of {sorted(lengths)[:5]}"
        )
    return path, header, {line[0]: line[1:] for line in lines}


def _rows_of(images: Sequence[str], columns: list[Sequence[str]]) -> dict[str, list[str]]:
    """The values of each image."""
    return {image: list(values) for image, *values in zip(images, *columns, strict=True)}


def _read_texts(source: Path, names: list[str]) -> list[str] | None:
    """The texts of a list_attr_text_256_*.csv, where there is one."""
    paths = sorted(source.glob(f"list_attr_text_{TEXT_LENGTH}_*.csv"))
    if not paths:
        return None
    columns = read_csv(paths[0])
    if not {"image_id", "text"} <= columns.keys():
        raise IdentboxError(f"{paths[0]}: expected the columns image_id and text, got {first_few(columns)}")
    known = dict(zip(columns["image_id"], columns["text"], strict=True))
    if missing := [name for name in names if name not in known]:
        raise IdentboxError(
            f"{paths[0]}: expected a text for each image, got none of {first_few(missing, 3)}"
        )
    texts = [known[name] for name in names]
    for name, text in zip(names, texts, strict=True):
        if len(text) != TEXT_LENGTH:
            raise IdentboxError(f"{paths[0]}: {name}: expected {TEXT_LENGTH} characters, got {len(text)}")
    return texts
