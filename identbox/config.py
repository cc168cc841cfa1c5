"""TOML tables to checked, frozen dataclasses, and back."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w
from beartype.door import is_bearable

from identbox.errors import IdentboxError

T = TypeVar("T")


def read_toml(path: Path | str) -> dict[str, Any]:
    """The table of a TOML file.

    Raises IdentboxError where the file is missing, not UTF-8, or not TOML (with line and column).
    """
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise IdentboxError(f"{path}: expected a TOML file, got {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IdentboxError(f"{path}: expected TOML, got {error}") from error


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Write a table as TOML, whole or not at all; keys with the value None are left out."""
    write_whole(path, tomli_w.dumps(plain(table), indent=2).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no half of it is ever seen."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def build(cls: type[T], table: Any, where: str) -> T:
    """Make a frozen dataclass from a table, every key checked.

    Lists become tuples. Raises IdentboxError, with ``where`` in front, for a value that is no table, a key
    that the class does not know (the known ones are named), a missing key, or a value of the wrong type.
    """
    if not isinstance(table, dict):
        raise IdentboxError(f"{where}: expected a table, got {table!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [key for key in table if key not in fields]
    if unknown:
        raise IdentboxError(f"{where}: expected keys among {', '.join(fields)}; got {', '.join(unknown)}")
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in table:
            raise IdentboxError(f"{where}: expected the key {name}, got {', '.join(table) or 'no key'}")
    hints = get_type_hints(cls)
    values = {}
    for key, value in table.items():
        values[key] = _frozen(value)
        if not is_bearable(values[key], hints[key]):
            values[key] = _floats(values[key])  # an integer passes where a float is asked for
        stray = isinstance(value, bool) and hints[key] is not bool
        if stray or not is_bearable(values[key], hints[key]):
            hint: Any = fields[key].type
            expected = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
            expected = expected.replace("None | ", "").replace(" | None", "")
            raise IdentboxError(f"{where}.{key}: expected {expected}, got {table[key]!r}")
    try:
        return cls(**values)
    except IdentboxError as error:
        raise IdentboxError(f"{where}: {error}") from error


def table_of(value: Any) -> dict[str, Any]:
    """The keys of a dataclass that differ from their defaults, as `build` reads them."""
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if field.default is dataclasses.MISSING or getattr(value, field.name) != field.default
    }


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _floats(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_floats, value))
    return float(value) if isinstance(value, int) else value


def plain(value: Any) -> Any:
    """A value as TOML gives it back: tuples as lists, and no None in tables."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value
