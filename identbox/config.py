"""TOML tables to checked, frozen dataclasses, and back."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from identbox.errors import IdentboxError
from identbox.files import write_whole

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
        try:
            values[key] = _convert(value, hints[key])
        except TypeError:
            hint: Any = fields[key].type
            expected = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
            expected = expected.replace("None | ", "").replace(" | None", "")
            raise IdentboxError(f"{where}.{key}: expected {expected}, got {value!r}") from None
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


def _convert(value: Any, hint: Any) -> Any:
    """The value as its hint has it: lists as tuples, integers as floats. Raises TypeError where it does not fit.

    Every item is looked at, so that one wrong number in a matrix is found.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        for option in arguments:
            with suppress(TypeError):
                return _convert(value, option)
    elif origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            endless = arguments[-1] is Ellipsis
            hints = arguments[:1] * len(value) if endless else arguments
            if len(hints) == len(value):
                return tuple(map(_convert, value, hints))
    elif origin in (dict, Mapping):
        if isinstance(value, dict):
            return {key: _convert(item, arguments[1]) for key, item in value.items()}
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    elif isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise TypeError


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
    sections: Mapping[str, type],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str,
    table: Mapping[str, Any],
    where: str,
) -> T:
    """A configuration of any kind: a preset changed by a table, each of the sections a dataclass of its own.

    Raises IdentboxError for an unknown preset, and for keys and values that do not fit.
    """
    if preset not in presets:
        raise IdentboxError(f"preset: expected one of {', '.join(presets)}; got {preset}")
    merged = merge(presets[preset], table)
    built = {
        key: build(sections[key], value, f"{where}: {key}") if key in sections else value
        for key, value in merged.items()
    }
    return build(cls, built, where)


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
