"""The ground-truth factors of some samples as columns: all that images or sentences show, and content alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from identbox.data.factors import CIRCULAR, TEXT, role
from identbox.data.folder import Columns


@runtime_checkable
class LatentSplit(Protocol):
    """A split of a dataset with its ground truth: a row a sample."""

    @property
    def image_latents(self) -> Columns: ...
    @property
    def text_latents(self) -> Columns: ...
    def __len__(self) -> int: ...


def factors(splits: Sequence[LatentSplit]) -> list[dict[str, np.ndarray]]:
    """Every factor of either view by name, of each split; numbers only.

    A factor that both views have is there once, or where they differ in some sample also as NAME (text).
    """
    images, texts = ([numbers(columns) for columns in views] for views in zip(
        *((split.image_latents, split.text_latents) for split in splits), strict=True
    ))  # fmt: skip
    named = {}
    for name in texts[0]:
        shared = name in images[0]
        if not (shared and all(np.array_equal(i[name], t[name]) for i, t in zip(images, texts, strict=True))):
            named[name] = name + TEXT if shared else name
    return [
        {**image, **{new: text[name] for name, new in named.items()}}
        for image, text in zip(images, texts, strict=True)
    ]


def numbers(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that hold numbers."""
    return {name: column for name, column in columns.items() if column.dtype.kind in "if"}


def content_columns(
    splits: Sequence[LatentSplit], counts: Sequence[int], process: Mapping[str, Any] | None = None
) -> list[Float[Tensor, "n k"]]:
    """Content of the first samples of each split, so many as ``counts`` says.

    Classes are a column of 0 and 1 each, hues a cosine and a sine, other numbers themselves; what is constant is
    left out.
    """
    known = [numbers(split.image_latents) for split in splits]
    columns: list[list[Tensor]] = [[] for _ in splits]
    for name in known[0]:
        whole = np.concatenate([split[name] for split in known])
        if role(name, process or {}) != "content" or len(np.unique(whole)) < 2:
            continue
        values = [torch.from_numpy(split[name][:n]) for split, n in zip(known, counts, strict=True)]
        for column, value in zip(columns, values, strict=True):
            if whole.dtype.kind == "i":
                column.append(functional.one_hot(value, 1 + int(whole.max())))
            elif name in CIRCULAR:
                angle = value * (2 * math.pi / CIRCULAR[name])
                column.append(torch.stack([angle.cos(), angle.sin()], 1))
            else:
                column.append(value[:, None])
    if not columns[0]:
        return [torch.zeros(n, 0, dtype=torch.float64) for n in counts]
    return [torch.cat(column, dim=1).double() for column in columns]
