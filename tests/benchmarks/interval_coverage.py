"""How often the 95% interval of a score covers the score of the best possible predictor: a JSON line for each setting.

    python tests/benchmarks/interval_coverage.py [--replications 200] [--first 0] [--settings NAME ...]

Each setting draws encodings and a target whose best possible score is known: in closed form, or as a mean over a
million samples. A replication fits a probe to ``n`` samples, scores it on as many others, and asks whether the interval
holds that score. ``covered`` is the share that does, ``below`` and ``above`` are the shares of intervals that lie
wholly below or above it, ``old`` is the share of the bootstrap of the test sample alone, and ``width`` the mean width.
Replications are numbered, and their number is the seed: those from 1000 served to choose the method.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from identbox import seeding
from identbox.metrics import intervals
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import Predictor, probe_targets
from identbox.metrics.targets import Target

MANY = 1_000_000  # samples of a truth that is a mean
Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # encodings (n, k) and values (n, d)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Encodings and a target; ``truth`` is the best possible score."""

    draw: Draw
    truth: Callable[[], float]
    kind: str = "continuous"
    probe: Predictor = "nonlinear"
    n: int = 512
    classes: int | None = None


def normal(n: int, k: int, g: torch.Generator) -> Tensor:
    return torch.randn(n, k, generator=g, dtype=torch.float64)


def uniform(n: int, k: int, g: torch.Generator) -> Tensor:
    return torch.rand(n, k, generator=g, dtype=torch.float64)


def fixed(rows: int, columns: int, name: str) -> Tensor:
    """A matrix that is the same in every replication."""
    return normal(rows, columns, seeding.generator(0, "coverage", name))


def signal_and_noise(signal: Callable[[Tensor], Tensor], r2: float, name: str, k: int) -> Draw:
    """Standardised signals of k normal encodings, with noise that leaves that R2."""
    c = normal(MANY // 4, k, seeding.generator(0, "coverage", "scale", name))
    mean, scale = signal(c).mean(0), signal(c).std(0)

    def draw(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        h = normal(n, k, g)
        z = math.sqrt(r2) * (signal(h) - mean) / scale
        return h, z + math.sqrt(1 - r2) * normal(n, z.shape[1], g)

    return draw


def linear(k: int, d: int, r2: float) -> Draw:
    return signal_and_noise(lambda h: h @ fixed(k, d, f"linear {k} {d}"), r2, f"linear {k} {d}", k)


def through(change: Callable[[Tensor], Tensor], draw: Draw) -> Draw:
    """The same target from changed encodings."""

    def changed(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        h, z = draw(n, g)
        return change(h), z

    return changed


def nothing(k: int, d: int) -> Draw:
    return lambda n, g: (normal(n, k, g), normal(n, d, g))


def laplace(k: int, r2: float) -> Draw:
    """k Laplace variables, and as many linear combinations of them with Laplace noise."""
    matrix = fixed(k, k, "laplace")
    matrix = matrix / matrix.norm(dim=0)

    def sample(n: int, g: torch.Generator) -> Tensor:
        u = uniform(n, k, g) - 0.5
        return -u.sign() * torch.log1p(-2 * u.abs()) / math.sqrt(2)

    def draw(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        c = sample(n, g)
        return c, math.sqrt(r2) * c @ matrix + math.sqrt(1 - r2) * sample(n, g)

    return draw


def circle(deviation: float) -> Draw:
    """Two angles as points on circles, and each angle with normal noise of that deviation."""

    def draw(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        angle = 2 * math.pi * uniform(n, 2, g)
        return torch.cat([angle.cos(), angle.sin()], 1), angle + deviation * normal(n, 2, g)

    return draw


def uneven(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise that grows with an encoding: R2 = 1 / (1 + E (0.2 + |h2|)^2)."""
    h = normal(n, 2, g)
    return h, h[:, :1] + (0.2 + h[:, 1:].abs()) * normal(n, 1, g)


def heavy(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Student's t with 5 degrees of freedom: the encodings, and a quarter of the variance as noise."""
    t = normal(n, 6, g) / (torch.stack([normal(n, 6, g) for _ in range(5)]).square().sum(0) / 5).sqrt()
    return t[:, :3], math.sqrt(0.75) * t[:, :3] + 0.5 * t[:, 3:]


def sines(h: Tensor) -> Tensor:
    return torch.stack([(1.5 * h[:, 0]).sin() + 0.5 * h[:, 1], h[:, 1].square() + h[:, 0]], 1)


def net(h: Tensor) -> Tensor:
    """A smooth network of two layers."""
    return (h @ fixed(h.shape[1], 8, "net 1")).tanh() @ fixed(8, 2, "net 2")


def classes_of(logits: Callable[[Tensor], Tensor], k: int) -> Draw:
    """Classes drawn from the softmax of logits of k normal encodings."""

    def draw(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        h = normal(n, k, g)
        return h, torch.multinomial(logits(h).softmax(1), 1, generator=g)

    return draw


def best_accuracy(logits: Callable[[Tensor], Tensor], k: int) -> Callable[[], float]:
    def truth() -> float:
        h = normal(MANY, k, seeding.generator(0, "coverage", "accuracy"))
        return float(logits(h).softmax(1).amax(1).mean())

    return truth


def sloped(h: Tensor) -> Tensor:
    return h @ torch.tensor([[1.5, -1.5, 0.0], [0.5, 0.5, -1.0]], dtype=h.dtype)


def crossed(h: Tensor) -> Tensor:
    """XOR of two signs, flipped in a tenth of the samples."""
    right = math.log(9) * (h[:, 0] * h[:, 1]).sign()
    return torch.stack([right, torch.zeros_like(right)], 1)


def rare(h: Tensor) -> Tensor:
    return torch.tensor([math.log(0.9), math.log(0.1)], dtype=h.dtype).expand(len(h), 2)


def sharp(h: Tensor) -> Tensor:
    return 60 * torch.stack([h[:, 0], torch.zeros_like(h[:, 0])], 1)


def sigmoid(h: Tensor) -> Tensor:
    return torch.special.ndtr(2 * h)


SETTINGS: dict[str, Setting] = {
    # Those of which the bootstrap of the test sample alone covered too little.
    "5 dimensions, R2 0.95": Setting(draw=linear(5, 5, 0.95), truth=lambda: 0.95),
    "nothing from 2": Setting(draw=nothing(2, 2), truth=lambda: 0.0),
    "nothing from 10": Setting(draw=nothing(10, 2), truth=lambda: 0.0),
    "style from Phi(2c)": Setting(draw=through(sigmoid, linear(2, 2, 0.7)), truth=lambda: 0.7),
    "circular, R2 0.971": Setting(
        draw=circle(math.sqrt(-math.log(0.971))), truth=lambda: 0.971, kind="circular"
    ),
    "16 Laplace dimensions, R2 0.968": Setting(draw=laplace(16, 0.968), truth=lambda: 0.968, n=1024),
    # Others.
    "10 dimensions, R2 0.5": Setting(draw=linear(10, 3, 0.5), truth=lambda: 0.5),
    "sine and square, R2 0.9": Setting(draw=signal_and_noise(sines, 0.9, "sines", 2), truth=lambda: 0.9),
    "network of 3, R2 0.99": Setting(draw=signal_and_noise(net, 0.99, "net", 3), truth=lambda: 0.99),
    "cubes, R2 0.8": Setting(draw=through(lambda h: h**3, linear(2, 2, 0.8)), truth=lambda: 0.8),
    "uneven noise": Setting(draw=uneven, truth=lambda: 1 / (2.04 + 0.4 * math.sqrt(2 / math.pi))),
    "heavy tails, R2 0.75": Setting(draw=heavy, truth=lambda: 0.75),
    "linear probe, R2 0.95": Setting(draw=linear(5, 5, 0.95), truth=lambda: 0.95, probe="linear"),
    "3 classes": Setting(
        draw=classes_of(sloped, 2), truth=best_accuracy(sloped, 2), kind="discrete", classes=3
    ),
    "XOR": Setting(draw=classes_of(crossed, 2), truth=lambda: 0.9, kind="discrete", classes=2),
    "rare class, nothing": Setting(draw=classes_of(rare, 3), truth=lambda: 0.9, kind="discrete", classes=2),
    "nearly certain": Setting(
        draw=classes_of(sharp, 3), truth=best_accuracy(sharp, 3), kind="discrete", classes=2
    ),
}


def replicate(setting: Setting, number: int) -> tuple[tuple[float, float], tuple[float, float], float]:
    """The interval of a replication, that of the test sample alone, and the score."""
    h, z = setting.draw(2 * setting.n, seeding.generator(number, "coverage", "draw"))
    period = 2 * math.pi if setting.kind == "circular" else 1.0
    halves = {"train": z[: setting.n], "test": z[setting.n :]}
    target = Target(name="z", kind=setting.kind, period=period, classes=setting.classes, **halves)
    settings = PredictorSettings(centre=True)
    alone: list[tuple[float, float]] = []
    keep = intervals._resampled_r2, intervals.wilson

    def noted(whole: Callable[..., tuple[float, float]]) -> Callable[..., tuple[float, float]]:
        def call(*given: object) -> tuple[float, float]:
            alone.append(whole(*given))
            return alone[-1]

        return call

    intervals._resampled_r2, intervals.wilson = map(noted, keep)
    try:
        (score,) = probe_targets(
            h[: setting.n], h[setting.n :], [target], settings=settings, seed=number, kinds=[setting.probe]
        )
    finally:
        intervals._resampled_r2, intervals.wilson = keep
    return (score.low, score.high), alone[0], score.score


def main() -> None:
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(description="coverage of the intervals of scores")
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first replication")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.settings:
        setting, start = SETTINGS[name], time.perf_counter()
        truth = setting.truth()
        found = [replicate(setting, given.first + i) for i in range(given.replications)]
        ends = torch.tensor([own for own, _, _ in found], dtype=torch.float64)
        old = torch.tensor([alone for _, alone, _ in found], dtype=torch.float64)
        inside = [(low <= truth) & (truth <= high) for low, high in (ends.T, old.T)]
        figures = {
            "setting": name,
            "n": setting.n,
            "truth": round(truth, 4),
            "covered": round(float(inside[0].double().mean()), 3),
            "below": round(float((ends[:, 1] < truth).double().mean()), 3),
            "above": round(float((ends[:, 0] > truth).double().mean()), 3),
            "old": round(float(inside[1].double().mean()), 3),
            "score": round(sum(score for _, _, score in found) / len(found), 4),
            "low": round(float(ends[:, 0].mean()), 4),
            "high": round(float(ends[:, 1].mean()), 4),
            "s": round(time.perf_counter() - start, 1),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
