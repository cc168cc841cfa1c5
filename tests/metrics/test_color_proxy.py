"""The colour proxy: hues against Python's colorsys, ranges that do not overlap, and images of known colours."""

import colorsys

import pytest
import torch

from identbox.metrics.color_proxy import COLOR_RANGES, RANGES, caption_of, color_counts, hsv_of, shows_color

EXAMPLES = {
    "white": (250, 250, 250), "yellow": (240, 230, 20), "red": (220, 20, 20), "blue": (20, 40, 220),
    "green": (30, 180, 40), "grey": (100, 100, 100), "brown": (150, 90, 20), "black": (10, 10, 10),
}  # fmt: skip


def plain(*colors, side=6):
    """An image of horizontal stripes of those colours."""
    image = torch.tensor(colors).float().repeat_interleave(side // len(colors), 0) / 255
    return image.T[None, :, :, None].expand(1, 3, side, side).clone()


def test_hue_saturation_and_value_are_pythons_in_the_units_of_opencv():
    pixels = torch.randint(0, 256, (1, 3, 20, 20), generator=torch.Generator().manual_seed(0))
    found = hsv_of(pixels / 255)[0].flatten(1).T.tolist()
    for (r, g, b), (hue, saturation, value) in zip(pixels[0].flatten(1).T.tolist(), found, strict=True):
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        assert abs(hue - h * 180) <= 0.51 or (hue == 0 and h * 180 > 179.5)
        assert abs(saturation - s * 255) <= 0.51
        assert value == v


@pytest.mark.parametrize("color", COLOR_RANGES)
def test_a_plain_image_shows_its_colour_and_no_other(color):
    image = plain(EXAMPLES[color])
    counts = dict(zip(COLOR_RANGES, color_counts(image)[0].tolist(), strict=True))
    assert counts == {name: 36 * (name == color) for name in COLOR_RANGES}
    assert [other for other in COLOR_RANGES if shows_color(image, other)[0]] == [color]


def test_limits_of_each_range_are_in_order_also_those_of_brown():
    assert all(low <= high for one in RANGES for low, high in zip(one.low, one.high, strict=True))


def test_the_second_colour_counts_and_the_third_does_not():
    image = plain(*[EXAMPLES["blue"]] * 3, *[EXAMPLES["red"]] * 2, EXAMPLES["green"])
    assert [name for name in COLOR_RANGES if shows_color(image, name)[0]] == ["blue", "red"]
    assert caption_of("red") == "this bird is completely red"
