"""Hashes of everything that identbox makes, to prove that a change of the code changes none of it.

    python tests/fingerprints.py > before.json                       # in a checkout before the change
    python tests/fingerprints.py --compare before.json               # in a checkout after it

Everything is made by the command line, so that modules may move. What differs from run to run by its nature (seconds,
versions, the machine) is left out. The hashes are those of one machine: compare on the machine that wrote them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
VARYING = ("seconds", "versions", "machine", "identbox", "folder")
STEPS = ("--set", "training.steps=20", "--set", "training.batch=64", "--set", "training.log_every=10")
SWEEPS = ("figure_a6-quick", "table_8_1-quick")


def identbox(*arguments: object, where: Path) -> str:
    """What a command prints; its exit code may be 0, 2 or 3 (a verdict)."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100", "IDENTBOX_CACHE": str(where / "cache"),
    }  # fmt: skip
    command = [sys.executable, "-m", "identbox", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=where, env=environment)
    if done.returncode not in (0, 2, 3):
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def digest(content: bytes | str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a text or of bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def of_files(folder: Path, pattern: str) -> str:
    """One hash of all files of a pattern: their names and their content."""
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    assert paths, f"{folder}: no file {pattern}"
    return digest(b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in paths))


def of_text(path: Path) -> str:
    """The hash of a report, without what varies from run to run."""
    lines = path.read_text().splitlines()
    return digest("\n".join(re.sub(r"\d[\d.]* (s|seconds|minutes|min)\b", "", line) for line in lines))


def of_record(path: Path, *keys: str) -> str:
    """The hash of a JSON record, or of some of its keys, without what varies from run to run."""

    def cleaned(value: object) -> object:
        if isinstance(value, dict):
            if "permuted" in value:  # older records have the label in the place of target, permuted and role
                value = {**value, "target": value["target"] + "'" * value["permuted"]}
                value = {key: item for key, item in value.items() if key not in ("permuted", "role")}
            return {key: cleaned(item) for key, item in sorted(value.items()) if key not in VARYING}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    record = json.loads(path.read_text())
    return digest(json.dumps(cleaned({key: record[key] for key in keys or record})))


def of_weights(path: Path) -> str:
    """The hash of all tensors of a checkpoint's model: mixings and encoders with their names."""
    model = torch.load(path, weights_only=True)["model"]
    return digest(b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(model.items())))


def of_run(folder: Path, work: Path) -> dict[str, str]:
    """The hashes of a finished run and of its report."""
    identbox("report", folder, "--out", work / "report", where=work)
    return {
        "weights": of_weights(folder / "checkpoint.pt"),
        "config": of_files(folder, "config.toml"),
        "probes": of_record(folder / "results.json", "probes"),
        "record": of_record(folder / "results.json"),
        "report": of_text(work / "report" / "report.md"),
        "table": of_files(work / "report", "table.csv"),
    }


def fingerprints(work: Path) -> dict[str, str]:
    """Every hash, by name."""
    hashes: dict[str, str] = {}
    for name in ("numerical-simulation", "multimodal3dident"):
        hashes[f"process/{name}"] = digest(identbox("process", "show", name, where=work))
        hashes[f"process/{name}.dot"] = digest(identbox("process", "show", name, "--dot", where=work))
    sizes = ("--n", 40, "--val", 30, "--test", 30, "--size", 64, "--samples", 1, "--workers", 1)
    identbox("render", *sizes, "--out", "m3di", where=work)
    data = work / "m3di"
    for name, pattern in {
        "latents": "*/latents_*.csv", "sentences": "*/text/*", "images": "*/images/*.png",
        "recipe": "dataset.toml", "vocabulary": "vocab.json", "card": "README.md", "gallery": "gallery.png",
    }.items():  # fmt: skip
        hashes[f"dataset/{name}"] = of_files(data, pattern)
    hashes["dataset/check"] = digest(identbox("check", "m3di", where=work))
    for format in ("parquet", "webdataset"):
        identbox("export", "m3di", "--to", format, "--out", format, "--per-shard", 8, where=work)
        hashes[f"export/{format}"] = of_files(work / format, "**/*")
    for name, settings in {
        "plain": (),
        "causal": ("--set", "process.causal=true", "--set", "process.statistical=true"),
        "discrete": ("--set", 'process.discrete=["content"]'),
        "multiview": ("--set", "setting=multiview", "--set", "objective.negatives=same-view"),
    }.items():
        identbox("simulate", *STEPS, *settings, "--out", name, where=work)
        hashes |= {f"simulate-{name}/{key}": value for key, value in of_run(work / name, work).items()}
        identbox("verify", name, "--out", f"verdict-{name}", where=work)
        for file in ("verification.json", "verification.md", "verification.html"):
            hashes[f"verify-{name}/{file}"] = of_text(work / f"verdict-{name}" / file)
    identbox(
        "train",
        "m3di",
        *STEPS[:2],
        "--set",
        "training.batch=8",
        "--set",
        "data.more_sentences=8",
        "--out",
        "pairs",
        where=work,
    )
    hashes |= {f"train/{key}": value for key, value in of_run(work / "pairs", work).items()}
    for sweep in SWEEPS:
        folder = ROOT / "simulations" / "results" / sweep
        identbox("report", folder, "--out", work / sweep, where=work)
        for file in ("report.md", "table.csv", "comparison.svg"):
            hashes[f"report/{sweep}/{file}"] = of_text(work / sweep / file)
    return hashes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", type=Path, help="what an earlier call printed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        after = fingerprints(Path(work))
    if arguments.compare is None:
        print(json.dumps(after, indent=1))
        return
    before = json.loads(arguments.compare.read_text())
    differing = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    print(f"{len(before) - len(differing)} of {len(before)} equal")
    for name in differing:
        print(f"differs: {name}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
