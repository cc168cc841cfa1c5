"""Work in real child processes, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from identbox import children, leases
from identbox.children import Job
from identbox.errors import IdentboxError

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
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_jobs_are_done_once_each_with_threads_and_a_temporary_folder_of_its_own(job, tmp_path):
    jobs = [job(f"job{k}") for k in range(5)]
    told: list[str] = []
    assert children.execute(jobs, workers=2, threads=3, on_done=lambda name, reason: told.append(name)) == {}
    assert sorted(told) == [one.name for one in jobs]
    results = [json.loads((tmp_path / one.name / "result.json").read_text()) for one in jobs]
    assert {result["OMP_NUM_THREADS"] for result in results} == {"3"}
    scratch = {result["TMPDIR"] for result in results}
    assert len(scratch) == 5
    assert not any(Path(folder).exists() for folder in scratch)
    assert not list(tmp_path.glob("*/*.lease"))
    assert children.execute(jobs, workers=2, threads=1) == {}
    assert [starts(tmp_path, one.name) for one in jobs] == [1] * 5


def test_jobs_side_by_side_see_a_gpu_each(job, tmp_path):
    go = tmp_path / "go"
    jobs = [job("one", wait=go), job("two", wait=go), job("three")]

    def seen(name: str) -> str:
        return json.loads((tmp_path / name / "result.json").read_text())["CUDA_VISIBLE_DEVICES"]

    threading.Timer(3.0, go.touch).start()  # so that the first two are at work together
    assert children.execute(jobs, workers=2, threads=1, gpus=("3", "5")) == {}
    assert {seen("one"), seen("two")} == {"3", "5"}
    assert seen("three") in ("3", "5")


def test_a_job_that_fails_is_named_with_its_last_line_and_stops_no_other(job, tmp_path):
    told = []
    failed = children.execute(
        [job("bad", fail="error"), job("good")],
        workers=1,
        threads=1,
        on_done=lambda *one: told.append(one),
    )
    assert told == [("bad", "exit code 1, identbox: it cannot be done"), ("good", "")]
    assert failed == {"bad": "exit code 1, identbox: it cannot be done"}
    assert starts(tmp_path, "bad") == 1
    with pytest.raises(IdentboxError, match=r"got 1 that failed \(bad\); bad: exit code 1"):
        children.expect_no_failures(tmp_path, failed)


def test_a_job_whose_child_is_killed_is_done_again_and_set_aside_after_three_times(job, tmp_path):
    jobs = [job("once", fail="die once"), job("always", fail="die"), job("good")]
    assert children.execute(jobs, workers=2, threads=1) == {"always": "killed by SIGKILL, 3 times"}
    assert [starts(tmp_path, name) for name in ("once", "always", "good")] == [2, 3, 1]


def test_a_job_without_its_result_is_not_done(job, tmp_path):
    one = job("one")
    other = Job(name="other", done=lambda: False, claim=one.claim, command=one.command, log=one.log)
    (reason,) = children.execute([other], workers=1, threads=1).values()
    assert "ended without its result" in reason


def test_a_job_that_takes_too_long_is_ended(job, tmp_path):
    jobs = [job("slow", wait=tmp_path / "never"), job("good")]
    assert children.execute(jobs, workers=2, threads=1, timeout=3.0) == {"slow": "took longer than 3 s"}


def test_a_job_that_another_client_is_at_is_left_to_it(job, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOOK_AGAIN", 0.1)
    go = tmp_path / "go"
    code = (
        "import sys, pickle; from pathlib import Path; from identbox.children import Work, perform;"
        "perform(Work(command=tuple(sys.argv[2:]), log=sys.argv[1], threads=1))"
    )
    one = job("one", wait=go)
    one.claim()
    other = subprocess.Popen([sys.executable, "-c", code, str(one.log), *one.command])
    until((tmp_path / "one" / "starts").exists)
    told: list[str] = []

    def done(name: str, reason: str) -> None:
        told.append(name)
        go.touch()  # the other may end once this client has done the rest

    assert children.execute([one, job("two")], workers=2, threads=1, on_done=done) == {}
    assert told == ["two", "one"]
    assert starts(tmp_path, "one") == 1
    assert other.wait() == 0


def test_when_a_client_is_killed_its_children_end_and_the_next_goes_on_at_once(job, tmp_path):
    one = job("one", wait=tmp_path / "go")
    one.claim()
    code = (
        "import sys; from identbox.children import Work, perform;"
        "perform(Work(command=tuple(sys.argv[2:]), log=sys.argv[1], threads=1))"
    )
    client = subprocess.Popen([sys.executable, "-c", code, str(one.log), *one.command])
    lease = one.log.with_suffix(".lease")
    until(lambda: lease.exists() and (tmp_path / "one" / "starts").exists())
    until(lambda: json.loads(lease.read_text() or "{}").get("pid") not in (None, client.pid))
    pid = json.loads(lease.read_text())["pid"]
    client.send_signal(signal.SIGKILL)
    client.wait()
    until(lambda: not alive(pid))
    (tmp_path / "go").touch()
    assert not (tmp_path / "one" / "result.json").exists()
    begun = time.monotonic()
    assert children.execute([one], workers=1, threads=1) == {}
    assert time.monotonic() - begun < leases.STALE / 2
    assert starts(tmp_path, "one") == 2


def test_a_child_ends_when_its_lease_has_become_anothers(job, tmp_path):
    one = job("one", wait=tmp_path / "never")
    one.claim()
    lease = one.log.with_suffix(".lease")
    code = (
        "import sys; from identbox.children import Work, perform;"
        "print(perform(Work(command=tuple(sys.argv[2:]), log=sys.argv[1], threads=1)).state)"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(one.log), *one.command], stdout=subprocess.PIPE, text=True
    )
    until((tmp_path / "one" / "starts").exists)
    lease.write_text(json.dumps({"token": "other", "host": "another machine", "pid": 1}))
    assert client.communicate(timeout=4 * leases.BEAT)[0].strip() == "elsewhere"
    assert json.loads(lease.read_text())["token"] == "other"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
