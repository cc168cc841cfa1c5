"""The displacement of encodings under interventions, where its value is known."""

import pytest
import torch

from identbox import Mixing, World, numerical_simulation
from identbox.errors import IdentboxError
from identbox.metrics.displacement import displacement, displacements_in_world
from identbox.metrics.displacement_records import displacement_of_record
from identbox.process.mixing import draw

N = 2000
SIGNS = torch.tensor([1.0, -1.0]).repeat(N // 2)[:, None].double()


def flipped_in_half() -> torch.Tensor:
    """What a permutation of a fair sign does on average, exactly: of either sign half are another."""
    return torch.cat([SIGNS[: N // 2], -SIGNS[N // 2 :]])


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_exactly_zero_where_nothing_moves() -> None:
    found = displacement(normal(N, 3, 0), normal(N, 3, 0))
    assert (found.value, found.high, found.mean, found.mean_high) == (0, 0, 0, 0)


def test_exactly_one_where_the_encoding_is_the_permuted_variable() -> None:
    found = displacement(SIGNS, flipped_in_half())
    assert found.value == pytest.approx(1, abs=1e-9)
    assert found.mean == pytest.approx(1, abs=1e-9)


def test_one_of_two_variables_moves_one_direction_of_two() -> None:
    other = normal(N, 1, 1)
    before, after = torch.cat([SIGNS, other], 1), torch.cat([flipped_in_half(), other], 1)
    for turn in (torch.eye(2), torch.tensor([[0.6, 0.8], [-0.8, 0.6]])):
        found = displacement(before @ turn.double(), after @ turn.double())
        assert found.value == pytest.approx(1, abs=0.03)
        assert found.mean == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_the_variance_that_moves(share: float) -> None:
    # h = sqrt(share) a + sqrt(1 - share) b and a is drawn anew: E (h - h')^2 = 2 share, and of random pairs 2.
    kept, first, second = normal(N, 1, 2), normal(N, 1, 3), normal(N, 1, 4)
    before, after = (share**0.5 * a + (1 - share) ** 0.5 * kept for a in (first, second))
    found = displacement(before, after)
    assert found.low <= share <= found.high
    assert found.mean_low <= share <= found.mean_high


def test_an_interval_covers_the_share_in_nearly_all_samples() -> None:
    covered = 0
    for seed in range(20):
        kept, first, second = (normal(400, 1, 10 * seed + k) for k in (0, 1, 2))
        found = displacement(first + kept, second + kept)
        covered += found.mean_low <= 0.5 <= found.mean_high
    assert covered >= 17


def test_in_a_world_content_moves_when_content_does_and_for_nothing_else() -> None:
    world = World(
        numerical_simulation(content=2, style=2, specific=1, causal=True), seed=0, mixing=Mixing(pool=100)
    )
    mixed = draw(2, Mixing(pool=100), seed=1, name="test")
    found = displacements_in_world(
        world, lambda x, view: mixed(world.invert(x, view=view)["content"]), samples=1000
    )
    by = {(one.view, one.intervention): one for one in found}
    for view in world.views:
        assert by[view, "permute:content"].low > 0.9
        for other in ("style", "specific_1", "specific_2"):
            assert by[view, f"permute:{other}"].high < 1e-3


def test_records_are_read_again_and_one_row_is_too_few() -> None:
    found = displacement(SIGNS, flipped_in_half(), view="image", intervention="permute:object_color")
    assert displacement_of_record(found.record(), "here") == found
    with pytest.raises(IdentboxError, match="here"):
        displacement_of_record({**found.record(), "value": "much"}, "here")
    with pytest.raises(IdentboxError, match="at least 2 rows"):
        displacement(SIGNS[:1], SIGNS[:1])
