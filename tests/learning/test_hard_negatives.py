import itertools

import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning.contrastive import Objective
from identbox.learning.hard_negatives import HardNegatives, info_nce_in_groups, nearest


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def views_in_groups(count, groups=3, size=7, d=2):
    """Groups around different centres, whose samples views show with noise."""
    shared = 10 * normal(groups, 1, d, seed=0) + normal(groups, size, d, seed=1)
    return [shared + 0.3 * normal(groups, size, d, seed=2 + place) for place in range(count)]


def naive(views, temperature, decoupled):
    """The loss word for word: one anchor after the other."""
    groups, size, _ = views[0].shape
    means = [sum(view[g].mean(0) for view in views) / len(views) for g in range(groups)]
    centred = [[view[g] - means[g] for g in range(groups)] for view in views]
    covariance = sum(torch.outer(z, z) for view in centred for group in view for z in group)
    inverse = torch.linalg.inv(covariance / (len(views) * groups * size))
    losses = []
    for a, b in itertools.permutations(range(len(views)), 2):
        for g, k in itertools.product(range(groups), range(size)):

            def similarity(other, a=a, b=b, g=g, k=k):
                difference = centred[a][g][k] - centred[b][g][other]
                return -(difference @ inverse @ difference) / temperature

            negatives = [similarity(other) for other in range(size) if other != k or not decoupled]
            losses.append(torch.stack(negatives).logsumexp(0) - similarity(k))
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("count", [2, 3])
def test_the_loss_in_groups_is_the_formula(count, decoupled):
    objective = Objective(temperature=0.7, decoupled=decoupled)
    views = views_in_groups(count)
    # A millionth of the variance is added before whitening.
    assert info_nce_in_groups(views, objective).item() == pytest.approx(
        naive(views, 0.7, decoupled), rel=1e-4
    )


def test_linear_maps_and_what_differs_between_groups_alone_do_not_change_the_loss_in_groups():
    objective = Objective(temperature=0.7, decoupled=True)
    views = views_in_groups(2)
    loss = info_nce_in_groups(views, objective)
    stretch = torch.tensor([[3.0, 2.0], [0.0, 0.5]], dtype=torch.float64)
    moved = [view @ stretch + 100 * normal(3, 1, 2, seed=9) for view in views]
    assert info_nce_in_groups(moved, objective).item() == pytest.approx(loss.item(), rel=1e-3)
    bent = [view + 3 * view.square() for view in views]
    assert abs(info_nce_in_groups(bent, objective).item() - loss.item()) > 0.05


def test_the_nearest_samples_are_those_of_brute_force_and_the_anchor_is_one_of_them():
    codes = normal(200, 3, seed=4)
    anchors = torch.tensor([5, 60, 199])
    near = nearest(codes, anchors, 8)
    for anchor, group in zip(anchors.tolist(), near.tolist(), strict=True):
        distances = (codes - codes[anchor]).norm(dim=1)
        assert set(group) == set(distances.argsort()[:8].tolist())
        assert anchor in group


def known_case(n=20_000):
    """Large and small content that views share, and style that differs a little between them."""
    large, small, style = (scale * normal(n, seed=seed) for seed, scale in ((0, 1.0), (1, 0.02), (2, 1.0)))
    styles = [style, 0.97 * style + (1 - 0.97**2) ** 0.5 * normal(n, seed=3)]
    first_codes = torch.stack([large, style], dim=1)
    return large, small, styles, first_codes


def test_within_groups_small_content_is_worth_more_than_style_that_nearly_agrees():
    large, small, styles, codes = known_case()
    near = nearest(codes, torch.arange(50), 32)
    objective = Objective(temperature=0.7, decoupled=True)

    def loss(*columns):
        """Of two views; a column is one of both, or one of each."""
        pairs = [column if isinstance(column, list) else [column, column] for column in columns]
        views = [torch.stack([pair[place] for pair in pairs], dim=1)[near] for place in (0, 1)]
        return info_nce_in_groups(views, objective).item()

    with_small, with_style = loss(large, small), loss(large, styles)
    assert with_small < with_style - 0.3
    # A curved function of large content is one line within a group, however it is scaled.
    assert with_small < loss(large, large.square()) - 0.1


def test_a_group_fits_into_the_pool():
    with pytest.raises(IdentboxError, match="pool: expected at least the 64 samples of a group, got 63"):
        HardNegatives(steps=1, pool=63)
    HardNegatives(steps=0, pool=63)
