"""The shards of an export, read with bounds: Parquet files and tar files that anybody may have made."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from identbox import files
from identbox.data.folder import Columns, expect_sentences
from identbox.errors import IdentboxError, expect_library

ROW_GROUPS = 16  # of Parquet files, whose images are kept in memory
PARQUET_ROWS = 64  # of Parquet files, so that few rows are in memory before they are looked at
LARGEST_GROUP = 1024 * files.MIB  # of a Parquet file, unpacked
LARGEST_MEMBER = files.LARGEST_IMAGE  # of a tar file
LARGEST_END = files.MIB  # bytes of zeros behind the last member of a tar file
MOST_COLUMNS = 1000
LONGEST_WORD = 200  # characters of a latent that is a text


class Parquet:
    """A split in Parquet files."""

    def __init__(self, shards: list[Path]) -> None:
        self.files = shards
        self._places: list[tuple[Path, int, int]] = []  # file, row group, and row within
        self.sentences: list[str] = []
        rows: dict[str, list[dict[str, Any]]] = {"z_image": [], "z_text": []}
        for path in shards:
            for group, table in _parquet_rows(path):
                self._places += [(path, group, row) for row in range(*table.pop("range"))]
                self.sentences += expect_sentences(table["text"], str(path))
                for view, latents in rows.items():
                    latents += table[view]
        self.image_latents, self.text_latents = (
            latents_of_rows(latents, str(shards[0])) for latents in rows.values()
        )

    def png(self, index: int) -> bytes:
        path, group, row = self._places[index]
        return _row_group(path, group)[row]

    def where(self, index: int) -> str:
        path, group, row = self._places[index]
        return f"{path}, row {row} of group {group}"


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Some rows at a time: the row group, and the columns text, z_image and z_text with the ``range`` of rows in it."""
    arrow, parquet = pyarrow()
    _expect_regular(path, "a Parquet file")
    try:
        file = parquet.ParquetFile(path)
        _check_schema(file, arrow, path)
        for group in range(file.num_row_groups):
            described = file.metadata.row_group(group)
            size = sum(
                described.column(k).total_uncompressed_size
                for k in range(described.num_columns)
                if not described.column(k).path_in_schema.startswith("image.")
            )
            if not 0 <= size <= LARGEST_GROUP:
                raise IdentboxError(f"{path}: expected row groups of at most 1 GiB, got one of {size} bytes")
            columns, begin = ["text", "z_image", "z_text"], 0
            for batch in file.iter_batches(PARQUET_ROWS, row_groups=[group], columns=columns):
                end = begin + batch.num_rows
                yield group, {"range": (begin, end), **batch.to_pydict()}
                begin = end
    except (arrow.ArrowException, OSError, KeyError, TypeError, ValueError, MemoryError) as error:
        if isinstance(error, IdentboxError):
            raise
        raise IdentboxError(f"{path}: expected a Parquet file, got {_on_one_line(error)}") from error


def _check_schema(file: Any, arrow: Any, path: Path) -> None:
    """Raise IdentboxError where the columns are not those of an export."""
    schema, kinds = file.schema_arrow, arrow.types

    def is_text(kind: Any) -> bool:
        return kinds.is_string(kind) or kinds.is_large_string(kind)

    def are_latents(kind: Any) -> bool:
        return kinds.is_struct(kind) and 0 < kind.num_fields <= MOST_COLUMNS and all(
            kinds.is_integer(field.type) or kinds.is_floating(field.type) or is_text(field.type)
            for field in map(kind.field, range(kind.num_fields))
        )  # fmt: skip

    def is_image(kind: Any) -> bool:
        return kinds.is_struct(kind) and any(
            field.name == "bytes" and (kinds.is_binary(field.type) or kinds.is_large_binary(field.type))
            for field in map(kind.field, range(kind.num_fields))
        )

    wanted = {"image": is_image, "text": is_text, "z_image": are_latents, "z_text": are_latents}
    if not all(
        schema.get_field_index(name) >= 0 and good(schema.field(name).type) for name, good in wanted.items()
    ):
        raise IdentboxError(
            f"{path}: expected the columns image (bytes), text, z_image and z_text (numbers and texts), got "
            f"{', '.join(schema.names[:10])} of other types"
        )


@lru_cache(maxsize=ROW_GROUPS)
def _row_group(path: Path, group: int) -> list[bytes]:
    """The images of a row group. Opened anew each time, so that nothing open is shared among processes."""
    arrow, parquet = pyarrow()
    try:
        file = parquet.ParquetFile(path, memory_map=True)
        described = file.metadata.row_group(group)
        size = sum(described.column(k).total_uncompressed_size for k in range(described.num_columns))
        if not 0 <= size <= LARGEST_GROUP:
            raise OSError(f"row group {group} has {size} bytes")
        images = file.read_row_group(group, columns=["image"])["image"]
        return [image["bytes"] or b"" for image in images.to_pylist()]
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

    def __init__(self, shards: list[Path]) -> None:
        self.files = shards
        self._places: list[tuple[Path, str, int, int]] = []  # file, name within, first byte, number of bytes
        self.sentences: list[str] = []
        rows: dict[str, list[dict[str, Any]]] = {"z_image": [], "z_text": []}
        for path in shards:
            for key, parts in _members(path).items():
                where = f"{path}: {key}"
                try:
                    name, start, size = parts["png"]
                    self._places.append((path, name, start, size))
                    self.sentences += expect_sentences([_text(path, *parts["txt"][1:])], where)
                    values = files.parse_json(_text(path, *parts["json"][1:]), where)
                    for view, latents in rows.items():
                        latents.append(dict(values[view]))
                except (KeyError, ValueError, TypeError, OSError) as error:
                    raise IdentboxError(
                        f"{where}: expected a png, a txt, and a json of z_image and z_text; got {error!r}"
                    ) from error
        self.image_latents, self.text_latents = (
            latents_of_rows(latents, str(shards[0])) for latents in rows.values()
        )

    def png(self, index: int) -> bytes:
        path, _, start, size = self._places[index]
        return _bytes(path, start, size)

    def where(self, index: int) -> str:
        path, name, *_ = self._places[index]
        return f"{path}, {name}"


def split_member(name: str) -> tuple[str, str] | None:
    """The key and the suffix of a member, as webdataset splits its name; None for one that is no part of a sample.

    >>> split_member("./train/0001.seg.png"), split_member("train/._0001.png"), split_member("a.b/0001.png")
    (('train/0001', 'seg.png'), None, ('a.b/0001', 'png'))
    """
    match = re.fullmatch(r"(?:\./)*((?:.*/)?)([^/.][^/.]*)\.([^/]*)", name, re.DOTALL)
    return None if match is None or match[2].startswith("__") else (match[1] + match[2], match[3].lower())


def _members(path: Path) -> dict[str, dict[str, tuple[str, int, int]]]:
    """Each sample in a tar file: name, first byte and number of bytes of its parts, by their suffix."""
    members: dict[str, dict[str, tuple[str, int, int]]] = {}
    try:
        with files.open_regular(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            whole, last = os.fstat(file.fileno()).st_size, -1
            for member in archive:
                # A negative size, which a tar file may state, would make Python's reader go back for ever.
                inside = member.size >= 0 and member.offset_data + member.size <= whole
                if not inside or member.offset <= last:
                    raise IdentboxError(
                        f"{path}: {member.name}: expected a whole tar file, got one cut short or damaged"
                    )
                last = member.offset
                split = split_member(member.name) if member.isfile() else None
                if split is None:
                    continue
                if member.size > LARGEST_MEMBER:
                    raise IdentboxError(
                        f"{path}: {member.name}: expected at most 64 MiB, got {member.size} bytes"
                    )
                members.setdefault(split[0], {})[split[1]] = member.name, member.offset_data, member.size
            end = archive.offset
        # Python's reader ends at the first block that it cannot read. A whole archive has only zeros after that.
        rest = _bytes(path, end, LARGEST_END + 1)
        if len(rest) < 2 * tarfile.BLOCKSIZE or rest.strip(b"\0") or len(rest) > LARGEST_END:
            raise IdentboxError(
                f"{path}: expected a whole tar file, got one cut short or damaged at byte {end}"
            )
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, OverflowError) as error:
        raise IdentboxError(f"{path}: expected a tar file, got {_on_one_line(error)}") from error
    return members


def _bytes(path: Path, start: int, size: int) -> bytes:
    with files.open_regular(path) as file:
        file.seek(start)
        return file.read(size)


def _text(path: Path, start: int, size: int) -> str:
    return _bytes(path, start, size).decode("utf-8-sig")


def _expect_regular(path: Path, what: str) -> None:
    """Raise IdentboxError where a library would wait for a pipe, or read a device."""
    try:
        files.open_regular(path).close()
    except OSError as error:
        raise IdentboxError(f"{path}: expected {what}, got {error.strerror or error}") from error


def latents_of_rows(rows: Sequence[Any], where: str) -> Columns:
    """The latents of samples as columns. Raises IdentboxError for rows of other keys, and for other values.

    Values are finite numbers, or texts of at most LONGEST_WORD characters; the texts of a column are all texts.
    """
    if not all(isinstance(row, dict) for row in rows):
        raise IdentboxError(f"{where}: expected a table of latents for each sample, got others")
    names = list(rows[0]) if rows else []
    if len(names) > MOST_COLUMNS or any(row.keys() != rows[0].keys() for row in rows):
        raise IdentboxError(f"{where}: expected the same latents in each sample, got others")
    return {name: _column([row[name] for row in rows], f"{where}: {name}") for name in names}


def _column(values: Iterable[Any], where: str) -> np.ndarray:
    column = list(values)
    kinds = {type(value) for value in column}
    if kinds <= {int, float}:
        try:
            array = np.array(column, dtype=np.float64 if float in kinds else np.int64)
        except OverflowError as error:
            raise IdentboxError(f"{where}: expected numbers of 64 bits, got larger ones") from error
        if not np.isfinite(array).all():
            raise IdentboxError(f"{where}: expected finite numbers, got others")
        return array
    if kinds == {str} and all(len(value) <= LONGEST_WORD for value in column):
        return np.array(column, dtype=object)
    raise IdentboxError(
        f"{where}: expected numbers, or texts of at most {LONGEST_WORD} characters, got others"
    )


def _on_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
