"""Learners that are known to be right or wrong: built from the inverse mixing, not trained."""

import torch

from identbox.experiments.learner import Learner

# Blocks of one or two dimensions. Verdicts have samples of their own, the probes few.
SMALL = {
    "process": {"content": 2, "style": 1, "specific": 1},
    "mixing": {"pool": 200},
    "encoder": {"widths": [4]},
    "training": {"steps": 0, "batch": 64},
    "probes": {"samples": 100, "bootstrap": 20},
}


class Perfect(Learner):
    """Undoes the mixing and keeps an invertible, nonlinear function of the first ``keeps`` latents."""

    keeps, leak = 2, 0.0

    def encode(self, x, view):
        z = self.world.mixings[view].inverse(x)
        content = z[:, : self.keeps].clone()
        content[:, 0] += self.leak * z[:, self.keeps]  # the first latent beyond is style
        return torch.cat([content[:, :1], content[:, 1:] + 0.3 * torch.tanh(content[:, :1])], dim=1)


class Cheating(Perfect):
    """Tells style as well, as far as two dimensions allow."""

    leak = 0.7


class Everything(Perfect):
    """Keeps content and style."""

    keeps = 3
