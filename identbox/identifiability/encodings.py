"""Encoders, encodings and latents of a user, checked at the door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from identbox import arrays
from identbox.errors import IdentboxError
from identbox.process.model import Process, Variable

Encoder = Callable[[Tensor], Any]  # observations (n, d) of one view -> encodings (n, k), any array


def encoded(encoder: Encoder, x: Shaped[Tensor, "n ..."], where: str) -> Float[Tensor, "n k"]:
    """The encodings (n, k) of n observations, checked.

    Raises IdentboxError for something else than a matrix of n rows of finite numbers, and for an encoder that
    changes its input.
    """
    if not callable(encoder):
        raise IdentboxError(f"{where}: expected a callable, got {type(encoder).__name__}")
    given = x.clone()
    module = encoder if isinstance(encoder, nn.Module) else None
    training = module is not None and module.training
    try:
        if module is not None:
            module.eval()
        with torch.no_grad():
            result = encoder(given)
    finally:
        if module is not None:
            module.train(training)
    if not torch.equal(given, x):
        raise IdentboxError(f"{where}: expected observations left as they are, got them changed in place")
    return encoding_matrix(result, where, rows=len(x))


def encoding_matrix(value: Any, where: str, *, rows: int | None = None) -> Float[Tensor, "n k"]:
    """Encodings as floating point numbers (n, k).

    Raises IdentboxError for another shape, and for numbers that are not finite.
    """
    matrix = arrays.tensor_of(value, where)
    shape = f"({'n' if rows is None else rows}, k)"
    if matrix.ndim != 2 or 0 in matrix.shape or (rows is not None and len(matrix) != rows):
        raise IdentboxError(f"{where}: expected encodings of shape {shape}, got {tuple(matrix.shape)}")
    matrix = matrix if matrix.is_floating_point() else matrix.double()
    return matrix


def latents_of(
    process: Process, latents: Mapping[str, Any], view: str, *, rows: int
) -> dict[str, Shaped[Tensor, "n _"]]:
    """The latents that are given for a view, by variable, as the process has them: (n, dim), classes as integers.

    They stand under the names of variables, the same for all views, or in a mapping of their own under the view.
    """
    nested = latents.get(view)
    own = (
        nested
        if isinstance(nested, Mapping)
        else {k: z for k, z in latents.items() if not isinstance(z, Mapping)}
    )
    if not own:
        raise IdentboxError(f"latents of view {view}: expected variables of the process, got none")
    typed = {}
    for name, value in own.items():
        variable = process[name]
        where = f"latents of view {view}, {name}"
        dim = variable.distribution.dim
        typed[name] = _typed(variable, arrays.matrix(value, where, rows=rows, columns=dim), where)
    return typed


def _typed(variable: Variable, values: Tensor, where: str) -> Tensor:
    """Values with the type that the variable's distribution gives: classes as integers, others as numbers."""
    classes = variable.distribution.domain.classes
    if classes is None:
        return values if values.is_floating_point() else values.double()
    whole = values.round().long()
    if values.is_floating_point() and not torch.equal(whole.to(values.dtype), values):
        raise IdentboxError(f"{where}: expected class numbers, got numbers that are not whole")
    if not (whole.min() >= 0 and whole.max() < classes):
        raise IdentboxError(
            f"{where}: expected classes in [0, {classes}), got {whole.min().item()} to {whole.max().item()}"
        )
    return whole


def expect_views(given: Mapping[str, Any], process: Process, what: str) -> None:
    """Raise IdentboxError for no mapping of views, and for views that the process does not have."""
    if not isinstance(given, Mapping) or not given:
        raise IdentboxError(f"{what}: expected one for each view, as a mapping, got {type(given).__name__}")
    for view in given:
        if view not in process.views:
            raise IdentboxError(f"{what}: expected views among {', '.join(process.views)}; got {view}")
