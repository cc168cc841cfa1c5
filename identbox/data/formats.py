"""The samples of a split, read from a dataset folder or from the Parquet or tar shards of an export.

DIR/SPLIT/...                            a dataset folder; see `dataset`
DIR/data/SPLIT-00000-of-00006.parquet    columns image (bytes, path), text, z_image and z_text
DIR/data/SPLIT-00000-of-00006.tar        of each sample KEY.png, KEY.txt, and KEY.json with z_image and z_text

All latents and sentences of a split are read when it is opened; an image is read when it is asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable

from identbox import files
from identbox.data.folder import SPLITS, Columns, FolderSource, read_sentences
from identbox.data.multiview import is_multiview, multiview_fingerprint
from identbox.data.shards import Parquet, Tar
from identbox.errors import IdentboxError


@runtime_checkable
class Source(Protocol):
    """The samples of a split, in their order."""

    sentences: list[str]
    image_latents: Columns  # each of shape (n,): int64, float64, or str as objects
    text_latents: Columns

    @property
    def files(self) -> list[Path]:
        """The files with the images."""

    def png(self, index: int) -> bytes:
        """The encoded image. Raises OSError where it cannot be read."""

    def where(self, index: int) -> str:
        """The place of an image, as messages name it."""


def open_source(folder: Path, split: str) -> Source:
    """The split of a dataset folder, or of an export.

    Raises IdentboxError where there is none, a file is missing or damaged, and where counts differ.
    """
    if (folder / split).is_dir():
        return FolderSource(folder, split)
    for suffix, kind in (("parquet", Parquet), ("tar", Tar)):
        if shards := sorted((folder / "data").glob(f"{split}-*.{suffix}")):
            wanted = [shard_name(split, k, len(shards), suffix) for k in range(len(shards))]
            other = [path.name for path in shards if path.name not in wanted]
            if other:
                of = other[0].removesuffix(f".{suffix}").rpartition("-")[2]
                raise IdentboxError(
                    f"{folder / 'data'}: expected all shards of {other[0]} ({of}), got {len(shards)} of them"
                )
            for path in shards:
                files.inside(folder / "data", path.name, str(path))
            return kind(shards)
    known = [name for name in SPLITS if has_split(folder, name)]
    there = ", ".join(known) or ("a folder without splits" if folder.is_dir() else "no folder")
    raise IdentboxError(f"{folder}: expected a dataset with the split {split}, got {there}")


def has_split(folder: Path, split: str) -> bool:
    """Whether a folder has a split, in any form."""
    return (folder / split).is_dir() or any(
        path.suffix in (".parquet", ".tar") for path in (folder / "data").glob(f"{split}-*")
    )


def shard_name(split: str, place: int, count: int, suffix: str) -> str:
    """The file name of a shard.

    >>> shard_name("train", 0, 6, "tar")
    'train-00000-of-00006.tar'
    """
    return f"{split}-{place:05d}-of-{count:05d}.{suffix}"


def sentences_of(folder: Path, split: str) -> list[str]:
    """The sentences of a split in any form; of a folder's split nothing else is read."""
    return (
        read_sentences(folder / split) if (folder / split).is_dir() else open_source(folder, split).sentences
    )


def fingerprint(dataset: Path) -> str:
    """A hash of a dataset's recipe, vocabulary, latents and sentences; an export has the hash of its dataset.

    A dataset of any modalities has the hash of its arrays. Raises IdentboxError where a split is missing.
    """
    if is_multiview(dataset):
        return multiview_fingerprint(dataset)
    digest = hashlib.sha256()
    for name in ("dataset.toml", "vocab.json"):
        if (dataset / name).exists():
            content = files.read_bytes(dataset / name, files.LARGEST_TEXT)
            digest.update(name.encode() + content)
    for split in SPLITS:
        source = open_source(dataset, split)
        digest.update("\n".join([split, *source.sentences]).encode())
        for columns in (source.image_latents, source.text_latents):
            for name, column in columns.items():
                values = "\n".join(map(str, column)).encode() if column.dtype == object else column.tobytes()
                digest.update(name.encode() + values)
    return digest.hexdigest()
