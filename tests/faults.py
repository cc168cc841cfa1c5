"""A harness of faults: commands whose processes are killed at random, and held against undisturbed runs.

    python tests/faults.py --kills 200 --seed 0        # also: make faults

Each life of a command is disturbed several times: a random process of its tree gets SIGKILL or SIGTERM, or SIGSTOP for
a while. When the command itself is gone it is given again; in the end it is left in peace. What it leaves must then be
what an undisturbed run leaves: every byte of a dataset, the weights, metrics and scores of a run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

KILLS_A_LIFE = 5
PATIENCE = 300  # seconds that a command may take when it is left in peace
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
TIMES = ("seconds", "seconds_training", "machine", "versions")  # keys that differ from run to run

RUN = """
process = { content = 1, style = 1, specific = 1 }
mixing = { pool = 100, ratio = 0.1 }
encoder = { widths = [8] }
training = { steps = 1000, batch = 64, log_every = 20, checkpoint_every = 0.0 }
probes = { samples = 60, bootstrap = 5, interventions = false }
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
data = { image_size = 18 }
training = { steps = 60, batch = 8, log_every = 3, checkpoint_every = 0.0 }
probes = { samples = 20, bootstrap = 2 }
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of identbox, and what of its folder counts."""

    arguments: tuple[str, ...]  # without --out
    content: Callable[[Path], dict[str, Any]]  # by name, of what is left in the end


def start(arguments: tuple[str, ...], out: Path, log: Path) -> subprocess.Popen:
    """The command in a process group of its own."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "identbox", *arguments, "--out", str(out)],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def undisturbed(command: Command, out: Path, log: Path) -> float:
    """Run it in peace; returns the seconds. Raises RuntimeError where it fails."""
    begun = time.monotonic()
    child = start(command.arguments, out, log)
    if child.wait(timeout=PATIENCE):
        raise RuntimeError(f"{command.arguments[0]}: {log.read_text()[-500:]}")
    return time.monotonic() - begun


def disturbed(
    command: Command, out: Path, log: Path, *, kills: int, within: float, rng: random.Random
) -> Counter[str]:
    """Run it to its end, with so many faults on the way, each within so many seconds; returns them by kind.

    Raises RuntimeError where it fails by itself or takes too long.
    """
    done: Counter[str] = Counter()
    child = start(command.arguments, out, log)
    while kills:
        time.sleep(rng.uniform(0, within))
        if child.poll() is None:
            done[fault(child.pid, rng)] += 1
            kills -= 1
            time.sleep(0.3)
        if child.poll() == 0 and kills:  # it was faster: another life
            shutil.rmtree(out)
        if child.poll() is not None:
            child = start(command.arguments, out, log)
    for _ in range(2):  # the last fault may have ended it
        with suppress(subprocess.TimeoutExpired):
            if child.wait(timeout=PATIENCE) == 0:
                return done
        child = start(command.arguments, out, log)
    child.kill()
    raise RuntimeError(f"{command.arguments[0]}: {log.read_text()[-500:]}")


def fault(pid: int, rng: random.Random) -> str:
    """Do something to a random process of a command; returns what."""
    with suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        victim, which = rng.choice(processes), rng.choice(SIGNALS)
        os.kill(victim.pid, which)
        if which == signal.SIGSTOP:
            time.sleep(rng.uniform(0.5, 3))
            os.kill(victim.pid, signal.SIGCONT)
        return f"{which.name} of {'the command' if victim.pid == pid else 'a child'}"
    return "none, it was gone"


def files(folder: Path) -> dict[str, bytes]:
    """Every byte of a dataset."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def runs(folder: Path) -> dict[str, Any]:
    """Weights, metrics and record of every run below a folder, without the times that it took."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("results.json")):
        place = path.parent
        name = str(place.relative_to(folder))
        record = json.loads(path.read_text())
        lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        weights = torch.load(place / "checkpoint.pt", weights_only=True)["model"]
        found[f"{name} record"] = {key: value for key, value in record.items() if key not in TIMES}
        found[f"{name} metrics"] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
        found[f"{name} weights"] = {key: value.numpy().tobytes() for key, value in weights.items()}
    return found


def commands(scratch: Path) -> dict[str, Command]:
    """The commands, small enough to last some seconds; their input files go to ``scratch``."""
    for name, text in (("run", RUN), ("sweep", SWEEP), ("pairs", PAIRS)):
        (scratch / f"{name}.toml").write_text(text)
    images = ("--n", "16", "--val", "8", "--test", "8", "--size", "32", "--samples", "1", "--workers", "2")
    data = scratch / "data"
    if not data.exists():
        undisturbed(Command(arguments=("render", *images), content=files), data, scratch / "data.log")
    return {
        "render": Command(arguments=("render", *images), content=files),
        "simulate": Command(arguments=("simulate", "--config", str(scratch / "run.toml")), content=runs),
        "sweep": Command(arguments=("sweep", str(scratch / "sweep.toml"), "--workers", "2"), content=runs),
        "train": Command(
            arguments=("train", str(data), "--config", str(scratch / "pairs.toml"), "--workers", "1"),
            content=runs,
        ),
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names whose content is not the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> int:
    """Disturb every command until the kills are used up; 1 where something differs in the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", help="one of render, simulate, sweep, train")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)
    faults: Counter[str] = Counter()
    lives = bad = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        scratch = Path(place)
        chosen = {k: v for k, v in commands(scratch).items() if options.only in (None, k)}
        expected, lasted = {}, {}
        for name, command in chosen.items():
            out = scratch / f"{name}-undisturbed"
            lasted[name] = undisturbed(command, out, scratch / f"{name}.log")
            expected[name] = command.content(out)
        while sum(faults.values()) < options.kills:
            name = list(chosen)[lives % len(chosen)]
            out, log = scratch / f"{name}-{lives}", scratch / f"{name}-{lives}.log"
            kills = min(KILLS_A_LIFE, options.kills - sum(faults.values()))
            try:
                faults += disturbed(chosen[name], out, log, kills=kills, within=lasted[name] / 2, rng=rng)
                wrong = differing(expected[name], chosen[name].content(out))
            except RuntimeError as error:
                faults["none, it failed"] += 1
                wrong = [str(error)]
            lives += 1
            bad += bool(wrong)
            verdict = f"DIFFERS: {', '.join(wrong[:3])}" if wrong else "equal"
            print(f"{lives:4d}  {name:<9} {sum(faults.values()):4d} faults  {verdict}", flush=True)
            if not wrong:
                shutil.rmtree(out)
    for kind, count in faults.most_common():
        print(f"{count:5d}  {kind}")
    print(f"{lives - bad} of {lives} lives ended as an undisturbed run does")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
