"""How often a verdict is wrong where the right answer is planted, by the number of samples.

    python tests/benchmarks/verdict_errors.py --n 512 2048 8192 --cases 200 --how world
    python tests/benchmarks/verdict_errors.py --n 8192 --first 100 --cases 100 --how arrays

Each case is a process, an invertible map of content, and something planted, all drawn from the number of the case. Of
the cases that are identified half have a leak of up to half the margin, and half have none. Of the others 2 in 3 have a
leak of 1.3 to 6 times the margin (linear, even, product or local), and 1 in 3 has lost content (a region, steps, or a
direction). The margins are the default ones.
"""

from __future__ import annotations

import argparse
import collections
import functools
import time

import numpy as np
import torch

from identbox import Change, Margins, Mixing, Normal, Process, Variable, World
from identbox.identifiability.controls import LEAKS, LOSSES
from identbox.identifiability.measures import measured_from_arrays, measured_in_world, weakness
from identbox.identifiability.predictions import declared
from identbox.identifiability.verdicts import outcome_of
from identbox.process import mixing as mixings

MARGIN = Margins().leak


def drawn_process(rng: np.random.Generator) -> Process:
    """Content of 1 to 4 correlated dimensions, and 1 to 3 of style."""
    content, style = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    r = float(rng.uniform(0, 0.9))
    covariance = tuple(tuple(1.0 if i == j else r for j in range(content)) for i in range(content))
    return Process(
        name="planted",
        variables=(
            Variable(name="content", role="content", distribution=Normal(dim=content, covariance=covariance)),
            Variable(name="style", role="style", distribution=Normal(dim=style), change=Change()),
        ),
    )


def drawn_map(rng: np.random.Generator, d: int):
    """An invertible map: a rotation, powers, sinh, or a network."""
    kind = rng.choice(["none", "rotation", "power", "sinh", "network"])
    turn = torch.linalg.qr(torch.from_numpy(rng.standard_normal((d, d)))).Q
    power = float(rng.uniform(0.6, 3))
    network = mixings.draw(d, mixings.Mixing(pool=50), seed=int(rng.integers(1 << 30)), name="case")
    return {
        "none": lambda u: u,
        "rotation": lambda u: u @ turn,
        "power": lambda u: u.sign() * u.abs() ** power,
        "sinh": lambda u: torch.sinh(u),
        "network": lambda u: network(u.float()).double(),
    }[kind]


def drawn_case(number: int, right: str):
    """A process and an encoder of its latents, of which ``right`` is the answer."""
    rng = np.random.default_rng([number, right == "identified"])
    process = drawn_process(rng)
    mapped = drawn_map(rng, process.content_size)
    kinds = list(LEAKS.values())
    covariance = process["content"].distribution.own_covariance()
    whitened = torch.linalg.inv(torch.linalg.cholesky(covariance))
    if right == "identified":
        level = float(rng.uniform(0, 0.5) * MARGIN) if number % 2 else 0.0
        plant = kinds[int(rng.integers(len(kinds)))] if level else None
    elif number % 3:
        level = float(MARGIN * np.exp(rng.uniform(np.log(1.3), np.log(6))))
        plant = kinds[int(rng.integers(len(kinds)))]
    else:
        losses = [*LOSSES.values(), None]
        plant = losses[int(rng.integers(len(losses)))]
        level = float(MARGIN * np.exp(rng.uniform(np.log(2), np.log(6))))

    def encode(z):
        # Uncorrelated directions of unit variance, so that what is planted is the share in the worst direction.
        u, other = z["content"].double() @ whitened.T, z["style"][:, 0].double()
        if plant is not None:
            u = plant(u, other, level)
        elif right != "identified":
            u = torch.cat([u[:, 1:], u.sum(1, keepdim=True).abs()], dim=1)
        return u if right != "identified" and plant in LEAKS.values() else mapped(u)

    return process, encode


def judged(number: int, right: str, n: int, how: str) -> str:
    """The outcome that `verify` has; the strength of the probe is looked at only where it decides."""
    process, encode = drawn_case(number, right)
    world, content = World(process, seed=number, mixing=Mixing(pool=50)), declared(process)
    if how == "world":
        z = world.sample(n, "verify", number, "base").z["1"]
        measures = measured_in_world(
            world,
            lambda x, view: encode(world.invert(x, view)),
            content,
            samples=n,
            views=["1"],
            stream=("verify", number),
        )
    else:
        z = world.sample(n, "arrays").z["1"]
        measures = measured_from_arrays(process, "1", encode(z), z, content)
    return outcome_of(measures, Margins(), functools.partial(weakness, content, z))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--how", choices=["world", "arrays"], default="world")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| n | from | right answer | identified | not identified | undecided | wrong | seconds |")
    print("| --: | :-- | :-- | --: | --: | --: | --: | --: |")
    for n in options.n:
        for right in ("identified", "not identified"):
            start = time.perf_counter()
            counts: collections.Counter[str] = collections.Counter()
            for number in range(options.first, options.first + options.cases):
                outcome = judged(number, right, n, options.how)
                counts[outcome] += 1
                if outcome not in (right, "undecided"):
                    print(f"<!-- wrong: n {n}, case {number}, {right} called {outcome} -->", flush=True)
            wrong = options.cases - counts[right] - counts["undecided"]
            cells = [counts[o] for o in ("identified", "not identified", "undecided")]
            seconds = time.perf_counter() - start
            print(
                f"| {n} | {options.how} | {right} | {' | '.join(map(str, cells))} | "
                f"{wrong / options.cases:.1%} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
