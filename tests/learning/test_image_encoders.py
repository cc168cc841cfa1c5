import pytest
import torch
from torch import Tensor, nn

from identbox.errors import IdentboxError
from identbox.learning.encoders import IMAGE_ENCODERS, ResNet18, image_encoder

SEED = 3


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    learned = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
    return {f"{name}.{key}": shape for key, shape in {**learned, "num_batches_tracked": ()}.items()}


def described() -> dict[str, tuple[int, ...]]:
    """Names and shapes of ResNet-18 with 1000 classes, from its description (He et al., 2016, Table 1)."""
    shapes = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    for stage, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), start=1):
        for block in range(2):
            place = f"layer{stage}.{block}"
            first = inputs if block == 0 else outputs
            shapes |= {f"{place}.conv1.weight": (outputs, first, 3, 3), **norm(f"{place}.bn1", outputs)}
            shapes |= {f"{place}.conv2.weight": (outputs, outputs, 3, 3), **norm(f"{place}.bn2", outputs)}
            if block == 0 and stage > 1:
                shapes |= {f"{place}.downsample.0.weight": (outputs, inputs, 1, 1)}
                shapes |= norm(f"{place}.downsample.1", outputs)
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def test_resnet_has_the_published_names_shapes_and_number_of_parameters():
    model = ResNet18(seed=SEED, name="test")
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == described()
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_689_512
    weights = {key: torch.zeros(shape) for key, shape in described().items()}
    model.load_state_dict(weights, strict=True)
    assert all(value.eq(0).all() for value in model.state_dict().values())


def test_resnet_is_the_function_that_its_description_composes():
    model = ResNet18(5, seed=SEED, name="test").eval()
    w = model.state_dict()
    images = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))

    def conv(x, name, stride):
        return nn.functional.conv2d(x, w[f"{name}.weight"], None, stride, w[f"{name}.weight"].shape[-1] // 2)

    def standardised(x, name):
        mean, var, scale, shift = (
            w[f"{name}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = standardised(conv(images, "conv1", 2), "bn1").clamp(min=0)
    x = nn.functional.max_pool2d(x, 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            place, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = standardised(conv(x, f"{place}.conv1", stride), f"{place}.bn1").clamp(min=0)
            y = standardised(conv(y, f"{place}.conv2", 1), f"{place}.bn2")
            if stride == 2:
                x = standardised(conv(x, f"{place}.downsample.0", stride), f"{place}.downsample.1")
            x = (x + y).clamp(min=0)
    expected = x.mean((2, 3)) @ w["fc.weight"].T + w["fc.bias"]
    # float32 through 18 layers in another order of sums.
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", IMAGE_ENCODERS)
def test_weights_come_from_the_named_stream_alone(kind: str):
    def weights(seed: int, name: str, scramble: int) -> Tensor:
        torch.manual_seed(scramble)
        made = image_encoder(kind, 4, seed=seed, name=name)
        return torch.cat([parameter.detach().flatten() for parameter in made.parameters()])

    state = torch.get_rng_state()
    first = weights(0, "a", 1)
    assert torch.equal(first, weights(0, "a", 2))
    assert not torch.equal(first, weights(1, "a", 1))
    assert not torch.equal(first, weights(0, "b", 1))
    torch.set_rng_state(state)


def test_convolutions_start_normal_with_variance_two_over_fan_out():
    weight = ResNet18(10, seed=SEED, name="test").layer4[1].conv2.weight.detach()
    n = weight.numel()  # 2.4 million: mean and deviation are known to five of their standard errors
    expected = (2 / (512 * 9)) ** 0.5
    assert abs(weight.mean().item()) < 5 * expected / n**0.5
    assert weight.std().item() == pytest.approx(expected, abs=5 * expected / (2 * n) ** 0.5)
    assert (weight.abs() < expected).double().mean().item() == pytest.approx(
        0.6827, abs=5 * (0.22 / n) ** 0.5
    )


@pytest.mark.parametrize("kind", IMAGE_ENCODERS)
@pytest.mark.parametrize("size", [24, 61])
def test_an_encoder_takes_images_of_any_size_through_a_head_of_hidden_units(kind: str, size: int):
    encoder = image_encoder(kind, 7, hidden=11, seed=SEED, name="test")
    trunk, middle, head = encoder
    assert isinstance(middle, nn.LeakyReLU)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert trunk(images).shape == (2, 11)
    assert (head.in_features, head.out_features) == (11, 7)
    encodings = encoder(images)
    assert encodings.shape == (2, 7)
    encodings.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("kind", IMAGE_ENCODERS)
def test_memory_layout_moves_no_encoding(kind: str):
    encoder = image_encoder(kind, 4, seed=SEED, name="test").eval()
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    last = images.contiguous(memory_format=torch.channels_last)
    # Other kernels add in another order: float32 rounding over sums of up to 4608 terms, layer upon layer.
    torch.testing.assert_close(encoder(images), encoder(last), rtol=1e-4, atol=1e-4)


def test_the_small_one_is_the_same_network_with_fewer_channels_and_a_finer_first_layer():
    usual, small = (ResNet18(10, small=small, seed=SEED, name="test") for small in (False, True))
    assert small.state_dict().keys() == usual.state_dict().keys()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in usual.parameters()) / 6
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def last_map(model: nn.Module) -> Tensor:
        kept = []
        handle = model.layer4.register_forward_hook(lambda module, inputs, output: kept.append(output))
        model(images)
        handle.remove()
        return kept[0]

    assert last_map(usual).shape[-1] == 2  # 64 / 32
    assert last_map(small).shape[-1] == 4  # 64 / 16


def test_mistakes_are_named():
    with pytest.raises(IdentboxError, match="image encoder: expected one of resnet18, small; got vgg"):
        image_encoder("vgg", 4, seed=0, name="test")
    for outputs, hidden in ((0, 100), (4, 0)):
        with pytest.raises(IdentboxError, match=f"expected at least one .*, got {outputs} and {hidden}"):
            image_encoder("small", outputs, hidden=hidden, seed=0, name="test")
