"""How often Eq. 6.22 lies above log p(x), as published and as a bound: python tests/benchmarks/bound_violations.py

Random linear-Gaussian models, in closed form and float64.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from linear_reference import expected_bound, random_model


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    options = parser.parse_args()
    above = {"strict": 0, "published": 0}
    largest = dict.fromkeys(above, float("-inf"))
    for seed in range(options.models):
        made, vae, x = random_model(seed)
        for crossmodal in above:
            gap = (expected_bound(vae, x, crossmodal=crossmodal) - made.log_density(x)).item()
            above[crossmodal] += gap > 0
            largest[crossmodal] = max(largest[crossmodal], gap)
    for crossmodal, count in above.items():
        print(
            f"{crossmodal}: above log p in {count} of {options.models}, by {largest[crossmodal]:.4f} nats at most"
        )


if __name__ == "__main__":
    main()
