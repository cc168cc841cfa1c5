"""The latents of a split: drawn in blocks from named streams, so that sample i depends on the seed and i alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from identbox import seeding
from identbox.data.folder import Columns
from identbox.errors import IdentboxError
from identbox.process.model import Noise, Process, Sample

BLOCK_OF_SAMPLES = 4096  # drawn from one set of streams


def draw_latents(process: Process, seed: int, split: str, n: int, *, begin: int = 0) -> dict[str, Columns]:
    """The samples ``begin`` to n of a split: for each view its variables as columns of shape (n - begin,).

    Sample i depends on the seed, the split and i alone: samples are drawn in blocks of fixed size, each
    variable of a block from a stream of its own. Raises IdentboxError for variables of several dimensions.
    """
    return columns_of_sample(draw_sample(process, seed, split, n, begin=begin))


def draw_sample(
    process: Process,
    seed: int,
    split: str,
    n: int,
    *,
    begin: int = 0,
    fresh: Collection[str] = (),
    stream: Sequence[str | int] = (),
) -> Sample:
    """The samples ``begin`` to n of a split as a sample of the process, which can be intervened on.

    Only the blocks that hold them are drawn, so that a part of a large split costs what the part has.

    The noise of the variables in ``fresh`` comes from other streams, whose names begin with ``stream``: they are drawn
    anew, and the noise of all others stays. Raises IdentboxError for variables of several dimensions.
    """
    for variable in process.variables:
        if variable.distribution.dim != 1:
            raise IdentboxError(
                f"variables.{variable.name}.dim: expected 1 to be rendered, got {variable.distribution.dim}"
            )
    process = process.realise(seed=seed)

    def pick(block: int, variable: str) -> torch.Generator:
        names = (*stream, "latents") if variable in fresh else ("latents",)
        return seeding.generator(seed, *names, split, block, variable)

    first = begin // BLOCK_OF_SAMPLES
    blocks = [
        process.sample(BLOCK_OF_SAMPLES, generator=partial(pick, block), dtype=torch.float64)
        for block in range(first, max(first + 1, math.ceil(n / BLOCK_OF_SAMPLES)))
    ]
    return _joined(blocks, begin - first * BLOCK_OF_SAMPLES, n - first * BLOCK_OF_SAMPLES)


def _joined(blocks: Sequence[Sample], begin: int, end: int) -> Sample:
    """Some of the samples of several blocks, in their order."""

    def join(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts))[begin:end]

    first = blocks[0]
    return Sample(
        process=first.process,
        values={name: join([b.values[name] for b in blocks]) for name in first.values},
        views={
            view: {name: join([b.views[view][name] for b in blocks]) for name in seen}
            for view, seen in first.views.items()
        },
        noise=Noise(
            own={name: join([b.noise.own[name] for b in blocks]) for name in first.noise.own},
            change={
                key: (
                    join([b.noise.change[key][0] for b in blocks]),
                    join([b.noise.change[key][1] for b in blocks]),
                )
                for key in first.noise.change
            },
        ),
    )


def columns_of_sample(sample: Sample) -> dict[str, Columns]:
    """What each view sees of a sample, as columns of shape (n,): classes as int64, numbers as float64."""
    columns: dict[str, Columns] = {}
    for view, seen in sample.views.items():
        columns[view] = {}
        for name, values in seen.items():
            column = values[:, 0].numpy()
            discrete = sample.process[name].distribution.discrete
            whole = discrete and np.array_equal(column, np.round(column))
            columns[view][name] = column.astype(np.int64) if whole else column
    return columns
