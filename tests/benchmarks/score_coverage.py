"""Every score on hand-made codes whose answer is known, and how often its interval covers that answer.

    python tests/benchmarks/score_coverage.py                      # coverage: two JSON lines for each score
    python tests/benchmarks/score_coverage.py --codes              # a Markdown table of hand-made codes instead

Coverage is of two kinds of codes, in 20 draws each: noise, and a mixture of the factors with as much noise. ``chance``
counts intervals that contain the score's own value for permuted factors, which noise must have in 18 of 20 draws.
``mean`` counts those that contain the mean of the score over all draws: where a score is biased by the number of rows,
its interval is about that mean. Of 20 intervals of 95% fewer than 16 contain it by accident once in 300 scores.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np

from identbox import scores
from identbox.metrics.disentanglement_records import DisentanglementScores

ROWS = 400
Factors = dict[str, np.ndarray]
Encode = Callable[[Factors, np.random.Generator], np.ndarray]


def drawn(rng: np.random.Generator, n: int = ROWS) -> Factors:
    """Two numbers, a hue and a class, independent of each other."""
    return {
        "first": rng.normal(size=n),
        "second": rng.normal(size=n),
        "hue": rng.random(n),
        "class": rng.integers(0, 3, n),
    }


def numbers(factors: Factors) -> np.ndarray:
    """The factors as columns of unit variance: numbers, the cosine and the sine of the hue, and the class."""
    angle = 2 * np.pi * factors["hue"]
    columns = (factors["first"], factors["second"], np.cos(angle), np.sin(angle), factors["class"])
    return np.stack([(c - c.mean()) / c.std() for c in columns], axis=1)


def perfect(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    return numbers(factors)


def rotated(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    return numbers(factors) @ turn


def duplicated(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([numbers(factors)] * 2, axis=1)


def flat_hue(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """The hue as a number, which jumps at red."""
    columns = numbers(factors)
    return np.column_stack([columns[:, :2], factors["hue"], columns[:, 4]])


def noise(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(len(factors["first"]), 5))


def mixed(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """Each code half a factor and half noise."""
    return numbers(factors) + noise(factors, rng)


HAND_MADE: dict[str, Encode] = {
    "perfect": perfect,
    "rotated": rotated,
    "duplicated": duplicated,
    "hue as a number": flat_hue,
    "noise": noise,
}


def scored(encode: Encode, seed: int, rows: int = ROWS) -> DisentanglementScores:
    """All scores of a draw, with the pairs of a permutation of each factor."""
    rng = np.random.default_rng(seed)
    factors = drawn(rng, rows)
    codes = encode(factors, rng)
    pairs = {}
    for name, column in factors.items():
        noisy = np.random.default_rng(
            seed
        )  # the same noise before and after, but for codes that are nothing else
        after = encode({**factors, name: rng.permutation(column)}, rng if encode is noise else noisy)
        pairs[name] = (codes if encode is noise else encode(factors, np.random.default_rng(seed)), after)
    return scores(codes, factors, periods={"hue": 1.0}, pairs=pairs, seed=seed)


def coverage(kind: str, encode: Encode, draws: int) -> None:
    """Print a line for each score."""
    made = [scored(encode, seed) for seed in range(draws)]
    for columns in zip(*made, strict=True):
        mean = float(np.mean([one.value for one in columns]))
        figures = {
            "codes": kind,
            "score": columns[0].name,
            "draws": draws,
            "chance": sum(one.low <= one.permuted <= one.high for one in columns),
            "mean": sum(one.low <= mean <= one.high for one in columns),
            "value": round(mean, 3),
            "sd": round(float(np.std([one.value for one in columns], ddof=1)), 4),
            "permuted": round(float(np.mean([one.permuted for one in columns])), 3),
            "width": round(float(np.mean([one.high - one.low for one in columns])), 4),
        }
        print(json.dumps(figures, ensure_ascii=False), flush=True)


def main() -> None:
    """Print coverage, or the table of hand-made codes."""
    parser = argparse.ArgumentParser(description="scores of hand-made codes, and coverage of their intervals")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument(
        "--codes", action="store_true", help="a table of hand-made codes of 1000 rows instead"
    )
    given = parser.parse_args()
    if not given.codes:
        coverage("noise", noise, given.draws)
        coverage("mixed", mixed, given.draws)
        return
    made = {name: scored(encode, 0, 1000) for name, encode in HAND_MADE.items()}
    print(f"| score | {' | '.join(made)} | permuted |\n| :-- |{' --: |' * (len(made) + 1)}")
    for score in made["perfect"]:
        cells = [f"{found[score.name].value:.3f}" for found in made.values()]
        print(f"| {score.name} | {' | '.join(cells)} | {score.permuted:.3f} |", flush=True)


if __name__ == "__main__":
    main()
