import pytest
import torch
from torch import Tensor, nn

from identbox.errors import IdentboxError
from identbox.learning.encoders import DILATIONS, text_encoder

WORDS, PADDING, SEED = 40, 3, 1


def sentences(n: int, length: int) -> Tensor:
    """Tokens (n, length), none of them padding."""
    tokens = torch.randint(WORDS - 1, (n, length), generator=torch.Generator().manual_seed(0))
    return tokens + (tokens >= PADDING)


def padded(tokens: Tensor, more: int) -> Tensor:
    return torch.cat([tokens, torch.full((len(tokens), more), PADDING)], 1)


def encoder(**options) -> nn.Module:
    made = text_encoder(WORDS, 5, **{"width": 12, "padding": PADDING, "seed": SEED, "name": "test"} | options)
    with torch.no_grad():  # batch norms as after some training: at their start they hide a wrong mask
        generator = torch.Generator().manual_seed(5)
        for norm in made.norms:
            norm.bias.normal_(generator=generator)
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return made


@pytest.mark.parametrize("length", [1, 2, 9, 31, 60])
def test_more_padding_changes_no_encoding(length: int):
    model, tokens = encoder().eval(), sentences(4, length)
    plain = model(tokens)
    for more in (1, 7, 40):
        # The same sums; vectorised kernels may add them in another order.
        torch.testing.assert_close(model(padded(tokens, more)), plain, rtol=1e-5, atol=1e-5)


def test_padding_has_no_part_in_training_either():
    tokens = sentences(6, 10)
    tokens[:3, 7:] = PADDING  # sentences of several lengths
    few, many = encoder().train(), encoder().train()
    # float32 statistics over 51 tokens, added in another order, through four layers.
    torch.testing.assert_close(few(tokens), many(padded(tokens, 20)), rtol=1e-4, atol=1e-4)
    for one, other in zip(few.norms, many.norms, strict=True):
        torch.testing.assert_close(one.running_mean, other.running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.running_var, other.running_var, rtol=1e-4, atol=1e-5)


def test_the_encoding_is_that_of_a_naive_network():
    model, tokens = encoder().eval(), sentences(3, 11)
    w = model.state_dict()
    expected = []
    for sentence in tokens:
        x = w["embedding.weight"][sentence]
        for layer, dilation in enumerate(DILATIONS):
            kernel = w[f"convolutions.{layer}.weight"]
            rows = []
            for place in range(len(x)):
                seen = [(tap, place + (tap - 1) * dilation) for tap in range(3)]
                rows.append(sum(kernel[:, :, tap] @ x[t] for tap, t in seen if 0 <= t < len(x)))
            y = torch.stack(rows)
            mean, var, scale, shift = (
                w[f"norms.{layer}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
            )
            x = ((y - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)
        hidden = w["head.0.weight"] @ torch.cat([x.max(0).values, x.mean(0)]) + w["head.0.bias"]
        hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
        expected.append(w["head.2.weight"] @ hidden + w["head.2.bias"])
    # float32 with another order of sums.
    torch.testing.assert_close(model(tokens), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_four_layers_see_a_sentence_of_31_tokens_at_once():
    model = encoder().eval()
    reached = []
    for place in range(63):
        x = torch.zeros(1, 12, 63, requires_grad=True)
        y = x
        for convolution in model.convolutions:
            y = convolution(y)
        (gradient,) = torch.autograd.grad(y[0, :, 31].sum(), x)
        reached.append(bool(gradient[0, :, place].abs().sum() > 0))
    assert [place for place, seen in enumerate(reached) if seen] == list(range(16, 47))


def test_the_order_of_words_is_encoded():
    model, tokens = encoder().eval(), sentences(1, 8)
    assert not torch.allclose(model(tokens), model(tokens.flip(1)), atol=1e-3)


def test_a_sentence_of_padding_alone_has_a_finite_encoding_and_gradient():
    model = encoder().eval()
    tokens = torch.cat([torch.full((1, 6), PADDING), sentences(1, 6)])
    encodings = model(tokens)
    encodings.sum().backward()
    assert encodings.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_weights_come_from_the_named_stream_alone():
    def weights(seed: int, name: str, scramble: int) -> Tensor:
        torch.manual_seed(scramble)
        made = text_encoder(WORDS, 5, padding=PADDING, seed=seed, name=name)
        return nn.utils.parameters_to_vector(made.parameters())

    state = torch.get_rng_state()
    assert torch.equal(weights(0, "a", 1), weights(0, "a", 2))
    assert not torch.equal(weights(0, "a", 1), weights(1, "a", 1))
    assert not torch.equal(weights(0, "a", 1), weights(0, "b", 1))
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": 0}, "text encoder: vocabulary: expected at least 1, got 0"),
        ({"outputs": 0}, "text encoder: outputs: expected at least 1, got 0"),
        ({"width": 0}, "text encoder: width: expected at least 1, got 0"),
        ({"padding": 40}, "text encoder: padding: expected 0 to 39, got 40"),
        ({"padding": -1}, "text encoder: padding: expected 0 to 39, got -1"),
    ],
)
def test_mistakes_are_named(change: dict, message: str):
    options = {"vocabulary": WORDS, "outputs": 5, "padding": PADDING, "seed": 0, "name": "test"} | change
    with pytest.raises(IdentboxError, match=message):
        text_encoder(**options)
