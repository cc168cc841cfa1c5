"""Exact laws from TOML files: a table of probabilities, a graph of noisy copies, or a covariance.

The format is in docs/theorem-1.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from identbox.config import read_toml
from identbox.errors import IdentboxError
from identbox.process.exact import MOST_STATES, SUM_TOLERANCE, DiscreteProcess, LinearGaussian, Modalities
from identbox.settings import Count, Probability, build, settings

KEYS = ("description", "modalities", "models", "variables", "table", "covariance")
WAYS = ("classes", "probabilities", "copy_of", "sum_of")
MOST_VARIABLES = 52  # of a graph: numpy.einsum has as many names for axes


@settings
class Node:
    """A variable of a graph: uniform, with given probabilities, or a noisy copy of others."""

    # Number of classes, which are equally likely.
    classes: Count | None = None
    # Probabilities of the classes; with parents, nested lists: first an axis for each parent, last the classes.
    probabilities: Any = None
    parents: tuple[str, ...] = ()
    # The variable that it copies.
    copy_of: str | None = None
    # The variables whose sum, modulo their number of classes, it is. Of two bits this is their exclusive or.
    sum_of: tuple[str, ...] = ()
    # Probability that a copy or sum is replaced by one of the other classes, which are equally likely.
    flip: Probability = 0.0

    def __post_init__(self) -> None:
        given = [way for way in WAYS if getattr(self, way) not in (None, ())]
        if len(given) != 1:
            raise IdentboxError(f"expected one of {', '.join(WAYS)}; got {', '.join(given) or 'none'}")
        if self.parents and given != ["probabilities"]:
            raise IdentboxError(f"parents: expected probabilities beside it, got {given[0]}")
        if self.flip and given[0] not in ("copy_of", "sum_of"):
            raise IdentboxError(f"flip: expected copy_of or sum_of beside it, got {given[0]}")

    @property
    def causes(self) -> tuple[str, ...]:
        """The variables that it depends on."""
        return (self.copy_of,) if self.copy_of is not None else self.sum_of or self.parents


def load_exact(path: Path | str) -> DiscreteProcess | LinearGaussian:
    """Read a law from a TOML file. Raises IdentboxError for all that is wrong in it."""
    return exact_from_table(read_toml(path), str(path), name=Path(path).stem)


def exact_from_table(
    table: Mapping[str, Any], where: str, *, name: str = "process"
) -> DiscreteProcess | LinearGaussian:
    """A law from the table of a TOML file: it has ``table``, ``variables`` or ``covariance``, and ``modalities``."""
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        raise IdentboxError(f"{where}: expected keys among {', '.join(KEYS)}; got {', '.join(unknown)}")
    modalities = _modalities(table.get("modalities"), where)
    given = [key for key in ("table", "variables", "covariance") if key in table]
    if len(given) != 1:
        raise IdentboxError(
            f"{where}: expected one of table, variables, covariance; got {', '.join(given) or 'none'}"
        )
    description = str(table.get("description", ""))
    made: DiscreteProcess | LinearGaussian
    try:
        if given == ["covariance"]:
            made = LinearGaussian(modalities, table["covariance"], description=description)
        elif given == ["table"]:
            made = DiscreteProcess(modalities, table["table"], description=description)
        else:
            seen = [component for block in modalities.values() for component in block]
            joint = _joint(_nodes(table["variables"], where), seen, where)
            made = DiscreteProcess(modalities, joint, description=description)
    except IdentboxError as error:
        raise IdentboxError(
            f"{where}: {str(error).removeprefix('process: ').removeprefix(f'{where}: ')}"
        ) from error
    made.name = name
    return made


def _modalities(table: Any, where: str) -> dict[str, list[str]]:
    lists = isinstance(table, dict) and all(
        isinstance(block, list) and all(isinstance(one, str) for one in block) for block in table.values()
    )
    if not lists:
        raise IdentboxError(
            f"{where}: expected a table [modalities] with a list of components for each, got {table!r:.60}"
        )
    Modalities(table, where)
    return table


def _nodes(table: Any, where: str) -> dict[str, Node]:
    if not isinstance(table, dict) or not 0 < len(table) <= MOST_VARIABLES:
        raise IdentboxError(f"{where}: variables: expected 1 to {MOST_VARIABLES} tables, got {table!r:.60}")
    nodes: dict[str, Node] = {}
    for name, entry in table.items():
        node = build(Node, entry, f"{where}: variables.{name}")
        unknown = [cause for cause in node.causes if cause not in nodes]
        if unknown:
            raise IdentboxError(
                f"{where}: variables.{name}: expected causes among {', '.join(nodes) or 'none'}, which stand "
                f"before it; got {', '.join(unknown)}"
            )
        nodes[name] = node
    return nodes


def _joint(nodes: Mapping[str, Node], seen: list[str], where: str) -> ndarray:
    """The joint distribution of the variables that are seen; the others are summed out."""
    unknown = [name for name in seen if name not in nodes]
    if unknown:
        raise IdentboxError(
            f"{where}: modalities: expected components among {', '.join(nodes)}; got {', '.join(unknown)}"
        )
    axes = {name: axis for axis, name in enumerate(nodes)}
    classes: dict[str, int] = {}
    operands: list[Any] = []
    for name, node in nodes.items():
        factor = _factor_of_node(
            node, [classes[cause] for cause in node.causes], f"{where}: variables.{name}"
        )
        classes[name] = factor.shape[-1]
        operands += [factor, [*(axes[cause] for cause in node.causes), axes[name]]]
    states = np.prod([float(classes[name]) for name in seen])
    if states > MOST_STATES:
        raise IdentboxError(f"{where}: expected at most {MOST_STATES} states, got {states:.3g}")
    return np.einsum(*operands, [axes[name] for name in seen], optimize="greedy")


def _factor_of_node(node: Node, sizes: list[int], where: str) -> ndarray:
    """The probabilities of a variable given its causes: an axis for each cause, and last that of its own classes."""
    if node.classes is not None:
        return np.full(node.classes, 1 / node.classes)
    if node.probabilities is not None:
        return _given_factor(node.probabilities, sizes, where)
    if len(set(sizes)) > 1:
        raise IdentboxError(f"{where}.sum_of: expected variables of equally many classes, got {sizes}")
    classes = sizes[0]
    if node.flip and classes == 1:
        raise IdentboxError(f"{where}.flip: expected 0 for a variable of one class, got {node.flip:g}")
    total = sum(np.ix_(*(np.arange(size) for size in sizes))) % classes
    other = node.flip / max(classes - 1, 1)
    return np.where(np.eye(classes, dtype=bool)[total], 1 - node.flip, other)


def _given_factor(probabilities: Any, sizes: list[int], where: str) -> ndarray:
    try:
        factor = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise IdentboxError(f"{where}.probabilities: expected lists of equal lengths, got {error}") from error
    if factor.ndim != len(sizes) + 1 or factor.shape[:-1] != tuple(sizes) or not factor.size:
        raise IdentboxError(
            f"{where}.probabilities: expected axes of {[*sizes, 'classes']}, got {list(factor.shape)}"
        )
    sums = factor.sum(-1)
    if not (factor >= 0).all() or abs(sums - 1).max() > SUM_TOLERANCE:
        raise IdentboxError(
            f"{where}.probabilities: expected numbers from 0 with a sum of 1, got a sum of "
            f"{sums.flat[abs(sums - 1).argmax()]:g}"
        )
    return factor
