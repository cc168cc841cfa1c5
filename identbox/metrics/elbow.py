"""The number of content factors from validation losses over encoding sizes (section 8.4.3).

The loss falls while the encoding is smaller than content and hardly beyond. So for each seed a broken stick is fitted
by least squares, a line that bends at one of the sizes k:

    L(d) = a + b min(d, k) + c max(d - k, 0),

with coefficients of each seed's own. The estimate is the k that leaves the least squared error summed over seeds; its
interval comes from resampling seeds. Two things must hold, or there is no elbow:

- the curve flattens: at k it falls (b < 0), and behind k at most half as steeply (|c| <= |b| / 2);
- it is not a straight line with noise. The share of a straight line's squared error that the best broken stick leaves
  depends neither on the line nor on the size of the noise, so its distribution for straight lines with normal noise is
  simulated for the very sizes and seeds at hand, search for k included: an exact test, at the level of 5%.

A stick bends between its ends, so the smallest and the largest size are never the estimate: sizes should reach beyond
the number that is expected, on both sides. Where a loss
flattens gradually over several sizes the bend lies within them, which may be one beside the number of factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identbox import seeding
from identbox.errors import IdentboxError

LEAST = 4  # sizes: with fewer, a broken stick passes through all points
LEVEL = 0.05  # of the test against a straight line
FLATTER = 0.5  # at most so much of the slope is left behind an elbow
CONFIDENCE = 0.95  # of the interval over seeds
DRAWS = 2000  # resamples of seeds, and straight lines with noise
ROUNDING = 1e-9  # residuals below this share of the largest loss are those of a straight line


@dataclass(frozen=True, kw_only=True)
class Elbow:
    """Where a loss stops falling."""

    size: int | None  # the estimated number of content factors; None: no elbow
    low: int | None  # the interval over seeds; None as well where there is one seed
    high: int | None
    votes: dict[int, int]  # for each size, the number of seeds whose own broken stick bends there
    slopes: tuple[float, float]  # before and behind the best bend, mean over seeds, in loss per dimension
    p_value: float  # of the test against a straight line

    def __str__(self) -> str:
        if self.size is None:
            return f"no elbow: {self.reason}"
        seeds = sum(self.votes.values())
        if self.low is None:
            return f"{self.size} (one seed, so no interval)"
        votes = ", ".join(f"{size} in {count} of {seeds}" for size, count in self.votes.items() if count)
        return (
            f"{self.size} ({CONFIDENCE:.0%} interval over seeds {self.low} to {self.high}; by seed: {votes})"
        )

    @property
    def reason(self) -> str:
        """What decided on there being an elbow or none."""
        before, behind = self.slopes
        slopes = f"slope {before:.3g} before the bend, {behind:.3g} behind it"
        if self.p_value > LEVEL:
            return f"the curve does not differ from a straight line (p = {self.p_value:.2g})"
        return slopes if self.size is not None else f"the loss does not fall and then flatten ({slopes})"


def estimate(sizes: Sequence[int], losses: Float[np.ndarray, "seeds sizes"], *, seed: int = 0) -> Elbow:
    """Estimate the number of content factors from validation losses (seeds, sizes), in any unit.

    ``sizes`` are rising encoding sizes; ``seed`` is that of the resamples and of the simulated straight lines. Raises
    IdentboxError for sizes that are fewer than four or do not rise, and losses that are missing or not finite.
    """
    d = np.array(sizes, dtype=float)
    if len(d) < LEAST or (np.diff(d) <= 0).any():
        raise IdentboxError(f"sizes: expected at least {LEAST} that rise, got {list(sizes)}")
    if not len(losses) or losses.shape[1] != len(d) or not np.isfinite(losses).all():
        raise IdentboxError(
            f"losses: expected finite numbers for {len(d)} sizes and at least one seed, got shape {losses.shape}"
        )
    rng = np.random.default_rng(seeding.derive(seed, "elbow"))
    line, sticks = designs(d)
    straight = squared_error(line, losses)
    bent = np.stack([squared_error(stick, losses) for stick in sticks], axis=1)
    best = int(bent.sum(0).argmin())
    _, before, behind = np.linalg.lstsq(sticks[best], losses.T, rcond=None)[0].mean(1)
    p_value = _p_value(line, sticks, losses, straight.sum(), bent.sum(0).min(), rng)
    interior = list(sizes)[1:-1]
    own = bent.argmin(1)
    found = before < 0 and abs(behind) <= FLATTER * abs(before) and p_value <= LEVEL
    low = high = None
    if found and len(losses) > 1:
        weights = rng.multinomial(len(losses), np.full(len(losses), 1 / len(losses)), size=DRAWS)
        resampled = np.array(interior)[(weights @ bent).argmin(1)]
        tails = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)
        low, high = (int(q) for q in np.quantile(resampled, tails, method="inverted_cdf"))
    return Elbow(
        size=interior[best] if found else None,
        low=low,
        high=high,
        votes={size: int((own == place).sum()) for place, size in enumerate(interior)},
        slopes=(float(before), float(behind)),
        p_value=p_value,
    )


def designs(d: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "n 2"], list[Float[np.ndarray, "n 3"]]]:
    """The regressors of a straight line, and of the broken stick that bends at each size but the outer two."""
    one = np.ones_like(d)
    sticks = [np.stack([one, np.minimum(d, k), np.maximum(d - k, 0)], axis=1) for k in d[1:-1]]
    return np.stack([one, d], axis=1), sticks


def squared_error(design: Float[np.ndarray, "n p"], y: Float[np.ndarray, "*m n"]) -> Float[np.ndarray, "*m"]:
    """What least squares leave of each row."""
    basis, _ = np.linalg.qr(design)
    return np.square(y - (y @ basis) @ basis.T).sum(-1)


def _p_value(
    line: Float[np.ndarray, "n 2"],
    sticks: list[Float[np.ndarray, "n 3"]],
    losses: Float[np.ndarray, "seeds n"],
    straight: float,
    bent: float,
    rng: np.random.Generator,
) -> float:
    """How often a straight line with noise would look at least as bent as these losses."""
    if straight <= losses.size * (ROUNDING * np.abs(losses).max()) ** 2:
        return 1.0
    noise = rng.standard_normal((DRAWS, *losses.shape))
    by_chance = np.min([squared_error(stick, noise).sum(1) for stick in sticks], axis=0)
    by_chance /= squared_error(line, noise).sum(1)
    return float(1 + (by_chance <= bent / straight).sum()) / (1 + DRAWS)
