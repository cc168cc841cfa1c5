import math

import numpy as np
import pytest
import torch

from identbox.data.scene import hsv_to_rgb
from identbox.learning.augmentation import lit, moved, turned

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.1, 0.3)


def normalised(rgb: torch.Tensor) -> torch.Tensor:
    """As `reading.batch` gives them, (n, 3, h, w)."""
    mean, std = (torch.tensor(triple)[:, None, None] for triple in (MEAN, STD))
    return ((rgb - mean) / std).to(memory_format=torch.channels_last)


def colours(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(triple)[:, None, None] for triple in (MEAN, STD))
    return images * std + mean


def test_a_shifted_image_is_the_image_moved_with_its_edges_repeated():
    images = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).view(2, 3, 6, 6)
    shifts = torch.tensor([[1, -2], [0, 0]])  # down and to the right
    shifted = moved(images, shifts)
    assert torch.equal(shifted[1], images[1])
    padded = torch.nn.functional.pad(images[:1], (2, 2, 2, 2), mode="replicate")[0]
    assert torch.equal(shifted[0], padded[:, 1:7, 4:10])


def test_turned_colours_are_those_of_the_turned_hue():
    """By a third of a turn red is green, exactly; between, the circle of hues is a hexagon in RGB."""
    hues = torch.arange(12) / 12
    rgb = torch.from_numpy(hsv_to_rgb(hues.numpy(), 0.8, 0.9)).float()
    images = normalised(rgb.T.reshape(1, 3, 3, 4).expand(4, 3, 3, 4))
    turns = torch.tensor([0.0, 1 / 3, -1 / 3, 0.5])
    colours_after = colours(turned(images, turns, MEAN, STD)).flatten(2)
    assert colours_after.shape == (4, 3, 12)
    for k in range(3):
        expected = torch.from_numpy(hsv_to_rgb(((hues + turns[k]) % 1).numpy(), 0.8, 0.9)).float().T
        np.testing.assert_allclose(colours_after[k], expected, atol=1e-5)  # float32
    # Half a turn is the reflection at grey.
    np.testing.assert_allclose(colours_after[3], 2 * rgb.mean(1) - rgb.T, atol=1e-5)


def test_grey_stays_grey_and_the_layout_in_memory_is_kept():
    grey = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)).expand(5, 3, 6, 6)
    images = normalised(grey)
    images_after = turned(images, torch.linspace(-0.5, 0.5, 5), MEAN, STD)
    np.testing.assert_allclose(images_after, images, atol=1e-5)
    assert images_after.is_contiguous(memory_format=torch.channels_last)


def test_each_image_has_its_own_turn():
    images = normalised(torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1)))
    turns = torch.tensor([0.1, -0.3, 0.45])
    together = turned(images, turns, MEAN, STD)
    for k in range(3):
        alone = turned(images[k : k + 1], turns[k : k + 1], MEAN, STD)[0]
        assert together[k] == pytest.approx(alone, abs=1e-6)


def test_more_light_falls_on_one_side():
    rgb = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(2))
    images = normalised(rgb)
    strength, side = torch.tensor([0.7, 0.4, 0.0]), torch.tensor([0.0, math.pi / 2, 1.0])
    brighter = lit(images, strength, side, MEAN, STD)
    gain = colours(brighter) / rgb
    across = torch.linspace(-1, 1, 5)
    # The quotient of small values in float32.
    np.testing.assert_allclose(gain[0], (0.7 * across).exp().expand(3, 5, 5), rtol=1e-3)
    np.testing.assert_allclose(gain[1], (0.4 * across).exp()[:, None].expand(3, 5, 5), rtol=1e-3)
    assert torch.equal(brighter[2], images[2])
    assert brighter.is_contiguous(memory_format=torch.channels_last)
