"""Networks that read factors from images: they judge what generative models make.

The digit classifier of PolyMNIST: convolutions of 4 x 4 with stride 2 to 10 and 20 channels with dropout, 128 units, a
class each. Larger images get more convolutions, until at most 8 pixels a side are left. The 128 units are the features
of the Frechet distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional

from identbox import seeding
from identbox.learning.encoders import draw_weights
from identbox.settings import Count, Fraction, Positive, at_least, settings

FEATURES = 128
LEAST_SIDE = 8  # pixels that the last convolution may leave
AT_A_TIME = 1024  # images that are judged at a time
Reads = Literal["classes", "number", "angle"]


@settings
class JudgeSettings:
    """How judges are trained."""

    steps: Annotated[int, at_least(1)] = 3000
    batch: Count = 128
    learning_rate: Positive = 1e-3  # of Adam, falling to 0 along half a cosine
    dropout: Fraction = 0.5
    seed: Annotated[int, at_least(0)] = 0


class Judge(nn.Module):
    """Reads one or several factors from images (n, channels, side, side) in [0, 1].

    ``outputs`` has for each factor the number of its classes, 1 for a number, or 2 for the cosine and sine of an angle.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        outputs: Mapping[str, int],
        *,
        dropout: float = 0.5,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 10
        while side > LEAST_SIDE or not layers:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()]
            channels, width, side = width, 2 * width, side // 2
        self.trunk = nn.Sequential(*layers, nn.Dropout(dropout), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(channels * side**2, FEATURES), nn.ReLU())
        self.heads = nn.ModuleDict({factor: nn.Linear(FEATURES, size) for factor, size in outputs.items()})
        draw_weights(self, seeding.generator(seed, name))

    def features(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 128"]:
        """The units below the outputs."""
        return self.hidden(self.trunk(x))

    def read(self, features: Float[Tensor, "n 128"]) -> dict[str, Float[Tensor, "n o"]]:
        """What the features say of each factor: logits, a number, or a point on the circle."""
        return {factor: head(features) for factor, head in self.heads.items()}

    def forward(self, x: Float[Tensor, "n c h w"]) -> dict[str, Float[Tensor, "n o"]]:
        return self.read(self.features(x))


def judge_loss(
    read: Mapping[str, Float[Tensor, "n o"]], truth: Mapping[str, Shaped[Tensor, "n ..."]]
) -> Float[Tensor, ""]:
    """Cross-entropy of classes (n,), and squared errors of numbers (n, o), summed over the factors."""
    losses = [
        functional.mse_loss(values, truth[name])
        if truth[name].is_floating_point()
        else functional.cross_entropy(values, truth[name])
        for name, values in read.items()
    ]
    return torch.stack(losses).sum()


def train_judge(
    judge: Judge,
    images: Callable[[Int[Tensor, " b"]], Float[Tensor, "b c h w"]],
    truth: Mapping[str, Shaped[Tensor, "n ..."]],
    settings: JudgeSettings,
    *,
    name: str,
) -> Judge:
    """Train a judge in place; ``images`` reads some samples on its device, ``truth`` has the values of all of them.

    Dropout draws from torch's own generator, which is set to the seed meanwhile, and is then as it was before.
    """
    n, device = len(next(iter(truth.values()))), next(judge.parameters()).device
    optimiser = torch.optim.Adam(judge.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    order = torch.empty(0, dtype=torch.int64)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seeding.derive(settings.seed, name, "dropout"))
        judge.train()
        for step in range(settings.steps):
            if len(order) < min(settings.batch, n):
                order = torch.randperm(n, generator=seeding.generator(settings.seed, name, "order", step))
            rows, order = order[: settings.batch], order[settings.batch :]
            optimiser.zero_grad()
            wanted = {key: values[rows].to(device) for key, values in truth.items()}
            judge_loss(judge(images(rows)), wanted).backward()
            optimiser.step()
            schedule.step()
    return judge.eval()
