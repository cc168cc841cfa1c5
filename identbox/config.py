"""Tables of TOML: read and written, merged and flattened, built into settings; and which table a folder belongs to."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from identbox.errors import IdentboxError, first_few
from identbox.files import LARGEST_INTEGER, LARGEST_TABLE, PART, is_cut, read_text, write_once, write_whole
from identbox.settings import build

Config = TypeVar("Config")
NOT_CONTENT = (".log", ".lease", PART)  # suffixes of files that make a folder no less empty
LONGEST_SHOWN = 60  # characters of two values that a message about a difference shows


def read_toml(path: Path | str) -> dict[str, Any]:
    """The table of a TOML file.

    Raises IdentboxError where the file is missing, too large, not UTF-8, or not TOML (with line and column).
    """
    return parse_toml(read_text(path, LARGEST_TABLE, "a TOML file"), str(path))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table of a TOML text. Raises IdentboxError where it is not TOML, or has an integer that no file can hold."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise IdentboxError(f"{where}: expected TOML, got {error}") from error
    if any(type(value) is int and abs(value) > LARGEST_INTEGER for value in _values(table)):
        raise IdentboxError(f"{where}: expected TOML with integers of at most 300 digits, got a larger one")
    return table


def _values(value: Any) -> Iterator[Any]:
    """The values within tables and lists."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _values(item)
    else:
        yield value


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Write a table as TOML, whole or not at all; keys with the value None are left out."""
    write_whole(path, toml_of(table))


def toml_of(table: dict[str, Any]) -> bytes:
    """A table as TOML. Raises IdentboxError for a text that is not Unicode, as names of folders may be."""
    text = tomli_w.dumps(toml_values(table), indent=2)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise IdentboxError(
            f"TOML: expected texts and names in Unicode, got {text[error.start : error.end]!r}"
        ) from error


def toml_values(value: Any) -> Any:
    """A value as TOML gives it back: tuples as lists, and no None in tables."""
    if isinstance(value, dict):
        return {key: toml_values(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [toml_values(item) for item in value]
    return value


def configuration(
    cls: type[Config],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str,
    table: Mapping[str, Any],
    where: str,
) -> Config:
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


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys from tables within tables; the inverse of `nested`.

    >>> flat({"process": {"causal": True}, "setting": "multiview"})
    {'process.causal': True, 'setting': 'multiview'}
    """
    dotted: dict[str, Any] = {}
    for key, value in table.items():
        dotted |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return dotted


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


def claim(
    path: Path,
    table: Mapping[str, Any],
    *,
    what: str,
    free: Sequence[str] = (),
    added: Mapping[str, Any] | None = None,
    in_empty: bool = True,
    advice: str = "",
) -> dict[str, Any] | None:
    """Write into a folder the table that says what the folder is for, or check that it has the same table already.

    ``path`` is the table's file in that folder, and ``what`` says in messages what the folder is wanted for. The dotted
    keys in ``free`` may differ, and the ends of dotted keys in ``added`` may be missing there: a table without one
    means the value that ``added`` has for it. A new folder must be empty, unless ``in_empty`` is False. Returns the
    table that was there, or None where it was written now. Raises IdentboxError for a folder with another table (the
    keys that differ are named, then ``advice``), with other files, and for one that cannot be written.
    """
    folder, wanted = path.parent, toml_values(dict(table))
    content = toml_of(wanted)
    if path.exists() and not is_cut(path, content):
        earlier = read_toml(path)
        differing = _differing(flat(earlier), flat(wanted), free, added or {})
        if differing:
            raise IdentboxError(
                f"{folder}: expected {what}, got one that differs in {first_few(differing)}{advice}"
            )
        return earlier
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [entry.name for entry in folder.iterdir() if entry.suffix not in NOT_CONTENT]
        if in_empty and others and not path.exists():  # another process may have written it just now
            raise IdentboxError(f"{folder}: expected an empty folder or {what}, got {first_few(others, 3)}")
        write_once(path, content)
    except OSError as error:
        raise IdentboxError(f"{folder}: expected a folder to write to, got {error.strerror}") from error
    return None


def is_claimed_for(
    path: Path,
    table: Mapping[str, Any],
    *,
    free: Sequence[str] = (),
    added: Mapping[str, Any] | None = None,
) -> bool:
    """Whether a folder's file has this table, where ``free`` and ``added`` are as in `claim`. Nothing is written.

    Raises IdentboxError where the file is there and damaged.
    """
    if not path.is_file():
        return False
    return not _differing(flat(read_toml(path)), flat(toml_values(dict(table))), free, added or {})


def _differing(
    earlier: dict[str, Any],
    wanted: dict[str, Any],
    free: Sequence[str],
    added: Mapping[str, Any],
) -> list[str]:
    """The dotted keys whose values differ, with both values unless these are long."""
    described = []
    for key in dict.fromkeys([*earlier, *wanted]):
        before = next((value for end, value in added.items() if f".{key}".endswith(f".{end}")), None)
        there, here = earlier.get(key, before), wanted.get(key)
        if key not in free and there != here:
            values = f" ({there} in the folder, {here} asked for)"
            described.append(key + (values if len(values) <= LONGEST_SHOWN else ""))
    return described
