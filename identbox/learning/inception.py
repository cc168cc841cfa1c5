"""Inception v3 as the FID has it: the features that published Frechet distances are of (Heusel et al., 2017).

The network is that of Szegedy et al. (2016) with the three changes that the TensorFlow graph behind the first FIDs has:
averages at a border count the pixels inside alone, and the last block takes a maximum where others take an average. The
weights are not part of identbox. They are a file that the user has: that of the package pytorch-fid,
``pt_inception-2015-12-05-6726825d.pth``, with an output of 1008 classes. Others give other distances, and are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from identbox import files
from identbox.errors import IdentboxError
from identbox.learning.checkpoints import load_saved

FEATURES = 2048
SIDE = 299  # of the images that the network sees
CLASSES = 1008  # of the last layer of the file, which is not used
LARGEST_WEIGHTS = 512 * files.MIB
AT_A_TIME = 50  # images

Size = tuple[int, int]
Pool = Literal["average", "maximum"]


@dataclass(frozen=True)
class _Step:
    """A convolution with batch norm and ReLU, by its name in the file."""

    name: str
    outputs: int
    kernel: Size = (1, 1)
    stride: int = 1
    padding: Size = (0, 0)


# A branch is a row of steps; where a step is a pair, both see what comes before, and their outputs are joined.
Branch = Sequence[_Step | tuple[_Step, _Step]]


class _Convolution(nn.Module):
    """``conv`` and ``bn``, as the file names them."""

    def __init__(self, inputs: int, step: _Step) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, step.outputs, step.kernel, step.stride, step.padding, bias=False)
        self.bn = nn.BatchNorm2d(step.outputs, eps=0.001)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d _ _"]:
        made: Tensor = functional.relu(self.bn(self.conv(x)))
        return made


class _Block(nn.Module):
    """Branches side by side, and one that pools: with a convolution after it, or as it is and with stride 2."""

    def __init__(self, inputs: int, branches: Sequence[Branch], pool: Pool, pooled: int | None) -> None:
        super().__init__()
        self.branches, self.pool = branches, pool
        self.strided = pooled is None
        for branch in branches:
            width = inputs
            for step in branch:
                pair = step if isinstance(step, tuple) else (step,)
                for one in pair:
                    self.add_module(one.name, _Convolution(width, one))
                width = pair[-1].outputs
        if pooled is not None:
            self.add_module("branch_pool", _Convolution(inputs, _Step("branch_pool", pooled)))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d _ _"]:
        made = [self._along(branch, x) for branch in self.branches]
        stride, padding = (2, 0) if self.strided else (1, 1)
        if self.pool == "maximum":
            pooled = functional.max_pool2d(x, 3, stride, padding)
        else:
            pooled = functional.avg_pool2d(x, 3, stride, padding, count_include_pad=False)
        made.append(pooled if self.strided else self.get_submodule("branch_pool")(pooled))
        return torch.cat(made, 1)

    def _along(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            pair = step if isinstance(step, tuple) else (step,)
            x = torch.cat([self.get_submodule(one.name)(x) for one in pair], 1)
        return x


def _row(name: str, *steps: tuple[int, Size] | tuple[int, Size, int]) -> list[_Step]:
    """Steps ``name_1``, ``name_2`` and so on: (outputs, kernel), or (outputs, kernel, stride) without padding."""
    row = []
    for number, (outputs, kernel, *strides) in enumerate(steps, 1):
        stride = strides[0] if strides else 1
        padding = (0, 0) if strides else (kernel[0] // 2, kernel[1] // 2)
        row.append(_Step(f"{name}_{number}", outputs, kernel, stride, padding))
    return row


ONE, THREE, FIVE, WIDE, TALL = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def _block_a(inputs: int, pooled: int) -> _Block:
    return _Block(
        inputs,
        [
            [_Step("branch1x1", 64)],
            _row("branch5x5", (48, ONE), (64, FIVE)),
            _row("branch3x3dbl", (64, ONE), (96, THREE), (96, THREE)),
        ],
        "average",
        pooled,
    )


def _block_b(inputs: int) -> _Block:
    double = _row("branch3x3dbl", (64, ONE), (96, THREE), (96, THREE, 2))
    return _Block(inputs, [[_Step("branch3x3", 384, THREE, 2)], double], "maximum", None)


def _block_c(inputs: int, width: int) -> _Block:
    return _Block(
        inputs,
        [
            [_Step("branch1x1", 192)],
            _row("branch7x7", (width, ONE), (width, WIDE), (192, TALL)),
            _row("branch7x7dbl", (width, ONE), (width, TALL), (width, WIDE), (width, TALL), (192, WIDE)),
        ],
        "average",
        192,
    )


def _block_d(inputs: int) -> _Block:
    return _Block(
        inputs,
        [
            _row("branch3x3", (192, ONE), (320, THREE, 2)),
            _row("branch7x7x3", (192, ONE), (192, WIDE), (192, TALL), (192, THREE, 2)),
        ],
        "maximum",
        None,
    )


def _block_e(inputs: int, pool: Pool) -> _Block:
    def fork(name: str) -> tuple[_Step, _Step]:
        return (
            _Step(f"{name}a", 384, (1, 3), padding=(0, 1)),
            _Step(f"{name}b", 384, (3, 1), padding=(1, 0)),
        )

    return _Block(
        inputs,
        [
            [_Step("branch1x1", 320)],
            [_Step("branch3x3_1", 384), fork("branch3x3_2")],
            [*_row("branch3x3dbl", (448, ONE), (384, THREE)), fork("branch3x3dbl_3")],
        ],
        pool,
        192,
    )


class Inception(nn.Module):
    """Images (n, 3 or 1, h, w) in [0, 1] to features (n, 2048). Names and shapes are those of the file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, _Step("", 32, THREE, 2))
        self.Conv2d_2a_3x3 = _Convolution(32, _Step("", 32, THREE))
        self.Conv2d_2b_3x3 = _Convolution(32, _Step("", 64, THREE, padding=(1, 1)))
        self.Conv2d_3b_1x1 = _Convolution(64, _Step("", 80))
        self.Conv2d_4a_3x3 = _Convolution(80, _Step("", 192, THREE))
        for name, block in _blocks():
            self.add_module(name, block)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
        size = (SIDE, SIDE)
        x = functional.interpolate(images, size, mode="bilinear", align_corners=False) * 2 - 1
        x = x.expand(-1, 3, -1, -1)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, 2)
        x = functional.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        for name, _ in self.named_children():
            if name.startswith("Mixed"):
                x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def _blocks() -> Iterator[tuple[str, _Block]]:
    """The blocks in their order."""
    yield "Mixed_5b", _block_a(192, 32)
    yield "Mixed_5c", _block_a(256, 64)
    yield "Mixed_5d", _block_a(288, 64)
    yield "Mixed_6a", _block_b(288)
    for letter, width in zip("bcde", (128, 160, 160, 192), strict=True):
        yield f"Mixed_6{letter}", _block_c(768, width)
    yield "Mixed_7a", _block_d(768)
    yield "Mixed_7b", _block_e(1280, "average")
    yield "Mixed_7c", _block_e(2048, "maximum")


def load_inception(path: Path) -> Inception:
    """Inception with the weights of a file, which runs no code of it.

    Raises IdentboxError where there is none, where it is damaged, or of another network: the first difference is named.
    """
    content = files.read_bytes(path, LARGEST_WEIGHTS, "the weights of Inception for the FID")
    try:
        state = load_saved(io.BytesIO(content))
    except ValueError as error:
        raise IdentboxError(f"{path}: expected the weights of Inception for the FID, got {error}") from error
    network = Inception()
    wanted = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    wanted |= {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}
    found = {
        name: tuple(values.shape)
        for name, values in (state.items() if isinstance(state, dict) else ())
        if isinstance(values, Tensor)
    }
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    for name in (*wanted, *found):
        if name in optional:
            continue
        if wanted.get(name) != found.get(name):
            raise IdentboxError(
                f"{path}: expected the weights of Inception for the FID (pytorch-fid's, {CLASSES} classes), got "
                f"{found.get(name, 'none')} for {wanted.get(name, 'no')} at {name!r:.60}"
            )
    network.load_state_dict({k: v for k, v in state.items() if k in wanted and "fc." not in k}, strict=False)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def inception_features(network: Inception, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
    """Features of images in [0, 1], some at a time."""
    return torch.cat([network(part) for part in images.split(AT_A_TIME)])
