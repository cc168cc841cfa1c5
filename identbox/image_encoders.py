"""Image encoders: the ResNet-18 of Table A.2b (He et al., 2016), and a small network for processors without a GPU.

Both end in a hidden layer of 100 units, LeakyReLU and a linear map to the encoding, as in the published experiment.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError

IMAGE_ENCODERS = ("resnet18", "small")
GRID = 4  # cells a side that the small network keeps, so that where things are can be read from its features


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, which is a 1 x 1 convolution where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.downsample = None if same else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )  # fmt: skip

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o u v"]:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet18(nn.Module):
    """Maps images (n, 3, h, w) to (n, outputs) through 18 layers with weights.

    Parameters and buffers bear the names and shapes that ResNet-18 usually has, so that published weights load.
    """

    def __init__(self, outputs: int = 1000, *, seed: int, name: str) -> None:
        """Weights from the stream of ``seed`` and ``name``: convolutions normal with variance 2 / fan-out."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.fc = nn.Linear(512, outputs)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n o"]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class SmallConvNet(nn.Module):
    """Maps images (n, 3, h, w) of about 64 to 128 pixels a side to (n, outputs), at a cost that a CPU can bear.

    Four stages of one strided and one plain 3 x 3 convolution; the last features are averaged within each cell of
    a grid and not over the image, so that positions stay readable.
    """

    def __init__(
        self, outputs: int, *, widths: tuple[int, ...] = (24, 48, 96, 128), seed: int, name: str
    ) -> None:
        """Weights from the stream of ``seed`` and ``name``; ``widths`` are the channels of the stages."""
        super().__init__()
        stages: list[nn.Module] = []
        inputs = 3
        for width in widths:
            stages += [*_convolution(inputs, width, 2), *_convolution(width, width, 1)]
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.fc = nn.Linear(inputs * GRID**2, outputs)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n o"]:
        return self.fc(self.pool(self.stages(x)).flatten(1))


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def image_encoder(kind: str, outputs: int, *, hidden: int = 100, seed: int, name: str) -> nn.Module:
    """An encoder of normalised images (n, 3, h, w) to (n, outputs): trunk, ``hidden`` units, LeakyReLU, linear map.

    ``kind`` is one of IMAGE_ENCODERS. Weights come from the stream of ``seed`` and ``name``. Raises IdentboxError
    for another kind, and for fewer than one output or hidden unit.
    """
    if kind not in IMAGE_ENCODERS:
        raise IdentboxError(f"image encoder: expected one of {', '.join(IMAGE_ENCODERS)}; got {kind}")
    if outputs < 1 or hidden < 1:
        raise IdentboxError(
            f"image encoder: expected at least one output and hidden unit, got {outputs} and {hidden}"
        )
    trunk = ResNet18 if kind == "resnet18" else SmallConvNet
    head = nn.Linear(hidden, outputs)
    draw_weights(head, seeding.generator(seed, name, "head"))
    # Channels last is how `reading.batch` lays out images, and what convolutions are fastest with.
    return nn.Sequential(trunk(hidden, seed=seed, name=name), nn.LeakyReLU(inplace=True), head).to(
        memory_format=torch.channels_last
    )


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of every layer within: convolutions He-normal by fan-out, linear maps PyTorch's default.

    Variance 2 / fan-out keeps the size of gradients through ReLU layers (He et al., 2015); linear layers are uniform
    within +-1/sqrt(fan-in). Batch norms start as the identity already.
    """
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d):
                fan_out = layer.out_channels * layer.weight[0, 0].numel()
                layer.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            elif isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
