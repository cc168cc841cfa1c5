import numpy as np
import pytest
from nltk.tokenize import NLTKWordTokenizer

from identbox.data import colors, text
from identbox.errors import IdentboxError
from identbox.process.presets import SHAPE_NAMES

NLTK = NLTKWordTokenizer()
SHORTEST, LONGEST = "red", "xkcd:robin's egg blue"


def latents(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    limits = {"object_shape": 7, "object_xpos": 3, "object_ypos": 3, "color_palette": 3, "text_phrasing": 5}
    columns = {name: rng.integers(0, k, n) for name, k in limits.items()}
    return columns | {"object_zpos": np.zeros(n, int), "object_color": rng.random(n)}


@pytest.mark.parametrize("naming", ["rgb", "lab"])
def test_sentences_parse_back_to_their_latents(naming):
    columns = latents(1000)
    sentences, said = text.describe(columns, SHAPE_NAMES, naming)
    assert said["object_color_name"] == colors.name_colors(
        columns["object_color"], columns["color_palette"], naming
    )
    assert list(said) == list(text.TEXT_FACTORS)
    for row, sentence in enumerate(sentences):
        parsed = text.parse_sentence(sentence, SHAPE_NAMES)
        assert parsed == {name: said[name][row] for name in parsed}
        assert set(parsed) == set(text.TEXT_FACTORS) - {"object_zpos"}


def test_every_sentence_counts_24_to_31_tokens():
    hues = np.tile(np.linspace(0, 1, 20_000), 3)
    reachable = set(colors.name_colors(hues, np.repeat(np.arange(3), 20_000)))
    fewer = np.tile(np.linspace(0, 1, 1000), 3)
    reachable |= set(colors.name_colors(fewer, np.repeat(np.arange(3), 1000), "lab"))
    longest = max(reachable, key=lambda name: len(text.tokenize(f'"{name}"')))
    for template in text.TEMPLATES:
        for color in (SHORTEST, LONGEST, longest):
            sentence = template.format(position="mid-center", object="an armadillo", color=color)
            assert sentence.endswith(".")
            assert sentence.count(".") == 1
            assert 24 <= len(text.tokenize(sentence)) + 1 <= 31, sentence


def test_tokens_are_those_of_the_penn_treebank():
    sentences, _ = text.describe(latents(), SHAPE_NAMES)
    extra = [
        t.format(position="top-left", object="a hare", color=c)
        for t in text.TEMPLATES
        for c in colors.color_names()
    ]
    for sentence in (*sentences, *extra):
        assert text.tokenize(sentence) == NLTK.tokenize(sentence)


def test_the_article_fits_the_shape():
    sentences, _ = text.describe(latents(200), SHAPE_NAMES)
    joined = " ".join(sentences)
    assert "an armadillo" in joined
    assert "a armadillo" not in joined
    assert "an hare" not in joined


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("A red cow.", "expected one of 5 templates, got 'A red cow.'"),
        (
            text.TEMPLATES[0].format(position="top-left", object="a whale", color="red"),
            "known shape, got 'whale'",
        ),
        (
            text.TEMPLATES[1].format(position="left-top", object="a cow", color="red"),
            "known x-position, got 'top'",
        ),
        (
            text.TEMPLATES[2].format(position="top-left", object="a cow", color="rad"),
            "known color name, got 'rad'",
        ),
    ],
)
def test_unknown_sentences_are_refused(sentence, message):
    with pytest.raises(IdentboxError, match=message):
        text.parse_sentence(sentence, SHAPE_NAMES)


def test_describe_names_what_is_wrong():
    columns = latents(3)
    with pytest.raises(IdentboxError, match="text_phrasing of sample 1: expected a class in 0..4, got 9"):
        text.describe(columns | {"text_phrasing": np.array([0, 9, 0])}, SHAPE_NAMES)
    del columns["color_palette"]
    with pytest.raises(IdentboxError, match="got none of color_palette"):
        text.describe(columns, SHAPE_NAMES)
