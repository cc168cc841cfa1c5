import colorsys
from math import pi

import numpy as np
import pytest
from colormath.color_conversions import convert_color
from colormath.color_objects import HSVColor, sRGBColor

from identbox.data.scene import IMAGE_FACTORS, Scene, hsv_to_rgb
from identbox.errors import IdentboxError
from identbox.process.presets import SHAPE_NAMES


def latents(**changes):
    columns = {name: np.array([0.5]) for name in IMAGE_FACTORS}
    columns |= {"object_shape": np.array([0]), "object_xpos": np.array([1]), "object_ypos": np.array([1])}
    columns["object_zpos"] = np.array([0])
    return columns | {name: np.array([value]) for name, value in changes.items()}


def record(flavour="thesis", **changes):
    return Scene(flavour=flavour).records(latents(**changes), SHAPE_NAMES)[0]


def test_hsv_to_rgb_is_that_of_colormath():
    for hue in np.linspace(0, 0.999, 40):
        rgb = convert_color(HSVColor(hue * 360, 0.8, 0.9), sRGBColor).get_value_tuple()
        np.testing.assert_allclose(hsv_to_rgb(np.array([hue]), 0.8, 0.9)[0], rgb, atol=1e-12)


def test_hsv_to_rgb_without_wrapping_is_that_of_colorsys():
    hues = np.linspace(-0.25, 1.0, 101)
    expected = [colorsys.hsv_to_rgb(hue, 0.8, 1.0) for hue in hues]
    np.testing.assert_allclose(hsv_to_rgb(hues, 0.8, 1.0, wrap=False), expected, atol=1e-12)


def test_latents_in_the_middle_give_the_middle_of_the_scene():
    middle = record()
    assert middle["shape"] == "teapot"
    assert middle["location"] == [0, 0, 0]
    np.testing.assert_allclose(middle["rotation"], 0, atol=1e-15)
    np.testing.assert_allclose(middle["spot_location"], [0, 4, 10.2], atol=1e-12)
    assert middle["ground_z"] == -4.2


def test_positions_and_angles():
    corner = record(object_xpos=2, object_ypos=0, object_alpharot=0.0, object_gammarot=1.0, spotlight_pos=1.0)
    assert corner["location"] == [-3, 3, 0]
    np.testing.assert_allclose(corner["rotation"], [-pi / 2, 0, pi / 2], atol=1e-12)
    np.testing.assert_allclose(corner["spot_location"], [4, 0, 10.2], atol=1e-12)


def test_the_thesis_scene_stays_in_gamut_and_hides_the_shape():
    n = 500
    rng = np.random.default_rng(0)
    columns = {name: rng.random(n) for name in IMAGE_FACTORS}
    columns |= {name: rng.integers(0, 3, n) for name in ("object_xpos", "object_ypos")}
    columns |= {"object_shape": rng.integers(0, 7, n), "object_zpos": np.zeros(n, int)}
    thesis, published = (Scene(flavour=f).records(columns, SHAPE_NAMES) for f in ("thesis", "published"))

    def colors(records):
        return np.array([r[key] for r in records for key in ("object_color", "ground_color", "spot_color")])

    assert colors(thesis).min() >= 0
    assert colors(thesis).max() <= 1
    assert colors(published).min() < -0.3  # the quirk: half of the hues are negative
    assert len({r["ground_z"] for r in thesis}) == len({r["extent"] for r in thesis}) == 1
    assert {r["ground_z"] for r in published} == {-4.44, -4.05, -4.2}


def test_published_figures():
    teapot = record("published", spotlight_color=0.25)
    np.testing.assert_allclose(teapot["spot_color"], [1.0, -0.4, 0.2])
    assert teapot["extent"] == 4.44
    np.testing.assert_allclose(teapot["spot_location"][2], 10.44)
    assert record("published", object_shape=3)["ground_z"] == -4.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"object_color": 1.2}, r"latents: object_color of sample 0: expected in \[0, 1\], got 1.2"),
        ({"spotlight_pos": np.nan}, "spotlight_pos of sample 0: .*, got nan"),
        ({"object_shape": 7}, r"object_shape of sample 0: expected a class in 0..6, got 7"),
        ({"object_xpos": 0.5}, "object_xpos of sample 0: expected a class in 0..2, got 0.5"),
        ({"object_zpos": 1}, "object_zpos of sample 0: expected 0, got 1"),
    ],
)
def test_latents_out_of_range_are_named(changes, message):
    with pytest.raises(IdentboxError, match=message):
        record(**changes)


def test_a_missing_factor_is_named():
    columns = latents()
    del columns["spotlight_pos"]
    with pytest.raises(IdentboxError, match="got none of spotlight_pos"):
        Scene().records(columns, SHAPE_NAMES)
