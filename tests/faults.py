"""A harness of faults: commands are disturbed in every way, and their results compared with undisturbed runs.

    python tests/faults.py --kills 200 --seed 0        # also: make faults
    python tests/faults.py --kills 200 --containers    # as root: each start in a container, its clock up to a day off

Each command is disturbed several times while it runs. Most often a random process of its tree gets SIGKILL or SIGTERM,
or SIGSTOP for a while. Otherwise all of them are killed and a file that they left is cut short, the times of all files
jump, or the same command is started a second time beside the first. When the command has ended, it is started again;
in the end it is left undisturbed. Then each command is stopped as a whole for longer than a lease lasts, while another
takes over, and is given a disk that is too small until it is made larger (where a disk may be mounted). What a command
leaves must be what an undisturbed run leaves: every byte of a dataset, the weights, metrics and scores of a run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from lives import HERE, Command, Life, Machine, end, tree

KILLS_A_LIFE = 5
FAULTS = {"SIGKILL": 8, "SIGTERM": 4, "SIGSTOP": 4, "cut": 2, "times": 1, "twice": 1}  # and how often
KILLS = ("SIGKILL", "SIGTERM", "SIGSTOP", "cut")
TIMES = ("seconds", "seconds_training", "machine", "versions")  # keys that differ from run to run

RUN = """
process = { content = 1, style = 1, specific = 1 }
mixing = { pool = 100, ratio = 0.1 }
encoder = { widths = [8] }
training = { steps = 1000, batch = 64, log_every = 20, checkpoint_every = 0.05 }
probes = { samples = 60, bootstrap = 5, interventions = false }
"""
DMVAE = """
model = "dmvae"
process = { content = 1, style = 1, specific = 1 }
mixing = { pool = 100, ratio = 0.1 }
encoder = { widths = [8], specific = 2 }
decoder = { widths = [8] }
probes = { samples = 60, bootstrap = 5, interventions = false }

[shared]
whitening = 200
training = { steps = 300, batch = 64, log_every = 5, checkpoint_every = 0.05 }

[specific]
discriminator = { widths = [8] }
training = { steps = 300, batch = 64, log_every = 5, checkpoint_every = 0.05 }
"""
SWEEP = f"""
title = "Two runs"
report = "table"
seeds = [0, 1]

[config]
{RUN.replace("1000", "500")}
"""
PAIRS = """
encoder = { image = "small", encoding_size = 2, hidden = 16, width = 16 }
data = { image_size = 18, more_sentences = 4 }
training = { steps = 60, batch = 8, log_every = 3, checkpoint_every = 0.0 }
probes = { samples = 20, bootstrap = 2 }
"""


def undisturbed(command: Command, out: Path, log: Path) -> float:
    """Run it undisturbed; returns the seconds. Raises RuntimeError where it fails."""
    begun = time.monotonic()
    Life(command, out, log).peace(tries=0)
    return time.monotonic() - begun


def disturbed(
    command: Command,
    out: Path,
    log: Path,
    *,
    kills: int,
    within: float,
    rng: random.Random,
    machine: Machine = HERE,
) -> Counter[str]:
    """Run it to its end with ``kills`` kills, and other faults, each within ``within`` seconds after the last.

    Returns the faults by kind. Raises RuntimeError where it fails by itself or takes too long.
    """
    done: Counter[str] = Counter()
    life = Life(command, out, log, machine)
    while sum(done[kind] for kind in KILLS) < kills:
        # In another container each start waits first until the lease of the last is stale. Half of the faults hit that.
        if machine.containers and rng.random() < 0.5:
            life.wait_for_work()
        time.sleep(rng.uniform(0, within))
        if life.child.poll() is None:
            (kind,) = rng.choices(list(FAULTS), list(FAULTS.values()))
            done["while it wrote"] += life.works()
            life.disturb(kind, rng)
            done[kind] += 1
            time.sleep(0.3)
        if life.child.poll() == 0:  # it ended before it was disturbed: start again
            shutil.rmtree(out)
        if life.child.poll() is not None:
            life.child = life.start()
    life.peace()
    return done


def frozen(command: Command, out: Path, log: Path, *, after: float, machine: Machine = HERE) -> None:
    """Stop all of it for longer than a lease lasts, while a second client does the work; then let it continue.

    It is stopped ``after`` seconds after it took its first lease.
    """
    asleep: list[psutil.Process] = []
    while not asleep:
        shutil.rmtree(out, ignore_errors=True)
        life = Life(command, out, log, machine)
        while life.child.poll() is None and not any(out.rglob("*.lease")):
            time.sleep(0.02)
        time.sleep(after)
        asleep = tree(life.child) if life.child.poll() is None else []
        if life.child.poll() not in (None, 0):  # unless it just ended before it was stopped
            life.fail()
    for process in asleep:
        process.suspend()
    second = Life(command, out, log, machine)
    second.peace(tries=0)
    for process in asleep:
        process.resume()
    if end(life.child) not in (0, 1):
        life.fail()


def squeezed(command: Command, disk: Path, log: Path, *, growth: int = 2) -> int:
    """Run it on a disk in memory that is too small, and is then made larger; returns how often it was full.

    The disk is made ``growth`` times as large each time. Raises RuntimeError where the command does not report that
    it is full in one line.
    """
    disk.mkdir()
    size = 16  # KiB
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)], check=True)
    try:
        full = 0
        while True:
            log.write_text("")
            life = Life(command, disk / "out", log)
            code = end(life.child)
            if code == 0:
                return full
            last = log.read_text().splitlines()[-1:]
            if code != 1 or "Traceback" in log.read_text() or not "".join(last).startswith("identbox: "):
                life.fail()
            full += 1
            size *= growth
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
    finally:
        # What the command left is compared after the disk is gone.
        if (disk / "out").exists():
            shutil.copytree(disk / "out", disk.with_name(f"{disk.name}-content"))
        subprocess.run(["umount", str(disk)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    """Every byte of a dataset."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def runs(folder: Path) -> dict[str, Any]:
    """Weights, metrics and record of every run below a folder, without how long they took."""
    results: dict[str, Any] = {}
    for path in sorted(folder.rglob("results.json")):
        place = path.parent
        name = str(place.relative_to(folder))
        record = json.loads(path.read_text())
        results[f"{name} record"] = {key: value for key, value in record.items() if key not in TIMES}
        if (place / "shared").is_dir():  # a DMVAE, whose parts are runs of their own
            continue
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        weights = torch.load(place / "checkpoint.pt", weights_only=True)["model"]
        results[f"{name} metrics"] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
        results[f"{name} weights"] = {key: value.numpy().tobytes() for key, value in weights.items()}
    return results


def commands(scratch: Path, *, with_images: bool = True) -> dict[str, Command]:
    """The commands, small enough to take some seconds; their input files go to ``scratch``.

    Without ``with_images`` there is no training on images, which needs a dataset to be rendered first.
    """
    for name, text in (("run", RUN), ("dmvae", DMVAE), ("sweep", SWEEP), ("pairs", PAIRS)):
        (scratch / f"{name}.toml").write_text(text)
    images = ("--n", "16", "--val", "8", "--test", "8", "--size", "32", "--samples", "1", "--workers", "2")
    data = scratch / "data"
    if with_images and not data.exists():
        undisturbed(Command(arguments=("render", *images), content=files), data, scratch / "data.log")
    chosen = {
        "render": Command(arguments=("render", *images), content=files),
        "simulate": Command(arguments=("simulate", "--config", str(scratch / "run.toml")), content=runs),
        "dmvae": Command(
            arguments=("train", "simulation", "--config", str(scratch / "dmvae.toml")), content=runs
        ),
        "sweep": Command(arguments=("sweep", str(scratch / "sweep.toml"), "--workers", "2"), content=runs),
        "train": Command(
            arguments=("train", str(data), "--config", str(scratch / "pairs.toml"), "--workers", "1"),
            content=runs,
        ),
    }
    if not with_images:
        del chosen["train"]
    return chosen


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names whose content is not the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> int:
    """Disturb every command until the kills are used up; returns 1 where a result differs in the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", help="one of render, simulate, dmvae, sweep, train")
    parser.add_argument("--containers", action="store_true", help="each start in another one, its clock off")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)
    machine = Machine(containers=random.Random(options.seed)) if options.containers else HERE
    faults: Counter[str] = Counter()
    lives = bad = 0

    def tell(name: str, what: str, disturb: Callable[[Path, Path], Path]) -> None:
        """Disturb a command to its end, and compare what it left with what an undisturbed one leaves."""
        nonlocal lives, bad
        out, log = scratch / f"{name}-{lives}", scratch / f"{name}-{lives}.log"
        try:
            wrong = differing(expected[name], chosen[name].content(disturb(out, log)))
        except Exception as error:  # also where a result cannot be read
            wrong = [f"{type(error).__name__} {error}"]
        lives += 1
        bad += bool(wrong)
        verdict = f"DIFFERS: {', '.join(wrong[:3])}" if wrong else "equal"
        print(f"{lives:4d}  {name:<9} {what or f'{kills()} kills':<12} {verdict}", flush=True)

    def kills() -> int:
        return sum(faults[kind] for kind in KILLS)

    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        scratch = Path(place)
        chosen = {k: v for k, v in commands(scratch).items() if options.only in (None, k)}
        expected, lasted = {}, {}
        for name, command in chosen.items():
            out = scratch / f"{name}-undisturbed"
            lasted[name] = undisturbed(command, out, scratch / f"{name}.log")
            expected[name] = command.content(out)

        def storm(out: Path, log: Path) -> Path:
            left = min(KILLS_A_LIFE, options.kills - kills())
            within = lasted[name] / 2
            faults.update(
                disturbed(chosen[name], out, log, kills=left, within=within, rng=rng, machine=machine)
            )
            return out

        def freeze(out: Path, log: Path) -> Path:
            frozen(chosen[name], out, log, after=rng.uniform(0, lasted[name] / 4), machine=machine)
            return out

        def squeeze(out: Path, log: Path) -> Path:
            faults["full disk"] += squeezed(chosen[name], out, log)
            return out.with_name(f"{out.name}-content")

        for name in itertools.cycle(chosen):
            if kills() >= options.kills or bad > 20:
                break
            tell(name, "", storm)
        for name in chosen:
            tell(name, "frozen", freeze)
            tell(name, "full disk", squeeze)
    for kind, count in faults.most_common():
        print(f"{count:5d}  {kind}")
    print(f"{lives - bad} of {lives} lives ended as an undisturbed run does")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
