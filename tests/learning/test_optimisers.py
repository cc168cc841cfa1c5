"""The optimiser without PyTorch's compiler: the same numbers, and two seconds less of each process."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from identbox.learning import optimisers

USE = """
import sys, torch
from identbox.learning.optimisers import AdamW
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
    optimiser_types = getattr(optimisers, name), getattr(torch.optim, name)
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
