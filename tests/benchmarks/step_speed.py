"""One training step of the thesis's size against a naive one: a JSON line with times, peak memory and ratios.

    python tests/benchmarks/step_speed.py [--device cuda] [--precision tf32]

The naive step is as simulation scripts write it: negatives from a second draw of each view, so four encoder passes;
squared distances from broadcast differences; PyTorch's own linear layers; the two directions apart; all of it kept
for the backward pass. Each step runs in a process of its own, the two by turns, and the least time of each counts.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

from identbox.experiments import simulation as experiments_simulation
from identbox.experiments.learner import Learner
from identbox.experiments.simulation import learner_of


def naive_loss(learner: Learner, step: int) -> Tensor:
    """The symmetrised loss with everything spelled out."""
    batch = learner.batch
    views = learner.encodings(learner.world.sample(batch, "train", step))
    again = learner.encodings(learner.world.sample(batch, "negatives", step))
    total = torch.zeros((), device=learner.device)
    for (anchor, negatives), positive in zip(zip(views, again, strict=True), reversed(views), strict=True):
        negative_logits = -(anchor[:, None] - negatives[None]).square().sum(-1)
        positive_logits = -(anchor - positive).square().sum(-1)
        logits = torch.cat([positive_logits[:, None], negative_logits], 1)
        total = total + (torch.logsumexp(logits, 1) - positive_logits).mean() / 2
    return total


def plain(module: nn.Module) -> None:
    """Give a sequence PyTorch's own linear layers."""
    if isinstance(module, nn.Sequential):
        for place, layer in enumerate(module):
            if isinstance(layer, nn.Linear):
                module[place] = nn.Linear(layer.in_features, layer.out_features, device=layer.weight.device)


def measure(kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of the fastest step and MiB of its peak above what was there before."""
    cuda = options.device == "cuda"
    table = {
        "training": {"batch": options.batch, "precision": options.precision if kind == "ours" else "float32"}
    }
    simulation = experiments_simulation.Simulation.from_preset("thesis", table)
    learner = learner_of(simulation, seed=0).to(options.device)
    if kind == "naive":
        learner.encoders.apply(plain)
    parameters = list(learner.encoders.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=kind == "ours")
    if kind == "ours" and options.precision == "tf32":
        torch.set_float32_matmul_precision("high")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = []
    for step in range(options.steps + 1):  # the first warms up
        start = time.perf_counter()
        loss = learner.loss(step) if kind == "ours" else naive_loss(learner, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    if cuda:
        peak = torch.cuda.max_memory_allocated() / 2**20
    flops = (
        3 * sum(encoder.flops for encoder in learner.encoders.values()) * options.batch
    )  # backward is two thirds
    return {"s": min(seconds[1:]), "peak_mib": peak, "encoder_gflop": flops / 1e9}


def floor(options: argparse.Namespace) -> float:
    """Seconds of the encoders' forward and backward passes alone."""
    simulation = experiments_simulation.Simulation.from_preset(
        "thesis", {"training": {"batch": options.batch}}
    )
    learner = learner_of(simulation, seed=0).to(options.device)
    sample = learner.world.sample(options.batch, "train", 0)
    inputs = list(sample.x.values())
    seconds = []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        for x, view in zip(inputs, learner.world.views, strict=True):
            learner.encode(x, view).sum().backward()
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=6144)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["ours", "naive", "floor"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        found = {"s": floor(options)} if options.only == "floor" else measure(options.only, options)
        print(json.dumps(found))
        return
    results: dict[str, list[dict]] = {"ours": [], "naive": [], "floor": []}
    for _ in range(options.rounds):
        for kind, found in results.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--only", kind]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout))
    ours, naive, least = ({key: min(f[key] for f in found) for key in found[0]} for found in results.values())
    print(json.dumps({
        "benchmark": "training step", "device": options.device, "precision": options.precision, "batch": options.batch,
        "s": round(ours["s"], 5), "naive_s": round(naive["s"], 5), "time_ratio": round(ours["s"] / naive["s"], 3),
        "encoders_alone_s": round(least["s"], 5), "encoder_gflop": round(ours["encoder_gflop"], 1),
        "peak_mib": round(ours["peak_mib"]), "naive_peak_mib": round(naive["peak_mib"]),
        "memory_ratio": round(ours["peak_mib"] / naive["peak_mib"], 3)}))  # fmt: skip


if __name__ == "__main__":
    main()
