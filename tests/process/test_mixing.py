import itertools
from dataclasses import astuple

import numpy as np
import pytest
import torch

from identbox import seeding
from identbox.errors import IdentboxError
from identbox.process import mixing
from identbox.process.mixing import (
    InvertibleMLP,
    Mixing,
    condition_numbers,
    condition_numbers_up_to,
    draw,
    random_matrices,
)

DIM = 15  # of the published simulation
QUICK = Mixing(pool=1000, ratio=0.01)


def normal(n, dim=DIM, seed=0, dtype=torch.float32):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def columns(uniform):
    """A matrix of numbers in [0, 1) as one with entries in [-1, 1) and columns of length 1."""
    entries = 2 * uniform - 1
    return entries / np.linalg.norm(entries, axis=0)


def naive(dim, settings, seed, name="mixing"):
    """Layers and threshold, found matrix by matrix: numpy's condition number of each, then draw until below.

    The matrices are rounded to float32 before they are judged, because a mixing stores float32.
    """
    stream = seeding.generator(seed, name)
    pool = [columns(u) for u in torch.rand(settings.pool, dim, dim, generator=stream).numpy()]
    numbers = [np.linalg.cond(w.astype(np.float64)) for w in pool]
    threshold = sorted(numbers)[max(1, int(settings.pool * settings.ratio)) - 1]
    layers = [w for w, number in zip(pool, numbers, strict=True) if number <= threshold]
    while len(layers) < settings.layers:
        w = columns(torch.rand(dim, dim, generator=stream).numpy())
        if np.linalg.cond(w.astype(np.float64)) <= threshold:
            layers.append(w)
    return np.array(layers[: settings.layers]), threshold


@pytest.mark.parametrize("seed", range(4))
def test_inverse_of_the_published_mixing(seed):
    mixed = draw(DIM, Mixing(), seed=seed)
    z = normal(2000)
    # Forward rounds to float32 (6e-8) and its Jacobian has condition numbers of some hundreds; 6e-5 over 12 seeds.
    assert (mixed.inverse(mixed(z)) - z).abs().max() < 1e-4
    x = normal(2000, seed=1)
    assert (mixed(mixed.inverse(x)) - x).abs().max() < 1e-4
    mixed.double()
    assert (mixed.inverse(mixed(z.double())) - z).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("dim", "settings"),
    [
        (DIM, Mixing(pool=3000, ratio=0.01)),
        (DIM, Mixing(pool=1500, ratio=0.002, layers=8)),  # fewer than layers in the pool
        (7, Mixing(pool=100, ratio=1e-3, layers=2)),  # a rank of less than one counts as one
        (4, Mixing(pool=500, ratio=1.0, layers=5)),  # all are good enough
        (2, Mixing(pool=2000, ratio=0.3, layers=40)),
        (1, Mixing(pool=50, layers=4)),  # every condition number is 1
        (30, Mixing(pool=200, ratio=0.1)),
        (3, Mixing(pool=1, layers=1)),
    ],
)
@pytest.mark.parametrize("block", [2**11, 2**17])
def test_layers_are_those_of_a_naive_loop(dim, settings, block, monkeypatch):
    monkeypatch.setattr(mixing, "BLOCK_ENTRIES", block)
    layers, threshold = naive(dim, settings, seed=3)
    weights = draw(dim, settings, seed=3).weights
    assert weights.shape == (settings.layers, dim, dim)
    # Another order of summation in the lengths of the columns may move the last digits of float32.
    np.testing.assert_allclose(weights, layers, atol=3e-7)
    assert max(np.linalg.cond(weights.double().numpy())) <= threshold * (1 + 1e-5)


def test_threshold_of_the_published_pool():
    drawn = draw(DIM, Mixing(), seed=0)
    pool = random_matrices(25_000, DIM, seeding.generator(0, "mixing"))
    numbers = np.linalg.cond(pool.double().numpy())
    best = np.flatnonzero(numbers <= np.sort(numbers)[24])
    assert len(best) == 25
    assert torch.equal(drawn.weights, pool[best[:3]])


@pytest.mark.parametrize("dim", [2, 5, DIM, 40])
def test_condition_numbers_up_to_the_threshold_are_exact(dim):
    matrices = random_matrices(600, dim, torch.Generator().manual_seed(dim))
    numbers = np.linalg.cond(matrices.double().numpy())
    for quantile in (0.001, 0.1, 0.9, 1.0):
        threshold = float(np.quantile(numbers, quantile, method="higher"))
        # numpy and torch may call different LAPACKs: the matrix at the threshold itself needs room for rounding.
        threshold *= 1 + 1e-9
        expected = np.where(numbers <= threshold, numbers, np.inf)
        # Singular values err by eps sigma_max, condition numbers by eps times themselves squared, relatively less.
        np.testing.assert_allclose(condition_numbers_up_to(matrices, threshold), expected, rtol=1e-8)


def test_matrices_of_equal_condition_are_not_ruled_out_by_rounding():
    # All singular values equal: the bound on the largest is sharp, and the threshold is met with equality.
    q = draw(DIM, Mixing(layers=200, orthogonal=True), seed=0).weights
    numbers = condition_numbers(q)
    assert torch.equal(condition_numbers_up_to(q, numbers.max().item()), numbers)


def test_singular_matrices_have_an_infinite_condition_number(monkeypatch):
    good = random_matrices(20, 6, torch.Generator().manual_seed(0))
    zero, repeated, dependent = good[:3].clone().unbind()
    zero.zero_()
    repeated[:, 1] = repeated[:, 0]
    dependent[:, 2] = 0
    singular = torch.stack([zero, repeated, dependent])
    numbers = condition_numbers_up_to(torch.cat([singular, good]), mixing.SINGULAR)
    assert numbers[:3].isinf().all()
    assert torch.equal(numbers[3:], condition_numbers(good))

    def mostly_singular(n, dim, stream):
        matrices = random_matrices(n, dim, stream)
        matrices[::2] = singular[torch.arange(len(matrices[::2])) % 3]
        return matrices

    monkeypatch.setattr(mixing, "random_matrices", mostly_singular)
    # Three quarters of the pool are asked for and only one half is invertible: all of that half will do.
    numbers = draw(6, Mixing(pool=40, ratio=0.75, layers=30), seed=0)
    assert condition_numbers(numbers.weights).max() < mixing.SINGULAR


def test_columns_have_length_one_and_directions_of_a_cube():
    matrices = random_matrices(4000, 3, torch.Generator().manual_seed(0))
    assert matrices.square().sum(1).sub(1).abs().max() < 1e-6
    # By symmetry every squared entry has the mean 1/3; five standard errors of a number in [0, 1].
    gap = matrices.square().mean((0, 2)) - 1 / 3
    assert gap.abs().max() < 5 * 0.5 / 12_000**0.5


def test_forward_is_matrices_with_leaky_relu_between():
    mixed = draw(DIM, QUICK, seed=0).double()
    h = z = normal(50, dtype=torch.float64)
    for place, weight in enumerate(mixed.weights):
        h = torch.nn.functional.linear(h if not place else torch.nn.functional.leaky_relu(h, 0.2), weight)
    # The slope is stored as the float32 next to 0.2.
    torch.testing.assert_close(mixed(z), h, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_log_determinant_and_conditioning_are_those_of_the_jacobian(layers):
    mixed = draw(5, Mixing(pool=100, layers=layers, ratio=0.1), seed=0).double()
    z = normal(40, dim=5, dtype=torch.float64)
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda row: mixed(row[None])[0], row) for row in z]
    )
    torch.testing.assert_close(mixed.jacobian(z), jacobian)
    torch.testing.assert_close(mixed.log_determinant(z), torch.linalg.slogdet(jacobian).logabsdet)
    numbers = np.linalg.cond(jacobian.numpy())
    found = mixed.conditioning(z)
    expected = [numbers.min(), np.median(numbers), numbers.max()]
    np.testing.assert_allclose([found.minimum, found.median, found.maximum], expected)
    np.testing.assert_allclose(found.layers, np.linalg.cond(mixed.weights.numpy()))


def test_density_of_observations_integrates_to_one():
    """The change of variables p(x) = p(z) / |det Jf(z)|, summed over a grid of observations in the plane."""
    mixed = draw(2, Mixing(pool=100, ratio=0.1), seed=0).double()
    reach, cells = 8.0, 800
    axis = (torch.arange(cells, dtype=torch.float64) + 0.5) * 2 * reach / cells - reach
    x = torch.cartesian_prod(axis, axis)
    z = mixed.inverse(x)
    log_density = -z.square().sum(1) / 2 - torch.log(torch.tensor(2 * torch.pi)) - mixed.log_determinant(z)
    # The density jumps across the folds, so that the sum errs by the share of cells on them, about 1 / cells.
    assert abs(log_density.exp().sum().item() * (2 * reach / cells) ** 2 - 1) < 5 / cells


def test_conditioning_over_several_blocks_is_the_same(monkeypatch):
    mixed, z = draw(4, QUICK, seed=0), normal(500, dim=4)
    whole = astuple(mixed.conditioning(z))
    monkeypatch.setattr(mixing, "BLOCK_ENTRIES", 512)
    again = astuple(mixed.conditioning(z))
    # Float32 products of other sizes may sum in another order.
    np.testing.assert_allclose(again[:3], whole[:3], rtol=1e-4)
    assert again[3] == whole[3]
    with pytest.raises(IdentboxError, match="^conditioning: expected at least 1 sample, got none$"):
        mixed.conditioning(z[:0])


def test_orthogonal_layers_have_condition_one_and_the_haar_measure():
    mixed = draw(DIM, Mixing(orthogonal=True), seed=0)
    # Rounding to float32.
    np.testing.assert_allclose(mixed.conditioning(normal(10)).layers, 1, atol=1e-6)
    torch.testing.assert_close(mixed.weights.mT @ mixed.weights, torch.eye(DIM).expand(3, -1, -1))
    n = 4000
    many = draw(3, Mixing(orthogonal=True, layers=n), seed=0).weights
    # Under the Haar measure the trace has mean 0 and variance 1, and both signs of the determinant are as likely.
    trace = many.diagonal(dim1=1, dim2=2).sum(1)
    assert abs(trace.mean()) < 5 / n**0.5
    assert abs(trace.var() - 1) < 5 * (3 / n) ** 0.5
    assert abs(torch.linalg.det(many).mean()) < 5 / n**0.5


def test_slope_of_one_is_linear():
    mixed = draw(DIM, Mixing(pool=1000, slope=1.0), seed=0).double()
    z = normal(100, dtype=torch.float64)
    product = mixed.weights[2] @ mixed.weights[1] @ mixed.weights[0]
    torch.testing.assert_close(mixed(z), z @ product.T)
    torch.testing.assert_close(mixed.log_determinant(z), torch.linalg.slogdet(product).logabsdet.expand(100))
    found = mixed.conditioning(z)
    assert found.minimum == pytest.approx(found.maximum)


def test_weights_depend_on_seed_and_name_alone():
    state = torch.get_rng_state()
    weights = [
        draw(5, QUICK, seed=seed, name=name).weights
        for seed, name in [(0, "mixing/1"), (0, "mixing/2"), (1, "mixing/1")]
    ]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(weights, 2))
    torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(draw(5, QUICK, seed=0, name="mixing/1").weights, weights[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_drawing_leaves_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        draw(3, Mixing(pool=10, ratio=0.5), seed=0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_deeper_mixing_begins_with_the_layers_of_a_shallower_one():
    few, many = (draw(5, Mixing(pool=500, ratio=0.1, layers=n), seed=0).weights for n in (2, 9))
    assert torch.equal(many[:2], few)


def test_state_dict_carries_all(tmp_path):
    mixed, z = draw(5, Mixing(pool=100, slope=0.3), seed=0), normal(10, dim=5)
    assert not list(mixed.parameters())
    torch.save(mixed.state_dict(), tmp_path / "mixing.pt")
    other = draw(5, Mixing(pool=100, slope=0.7), seed=1)
    other.load_state_dict(torch.load(tmp_path / "mixing.pt", weights_only=True))
    assert torch.equal(other(z), mixed(z))
    assert str(other) == "InvertibleMLP(dim=5, layers=3, slope=0.3)"


def test_gradients_reach_the_latents():
    z = normal(4, dim=3, dtype=torch.float64).requires_grad_()
    mixed = draw(3, Mixing(pool=50, ratio=0.1), seed=0).double()
    assert torch.autograd.gradcheck(mixed, (z,))
    assert torch.autograd.gradcheck(mixed.inverse, (z,))
    assert torch.equal(mixed.log_determinant(z), mixed.log_determinant(z.detach()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"slope": 0.0}, "slope: expected a number in (0, 1], got 0.0"),
        ({"slope": 2.0}, "slope: expected a number in (0, 1], got 2.0"),
        ({"slope": float("nan")}, "slope: expected a number, got nan"),
        ({"ratio": 0.0}, "ratio: expected a number in (0, 1], got 0.0"),
        ({"ratio": 1.5}, "ratio: expected a number in (0, 1], got 1.5"),
        ({"pool": 0}, "pool: expected at least 1, got 0"),
    ],
)
def test_bad_settings(wrong, message):
    with pytest.raises(IdentboxError) as caught:
        Mixing(**wrong)
    assert str(caught.value) == message


def test_no_dimension():
    with pytest.raises(IdentboxError, match="^dim: expected at least 1, got 0$"):
        draw(0, QUICK, seed=0)


@pytest.mark.parametrize("method", ["forward", "inverse", "log_determinant", "jacobian", "conditioning"])
def test_input_of_another_width(method):
    mixed = InvertibleMLP(torch.eye(3).repeat(2, 1, 1), 0.2)
    what = "observations" if method == "inverse" else "latents"
    with pytest.raises(IdentboxError, match=f"^mixing: expected {what} of width 3, got 4$"):
        getattr(mixed, method)(normal(5, dim=4))
