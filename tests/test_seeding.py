import torch

from identbox import seeding


def test_streams_differ_by_seed_and_by_name():
    seeds = {
        seeding.derive(seed, *names)
        for seed in (0, 1)
        for names in ((), ("a",), ("b",), ("a", "b"), ("ab",), ("a", 1))
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_are_the_same_on_every_machine():
    # Written down once: a change would make every dataset and run another one.
    assert seeding.derive(0, "latents", "train", 0, "object_color") == 2982852838409865462


def test_generator_is_fresh_and_leaves_the_global_one_alone():
    before = torch.random.get_rng_state()
    one, two = (torch.rand(3, generator=seeding.generator(0, "x")) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(before, torch.random.get_rng_state())
