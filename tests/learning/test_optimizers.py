"""The optimiser without PyTorch's compiler: the same numbers, and two seconds less of each process."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from identbox.learning import checkpoints, optimizers

USE = """
import sys, torch
from identbox.learning.optimizers import AdamW
net = torch.nn.Linear(3, 2)
optimizer = AdamW(net.parameters(), lr=0.1, fused=True)
optimizer.zero_grad()
net(torch.ones(4, 3)).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_weights_are_those_of_pytorchs_class(name, weight_decay, fused):
    optimiser_types = getattr(optimizers, name), getattr(torch.optim, name)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    settings = {"lr": 0.01, "weight_decay": weight_decay, "fused": fused}
    pair = [
        made(net.parameters(), **settings) for made, net in zip(optimiser_types, (ours, theirs), strict=True)
    ]
    for k in range(5):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(k))
        for net, optimiser in zip((ours, theirs), pair, strict=True):
            optimiser.zero_grad()
            net(x).square().sum().backward()
            optimiser.step()
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    state = pair[0].state_dict()
    continued = optimiser_types[0](ours.parameters(), **settings)
    continued.load_state_dict(state)
    assert str(continued.state_dict()) == str(state)


def test_its_use_imports_no_compiler():
    assert subprocess.run([sys.executable, "-c", USE], check=False).returncode == 0


def naive_soap(weight, gradients, *, lr, every, beta=0.95, eps=1e-8):
    """As the paper's pseudocode has it: the mean of gradients is kept unturned, and one matrix at a time."""
    left, right = gradients[0] @ gradients[0].T, gradients[0].T @ gradients[0]
    q_left, q_right = (np.linalg.eigh(side)[1][:, ::-1] for side in (left, right))
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for count, gradient in enumerate(gradients[1:], start=1):
        mean = beta * mean + (1 - beta) * gradient
        square = beta * square + (1 - beta) * (q_left.T @ gradient @ q_right) ** 2
        direction = q_left.T @ mean / (1 - beta**count) @ q_right
        direction = direction / (np.sqrt(square / (1 - beta**count)) + eps)
        weight = weight - lr * q_left @ direction @ q_right.T
        left = beta * left + (1 - beta) * gradient @ gradient.T
        right = beta * right + (1 - beta) * gradient.T @ gradient
        if count % every == 0:
            order = np.argsort(-np.diag(q_left.T @ left @ q_left))
            square, q_left = square[order], np.linalg.qr(left @ q_left[:, order])[0]
            order = np.argsort(-np.diag(q_right.T @ right @ q_right))
            square, q_right = square[:, order], np.linalg.qr(right @ q_right[:, order])[0]
    return weight


def test_soap_is_that_of_the_papers_pseudocode():
    stream = np.random.default_rng(0)
    weight, gradients = stream.normal(size=(4, 3)), stream.normal(size=(12, 4, 3))
    parameter = nn.Parameter(torch.tensor(weight))
    soap = optimizers.Soap([parameter], lr=0.01, every=5)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        soap.step()
    expected = naive_soap(weight, list(gradients), lr=0.01, every=5)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=0, atol=1e-10)


def test_soap_takes_convolutions_vectors_and_long_sides():
    """A side that is too long is not turned; where none is, what is left is Adam."""
    kernel, twin = (nn.Parameter(torch.ones(3, 2, 2, 2)) for _ in range(2))
    soap = optimizers.Soap([kernel], lr=0.1, max_precond_dim=1)
    adam = torch.optim.Adam([twin], lr=0.1, betas=(0.95, 0.95))
    for k in range(4):
        gradient = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(k))
        kernel.grad = gradient.clone()
        soap.step()
        if k:  # the first step of SOAP measures
            twin.grad = gradient.clone()
            adam.step()
    torch.testing.assert_close(kernel, twin)


def test_soap_turns_the_sides_up_to_a_length():
    """It keeps the covariance of these alone, and a training that is continued with another length is refused."""
    kernel = nn.Parameter(torch.ones(3, 2, 2, 2))
    soap = optimizers.Soap([kernel], lr=0.1, max_precond_dim=3)
    kernel.grad = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    soap.step()
    assert set(soap.state[kernel]) == {"step", "exp_avg", "exp_avg_sq", "left", "left_basis"}
    state = soap.state_dict()
    checkpoints.load_optimizer(optimizers.Soap([kernel], lr=0.1, max_precond_dim=3), state)
    with pytest.raises(ValueError, match="moments"):
        checkpoints.load_optimizer(optimizers.Soap([kernel], lr=0.1, max_precond_dim=8), state)


def test_soap_takes_convolutions_whose_weights_are_laid_out_with_channels_last():
    drawn = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    last = drawn.contiguous(memory_format=torch.channels_last)
    pair = [nn.Parameter(weight.clone()) for weight in (drawn, last)]
    assert not pair[1].is_contiguous()
    for weight in pair:
        soap = optimizers.Soap([weight], lr=0.1, every=2)
        for k in range(5):
            gradient = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(1 + k))
            weight.grad = torch.empty_like(weight).copy_(gradient)
            soap.step()
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize("size", [1e-3, 1e-7, 1e-15])
def test_soap_begins_with_gradients_of_low_rank_and_small_entries(size):
    """Those of a layer behind ReLU, many units of which are silent: some eigenvectors of single precision were NaN."""
    for seed in range(8):
        stream = torch.Generator().manual_seed(seed)
        outputs = torch.randn(64, 64, generator=stream)
        features = torch.randn(64, 256, generator=stream).sub(1).relu() * torch.logspace(0, -4, 256)
        features[:, torch.rand(256, generator=stream) < 0.3] = 0
        weight = nn.Parameter(torch.zeros(64, 256))
        soap = optimizers.Soap([weight], lr=0.1)
        for _ in range(2):
            weight.grad = outputs @ features * size
            soap.step()
        assert weight.isfinite().all()


def test_soap_needs_far_fewer_steps_than_adam_on_an_ill_conditioned_quadratic():
    """|A W B - C|^2 with condition numbers of 100: the eigenbasis of the gradients is that of the problem."""
    scales = torch.logspace(-1, 1, 8, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double()).Q
    target = torch.randn(8, 8, generator=torch.Generator().manual_seed(1)).double()
    matrix = turn * scales @ turn.T
    reached = []
    for made in (optimizers.Soap, optimizers.Adam):
        weight = nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
        optimizer = made([weight], lr=0.05)
        for _ in range(300):
            optimizer.zero_grad()
            loss = (matrix @ (weight - target) @ matrix).square().sum()
            loss.backward()
            optimizer.step()
        reached.append((weight - target).square().mean().item())
    assert reached[0] < reached[1] / 5
