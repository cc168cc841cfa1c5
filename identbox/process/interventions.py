"""Interventions: what is done to a variable, or to all variables of a role, of a sample that was drawn."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Permute:
    """Intervention: the values of a variable, or of all of a role, are permuted across the batch together."""

    target: str


@dataclass(frozen=True, kw_only=True)
class Set:
    """Intervention: the variable is set to a number, or to a tensor of shape (dim,) or (n, dim)."""

    target: str
    to: float | Tensor


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Intervention: a number, or a tensor of shape (dim,) or (n, dim), is added to the variable."""

    target: str
    by: float | Tensor


@dataclass(frozen=True, kw_only=True)
class Resample:
    """Intervention: the variable, or each of a role, is drawn anew from its distribution without its causes."""

    target: str


Intervention = Permute | Set | Shift | Resample
