"""How often the intervals of leak and recovery contain the true value, in ten settings with a closed form.

    python tests/benchmarks/measure_coverage.py --replications 200
    python tests/benchmarks/measure_coverage.py --replications 600 --only leak

Content c and the rest s are Gaussian and the encoding is h = A c + B s. Then the leak is the largest eigenvalue of
B S_s B' against A S_c A' + B S_s B', and the recovery is the smallest squared canonical correlation of h and c. Nominal
95%; an interval may err on the wide side.
"""

from __future__ import annotations

import argparse

import torch

from identbox.metrics.leak import redrawn_leak
from identbox.metrics.recovery import recovered

# name, dimensions of content, smallest eigenvalue of its correlations, share of variance that leaks into each
# component, samples
SETTINGS = [
    ("1 dimension, leak 5%", 1, 1.0, (0.05,), 512),
    ("2 dimensions, leak 5% and 0", 2, 1.0, (0.05, 0.0), 512),
    ("2 dimensions, leak 5% in both", 2, 1.0, (0.05, 0.05), 512),
    ("2 dimensions, leak 1%", 2, 1.0, (0.01, 0.0), 512),
    ("2 dimensions, nothing of one", 2, 1.0, (1.0, 0.0), 512),
    ("2 dimensions, eigenvalue 0.02, leak 1%", 2, 0.02, (0.01, 0.0), 2048),
    ("5 dimensions, R2 0.95 of each", 5, 1.0, (0.05,) * 5, 512),
    ("5 dimensions, R2 0.95 of one", 5, 1.0, (0.05, 0, 0, 0, 0), 512),
    ("5 dimensions, nothing of all", 5, 1.0, (1.0,) * 5, 512),
    ("10 dimensions, leak 3% in 3", 10, 1.0, (0.03,) * 3 + (0.0,) * 7, 2048),
]


def covariance(d: int, smallest: float) -> torch.Tensor:
    """Equal correlations with this smallest eigenvalue."""
    r = 1 - smallest
    return (1 - r) * torch.eye(d, dtype=torch.float64) + r * torch.ones(d, d, dtype=torch.float64)


def truth(sigma: torch.Tensor, shares: torch.Tensor) -> tuple[float, float]:
    """Leak and recovery of h_j = sqrt(1 - p_j) c_j + sqrt(p_j) s_j."""
    kept, noise = torch.diag((1 - shares).sqrt()), torch.diag(shares)
    total = kept @ sigma @ kept + noise
    root = torch.linalg.inv(torch.linalg.cholesky(total))
    leak = torch.linalg.eigvalsh(root @ noise @ root.T)[-1].item()
    inner = torch.linalg.inv(torch.linalg.cholesky(sigma))
    cross = root @ kept @ sigma @ inner.T
    return leak, torch.linalg.svdvals(cross)[-1].square().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--only", choices=["leak", "recovery"], help="recovery takes a hundred times as long")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| setting | n | leak | covered | recovery | covered |")
    print("| :-- | --: | --: | --: | --: | --: |")
    for place, (name, d, smallest, parts, n) in enumerate(SETTINGS):
        sigma, shares = covariance(d, smallest), torch.tensor(parts, dtype=torch.float64)
        root = torch.linalg.cholesky(sigma)
        leak, recovery = truth(sigma, shares)
        hits = dict.fromkeys(["leak", "recovery"] if options.only is None else [options.only], 0)
        for number in range(options.replications):
            stream = torch.Generator().manual_seed(1000 * place + number)
            c = torch.randn(n, d, generator=stream, dtype=torch.float64) @ root.T
            first, second = (
                c * (1 - shares).sqrt()
                + torch.randn(n, d, generator=stream, dtype=torch.float64) * shares.sqrt()
                for _ in range(2)
            )
            for quantity in hits:
                true, found = (
                    (leak, redrawn_leak(first, second))
                    if quantity == "leak"
                    else (recovery, recovered(first, c))
                )
                hits[quantity] += found.low - 1e-9 <= true <= found.high + 1e-9
        rates = {
            quantity: f"{hits[quantity] / options.replications:.3f}" if quantity in hits else ""
            for quantity in ("leak", "recovery")
        }
        print(
            f"| {name} | {n} | {leak:.3f} | {rates['leak']} | {recovery:.3f} | {rates['recovery']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
