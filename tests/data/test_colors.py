import numpy as np
import pytest
from colormath.color_conversions import convert_color
from colormath.color_objects import LabColor, sRGBColor
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colors as mpl

from identbox.data import colors
from identbox.data.scene import hsv_to_rgb

TABLES = [mpl.TABLEAU_COLORS, mpl.CSS4_COLORS, mpl.XKCD_COLORS]

# Table 1 of G. Sharma, W. Wu and E. N. Dalal, "The CIEDE2000 color-difference formula: implementation notes,
# supplementary test data, and mathematical observations", Color Research and Application 30(1), 2005, pages 21-30:
# L, a, b of the one colour, L, a, b of the other, and their distance to four digits.
PUBLISHED_PAIRS = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def test_palettes_have_the_sizes_of_the_thesis():
    assert [len(palette.names) for palette in colors.palettes()] == [10, 148, 949]
    assert len(colors.color_names()) == 10 + 148 + 949
    assert list(colors.color_names()) == sorted(colors.color_names())


def test_the_nearest_color_in_rgb_is_that_of_a_naive_search():
    hues, chosen = np.random.default_rng(0).random(300), np.arange(300) % 3
    names = colors.name_colors(hues, chosen)
    for hue, palette, name in zip(hues, chosen, names, strict=True):
        wanted = np.array(mpl.hsv_to_rgb([hue, 1, 1]))
        gaps = {
            key: np.linalg.norm(np.array(mpl.to_rgb(code)) - wanted) for key, code in TABLES[palette].items()
        }
        assert gaps[name] <= min(gaps.values()) + 1e-12
        assert name == min(gaps, key=gaps.get)


def test_ciede2000_gives_the_published_distances_in_either_order():
    table = np.array([row.split() for row in PUBLISHED_PAIRS.strip().splitlines()], dtype=float)
    assert table.shape == (34, 7)
    one, other, distance = table[:, :3], table[:, 3:6], table[:, 6]
    # The published distances are rounded to 5e-5.
    np.testing.assert_allclose(colors.ciede2000(one, other), distance, rtol=0, atol=1e-4)
    np.testing.assert_allclose(colors.ciede2000(other, one), distance, rtol=0, atol=1e-4)


def test_ciede2000_of_many_with_many_is_that_of_each_pair():
    rng = np.random.default_rng(0)
    one, other = (rng.uniform((0, -90, -90), (100, 90, 90), (n, 3)) for n in (5, 7))
    distances = colors.ciede2000(one[:, None], other)
    assert distances.shape == (5, 7)
    for i, j in np.ndindex(5, 7):
        assert distances[i, j] == pytest.approx(colors.ciede2000(one[i], other[j]), rel=1e-12)


LAB = st.tuples(*(st.floats(low, high) for low, high in ((0, 100), (-128, 128), (-128, 128))))


@given(LAB, LAB)
def test_ciede2000_is_symmetric_and_zero_for_equal_colors(one, other):
    a, b = np.array(one), np.array(other)
    assert colors.ciede2000(a, b) == pytest.approx(colors.ciede2000(b, a), abs=1e-9)
    assert colors.ciede2000(a, a) == pytest.approx(0, abs=1e-9)


def test_lab_values_are_those_of_colormath():
    rgb = np.concatenate(
        [hsv_to_rgb(np.linspace(0, 1, 300), 1.0, 1.0), np.random.default_rng(0).random((200, 3))]
    )
    rgb = np.concatenate([rgb, [[0, 0, 0], [1, 1, 1], [0.001, 0.002, 0.003]]])
    expected = [convert_color(sRGBColor(*color), LabColor).get_value_tuple() for color in rgb]
    np.testing.assert_allclose(colors.rgb_to_lab(rgb), expected, rtol=0, atol=1e-10)
    for palette in colors.palettes():
        np.testing.assert_allclose(colors.rgb_to_lab(palette.rgb), palette.lab, rtol=0, atol=1e-10)


def test_the_nearest_color_in_lab_is_that_of_a_search_color_by_color():
    hues, chosen = np.random.default_rng(1).random(30), np.arange(30) % 3
    names = colors.name_colors(hues, chosen, "lab")
    for hue, palette, name in zip(hues, chosen, names, strict=True):
        wanted = np.array(convert_color(sRGBColor(*mpl.hsv_to_rgb([hue, 1, 1])), LabColor).get_value_tuple())
        known = colors.palettes()[palette]
        gaps = {
            key: float(colors.ciede2000(wanted, lab)) for key, lab in zip(known.names, known.lab, strict=True)
        }
        assert name == min(gaps, key=gaps.__getitem__)


def test_a_color_of_the_palette_is_its_own_nearest_by_either_naming():
    for palette in colors.palettes():
        rows = slice(None, None, 20)
        for naming in ("rgb", "lab"):
            nearest = palette.nearest(palette.rgb[rows], naming)
            np.testing.assert_array_equal(palette.rgb[nearest], palette.rgb[rows])


def test_a_hue_between_blue_and_purple_has_other_names_by_rgb_and_by_lab():
    # Between azure and blue, RGB distances call a hue tab:blue that looks more like tab:purple.
    hue, tableau = np.array([0.659]), np.array([0])
    assert colors.name_colors(hue, tableau) == ["tab:blue"]
    assert colors.name_colors(hue, tableau, "lab") == ["tab:purple"]


def test_every_name_belongs_to_one_palette():
    assert len(colors.palette_index()) == sum(len(palette.names) for palette in colors.palettes())
    assert colors.palette_index()["xkcd:azure"] == 2
