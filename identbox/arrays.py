"""Arrays at the door: numpy arrays, torch tensors and anything with ``__array__``, checked and made tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from identbox.errors import IdentboxError


def tensor_of(value: Any, where: str) -> Tensor:
    """A tensor of numbers from any array. Raises IdentboxError for what is no array of finite numbers.

    >>> tensor_of([[1.0, 2.0]], "encodings").shape
    torch.Size([1, 2])
    """
    if isinstance(value, Tensor):
        tensor = value.detach()
    else:
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise IdentboxError(
                f"{where}: expected an array of numbers, got {type(value).__name__} ({error})"
            ) from error
        if array.dtype.kind not in "fiub":
            raise IdentboxError(f"{where}: expected an array of numbers, got one of {array.dtype}")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if array.dtype.kind == "u":
            array = array.astype(np.int64)
        tensor = torch.from_numpy(np.array(array))
    if tensor.is_complex():
        raise IdentboxError(f"{where}: expected real numbers, got {tensor.dtype}")
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise IdentboxError(f"{where}: expected finite numbers, got {bad} that are NaN or infinite")
    return tensor


def matrix(
    value: Any, where: str, *, rows: int | None = None, columns: int | None = None
) -> Shaped[Tensor, "n d"]:
    """A tensor (n, d) from any array of one or two dimensions; one dimension is a single column.

    Raises IdentboxError for another shape, and for what is no array of finite numbers.
    """
    tensor = tensor_of(value, where)
    if tensor.ndim == 1:
        tensor = tensor[:, None]
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise IdentboxError(f"{where}: expected the shape (n, d), got {tuple(tensor.shape)}")
    if rows is not None and len(tensor) != rows:
        raise IdentboxError(f"{where}: expected {rows} rows, got {len(tensor)}")
    if columns is not None and tensor.shape[1] != columns:
        raise IdentboxError(f"{where}: expected {columns} columns, got {tensor.shape[1]}")
    return tensor
