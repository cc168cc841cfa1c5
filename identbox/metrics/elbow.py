"""The number of content factors from validation losses over encoding sizes (section 8.4.3).

The loss falls while the encoding is smaller than content and hardly beyond. An elbow is where it stops, and it is one
description of the curve among several. All are fitted by least squares, with coefficients of each seed's own:

- a broken stick, a line that bends at an integer k:  L(d) = a + b min(d, k) + c max(d - k, 0);
- a straight line:                                    L(d) = a + b d;
- a smooth convex curve, without any elbow:           L(d) = a + b exp(-d / t);
- a loss that is used up:                             L(d) = floor + b log(1 + exp((m - d) / w)).

InfoNCE lies between a floor (0 for distances) and the log of its number of candidates (its chance). However many
factors there are, it cannot fall by more, so that it flattens where it is used up and not where content ends. The last
description is compared where ``chance`` is given.

Descriptions are compared by Schwarz's criterion, n log(SSE / (n - p)) + p log n for p parameters and n losses. The
division by n - p keeps it honest where losses are few. There are three answers:

- an integer k, with an interval: the broken stick is better than all else by ``STRONG``; it falls before k; behind k it
  falls at most half as steeply; and at k two nats were left, and room for two more factors. (Where L nats are left, a
  factor lowers the loss by less than it carries, roughly by the share 1 - exp(-L).) The interval has every k that an F
  test does not reject against the best one, and what resampling of seeds gives; it ends at sizes that were tried.
- at least k: the loss falls at its largest size at least half as steeply as at first, or it is used up. In the first
  case k is that size, in the second one the last size up to which the loss fell at least half as steeply as at its
  steepest.
- no elbow: otherwise. A line that falls to the end is "at least", and a smooth curve that has flattened is none.

Sizes should reach beyond the number that is expected, on both sides: a stick bends between its ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy
from jaxtyping import Float

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.metrics.estimates import CONFIDENCE

if TYPE_CHECKING:
    from identbox.learning.contrastive import Objective

FEWEST_SIZES = 4  # sizes: with fewer, a broken stick passes through all points
STRONG = 6.0  # of Schwarz's criterion: strong evidence on the scale of Kass and Raftery
FLATTER = 0.5  # at most so much of the slope is left behind an elbow
ROOM = 2.0  # nats that must be left at an elbow, and so many further factors as well
FALL_LEVEL = 0.05  # of the test whether the loss still falls
DRAWS = 2000  # resamples of seeds
ROUNDING_SHARE = 1e-9  # a residual of this share of the largest loss counts as rounding

Description = Literal["broken stick", "straight line", "smooth curve", "used up"]
Losses = Float[np.ndarray, "seeds sizes"]


@dataclass(frozen=True, kw_only=True)
class Elbow:
    """Where a loss stops falling: at ``size``, not before ``at_least``, or nowhere (both are None)."""

    size: int | None  # the estimated number of content factors
    low: int | None  # the interval of the size; None where there is no size
    high: int | None
    at_least: int | None  # a lower bound of the number, where no size is estimated
    used_up: bool  # whether the loss flattens because it can hardly fall any further
    votes: dict[int, int]  # for each size, the number of seeds whose own broken stick bends there
    slopes: tuple[float, float]  # before and behind the best bend, mean over seeds, in loss per dimension
    advantages: dict[str, float]  # of the broken stick over each other description, in Schwarz's criterion

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least}: {self.reason}"
        if self.size is None:
            return f"no elbow: {self.reason}"
        seeds = sum(self.votes.values())
        interval = f"{CONFIDENCE:.0%} interval {self.low} to {self.high}"
        if seeds == 1:
            return f"{self.size} ({interval}; one seed)"
        votes = ", ".join(f"{size} in {count} of {seeds}" for size, count in self.votes.items() if count)
        return f"{self.size} ({interval}; by seed: {votes})"

    @property
    def reason(self) -> str:
        """What decided on the answer."""
        before, behind = self.slopes
        slopes = f"slope {before:.3g} before the bend, {behind:.3g} behind it"
        if self.used_up:
            return "the loss is used up, and could not fall much further whatever is encoded"
        if self.at_least is not None:
            return "the loss still falls at the largest size"
        if self.size is not None:
            return slopes
        rival = min(self.advantages, key=lambda name: self.advantages[name])
        if self.advantages[rival] == -math.inf:
            return "there are too few losses to tell a bend from a smooth curve"
        if self.advantages[rival] < STRONG:
            return (
                f"a {rival} describes the losses as well ({self.advantages[rival]:+.1f} for the broken stick)"
            )
        return f"the loss does not fall and then flatten ({slopes})"


def estimate(
    sizes: Sequence[int], losses: Losses, *, chance: float | None = None, floor: float = 0.0, seed: int = 0
) -> Elbow:
    """Estimate the number of content factors from validation losses (seeds, sizes).

    ``sizes`` are rising encoding sizes. With ``chance``, the loss of constant encodings (the log of the number of
    candidates), losses are in nats and ``floor`` is the least one that there can be; without it, they may be in any
    unit. ``seed`` is that of the resamples. Raises IdentboxError for sizes that are fewer than four or do not rise,
    losses that are missing or not finite, and a chance that is not above the floor.
    """
    d, y = _checked_losses(sizes, losses, chance, floor)
    sticks = _Sticks(d, y)
    errors: dict[Description, tuple[float, int]] = {
        "straight line": (_line_error(d, y), 2 * len(y)),
        "smooth curve": (_smooth_error(d, y), 2 * len(y) + 1),
    }
    if chance is not None:
        errors["used up"] = (_used_up_error(d, y - floor), len(y) + 2)
    own = _criterion(y, sticks.error, 3 * len(y) + 1)
    others: dict[str, float] = {name: _criterion(y, *entry) for name, entry in errors.items()}
    advantages = {name: value - own for name, value in others.items()}
    before, behind = sticks.slopes
    bent = min(advantages.values()) >= STRONG and before < 0 and abs(behind) <= FLATTER * abs(before)
    # An elbow is believed where the loss at the bend leaves room for further factors.
    room = chance is None or sticks.level - floor >= ROOM * max(1.0, abs(before))
    size = low = high = at_least = None
    used_up = False
    if bent and room:
        size = sticks.best
        low, high = sticks.interval(np.random.default_rng(seeding.derive(seed, "elbow")))
    else:
        steep, level = _steep_to(d, y.mean(0))
        steepest = float(_falls(d, y.mean(0)).max())
        spent = chance is not None and steepest > 0 and level - floor < ROOM * max(1.0, steepest)
        best = min(own, *others.values())
        used_up = bent or (spent and others.get("used up", math.inf) <= best + STRONG)
        if used_up:
            at_least = steep
        elif _still_falls(d, y, _variance(y, errors)):
            at_least = int(d[-1])
    return Elbow(
        size=size,
        low=low,
        high=high,
        at_least=at_least,
        used_up=used_up,
        votes=sticks.votes,
        slopes=(before, behind),
        advantages=advantages,
    )


def least_loss(objective: Objective, candidates: int) -> float:
    """A lower bound of InfoNCE in nats: 0 for distances, and log(1 + (K - 1) exp(-2 / temperature)) for cosines.

    A cosine lies between -1 and 1, so that no negative is further from the positive than 2 over the temperature.
    """
    if objective.similarity == "euclidean":
        return 0.0
    return math.log1p((candidates - 1) * math.exp(-2 / objective.temperature))


def _checked_losses(
    sizes: Sequence[int], losses: Losses, chance: float | None, floor: float
) -> tuple[Float[np.ndarray, " sizes"], Losses]:
    d = np.array(sizes, dtype=float)
    if len(d) < FEWEST_SIZES or (np.diff(d) <= 0).any():
        raise IdentboxError(f"sizes: expected at least {FEWEST_SIZES} that rise, got {list(sizes)}")
    if not len(losses) or losses.shape[1] != len(d) or not np.isfinite(losses).all():
        raise IdentboxError(
            f"losses: expected finite numbers for {len(d)} sizes and at least one seed, got shape {losses.shape}"
        )
    if chance is not None and not chance > floor:
        raise IdentboxError(f"chance: expected a number above the floor of {floor:g}, got {chance:g}")
    return d, np.asarray(losses, dtype=float)


class _Sticks:
    """The broken sticks that bend at each integer from the second size to the last but one."""

    def __init__(self, d: Float[np.ndarray, " sizes"], y: Losses) -> None:
        self.d = d
        self.knots = list(range(math.ceil(d[1]), math.floor(d[-2]) + 1))
        designs = [
            np.stack([np.ones_like(d), np.minimum(d, k), np.maximum(d - k, 0)], axis=1) for k in self.knots
        ]
        # By seed and bend.
        self.errors = np.stack([squared_error(design, y) for design in designs], axis=1)
        self.freedom = y.size - 3 * len(y) - 1
        self.rounding = _rounding(y)
        place = int(self.errors.sum(0).argmin())
        self.best, self.error = self.knots[place], float(self.errors.sum(0)[place])
        start, before, behind = np.linalg.lstsq(designs[place], y.T, rcond=None)[0].mean(1)
        self.slopes = float(before), float(behind)
        self.level = float(start + before * self.best)

    @property
    def votes(self) -> dict[int, int]:
        own = self.errors.argmin(1)
        return {k: int((own == place).sum()) for place, k in enumerate(self.knots)}

    def interval(self, rng: np.random.Generator) -> tuple[int, int]:
        """Every bend that an F test does not reject against the best, and the resamples of seeds.

        An end between two sizes that were tried is moved outwards to the next one, since nothing was seen there.
        """
        total = self.errors.sum(0)
        unit = max(self.error, self.rounding) / self.freedom
        kept = np.array(self.knots)[
            (total - self.error) / unit <= scipy.stats.f.ppf(CONFIDENCE, 1, self.freedom)
        ]
        n = len(self.errors)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
        resampled = np.array(self.knots)[(weights @ self.errors).argmin(1)]
        tails = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)
        low, high = (int(q) for q in np.quantile(resampled, tails, method="inverted_cdf"))
        low, high = min(low, int(kept.min())), max(high, int(kept.max()))
        return int(self.d[self.d <= low].max()), int(self.d[self.d >= high].min())


def squared_error(design: Float[np.ndarray, "n p"], y: Float[np.ndarray, "*m n"]) -> Float[np.ndarray, "*m"]:
    """What least squares leave of each row."""
    basis, _ = np.linalg.qr(design)
    return np.square(y - (y @ basis) @ basis.T).sum(-1)


def _rounding(y: Losses) -> float:
    return y.size * float(ROUNDING_SHARE * np.abs(y).max()) ** 2


def _criterion(y: Losses, error: float, parameters: int) -> float:
    """Schwarz's criterion with the unbiased variance; infinite where there are too few losses."""
    freedom = y.size - parameters
    if freedom < 1:
        return math.inf
    left = max(error, _rounding(y), float(np.finfo(float).tiny))
    return y.size * math.log(left / freedom) + parameters * math.log(y.size)


def _variance(y: Losses, errors: Mapping[Description, tuple[float, int]]) -> float:
    """The variance about the description that leaves the least."""
    left = [max(error, _rounding(y)) / max(1, y.size - parameters) for error, parameters in errors.values()]
    return min(left)


def _line_error(d: Float[np.ndarray, " sizes"], y: Losses) -> float:
    return float(squared_error(np.stack([np.ones_like(d), d], axis=1), y).sum())


def _smooth_error(d: Float[np.ndarray, " sizes"], y: Losses) -> float:
    """Of a + b exp(-d / t) with the best t that all seeds share: from a quarter of a step to ten times the range."""
    times = np.geomspace(np.diff(d).min() / 4, 10 * (d[-1] - d[0]), 400)
    e = np.exp(-(d - d[0]) / times[:, None])
    e -= e.mean(1, keepdims=True)
    centred = y - y.mean(1, keepdims=True)
    explained = (centred @ e.T) ** 2 / (e**2).sum(1)
    return float(((centred**2).sum() - explained.sum(0)).min())


def _used_up_error(d: Float[np.ndarray, " sizes"], y: Losses) -> float:
    """Of b log(1 + exp((m - d) / w)) with the best m and w that all seeds share.

    At the first size it falls at three quarters of its full slope or more (m - d >= w): it has a straight part.
    """
    span = d[-1] - d[0]
    widths = np.geomspace(np.diff(d).min() / 10, span, 40)[:, None]
    shares = np.linspace(0, 1, 100)
    middles = (d[0] + widths + (d[-1] + span - d[0] - widths) * shares)[..., None]
    shape = np.logaddexp(0, (middles - d) / widths[..., None])
    explained = np.einsum("sd,wmd->swm", y, shape) ** 2 / (shape**2).sum(-1)
    return float(((y**2).sum() - explained.sum(0)).min())


def _falls(d: Float[np.ndarray, " sizes"], mean: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " steps"]:
    """By how much the mean loss falls from size to size, for each dimension."""
    return -np.diff(mean) / np.diff(d)


def _steep_to(d: Float[np.ndarray, " sizes"], mean: Float[np.ndarray, " sizes"]) -> tuple[int, float]:
    """The last size up to which the loss fell at least half as steeply as at its steepest, and the loss there."""
    falls = _falls(d, mean)
    if falls.max() <= 0:
        return int(d[0]), float(mean[0])
    flat = np.flatnonzero(falls < FLATTER * falls.max())
    flat = flat[flat > falls.argmax()]
    place = int(flat[0]) if len(flat) else len(d) - 1
    # Within the last step the fall may have ended: as many dimensions of it as fell at the steepest rate count.
    step = d[place] - d[place - 1]
    counted = max(1, math.floor(step * falls[place - 1] / falls.max()))
    return int(d[place - 1]) + counted, float(mean[place])


def _still_falls(d: Float[np.ndarray, " sizes"], y: Losses, error: float) -> bool:
    """Whether the loss falls in its last third at least half as steeply as in its first, beyond noise.

    ``error`` is the variance of a loss about the curve. A one-sided test at the level of 5%.
    """
    part, mean = max(1, len(d) // 3), y.mean(0)
    steps = d[part] - d[0], d[-1] - d[-1 - part]
    first, last = (mean[0] - mean[part]) / steps[0], (mean[-1 - part] - mean[-1]) / steps[1]
    spread = math.sqrt(2 * error / len(y) * ((FLATTER / steps[0]) ** 2 + steps[1] ** -2))
    beyond = scipy.stats.norm.ppf(1 - FALL_LEVEL) * spread
    return bool(first > 0 and last > 0 and last - FLATTER * first > beyond)
