"""The samples of a split, read from a dataset folder or from the Parquet or tar shards of an export.

DIR/SPLIT/...                            a dataset folder; see `dataset`
DIR/data/SPLIT-00000-of-00006.parquet    columns image (bytes, path), text, z_image and z_text
DIR/data/SPLIT-00000-of-00006.tar        of each sample KEY.png, KEY.txt, and KEY.json with z_image and z_text

All latents and sentences of a split are read when it is opened; an image is read when it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from identbox.data.folder import SPLITS, Columns, FolderSource, read_sentences
from identbox.errors import IdentboxError, expect_library

ROW_GROUPS = 16  # of Parquet files, whose images are kept in memory


@runtime_checkable
class Source(Protocol):
    """The samples of a split, in their order."""

    sentences: list[str]
    image_latents: Columns  # each of shape (n,): int64, float64, or str as objects
    text_latents: Columns
    files: list[Path]  # the files with the images

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


class Parquet:
    """A split in Parquet files."""

    def __init__(self, files: list[Path]) -> None:
        arrow, parquet = pyarrow()
        self.files = files
        self._places: list[tuple[Path, int, int]] = []  # file, row group, and row within
        tables = []
        for path in files:
            try:
                file = parquet.ParquetFile(path)
                tables.append(file.read(columns=["text", "z_image", "z_text"]))
                groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
            except (arrow.ArrowException, OSError) as error:
                raise IdentboxError(f"{path}: expected a Parquet file, got {_on_one_line(error)}") from error
            self._places += [(path, group, row) for group, rows in enumerate(groups) for row in range(rows)]
        try:
            table = arrow.concat_tables(tables)
            self.sentences = table["text"].to_pylist()
            self.image_latents, self.text_latents = (
                {
                    field.name: columns_of(part.to_pylist())
                    for field, part in zip(column.type, column.combine_chunks().flatten(), strict=True)
                }
                for column in (table["z_image"], table["z_text"])
            )
        except (arrow.ArrowException, KeyError, TypeError) as error:
            raise IdentboxError(
                f"{files[0]}: expected the columns image, text, z_image and z_text; got {_on_one_line(error)}"
            ) from error

    def png(self, index: int) -> bytes:
        path, group, row = self._places[index]
        return _row_group(path, group)[row]

    def where(self, index: int) -> str:
        path, group, row = self._places[index]
        return f"{path}, row {row} of group {group}"


@lru_cache(maxsize=ROW_GROUPS)
def _row_group(path: Path, group: int) -> list[bytes]:
    """The images of a row group. Opened anew each time, so that nothing open is shared among processes."""
    arrow, parquet = pyarrow()
    try:
        images = parquet.ParquetFile(path, memory_map=True).read_row_group(group, columns=["image"])["image"]
        return [image["bytes"] for image in images.to_pylist()]
    except (arrow.ArrowException, KeyError, TypeError) as error:
        raise OSError(f"no readable row group {group}: {_on_one_line(error)}") from error


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module. Raises IdentboxError where it is not installed."""
    with expect_library("Parquet", "pyarrow", "export"):
        import pyarrow
        from pyarrow import parquet
    return pyarrow, parquet


class Tar:
    """A split in tar files, in the form of webdataset."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self._places: list[tuple[Path, str, int, int]] = []  # file, name within, first byte, number of bytes
        self.sentences = []
        latents: dict[str, list[dict[str, Any]]] = {"z_image": [], "z_text": []}
        for path in files:
            for key, parts in _members(path).items():
                try:
                    name, start, size = parts[".png"]
                    self._places.append((path, name, start, size))
                    self.sentences.append(_bytes(path, *parts[".txt"][1:]).decode())
                    values = json.loads(_bytes(path, *parts[".json"][1:]))
                    for view, rows in latents.items():
                        rows.append(dict(values[view]))
                except (KeyError, ValueError, TypeError) as error:
                    raise IdentboxError(
                        f"{path}: {key}: expected a png, a txt, and a json of z_image and z_text; got {error!r}"
                    ) from error
        self.image_latents, self.text_latents = (
            {name: columns_of(row.get(name) for row in rows) for name in (rows[0] if rows else ())}
            for rows in latents.values()
        )

    def png(self, index: int) -> bytes:
        path, _, start, size = self._places[index]
        return _bytes(path, start, size)

    def where(self, index: int) -> str:
        path, name, *_ = self._places[index]
        return f"{path}, {name}"


def _members(path: Path) -> dict[str, dict[str, tuple[str, int, int]]]:
    """Each sample in a tar file: name, first byte and number of bytes of its parts, by their suffix."""
    members: dict[str, dict[str, tuple[str, int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile():
                    key, dot, suffix = member.name.partition(".")
                    members.setdefault(key, {})[dot + suffix] = member.name, member.offset_data, member.size
            end = archive.offset
        # Python's reader ends at the first block that it cannot read. A whole archive has only zeros after that.
        rest = _bytes(path, end, -1)
        if len(rest) < 2 * tarfile.BLOCKSIZE or rest.strip(b"\0"):
            raise IdentboxError(
                f"{path}: expected a whole tar file, got one cut short or damaged at byte {end}"
            )
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise IdentboxError(f"{path}: expected a tar file, got {_on_one_line(error)}") from error
    return members


def _bytes(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def columns_of(values: Iterable[Any]) -> np.ndarray:
    """Values as a column: int64 or float64 where all are numbers, and else as objects."""
    column = list(values)
    kinds = {type(value) for value in column}
    if kinds <= {int, float}:
        return np.array(column, dtype=np.float64 if float in kinds else np.int64)
    return np.array(column, dtype=object)


def _on_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def sentences_of(folder: Path, split: str) -> list[str]:
    """The sentences of a split in any form; of a folder's split nothing else is read."""
    return (
        read_sentences(folder / split) if (folder / split).is_dir() else open_source(folder, split).sentences
    )


def fingerprint(dataset: Path) -> str:
    """A hash of a dataset's recipe, vocabulary, latents and sentences; an export has the hash of its dataset.

    Raises IdentboxError where a split is missing.
    """
    digest = hashlib.sha256()
    for name in ("dataset.toml", "vocab.json"):
        if (dataset / name).exists():
            digest.update(name.encode() + (dataset / name).read_bytes())
    for split in SPLITS:
        source = open_source(dataset, split)
        digest.update("\n".join([split, *source.sentences]).encode())
        for columns in (source.image_latents, source.text_latents):
            for name, column in columns.items():
                values = "\n".join(column).encode() if column.dtype == object else column.tobytes()
                digest.update(name.encode() + values)
    return digest.hexdigest()
