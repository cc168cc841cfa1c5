"""Scene records of a hare in random rotations, for tests that render."""

import random


def records(n: int) -> list[dict]:
    rng = random.Random(0)
    return [
        {
            "shape": "hare",
            "extent": 4.2,
            "location": [0, 0, 0],
            "rotation": [rng.uniform(-1.5, 1.5) for _ in range(3)],
            "object_color": [1, 0, 0],
            "ground_z": -4.2,
            "ground_color": [0.5, 0.5, 1],
            "spot_location": [0, 4, 10.2],
            "spot_color": [1, 1, 1],
            "file": f"images/{k:03d}.png",
            "seed": k,
        }
        for k in range(n)
    ]
