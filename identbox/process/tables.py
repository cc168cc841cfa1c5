"""Processes as the tables of TOML files, and back (the format is in docs/processes.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from identbox.config import read_toml
from identbox.errors import IdentboxError
from identbox.process.distributions import DISTRIBUTIONS
from identbox.process.effects import EFFECTS, Effect
from identbox.process.heavy_tails import StudentT as StudentT  # so that files know its kind
from identbox.process.model import Change, Process, Variable
from identbox.process.presets import PROCESSES
from identbox.settings import build, table_of


def process_from_table(table: Mapping[str, Any], where: str) -> Process:
    """Read a process from the table of a TOML file.

    Raises IdentboxError naming the key, what was expected and what came.
    """
    head = {key: value for key, value in table.items() if key != "variables"}
    variables = table.get("variables")
    if not isinstance(variables, dict) or not variables:
        raise IdentboxError(
            f"{where}: expected a table [variables.NAME] for each variable, got {variables!r}"
        )
    read = tuple(_variable(name, entry, f"{where}: variables.{name}") for name, entry in variables.items())
    head["variables"] = list(read)
    return build(Process, head, where)


def _variable(name: str, table: Any, where: str) -> Variable:
    if not isinstance(table, dict):
        raise IdentboxError(f"{where}: expected a table, got {table!r}")
    table = dict(table)
    kind = table.pop("distribution", None)
    distribution_class = _registered_class(DISTRIBUTIONS, kind, f"{where}.distribution")
    keys = {f.name for f in dataclasses.fields(distribution_class)}
    known = {"distribution", *(f.name for f in dataclasses.fields(Variable) if f.name != "name"), *keys}
    unknown = [key for key in table if key not in known]
    if unknown:
        raise IdentboxError(
            f"{where}: expected keys among {', '.join(sorted(known))}; got {', '.join(unknown)}"
        )
    distribution = build(distribution_class, {k: table.pop(k) for k in keys & table.keys()}, where)
    entry: dict[str, Any] = {"name": name, "distribution": distribution, **table}
    if "change" in table:
        entry["change"] = build(Change, table["change"], f"{where}.change")
    if "effects" in table:
        if not isinstance(table["effects"], dict):
            raise IdentboxError(f"{where}.effects: expected a table by parent, got {table['effects']!r}")
        entry["effects"] = {
            parent: _effect(effect, f"{where}.effects.{parent}")
            for parent, effect in table["effects"].items()
        }
    return build(Variable, entry, where)


def _effect(table: Any, where: str) -> Effect:
    if not isinstance(table, dict):
        raise IdentboxError(f"{where}: expected a table, got {table!r}")
    cls = _registered_class(EFFECTS, table.get("kind"), f"{where}.kind")
    return build(cls, {key: value for key, value in table.items() if key != "kind"}, where)


def _registered_class(known: dict[str, Any], name: Any, where: str) -> Any:
    """The class of a kind. Raises IdentboxError, with the known kinds, for another one."""
    if not isinstance(name, str) or name not in known:
        raise IdentboxError(f"{where}: expected one of {', '.join(known)}; got {name}")
    return known[name]


def table_from_process(process: Process) -> dict[str, Any]:
    """The table that `process_from_table` reads the same process from."""
    table = table_of(process)
    table["variables"] = {}
    for variable in process.variables:
        entry: dict[str, Any] = {"role": variable.role, "distribution": variable.distribution.kind}
        entry |= table_of(variable.distribution)
        if variable.view is not None:
            entry["view"] = variable.view
        if variable.change is not None:
            entry["change"] = table_of(variable.change)
        if variable.effects:
            entry["effects"] = {
                parent: {"kind": effect.kind, **table_of(effect)}
                for parent, effect in variable.effects.items()
            }
        table["variables"][variable.name] = entry
    return table


def load_process(name: str | Path) -> Process:
    """A process by its name, or from a TOML file.

    A file may start from a preset with ``base = "NAME"``: its variables are then added to those of the
    preset, or replace those of the same name. Raises IdentboxError for an unknown name and for all that is
    wrong in a file.

    >>> from identbox import load_process
    >>> load_process("multimodal3dident").views
    ('image', 'text')
    """
    if str(name) in PROCESSES:
        return PROCESSES[str(name)]()
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file():
        raise IdentboxError(f"process: expected one of {', '.join(PROCESSES)} or a TOML file; got {name}")
    return from_table(read_toml(path), str(path), default_name=path.stem)


def inherits(name: str | Path, variable: str) -> bool:
    """Whether `load_process` takes a variable from a ready-made process, and not from a user's own file."""
    return str(name) in PROCESSES or variable not in read_toml(name).get("variables", {})


def from_table(table: Any, where: str, default_name: str = "process") -> Process:
    """A process from the table of a TOML file, its ``base`` filled in. Raises IdentboxError for anything else."""
    if not isinstance(table, dict):
        raise IdentboxError(f"{where}: expected a table, got {table!r:.60}")
    table = {"name": default_name, **table}
    base = table.pop("base", None)
    if base is not None:
        if not isinstance(base, str) or base not in PROCESSES:
            raise IdentboxError(f"{where}: base: expected one of {', '.join(PROCESSES)}; got {base}")
        start = table_from_process(PROCESSES[base]())
        start.pop("description", None)
        variables = table.get("variables", {})
        if not isinstance(variables, dict):
            raise IdentboxError(f"{where}: variables: expected a table, got {variables!r}")
        table = {**start, **table, "variables": {**start["variables"], **variables}}
    return process_from_table(table, where)
