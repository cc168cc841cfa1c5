"""Image-text pairs of Multimodal3DIdent as a dataset of two modalities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from identbox.data.factors import CIRCULAR, TEXT, role
from identbox.data.folder import EOS, PAD, Columns
from identbox.data.multiview import DeclaredFactor, FactorKind, ModalitySpec, MultiviewSplit
from identbox.data.pixels import Split


def split_of_pairs(split: Split, process: Mapping[str, Any], length: int | None = None) -> MultiviewSplit:
    """Images and sentences of Multimodal3DIdent as a split of two modalities, with every factor of either.

    A factor whose value in the text differs from that in the image is there once for each. Sentences are filled up, or
    cut, to ``length`` words.
    """
    tokens = split.tokens.numpy()
    if length is not None:
        missing = max(0, length - tokens.shape[1])
        tokens = np.pad(tokens, ((0, 0), (0, missing)), constant_values=split.vocabulary[PAD])[:, :length]
    words = sorted(split.vocabulary, key=split.vocabulary.__getitem__)
    modalities = {
        "image": ModalitySpec(kind="image", shape=split.pixels.shape[1:]),
        "text": ModalitySpec(
            kind="text",
            shape=(tokens.shape[1],),
            words=tuple(words),
            padding=split.vocabulary[PAD],
            separator=" ",
        ),
    }
    factors: Columns = {}
    declared: dict[str, DeclaredFactor] = {}
    numbers = {
        view: {name: column for name, column in columns.items() if column.dtype.kind in "if"}
        for view, columns in (("image", split.image_latents), ("text", split.text_latents))
    }
    for view, columns in numbers.items():
        for name, column in columns.items():
            other = numbers["text" if view == "image" else "image"].get(name)
            both = other is not None and np.array_equal(column, other)
            if both and view == "text":
                continue
            key = name + TEXT if view == "text" and other is not None else name
            kind: FactorKind = "discrete" if column.dtype.kind == "i" else "continuous"
            factors[key] = column
            declared[key] = DeclaredFactor(
                kind="circular" if name in CIRCULAR else kind,
                role=role(name, process),  # type: ignore[arg-type]
                modality=None if both else view,
                period=CIRCULAR.get(name, 1.0),
            )
    arrays = {"image": split.pixels, "text": tokens}
    return MultiviewSplit(
        name=split.name, modalities=modalities, arrays=arrays, factors=factors, declared=declared
    )


def sentence_of_words(text: str) -> str:
    """A sentence as it was written, from its words with spaces between them; the mark of its end is left out.

    >>> sentence_of_words("A hare in `` xkcd : bright aqua '' , at the top-left . {eos}")
    'A hare in "xkcd:bright aqua", at the top-left.'
    """
    text = text.split(f" {EOS}")[0].replace("`` ", '"').replace(" ''", '"').replace(" : ", ":")
    return re.sub(r" ('s\b|[,.])", r"\1", text)
