"""TOML tables to checked, frozen dataclasses, and back."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from identbox.errors import IdentboxError
from identbox.files import write_whole
from identbox.settings import build

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
    write_whole(path, toml_of(table))


def toml_of(table: dict[str, Any]) -> bytes:
    """A table as TOML."""
    return tomli_w.dumps(plain(table), indent=2).encode()


def plain(value: Any) -> Any:
    """A value as TOML gives it back: tuples as lists, and no None in tables."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def configuration(
    cls: type[T],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str,
    table: Mapping[str, Any],
    where: str,
) -> T:
    """A configuration of any kind: a preset changed by a table.

    Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
    """
    if preset not in presets:
        raise IdentboxError(f"preset: expected one of {', '.join(presets)}; got {preset}")
    return build(cls, merge(presets[preset], table), where)


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The first table with the values of the second in their places, tables within tables merged."""
    merged = dict(one)
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _differences(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys whose values differ, with both values."""
    for key in dict.fromkeys([*one, *other]):
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, a, b


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys from tables within tables; the inverse of `nested`.

    >>> flat({"process": {"causal": True}, "setting": "multiview"})
    {'process.causal': True, 'setting': 'multiview'}
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def nested(dotted: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Tables within tables from dotted keys: {"a.b": 1} is {"a": {"b": 1}}.

    >>> nested({"process.causal": True, "process.style": 2, "setting": "multiview"}, "example")
    {'process': {'causal': True, 'style': 2}, 'setting': 'multiview'}
    """
    table: dict[str, Any] = {}
    for key, value in dotted.items():
        *parents, last = key.split(".")
        place = table
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise IdentboxError(f"{where}: {key}: expected a key within a table, got one within {parent}")
        place[last] = value
    return table
