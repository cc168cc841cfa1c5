"""Seconds of the nonlinear probe and of scikit-learn's GridSearchCV on the same work: one JSON line.

    python tests/benchmarks/probing_speed.py [--n 4096]

Six blocks of five columns are predicted from 15 encodings, fit on n samples and scored on n others, with
bootstrap intervals on our side alone. The targets range from a noisy line to a fast wave, so that their choices
differ. ``ratio`` is our time over scikit-learn's, ``largest_difference`` that of R2, and ``same_choices`` says
whether alpha and gamma are the same for every block. Both use the threads that the machine gives them.
"""

import argparse
import json
import time

import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from identbox import seeding
from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets, standardise
from identbox.metrics.targets import Target

ENCODINGS, BLOCKS, COLUMNS = 15, 6, 5


def draw(n: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Encodings (2n, 15) and six blocks of targets (2n, 5), each with its own frequency and noise."""
    stream = seeding.generator(0, "probing speed")

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    x = normal(2 * n, ENCODINGS)
    blocks = []
    for place in range(BLOCKS):
        # A block that few encodings move, and fast, asks for a narrow kernel; much noise for a large penalty.
        moving = x[:, : ENCODINGS - 2 * place] @ normal(ENCODINGS - 2 * place, COLUMNS) / ENCODINGS**0.5
        noise = normal(2 * n, COLUMNS)
        blocks.append(torch.sin((0.3 + 0.5 * place) * moving) + noise * 10.0 ** (place % 3 - 2))
    return x, blocks


def main() -> None:
    """Measure both and print one JSON line."""
    parser = argparse.ArgumentParser(description="time of the nonlinear probe")
    parser.add_argument("--n", type=int, default=4096, help="training samples, and as many to test on")
    n = parser.parse_args().n
    settings = PredictorSettings(landmarks=n)
    x, blocks = draw(n)
    targets = [Target(name=str(place), train=block[:n], test=block[n:]) for place, block in enumerate(blocks)]
    start = time.perf_counter()
    ours = probe_targets(x[:n], x[n:], targets, settings=settings, seed=0, kinds=["nonlinear"])
    our_time = time.perf_counter() - start

    train, test = (part.numpy() for part in standardise(x[:n], x[n:]))
    grid = {"alpha": settings.alphas, "gamma": settings.gammas}
    start = time.perf_counter()
    searches = [
        GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=settings.folds).fit(train, target.train.numpy())
        for target in targets
    ]
    theirs = [
        search.score(test, target.test.numpy()) for search, target in zip(searches, targets, strict=True)
    ]
    their_time = time.perf_counter() - start

    chosen = [{"alpha": score.alpha, "gamma": score.gamma} for score in ours]
    figures = {
        "benchmark": "probing",
        "n": n,
        "targets": BLOCKS,
        "columns": COLUMNS,
        "threads": torch.get_num_threads(),
        "s": round(our_time, 2),
        "s_scikit_learn": round(their_time, 2),
        "ratio": round(our_time / their_time, 3),
        "largest_difference": max(
            abs(score.score - other) for score, other in zip(ours, theirs, strict=True)
        ),
        "same_choices": chosen == [search.best_params_ for search in searches],
        "different_choices": len({(score.alpha, score.gamma) for score in ours}),
        "r2": [round(score.score, 3) for score in ours],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
