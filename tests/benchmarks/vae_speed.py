"""What a step of a multimodal VAE costs, and a log-likelihood: python tests/benchmarks/vae_speed.py

MoPoE-VAE at the sizes of PolyMNIST: five modalities of 3 x 28 x 28, batch 256, 512 latent dimensions. Where MultiVae is
installed (version 1.0.3, in an environment for this alone), its model has the same networks with the same weights, and
both are timed in turn in one process. Times are CPU seconds of this process on one thread, so that other processes on
the machine do not count: the least of several repetitions. On a GPU (--device cuda) they are seconds of the clock.

The decoders of a log-likelihood are timed alone as well: as many latent points as it decodes, in the batches that are
best for them. No program that evaluates the same networks takes less.
"""

import argparse
import sys
import time
from unittest import mock

import torch

from identbox.learning.decoders import ConvDecoder
from identbox.learning.densities import Gaussian
from identbox.learning.elbo import VaeObjective, bound
from identbox.learning.encoders import ConvEncoder
from identbox.learning.likelihoods import LocationScale
from identbox.learning.posteriors import Subsets, product
from identbox.learning.vae import Latents, Modality, MultimodalVAE
from identbox.metrics.likelihood import log_likelihood

MODALITIES, BATCH, LATENTS, SCALE, BETA = 5, 256, 512, 0.75, 2.5
NAMES = [f"m{k}" for k in range(MODALITIES)]


class Clock:
    """Seconds that an action takes: of the CPU, or of the clock where a GPU does the work."""

    def __init__(self, device):
        self.device = torch.device(device)

    def now(self):
        if self.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def once(self, action):
        begun = self.now()
        action()
        return self.now() - begun

    def least(self, action, repetitions):
        """The least of several times; the first call is not counted."""
        action()
        return min(self.once(action) for _ in range(repetitions))


def ours():
    parts = {
        name: Modality(
            encoder=ConvEncoder(2 * LATENTS, seed=0, name=f"encoder/{name}"),
            decoder=ConvDecoder(LATENTS, seed=0, name=f"decoder/{name}"),
            likelihood=LocationScale(kind="laplace", scale=SCALE),
        )
        for name in NAMES
    }
    return MultimodalVAE(parts, Latents(shared=LATENTS), Subsets.powerset(MODALITIES))


def theirs(vae):
    """MultiVae's MoPoE with the same networks, or None where it is not installed."""
    for name in (
        "",
        ".transforms",
        ".datasets",
        ".datasets.utils",
        ".utils",
    ):  # for its data sets, not used here
        sys.modules.setdefault(f"torchvision{name}", mock.MagicMock())
    try:
        from multivae.data.datasets.base import MultimodalBaseDataset
        from multivae.models import MoPoE, MoPoEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
    except ImportError as error:
        print(f"MultiVae: not installed ({error})")
        return None

    class Encoder(BaseEncoder):
        def __init__(self, net):
            BaseEncoder.__init__(self)
            self.net, self.latent_dim = net, LATENTS

        def forward(self, x):
            mean, log_variance = self.net(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self, net):
            BaseDecoder.__init__(self)
            self.net, self.latent_dim = net, LATENTS

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z))

    config = MoPoEConfig(
        n_modalities=MODALITIES,
        latent_dim=LATENTS,
        input_dims=dict.fromkeys(NAMES, (3, 28, 28)),
        decoders_dist=dict.fromkeys(NAMES, "laplace"),
        decoder_dist_params={name: {"scale": SCALE} for name in NAMES},
        beta=BETA,
    )
    model = MoPoE(
        config,
        {name: Encoder(vae.encoders[name]) for name in NAMES},
        {name: Decoder(vae.decoders[name]) for name in NAMES},
    )
    return model, MultimodalBaseDataset


def products(clock):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, MODALITIES, BATCH, LATENTS, generator=generator)
    mean, log_variance = drawn.to(clock.device)
    experts, subsets = Gaussian(mean, log_variance), Subsets.powerset(MODALITIES)

    def loop():
        """As usually written: expert by expert of each subset, with the floor under variances."""
        means, log_variances = [], []
        for members in subsets.members:
            mus = torch.stack([torch.zeros_like(mean[0]), *(mean[k] for k in members)])
            logs = torch.stack([torch.zeros_like(mean[0]), *(log_variance[k] for k in members)])
            precision = 1 / (logs.exp() + 1e-8)
            total = precision.sum(0)
            means.append((mus * precision).sum(0) / total)
            log_variances.append((1 / total).log())
        return torch.stack(means), torch.stack(log_variances)

    made = product(experts, subsets.mask)
    torch.testing.assert_close(made.mean, loop()[0], rtol=1e-4, atol=1e-4)
    one, other = clock.least(lambda: product(experts, subsets.mask), 10), clock.least(loop, 10)
    print(f"products of 31 subsets, n {BATCH}, d {LATENTS}: {one:.4f} s")
    print(f"  loop over subsets {other:.4f} s: {other / one:.1f} times as long")


def step(clock, repetitions):
    vae = ours().to(clock.device)
    drawn = torch.rand(MODALITIES, BATCH, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    x = dict(zip(NAMES, drawn.to(clock.device), strict=True))
    generator = torch.Generator(clock.device).manual_seed(0)
    objective = VaeObjective(subsets="one", beta=BETA)

    def forward_backward():
        vae.zero_grad(set_to_none=True)
        (-bound(vae, x, objective, generator=generator).value.mean()).backward()

    z = torch.randn(BATCH, LATENTS, device=clock.device)

    def networks():
        """The floor: the networks forward and backward, and nothing else."""
        vae.zero_grad(set_to_none=True)
        total = sum(vae.encoders[name](x[name]).sum() + vae.decoders[name](z).sum() for name in NAMES)
        total.backward()

    found = {
        "identbox": clock.least(forward_backward, repetitions),
        "networks alone": clock.least(networks, repetitions),
    }
    fused = torch.optim.AdamW(vae.parameters(), lr=5e-4, weight_decay=0.0, fused=True)
    found["fused AdamW"] = clock.least(fused.step, repetitions)
    other = theirs(vae)
    if other is not None:
        model, dataset = other
        model.to(clock.device)
        inputs = dataset(data=x)

        def step_of_multivae():
            model.zero_grad(set_to_none=True)
            model(inputs).loss.backward()

        found["MultiVae"] = clock.least(step_of_multivae, repetitions)
        plain = torch.optim.Adam(model.parameters(), lr=5e-4)
        found["Adam"] = clock.least(plain.step, repetitions)
    for name, seconds in found.items():
        print(f"step of MoPoE-VAE, forward and backward, {name}: {seconds:.4f} s")
    if other is not None:
        whole = (found["MultiVae"] + found["Adam"]) / (found["identbox"] + found["fused AdamW"])
        print(f"with the optimiser's step: {whole:.2f} times as fast as MultiVae")
    return vae, x, other


@torch.no_grad()
def likelihood(clock, vae, x, other, n, samples):
    part = {name: values[:n] for name, values in x.items()}
    for name in NAMES:  # sharp and different posteriors, as after a training
        vae.encoders[name].layers[-1].weight.mul_(0.1)
    made = {}

    def run():
        made["ours"] = log_likelihood(vae, part, samples=samples, seed=0)

    def decoders():
        """The floor: every point decoded once by every decoder."""
        for start in range(0, n * samples, BATCH):
            for name in NAMES:
                vae.decoders[name](z[: min(BATCH, n * samples - start)])

    z = torch.randn(BATCH, LATENTS, device=clock.device)
    vae.decoders[NAMES[0]](z)  # what is chosen at the first call does not count
    seconds, floor = clock.once(run), clock.once(decoders)
    print(f"log p(x) of {n} samples, K = {samples}: identbox {seconds:.2f} s, {made['ours']}")
    print(f"  decoders alone {floor:.2f} s")
    if other is None:
        return
    model, dataset = other
    found = {}

    def run_theirs():
        found["nll"] = model.compute_joint_nll(dataset(data=part), K=samples, batch_size_K=100)

    took = clock.once(run_theirs)
    print(
        f"  MultiVae {took:.2f} s, sum {float(found['nll']):.2f}: identbox is {took / seconds:.1f} times as fast,"
        f" its decoders alone {took / floor:.1f} times"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--data", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # MultiVae draws from the global generator
    clock = Clock(options.device)
    products(clock)
    vae, x, other = step(clock, options.repetitions)
    likelihood(clock, vae, x, other, options.data, options.samples)


if __name__ == "__main__":
    main()
