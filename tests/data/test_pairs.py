"""Image-text pairs as a dataset of two modalities: their factors, and sentences from words and back."""

import numpy as np
import torch

from identbox.data.folder import EOS, PAD, vocabulary_of
from identbox.data.latents import draw_latents
from identbox.data.pairs import sentence_of_words, split_of_pairs
from identbox.data.pixels import Split
from identbox.data.text import describe, parse_sentence, tokenize
from identbox.process.presets import SHAPE_NAMES, multimodal3dident
from identbox.process.tables import table_from_process


def pairs(n=300, length=None):
    latents = draw_latents(multimodal3dident(), 0, "train", n)
    sentences, text = describe(latents["text"], SHAPE_NAMES)
    words = vocabulary_of(sentences)["w2i"]
    longest = length or max(len(tokenize(one)) for one in sentences) + 1
    tokens = torch.full((n, longest), words[PAD])
    for row, one in zip(tokens, sentences, strict=True):
        numbers = [words[word] for word in (*tokenize(one), EOS)]
        row[: len(numbers)] = torch.tensor(numbers)
    split = Split(
        name="train", pixels=np.zeros((n, 8, 8, 3), np.uint8), tokens=tokens, image_latents=latents["image"],
        text_latents={name: np.array(column) for name, column in text.items()}, vocabulary=words,
        mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    return split, sentences


def test_every_sentence_comes_back_from_its_words_and_is_parsed_alike():
    split, sentences = pairs()
    made = split_of_pairs(split, table_from_process(multimodal3dident()))
    spec = made.modalities["text"]
    for row, sentence in zip(made.arrays["text"], sentences, strict=True):
        again = sentence_of_words(spec.sentence(row.tolist()))
        assert again == sentence
        assert parse_sentence(again, SHAPE_NAMES) == parse_sentence(sentence, SHAPE_NAMES)


def test_factors_are_there_once_where_both_show_the_same_with_their_roles():
    split, _ = pairs()
    made = split_of_pairs(split, table_from_process(multimodal3dident()))
    shape = made.declared["object_shape"]
    assert (shape.kind, shape.role, shape.modality) == ("discrete", "content", None)
    hue = made.declared["object_color"]
    assert (hue.kind, hue.period, hue.modality) == ("circular", 1.0, "image")
    assert made.declared["text_phrasing"].modality == "text"
    assert np.array_equal(made.factors["object_shape"], split.image_latents["object_shape"])
    assert "object_color_name" not in made.declared  # words are no numbers


def test_sentences_of_another_length_are_filled_up_or_cut():
    split, _ = pairs(5)
    wide = split.tokens.shape[1]
    longer, shorter = (split_of_pairs(split, {}, wide + more).arrays["text"] for more in (3, -3))
    assert (longer[:, wide:] == split.vocabulary[PAD]).all()
    assert np.array_equal(shorter, split.tokens.numpy()[:, : wide - 3])
