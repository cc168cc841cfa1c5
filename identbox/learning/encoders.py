"""Encoders: the networks whose encodings are tested.

The simulations use the multilayer perceptron of earlier simulation code (Table A.2a: seven layers), whose hidden
widths are multiples of the input's dimension.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.learning.linear import DenseLayer
from identbox.settings import Count, at_least, settings

Start = Literal["he"]


@settings
class MLPSettings:
    """A multilayer perceptron: one linear layer more than ``widths`` has entries, LeakyReLU between them."""

    encoding_size: Count | None = None  # dimensions; without it, as many as content needs
    widths: tuple[Count, ...] = (10, 50, 50, 50, 50, 10)  # of the hidden layers, in input dimensions
    slope: float = 0.01  # of LeakyReLU below 0
    # he: the first weights are normal, of variance 2/fan-in (1/fan-in in the last layer), and biases 0, so that signals
    # keep their size (He et al., 2015), and those of all views of a simulation are the same; without it, both are
    # uniform within +-1/sqrt(fan-in), PyTorch's default, and other ones for each view
    start: Start | None = None
    # samples whose mean and covariance the first layer's first weights undo; without it, they undo nothing
    whitening: Annotated[int, at_least(100)] | None = None


class MLP(nn.Sequential):
    """Maps (n, inputs) to (n, outputs) through the hidden layers of its settings."""

    def __init__(self, inputs: int, outputs: int, settings: MLPSettings, *, seed: int, name: str) -> None:
        """Weights drawn as ``start`` says, from the stream of ``seed`` and ``name``.

        Raises IdentboxError for fewer than one input or output.
        """
        if inputs < 1 or outputs < 1:
            raise IdentboxError(
                f"encoder: expected at least one input and output, got {inputs} and {outputs}"
            )
        sizes = [inputs, *(width * inputs for width in settings.widths), outputs]
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [DenseLayer(fan_in, fan_out), nn.LeakyReLU(settings.slope, inplace=True)]
        super().__init__(*layers[:-1])
        generator = seeding.generator(seed, name)
        with torch.no_grad():
            for place, layer in enumerate(self):
                if not isinstance(layer, nn.Linear):
                    continue
                bound = layer.in_features**-0.5
                if settings.start is None:
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)
                else:
                    gain = 1.0 if place == len(self) - 1 else 2**0.5
                    layer.weight.normal_(0, gain * bound, generator=generator)
                    layer.bias.zero_()

    def forward(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        return super().forward(x)

    @torch.no_grad()
    def whiten(self, x: Float[Tensor, "n i"]) -> None:
        """Change the first layer so that it answers to x as it did to x with mean 0 and identity covariance.

        Directions whose variance is below 1e-6 of the largest are taken to have that much.
        """
        layer = self[0]
        assert isinstance(layer, nn.Linear)
        mean, directions, scales = whitening_axes(x, least=1e-6)
        weight = layer.weight.double() @ (directions * scales) @ directions.T
        layer.bias.sub_((weight @ mean).float())
        layer.weight.copy_(weight)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one sample's forward pass."""
        return sum(
            2 * layer.in_features * layer.out_features for layer in self if isinstance(layer, nn.Linear)
        )


def whitening_axes(
    x: Float[Tensor, "n d"], *, least: float
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"], Float[Tensor, " d"]]:
    """The mean of x, its principal directions as columns, and by what each is scaled to have variance 1, in float64.

    Directions whose variance is below ``least`` of the largest are taken to have that much.
    """
    rows = x.double()
    mean = rows.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((rows - mean).T))
    return mean, directions, variances.clamp(min=least * variances[-1]).rsqrt()


class ConvEncoder(nn.Module):
    """Maps images (n, channels, h, w) to (n, outputs): 3 x 3 convolutions with stride 2 and ReLU, one hidden layer.

    The networks of MoPoE-VAE on PolyMNIST: 32, 64 and 128 channels, then 512 units.
    """

    def __init__(
        self,
        outputs: int,
        *,
        channels: int = 3,
        size: int = 28,
        widths: tuple[int, ...] = (32, 64, 128),
        hidden: int = 512,
        seed: int,
        name: str,
    ) -> None:
        """Weights from the stream of ``seed`` and ``name``; see `draw_weights`."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((channels, *widths)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
            size = -(-size // 2)
        features = widths[-1] * size**2
        head = [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), *head)
        draw_weights(self, seeding.generator(seed, name))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o"]:
        return self.layers(laid_out(x))


def laid_out(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """The same images, laid out as convolutions read them fastest: on a processor with their channels last."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images


class OneHotEncoder(nn.Module):
    """Maps rows of classes (n, length) to (n, outputs): a multilayer perceptron on their one-hot columns."""

    def __init__(
        self, classes: int, length: int, outputs: int, settings: MLPSettings, *, seed: int, name: str
    ) -> None:
        super().__init__()
        self.classes = classes
        self.net = MLP(classes * length, outputs, settings, seed=seed, name=name)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def forward(self, x: Int[Tensor, "n length"]) -> Float[Tensor, "n o"]:
        return self.net(nn.functional.one_hot(x.long(), self.classes).flatten(1).to(self.dtype))


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
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
                fan_out = layer.out_channels * layer.weight[0, 0].numel()
                layer.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)


DILATIONS = (
    1,
    2,
    4,
    8,
)  # with three taps each, the last layer sees 31 tokens: the longest published sentence
HIDDEN = 100  # units between the pooled features and the encoding, as in the image encoders


class TextConvNet(nn.Module):
    """Maps token indices (n, length) to (n, outputs); see `text_encoder`."""

    def __init__(
        self, vocabulary: int, outputs: int, *, width: int, padding: int, seed: int, name: str
    ) -> None:
        super().__init__()
        self.padding = padding
        self.embedding = nn.Embedding(vocabulary, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
            for dilation in DILATIONS
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in DILATIONS)
        self.head = nn.Sequential(
            nn.Linear(2 * width, HIDDEN), nn.LeakyReLU(inplace=True), nn.Linear(HIDDEN, outputs)
        )
        generator = seeding.generator(seed, name)
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
        draw_weights(self, generator)

    def forward(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n o"]:
        n, length = tokens.shape
        said = tokens != self.padding
        # Where the tokens are among all n x length places; norms see these alone, and all others stay zero,
        # which is also what a convolution reads beyond the end of a sentence.
        places = said.flatten().nonzero()[:, 0]
        x = self.embedding(tokens) * said[..., None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = convolution(x.transpose(1, 2)).transpose(1, 2).reshape(n * length, -1)
            y = torch.relu(norm(y[places]))
            x = y.new_zeros(n * length, y.shape[1]).index_copy(0, places, y).view(n, length, -1)
        mean = x.sum(1) / said.sum(1, keepdim=True).clamp(min=1)
        return self.head(torch.cat([x.amax(1), mean], 1))  # values are at least 0: padding moves no maximum


def text_encoder(
    vocabulary: int, outputs: int, *, width: int = 64, padding: int, seed: int, name: str
) -> nn.Module:
    """An encoder of token indices (n, length), of any length from 1 on, to (n, outputs).

    Embeddings of ``width`` pass four convolutions of as many channels with batch norm and ReLU; their maximum and
    mean over the sentence go through a hidden layer. ``padding`` is the index of the padding token, ``vocabulary``
    the number of tokens. Padding has no influence: neither on an encoding nor on the statistics of a batch norm.
    Weights come from the stream of ``seed`` and ``name``. Raises IdentboxError for numbers below 1, and a padding
    token outside the vocabulary.
    """
    for what, number in (("vocabulary", vocabulary), ("outputs", outputs), ("width", width)):
        if number < 1:
            raise IdentboxError(f"text encoder: {what}: expected at least 1, got {number}")
    if not 0 <= padding < vocabulary:
        raise IdentboxError(f"text encoder: padding: expected 0 to {vocabulary - 1}, got {padding}")
    return TextConvNet(vocabulary, outputs, width=width, padding=padding, seed=seed, name=name)
