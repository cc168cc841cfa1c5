"""Checked dataclasses: the type and the bounds of every field are checked whenever an object is built.

A class decorated with `settings` is a frozen dataclass with keyword arguments. Bounds stand in the annotation:

    @settings
    class Mixing:
        layers: Annotated[int, at_least(1)] = 3

`build` makes such an object from a table of TOML.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache, partial
from math import inf, isfinite
from numbers import Integral, Real
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from identbox.errors import IdentboxError

T = TypeVar("T")
LONGEST_VALUE = 200  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The interval that a number must lie in; an end may be left out of it."""

    low: int | float = -inf
    high: int | float = inf
    without_low: bool = False
    without_high: bool = False

    def contain(self, value: int | float) -> bool:
        """Whether a number lies within the bounds."""
        above = value > self.low if self.without_low else value >= self.low
        return above and (value < self.high if self.without_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == inf:
            if not self.without_low:
                return f"at least {self.low:g}"
            return "a positive number" if self.low == 0 else f"a number above {self.low:g}"
        opening, closing = "(" if self.without_low else "[", ")" if self.without_high else "]"
        return f"a number in {opening}{self.low:g}, {self.high:g}{closing}"


def at_least(low: int | float) -> Bounds:
    """Numbers from ``low`` on."""
    return Bounds(low=low)


def above(low: int | float) -> Bounds:
    """Numbers above ``low``."""
    return Bounds(low=low, without_low=True)


def between(
    low: int | float, high: int | float, *, without: Literal["low", "high", "both"] | None = None
) -> Bounds:
    """Numbers from ``low`` to ``high``, perhaps without one of these ends or both."""
    return Bounds(low, high, without in ("low", "both"), without in ("high", "both"))


Count = Annotated[int, at_least(1)]  # how many of something there must be at least one of
NonNegative = Annotated[float, at_least(0)]
Positive = Annotated[float, above(0)]
Probability = Annotated[float, between(0, 1)]
Fraction = Annotated[float, between(0, 1, without="both")]


class FieldError(IdentboxError):
    """A value of the wrong type, or outside its bounds, for one field."""


@overload
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[T], /) -> type[T]: ...
@overload
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def settings(*, kw_only: bool = True) -> Callable[[type[T]], type[T]]: ...
def settings(cls: Any = None, /, *, kw_only: bool = True) -> Any:
    """Make a class a frozen dataclass with keyword arguments, whose fields are checked whenever one is built.

    Lists become tuples and integers become floats where the annotation says so. The class's own ``__post_init__``,
    for conditions between fields, runs after that. Building one raises IdentboxError that names the field.
    With ``@settings(kw_only=False)`` fields may be given by position, too.

    >>> @settings
    ... class Noise:
    ...     scale: Positive = 1.0
    >>> Noise(scale=2)
    Noise(scale=2.0)
    >>> Noise(scale=-1)
    Traceback (most recent call last):
    identbox.settings.FieldError: scale: expected a positive number, got -1.0
    """
    if cls is None:
        return partial(settings, kw_only=kw_only)
    own: Callable[[Any], None] | None = cls.__dict__.get("__post_init__")

    def check(self: Any) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _is_default(field, value):
                object.__setattr__(self, field.name, _checked(field.name, value, hints[field.name]))
        if own is not None:
            own(self)

    setattr(cls, "__post_init__", check)  # noqa: B010
    made = dataclasses.dataclass(frozen=True, kw_only=kw_only)(cls)
    # Checkers of types at run time leave it alone: integers for floats are fine here, and messages are for users.
    made.__init__.__no_type_check__ = True
    return made


def build(cls: type[T], table: Any, where: str) -> T:
    """Make a checked dataclass from a table, and those that are its fields from the tables in it.

    Raises IdentboxError, with ``where`` in front, for a value that is no table, a key that the class does not know
    (the known ones are named), a missing key, and a value of the wrong type or outside its bounds.
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
    hints = _hints(cls)  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    try:
        for key, value in table.items():
            values[key] = _built(key, value, hints[key], where)
    except FieldError as error:
        raise IdentboxError(f"{where}.{error}") from error
    try:
        return cls(**values)
    except FieldError as error:
        raise IdentboxError(f"{where}.{error}") from error
    except IdentboxError as error:
        raise IdentboxError(f"{where}: {error}") from error


def table_of(value: Any) -> dict[str, Any]:
    """The keys of a dataclass that differ from their defaults, as `build` reads them."""
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if field.default is dataclasses.MISSING or getattr(value, field.name) != field.default
    }


def _built(key: str, value: Any, hint: Any, where: str) -> Any:
    """The value of a key; a table becomes the dataclass that the annotation names."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and not isinstance(value, hint):
        return build(hint, value, f"{where}: {key}")
    return _checked(key, value, hint)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _is_default(field: dataclasses.Field, value: object) -> bool:
    return field.default is not dataclasses.MISSING and value is field.default


class _Misfit(Exception):
    """A value, or one within it, that does not fit its annotation: where it stands, and what was expected."""

    def __init__(self, value: Any, expected: str, place: str = "") -> None:
        self.value, self.expected, self.place = value, expected, place


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value as its annotation has it. Raises FieldError that names the field, and the place within a list."""
    try:
        return _converted(value, hint)
    except _Misfit as misfit:
        shown = repr(misfit.value)
        shown = shown if len(shown) <= LONGEST_VALUE else shown[:LONGEST_VALUE] + "…"
        mark = ";" if misfit.expected.startswith("one of") else ","
        raise FieldError(f"{name}{misfit.place}: expected {misfit.expected}{mark} got {shown}") from None


def _converted(value: Any, hint: Any) -> Any:
    """The value as its annotation has it: lists as tuples, integers as floats.

    Every item of a list is looked at. Raises _Misfit for another type and for a value outside its bounds.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or origin in (Callable, type):
        return value
    if origin is Annotated:
        inner = _converted(value, arguments[0])
        for bounds in arguments[1:]:
            if isinstance(bounds, Bounds) and not bounds.contain(inner):
                raise _Misfit(inner, str(bounds))
        return inner
    if origin in (Union, UnionType):
        return _converted_to_one_of(value, hint)
    if origin is tuple and isinstance(value, list | tuple):
        return _converted_items(value, hint)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _converted(item, arguments[1]) for key, item in value.items()}
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if hint is float and isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value):
        return float(value)
    if hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if hint not in (int, float) and origin not in (tuple, Literal) and isinstance(value, origin or hint):
        return value
    raise _Misfit(value, _described(hint))


def _is_finite(value: Real) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _converted_items(values: list | tuple, hint: Any) -> tuple:
    """A list as a tuple, each item as its annotation has it."""
    hints = get_args(hint)
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(values)
    if len(hints) != len(values):
        raise _Misfit(values, _described(hint))
    converted = []
    for place, (value, inner) in enumerate(zip(values, hints, strict=True)):
        try:
            converted.append(_converted(value, inner))
        except _Misfit as misfit:
            raise _Misfit(misfit.value, misfit.expected, f"[{place}]{misfit.place}") from None
    return tuple(converted)


def _converted_to_one_of(value: Any, union: Any) -> Any:
    """The value by the first option that it fits; otherwise the nearest misfit: one within it, or out of bounds."""
    nearest = _Misfit(value, _described(union))
    for option in get_args(union):
        try:
            return _converted(value, option)
        except _Misfit as misfit:
            if misfit.place or misfit.expected != _described(option):
                nearest = misfit
    raise nearest


def _described(hint: Any) -> str:
    """What an annotation expects, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    if hint in words:
        return words[hint]
    if origin is Annotated:
        return _described(arguments[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, UnionType):
        return " or ".join(_described(option) for option in arguments if option is not types.NoneType)
    if origin is tuple:
        return _described_list(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    return f"a {getattr(hint, '__name__', hint)}"


def _described_list(items: tuple[Any, ...]) -> str:
    kind = get_args(items[0])[0] if get_origin(items[0]) is Annotated else items[0]
    plural = {int: "integers", float: "numbers", str: "texts"}.get(kind, "lists of numbers")
    return f"a list of {plural}" if items[-1] is Ellipsis else f"{len(items)} {plural}"
