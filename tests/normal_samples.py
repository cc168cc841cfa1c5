"""Normal samples, split and probed, for the tests of probing."""

import torch

from identbox.metrics.predictors import PredictorSettings
from identbox.metrics.probing import probe_targets

N, M = 400, 500


SETTINGS = PredictorSettings()


def normal(n, k, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def split(values, n=N):
    return {"train": values[:n], "test": values[n:]}


def scores(x, *targets, n=N, seed=0, settings=SETTINGS, **options):
    """The scores of encodings split like their targets, by target and probe."""
    found = probe_targets(x[:n], x[n:], targets, settings=settings, seed=seed, **options)
    return {(score.target, score.probe): score for score in found}
