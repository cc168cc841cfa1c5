"""Jobs that are real child processes, for the tests of what starts, watches and kills them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from identbox.jobs.execution import Job

# What a job does: it counts its starts, tells where it is, waits for a file if asked to, and leaves a result.
CODE = """
import json, os, sys, time
from pathlib import Path
folder, wait, fail = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
starts = folder / "starts"
starts.write_text(str(int(starts.read_text()) + 1) if starts.exists() else "1")
print("at work", flush=True)
if fail == "error":
    sys.exit("identbox: it cannot be done")
if fail == "die" or (fail == "die once" and starts.read_text() == "1"):
    os.kill(os.getpid(), 9)
while wait != "no" and not Path(wait).exists():
    time.sleep(0.02)
Path(os.environ["TMPDIR"], "rest").touch()
told = {name: os.environ.get(name) for name in ("TMPDIR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
(folder / "result.json").write_text(json.dumps(told))
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """A function that makes such a job of a name."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a_job.py").write_text(CODE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))

    def make(name: str, wait: object = "no", fail: str = "no") -> Job:
        folder = tmp_path / name
        return Job(
            name=name,
            done=(folder / "result.json").exists,
            claim=lambda: folder.mkdir(exist_ok=True),
            command=("a_job", str(folder), str(wait), fail),
            log=folder / "job.log",
        )

    return make


def starts(tmp_path: Path, name: str) -> int:
    return int((tmp_path / name / "starts").read_text())


def until(what: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"expected it within {seconds:g} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
