import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning import linear
from identbox.learning.encoders import MLP, MLPSettings
from identbox.learning.linear import DenseLayer


def test_the_published_encoder_has_seven_layers_and_141_gflop_a_step():
    encoder = MLP(15, 5, MLPSettings(), seed=0, name="encoder/1")
    layers = [layer for layer in encoder if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in layers] == [150, 750, 750, 750, 750, 150, 5]
    # Forward and backward (twice as much) of two encoders over a batch of 6144.
    assert 3 * 2 * 6144 * encoder.flops / 1e9 == pytest.approx(141, abs=0.5)


def test_weights_are_a_function_of_seed_and_name():
    def weights(seed, name):
        return torch.cat([p.flatten() for p in MLP(3, 2, MLPSettings(), seed=seed, name=name).parameters()])

    before = torch.random.get_rng_state()
    assert torch.equal(weights(0, "a"), weights(0, "a"))
    assert not torch.equal(weights(0, "a"), weights(1, "a"))
    assert not torch.equal(weights(0, "a"), weights(0, "b"))
    ours, torchs = weights(0, "a"), torch.nn.Linear(3, 30).weight
    assert ours.abs().max() <= 3**-0.5
    assert torchs.abs().max() <= 3**-0.5  # the bound of PyTorch's own initialisation
    del torchs
    torch.random.set_rng_state(before)


def test_encoding_has_the_size_asked_for():
    encoder = MLP(4, 3, MLPSettings(widths=(2,)), seed=0, name="encoder")
    assert encoder(torch.zeros(5, 4)).shape == (5, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoding_size": 0}, "encoding_size: expected at least 1, got 0"),
        ({"widths": (10, 0)}, r"widths\[1\]: expected at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(IdentboxError, match=message):
        MLPSettings(**settings)
    with pytest.raises(IdentboxError, match="at least one input and output, got 0 and 2"):
        MLP(0, 2, MLPSettings(), seed=0, name="encoder")


@pytest.mark.parametrize(("n", "inputs", "outputs"), [(1, 1, 1), (7, 3, 5), (64, 150, 33)])
def test_products_and_gradients_of_a_layer_are_those_of_pytorch(n, inputs, outputs, monkeypatch):
    monkeypatch.setattr(linear, "ONEDNN_FROM", 0)
    generator = torch.Generator().manual_seed(0)
    ours, plain = DenseLayer(inputs, outputs), torch.nn.Linear(inputs, outputs)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(n, inputs, generator=generator, requires_grad=True)
    same = x.detach().clone().requires_grad_()
    weights = torch.randn(n, outputs, generator=generator)
    (ours(x) * weights).sum().backward()
    (plain(same) * weights).sum().backward()
    # Sums of at most 150 products in another order, in float32.
    near = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(ours(x), plain(same), **near)
    torch.testing.assert_close(x.grad, same.grad, **near)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, **near)
    torch.testing.assert_close(ours.bias.grad, plain.bias.grad, **near)


def test_whitening_gives_the_first_layer_inputs_of_identity_covariance():
    """The layer answers to x as it did to the standardised x."""
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 3, generator=stream) @ torch.tensor([[9.0, 0, 0], [8, 1, 0], [0, 0.1, 0.1]]) + 5
    before, after = (MLP(3, 2, MLPSettings(widths=(4,)), seed=0, name="encoder") for _ in range(2))
    after.whiten(x)
    centred = (x - x.mean(0)).double()
    values, vectors = torch.linalg.eigh(torch.cov(centred.T))
    white = (centred @ vectors / values.sqrt() @ vectors.T).float()
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(after(x), before(white), atol=2e-3, rtol=0)


def test_signals_keep_their_size_where_weights_start_by_he():
    encoder = MLP(15, 5, MLPSettings(start="he"), seed=0, name="encoder")
    x = torch.randn(2000, 15, generator=torch.Generator().manual_seed(1))
    for layer in encoder:
        before, x = x, layer(x.clone())
        if isinstance(layer, torch.nn.Linear) and layer.out_features > 5:
            assert x.square().mean().item() == pytest.approx(2 * before.square().mean().item(), rel=0.3)
        if isinstance(layer, torch.nn.Linear):
            assert not layer.bias.any()
    assert 0.4 < x.square().mean().item() < 2.5
    shrunk = MLP(15, 5, MLPSettings(), seed=0, name="encoder")
    y = torch.randn(2000, 15, generator=torch.Generator().manual_seed(1))
    assert shrunk(y).var(0).mean().item() < 1e-3
