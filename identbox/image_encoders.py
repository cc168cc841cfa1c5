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
    ``small`` makes the variant for images of 64 to 128 pixels on a processor: 24 channels to begin with, not 64, and
    a first layer that shrinks the image by two, not by four.
    """

    def __init__(self, outputs: int = 1000, *, small: bool = False, seed: int, name: str) -> None:
        """Weights from the stream of ``seed`` and ``name``: convolutions normal with variance 2 / fan-out."""
        super().__init__()
        width = 24 if small else 64
        size = 3 if small else 7
        self.conv1 = nn.Conv2d(3, width, size, 2, size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2), BasicBlock(8 * width, 8 * width, 1))
        self.fc = nn.Linear(8 * width, outputs)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n o"]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


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
    trunk = ResNet18(hidden, small=kind == "small", seed=seed, name=name)
    head = nn.Linear(hidden, outputs)
    draw_weights(head, seeding.generator(seed, name, "head"))
    # Channels last is how `reading.batch` lays out images, and what convolutions are fastest with.
    encoder = nn.Sequential(trunk, nn.LeakyReLU(inplace=True), head)
    return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


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
