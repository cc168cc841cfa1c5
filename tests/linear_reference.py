"""Bounds of linear-Gaussian VAEs in closed form, written down a second time: term by term, in float64, with loops."""

import math

import torch

from identbox.learning.posteriors import Subsets
from identbox.metrics.linear_gaussian import linear_gaussian


def parameters(vae, x):
    """(means, variances) of each modality's expert of c, and of its posterior of m, as the encoders have them."""
    experts, own = [], []
    for name in vae.names:
        out = vae.encoders[name](x[name])
        c, m = vae.latents.shared, vae.latents.specific
        experts.append((out[:, :c], out[:, c : 2 * c].exp()))
        own.append((out[:, 2 * c : 2 * c + m], out[:, 2 * c + m :].exp()))
    return experts, own


def posterior(experts, members):
    """The product of the experts of a subset and of the prior."""
    precision = 1 + sum(1 / experts[k][1] for k in members)
    return sum(experts[k][0] / experts[k][1] for k in members) / precision, 1 / precision


def divergence(mean, variance):
    return 0.5 * (mean**2 + variance - 1 - variance.log()).sum(-1)


def reconstruction(vae, name, x, mean, variance):
    """E log p(x_i | z) for normal z, independent components."""
    layer, scale = vae.decoders[name], vae.likelihoods[name].scale
    error = (x[name] - mean @ layer.weight.T - layer.bias).square().sum(-1)
    spread = (variance @ layer.weight.T.square()).sum(-1)
    constant = x[name].shape[1] * (math.log(scale) + 0.5 * math.log(2 * math.pi))
    return -(error + spread) / (2 * scale**2) - constant


def expected_bound(
    vae, x, *, crossmodal="posterior", beta=1.0, weights=None, subsets=None, decoded="all", present=None
):
    """The ELBO with the divergences of components (5.19, 6.17, 6.20, 6.22), of every sample."""
    experts, own = parameters(vae, x)
    total = 0.0
    present = range(len(vae.names)) if present is None else present
    chosen = subsets or list(zip(vae.subsets.members, vae.subsets.weights, strict=True))
    chosen = [([k for k in members if k in present], weight) for members, weight in chosen]
    mass = sum(weight for members, weight in chosen if members) if subsets is None else 1.0
    for members, weight in chosen:
        if not members:
            continue
        mean, variance = posterior(experts, members)
        value = -beta * divergence(mean, variance)
        for k in members if decoded == "own" else present:
            name = vae.names[k]
            m_mean, m_variance = own[k]
            kl = divergence(m_mean, m_variance)
            if crossmodal != "posterior" and k not in members:
                m_variance = vae.auxiliary[k].exp().expand_as(m_variance)
                m_mean = torch.zeros_like(m_mean)
                kl = divergence(m_mean, m_variance) if crossmodal == "strict" else 0.0
            z_mean, z_variance = torch.cat([mean, m_mean], 1), torch.cat([variance, m_variance], 1)
            one = reconstruction(vae, name, x, z_mean, z_variance)
            value = value + (weights or {}).get(name, 1.0) * one - beta * kl
        total = total + weight / mass * value
    return total


def random_model(seed):
    """A random partitioned MMVAE with exact encoders or wrong ones, any auxiliary prior, and one sample."""
    made = linear_gaussian((3, 3), shared=1, specific=1, seed=seed)
    encoders = "random" if seed % 2 else "exact"
    vae = made.vae(Subsets.single(2), encoders=encoders, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        vae.auxiliary.uniform_(-4, 2, generator=torch.Generator().manual_seed(seed))
    return made, vae, made.sample(1, generator=torch.Generator().manual_seed(seed))
