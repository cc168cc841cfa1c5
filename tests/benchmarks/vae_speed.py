"""What a step of a multimodal VAE costs, and a log-likelihood: python tests/benchmarks/vae_speed.py

MoPoE-VAE at the sizes of PolyMNIST: five modalities of 3 x 28 x 28, batch 256, 512 latent dimensions. Where MultiVae is
installed (version 1.0.3, in an environment for this alone), its model has the same networks with the same weights, and
both are timed in turn in one process. Times are CPU seconds of this process on one thread, so that other processes on
the machine do not count: the least of several repetitions.
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


def least(action, repetitions):
    """The least CPU time of an action, in seconds; the first call is not counted."""
    action()
    times = []
    for _ in range(repetitions):
        begun = time.process_time()
        action()
        times.append(time.process_time() - begun)
    return min(times)


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


def products():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, MODALITIES, BATCH, LATENTS, generator=generator)
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
    one, other = least(lambda: product(experts, subsets.mask), 10), least(loop, 10)
    print(f"products of 31 subsets, n {BATCH}, d {LATENTS}: {one:.4f} s")
    print(f"  loop over subsets {other:.4f} s: {other / one:.1f} times as long")


def step(repetitions):
    vae = ours()
    drawn = torch.rand(MODALITIES, BATCH, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    x = dict(zip(NAMES, drawn, strict=True))
    generator = torch.Generator().manual_seed(0)
    objective = VaeObjective(subsets="one", beta=BETA)

    def forward_backward():
        vae.zero_grad(set_to_none=True)
        (-bound(vae, x, objective, generator=generator).value.mean()).backward()

    z = torch.randn(BATCH, LATENTS)

    def networks():
        """The floor: the networks forward and backward, and nothing else."""
        vae.zero_grad(set_to_none=True)
        total = sum(vae.encoders[name](x[name]).sum() + vae.decoders[name](z).sum() for name in NAMES)
        total.backward()

    found = {"identbox": least(forward_backward, repetitions), "networks alone": least(networks, repetitions)}
    fused = torch.optim.AdamW(vae.parameters(), lr=5e-4, weight_decay=0.0, fused=True)
    found["fused AdamW"] = least(fused.step, repetitions)
    other = theirs(vae)
    if other is not None:
        model, dataset = other
        inputs = dataset(data=x)

        def step_of_multivae():
            model.zero_grad(set_to_none=True)
            model(inputs).loss.backward()

        found["MultiVae"] = least(step_of_multivae, repetitions)
        plain = torch.optim.Adam(model.parameters(), lr=5e-4)
        found["Adam"] = least(plain.step, repetitions)
    for name, seconds in found.items():
        print(f"step of MoPoE-VAE, forward and backward, {name}: {seconds:.3f} s")
    if other is not None:
        whole = (found["MultiVae"] + found["Adam"]) / (found["identbox"] + found["fused AdamW"])
        print(f"with the optimiser's step: {whole:.2f} times as fast as MultiVae")
    return vae, x, other


def likelihood(vae, x, other, n, samples):
    part = {name: values[:n] for name, values in x.items()}
    with torch.no_grad():
        for name in NAMES:  # sharp and different posteriors, as after a training
            vae.encoders[name].layers[-1].weight.mul_(0.1)
    made = {}

    def run():
        made["ours"] = log_likelihood(vae, part, samples=samples, seed=0)

    begun = time.process_time()
    run()
    seconds = time.process_time() - begun
    print(f"log p(x) of {n} samples, K = {samples}: identbox {seconds:.2f} s, {made['ours']}")
    if other is None:
        return
    model, dataset = other
    begun = time.process_time()
    with torch.no_grad():
        value = model.compute_joint_nll(dataset(data=part), K=samples, batch_size_K=100)
    theirs_took = time.process_time() - begun
    print(
        f"  MultiVae {theirs_took:.2f} s, sum {float(value):.2f}: identbox is {theirs_took / seconds:.1f} times as fast"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--data", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # MultiVae draws from the global generator
    products()
    vae, x, other = step(options.repetitions)
    likelihood(vae, x, other, options.data, options.samples)


if __name__ == "__main__":
    main()
