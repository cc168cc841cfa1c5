"""Every ground-truth factor of a rendered dataset (Table 4.1), predicted from the encodings of images and sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from identbox import probing, seeding
from identbox.dataset import Columns
from identbox.errors import IdentboxError
from identbox.factors import CIRCLE, CIRCULAR, CONTENT
from identbox.probing import Target
from identbox.reading import Split


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """How encodings are probed: fitted on training samples, scored on the test split."""

    samples: int = 4096  # at most, of each
    bootstrap: int = 200  # resamples of the intervals
    train_mode: bool = False  # once more with batch norm in training mode, as earlier code left it

    def __post_init__(self) -> None:
        if self.samples < 10:
            raise IdentboxError(f"samples: expected at least 10, got {self.samples}")


Encode = Callable[[Split, int, bool], Mapping[str, Tensor]]


def probes(
    encode: Encode, train: Split, test: Split, settings: ProbeSettings, *, seed: int
) -> dict[str, Any]:
    """Predict every factor from the encodings of every view, fitted on training and scored on test samples.

    ``encode`` gives each view's encodings (n, d) of the first n samples of a split, with batch norm in training mode
    or not. Returns ``probes``, where asked for ``probes_train_mode``, and ``from_content``: what content alone tells
    of each factor, by the same predictors.
    """
    fit, score = (min(len(split), settings.samples) for split in (train, test))
    wanted = targets(train, test, fit, score)
    options = probing.Settings(bootstrap=settings.bootstrap, centre=True)
    found: dict[str, Any] = {}
    for key, mode in (("probes", False), ("probes_train_mode", True)):
        if mode and not settings.train_mode:
            continue
        learned = encode(train, fit, mode)
        held_out = encode(test, score, mode)
        found[key] = [
            dataclasses.asdict(one.record(view))
            for view in learned
            for one in probing.probe(
                learned[view],
                held_out[view],
                wanted,
                settings=options,
                seed=seeding.derive(seed, "probing", view),
            )
        ]
    both = [factors(split) for split in (train, test)]
    classes = {name: 1 + max(int(columns[name].max()) for columns in both) for name in CONTENT}
    content = content_columns(train, fit, classes), content_columns(test, score, classes)
    found["from_content"] = [
        dataclasses.asdict(one.record("content"))
        for one in probing.probe(
            *content, wanted, settings=options, seed=seeding.derive(seed, "probing", "content")
        )
    ]
    return found


def factors(split: Split) -> Columns:
    """Every factor of either view by name, numbers only; those in both views are the same."""
    return {
        name: column
        for name, column in {**split.text_latents, **split.image_latents}.items()
        if column.dtype.kind in "if"
    }


def targets(train: Split, test: Split, fit: int, score: int) -> list[Target]:
    """What probes predict: every factor that varies, of the first ``fit`` and ``score`` samples.

    Whole numbers are classes, those that occur. A hue is predicted as a number and as a point on the circle.
    """
    found = []
    held_out = factors(test)
    for name, column in factors(train).items():
        one, other = column[:fit], held_out[name][:score]
        if len(np.unique(one)) < 2 or len(np.unique(other)) < 2:
            continue
        if column.dtype.kind == "i":
            # Numbered anew: of a thousand names of colours one in ten occurs, and the others would cost as much.
            numbers = torch.from_numpy(np.unique(np.concatenate([one, other]), return_inverse=True)[1])
            learned, held = numbers[:, None].split([len(one), len(other)])
            found.append(Target(name=name, train=learned, test=held, kind="discrete"))
            continue
        learned, held = torch.from_numpy(one)[:, None], torch.from_numpy(other)[:, None]
        found.append(Target(name=name, train=learned, test=held))
        if name in CIRCULAR:
            period = CIRCULAR[name]
            found.append(Target(name=name + CIRCLE, train=learned, test=held, kind="circular", period=period))
    return found


def content_columns(split: Split, n: int, classes: Mapping[str, int] = {}) -> Float[Tensor, "n k"]:
    """Content of the first n samples, a column of 0 and 1 for each class of each factor.

    ``classes`` is the number of each factor's; without it, one more than its largest value in the split.
    """
    known = factors(split)
    parts = [
        functional.one_hot(torch.from_numpy(known[name][:n]), classes.get(name, int(known[name].max()) + 1))
        for name in CONTENT
    ]
    return torch.cat(parts, dim=1).double()
