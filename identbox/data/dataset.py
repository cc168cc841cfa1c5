"""The dataset folder: its recipe, its files, and reading them (the published Multimodal3DIdent format).

DIR/dataset.toml                 the recipe, from which the dataset can be made again
DIR/vocab.json                   words and their indices, from the training sentences
DIR/SPLIT/images/000042.png      RGB
DIR/SPLIT/text/text_raw.txt      one sentence a line
DIR/SPLIT/latents_image.csv      a row a sample: what the image shows
DIR/SPLIT/latents_text.csv       a row a sample: what the sentence says
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from identbox.data import png
from identbox.data.counterfactuals import find
from identbox.data.folder import EOS, PAD, UNKNOWN, read_vocabulary, vocabulary_of
from identbox.data.formats import has_split, open_source, sentences_of
from identbox.data.text import tokenize
from identbox.errors import IdentboxError


class Multimodal3DIdent(torch.utils.data.Dataset):
    """One split of a dataset folder (identbox's own, the published one, an export) as a map-style torch Dataset.

    Item i is a dict of ``image``, float32 (3, height, width) in [0, 1], or what ``transform`` makes of the
    PIL image; ``text``, int64 (length,), the indices of the words, the end marker and padding; and ``z_image``
    and ``z_text``, dicts of the latents. ``sentences``, ``image_latents`` and ``text_latents`` hold the whole
    split. The vocabulary is ``vocab`` (a file, or indices by word), or else the folder's vocab.json, or else that of
    the training sentences; all unknown words have one token. ``length`` is the number of tokens (default: that of
    the longest sentence).

    With ``intervention`` (``"permute:object_color"``, say) the items are pairs of dicts: sample i of the split before
    the intervention, and after it. The split must have been rendered under it (`identbox render --intervene`); its
    samples, which may be the first of the split alone, are ``sentences``, ``image_latents`` and ``text_latents``, and
    ``before`` is the split itself.

    Raises IdentboxError where a file is missing, an image is, or counts differ.

    >>> import tempfile
    >>> from identbox import Multimodal3DIdent
    >>> with tempfile.TemporaryDirectory() as folder:  # a dataset of one sample, in the published format
    ...     images = Path(folder, "train", "images")
    ...     images.mkdir(parents=True)
    ...     Image.new("RGB", (8, 8)).save(images / "0.png")
    ...     for name in ("image", "text"):
    ...         _ = Path(folder, "train", f"latents_{name}.csv").write_text("object_shape,object_color\\n1,0.5\\n")
    ...     (images.parent / "text").mkdir()
    ...     _ = (images.parent / "text" / "text_raw.txt").write_text("A teal hare.\\n")
    ...     train = Multimodal3DIdent(folder, "train")
    ...     sample = train[0]
    >>> sample["image"].shape, len(train), train.sentences
    (torch.Size([3, 8, 8]), 1, ['A teal hare.'])
    >>> float(sample["z_image"]["object_color"])
    0.5
    """

    def __init__(
        self,
        folder: Path | str,
        split: str = "train",
        *,
        transform: Callable[[Image.Image], Any] | None = None,
        vocab: Path | str | Mapping[str, int] | None = None,
        length: int | None = None,
        intervention: str | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.before: Multimodal3DIdent | None = None
        if intervention is not None:
            added = find(self.folder, intervention, split)
            self.before = Multimodal3DIdent(folder, split, transform=transform, vocab=vocab, length=length)
            split = added.name
        self.source = open_source(self.folder, split)
        self.sentences = self.source.sentences
        self.image_latents, self.text_latents = self.source.image_latents, self.source.text_latents
        if not self.sentences:
            raise IdentboxError(f"{self.folder}: {split}: expected samples, got none")
        self.transform = transform
        self.w2i = self._vocabulary(vocab, split)
        self.i2w = {index: word for word, index in self.w2i.items()}
        words = [tokenize(sentence) for sentence in self.sentences]
        self.length = length or max(map(len, words)) + 1
        if self.before is not None:
            self.length = max(self.length, self.before.length)
            self.before.pad(self.length)
        self.tokens = torch.full((len(words), self.length), self.w2i[PAD])
        for line, tokens in enumerate(words):
            if len(tokens) >= self.length:
                raise IdentboxError(
                    f"{self.folder}: {split}: expected sentences of under {self.length} tokens, "
                    f"got {len(tokens)} in line {line + 1}"
                )
            indices = [self.w2i.get(token, self.w2i[UNKNOWN]) for token in tokens]
            self.tokens[line, : len(tokens) + 1] = torch.tensor([*indices, self.w2i[EOS]])

    def _vocabulary(self, vocab: Path | str | Mapping[str, int] | None, split: str) -> dict[str, int]:
        path = self.folder / "vocab.json" if vocab is None or isinstance(vocab, Mapping) else Path(vocab)
        where = "vocabulary" if isinstance(vocab, Mapping) else str(path)
        if isinstance(vocab, Mapping):
            words = dict(vocab)
        elif path.exists():
            words = read_vocabulary(path)
        elif split == "train" or has_split(self.folder, "train"):
            own = split == "train"
            words = vocabulary_of(self.sentences if own else sentences_of(self.folder, "train"))["w2i"]
        else:
            raise IdentboxError(
                f"{path}: expected a vocabulary (or the training split), got none; give vocab=PATH"
            )
        for mark in (PAD, EOS, UNKNOWN):
            if mark not in words:
                raise IdentboxError(f"{where}: expected the token {mark}, got a vocabulary without it")
        return words

    def pad(self, length: int) -> None:
        """Make all sentences that many tokens long, at least as many as they have."""
        wanted = (0, length - self.length)
        self.tokens = torch.nn.functional.pad(self.tokens, wanted, value=self.w2i[PAD])
        self.length = length

    def __len__(self) -> int:
        return len(self.sentences)

    def image(self, index: int) -> Image.Image:
        """The image as PIL decodes it, RGB. Raises IdentboxError where it is missing or broken."""
        try:
            content = self.source.png(index)
        except OSError as error:
            raise IdentboxError(f"{self.source.where(index)}: expected an image, got {error}") from error
        return png.decode(content, self.source.where(index))

    def __getitem__(self, index: int) -> Any:
        index = range(len(self))[int(index)]
        if self.before is not None:
            return self.before[index], self.sample(index)
        return self.sample(index)

    def sample(self, index: int) -> dict[str, Any]:
        """The dict of a sample of this split; of a counterfactual split the one after the intervention."""
        image = self.image(index)
        if self.transform is not None:
            pixels = self.transform(image)
        else:
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return {
            "image": pixels,
            "text": self.tokens[index],
            "z_image": {name: column[index] for name, column in self.image_latents.items()},
            "z_text": {name: column[index] for name, column in self.text_latents.items()},
        }
