import numpy as np
import pytest
from matplotlib import colors
from nltk.tokenize import NLTKWordTokenizer

from identbox.data import text
from identbox.errors import IdentboxError
from identbox.process.presets import SHAPE_NAMES

NLTK = NLTKWordTokenizer()
SHORTEST, LONGEST = "red", "xkcd:robin's egg blue"


def latents(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    limits = {"object_shape": 7, "object_xpos": 3, "object_ypos": 3, "color_palette": 3, "text_phrasing": 5}
    columns = {name: rng.integers(0, k, n) for name, k in limits.items()}
    return columns | {"object_zpos": np.zeros(n, int), "object_color": rng.random(n)}


def test_palettes_have_the_sizes_of_the_thesis():
    assert [len(palette.names) for palette in text.palettes()] == [10, 148, 949]
    assert len(text.color_names()) == 10 + 148 + 949
    assert list(text.color_names()) == sorted(text.color_names())


def test_nearest_color_is_that_of_a_naive_search():
    columns = latents(300)
    found = text.name_colors(columns["object_color"], columns["color_palette"])
    tables = [colors.TABLEAU_COLORS, colors.CSS4_COLORS, colors.XKCD_COLORS]
    for hue, palette, name in zip(columns["object_color"], columns["color_palette"], found, strict=True):
        wanted = np.array(colors.hsv_to_rgb([hue, 1, 1]))
        gaps = {
            key: np.linalg.norm(np.array(colors.to_rgb(code)) - wanted)
            for key, code in tables[palette].items()
        }
        assert gaps[name] <= min(gaps.values()) + 1e-12
        assert name == min(gaps, key=gaps.get)


def test_sentences_parse_back_to_their_latents():
    columns = latents()
    sentences, said = text.describe(columns, SHAPE_NAMES)
    assert list(said) == list(text.TEXT_FACTORS)
    for row, sentence in enumerate(sentences):
        parsed = text.parse(sentence, SHAPE_NAMES)
        assert parsed == {name: said[name][row] for name in parsed}
        assert set(parsed) == set(text.TEXT_FACTORS) - {"object_zpos"}


def test_every_sentence_counts_24_to_31_tokens():
    hues = np.tile(np.linspace(0, 1, 20_000), 3)
    reachable = set(text.name_colors(hues, np.repeat(np.arange(3), 20_000)))
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
        for c in text.color_names()
    ]
    for sentence in (*sentences, *extra):
        assert text.tokenize(sentence) == NLTK.tokenize(sentence)


def test_articles():
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
def test_unknown_sentences(sentence, message):
    with pytest.raises(IdentboxError, match=message):
        text.parse(sentence, SHAPE_NAMES)


def test_describe_names_what_is_wrong():
    columns = latents(3)
    with pytest.raises(IdentboxError, match="text_phrasing of sample 1: expected a class in 0..4, got 9"):
        text.describe(columns | {"text_phrasing": np.array([0, 9, 0])}, SHAPE_NAMES)
    del columns["color_palette"]
    with pytest.raises(IdentboxError, match="got none of color_palette"):
        text.describe(columns, SHAPE_NAMES)
