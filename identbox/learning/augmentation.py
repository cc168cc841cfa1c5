"""Changes of training images that leave their content as it is: interventions on style (von Kügelgen et al., 2021)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def moved(images: Float[Tensor, "n 3 h w"], shift: Int[Tensor, "n 2"]) -> Float[Tensor, "n 3 h w"]:
    """Each image moved by so many pixels down and to the right, its edges repeated; channels last in memory."""
    n, _, height, width = images.shape
    shift = shift.to(images.device)
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    each = torch.arange(n, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def turned(
    images: Float[Tensor, "n 3 h w"],
    turns: Float[Tensor, " n"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Tensor, "n 3 h w"]:
    """Each image with all its hues turned by so many full turns; grey stays grey.

    The images are normalised as (rgb - mean) / std. Colours turn about the axis of greys, which leaves their sum and
    their distance from grey as they are; they may leave [0, 1], and are not clipped.
    """
    angle = 2 * math.pi * turns.to(images.device)
    # Rodrigues' formula for the axis (1, 1, 1) / sqrt 3.
    third, side = (1 - angle.cos()) / 3, angle.sin() / math.sqrt(3)
    rows = [
        torch.roll(torch.stack([angle.cos() + third, third - side, third + side], 1), k, 1) for k in range(3)
    ]
    turn = torch.stack(rows, 1)
    scale, offset = (torch.tensor(triple, device=images.device) for triple in (std, mean))
    # (R (std x + mean) - mean) / std, as one map of x.
    matrix = turn * scale / scale[:, None]
    bias = (turn @ offset - offset) / scale
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory
    colours = torch.baddbmm(bias[:, None], pixels, matrix.transpose(1, 2))
    return colours.unflatten(1, images.shape[2:]).permute(0, 3, 1, 2)


def lit(
    images: Float[Tensor, "n 3 h w"],
    strength: Float[Tensor, " n"],
    side: Float[Tensor, " n"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[Tensor, "n 3 h w"]:
    """Each image as if more light fell on one side of it: its values times exp(strength (u cos side + v sin side)).

    u and v go from -1 to 1 across the image, to the right and down; ``side`` is in radians. The images are normalised
    as (rgb - mean) / std. Values may leave [0, 1], and are not clipped.
    """
    down, right = (torch.linspace(-1, 1, length, device=images.device) for length in images.shape[2:])
    strength, side = strength.to(images.device)[:, None, None], side.to(images.device)[:, None, None]
    gain = (strength * (right * side.cos() + down[:, None] * side.sin())).exp()[:, None]
    offset = torch.tensor(mean, device=images.device) / torch.tensor(std, device=images.device)
    return images * gain + (gain - 1) * offset[:, None, None]  # (gain (std x + mean) - mean) / std
