"""Work in real child processes, some of which are killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from children import alive, starts, until
from identbox.errors import IdentboxError
from identbox.jobs import execution, leases
from identbox.jobs.execution import Job


def test_jobs_are_done_once_each_with_threads_and_a_temporary_folder_of_its_own(job, tmp_path):
    jobs = [job(f"job{k}") for k in range(5)]
    told: list[str] = []
    assert execution.execute(jobs, workers=2, threads=3, on_done=lambda name, reason: told.append(name)) == {}
    assert sorted(told) == [one.name for one in jobs]
    results = [json.loads((tmp_path / one.name / "result.json").read_text()) for one in jobs]
    assert {result["OMP_NUM_THREADS"] for result in results} == {"3"}
    scratch = {result["TMPDIR"] for result in results}
    assert len(scratch) == 5
    assert not any(Path(folder).exists() for folder in scratch)
    assert not list(tmp_path.glob("*/*.lease"))
    assert execution.execute(jobs, workers=2, threads=1) == {}
    assert [starts(tmp_path, one.name) for one in jobs] == [1] * 5


def test_jobs_that_run_side_by_side_see_different_gpus(job, tmp_path):
    go = tmp_path / "go"
    jobs = [job("one", wait=go), job("two", wait=go), job("three")]

    def seen(name: str) -> str:
        return json.loads((tmp_path / name / "result.json").read_text())["CUDA_VISIBLE_DEVICES"]

    threading.Timer(3.0, go.touch).start()  # so that the first two are at work together
    assert execution.execute(jobs, workers=2, threads=1, gpus=("3", "5")) == {}
    assert {seen("one"), seen("two")} == {"3", "5"}
    assert seen("three") in ("3", "5")


def test_a_job_that_fails_is_named_with_its_last_line_and_stops_no_other(job, tmp_path):
    told = []
    failed = execution.execute(
        [job("bad", fail="error"), job("good")],
        workers=1,
        threads=1,
        on_done=lambda *one: told.append(one),
    )
    assert told == [("bad", "exit code 1, identbox: it cannot be done"), ("good", "")]
    assert failed == {"bad": "exit code 1, identbox: it cannot be done"}
    assert starts(tmp_path, "bad") == 1
    with pytest.raises(IdentboxError, match=r"got 1 that failed \(bad\); bad: exit code 1"):
        execution.expect_no_failures(tmp_path, failed)


def test_a_job_whose_child_is_killed_is_done_again_and_set_aside_after_three_times(job, tmp_path):
    jobs = [job("once", fail="die once"), job("always", fail="die"), job("good")]
    assert execution.execute(jobs, workers=2, threads=1) == {"always": "killed by SIGKILL, 3 times"}
    assert [starts(tmp_path, name) for name in ("once", "always", "good")] == [2, 3, 1]


def test_a_job_without_its_result_is_not_done(job, tmp_path):
    one = job("one")
    other = Job(name="other", done=lambda: False, claim=one.claim, command=one.command, log=one.log)
    (reason,) = execution.execute([other], workers=1, threads=1).values()
    assert "ended without its result" in reason


def test_a_job_that_takes_too_long_is_ended(job, tmp_path):
    jobs = [job("slow", wait=tmp_path / "never"), job("good")]
    assert execution.execute(jobs, workers=2, threads=1, timeout=3.0) == {"slow": "took longer than 3 s"}


def test_a_job_that_another_client_is_doing_is_left_to_it(job, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "RETRY_AFTER", 0.1)
    go = tmp_path / "go"
    code = (
        "import sys, pickle; from pathlib import Path; from identbox.jobs.execution import Work, perform;"
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

    assert execution.execute([one, job("two")], workers=2, threads=1, on_done=done) == {}
    assert told == ["two", "one"]
    assert starts(tmp_path, "one") == 1
    assert other.wait() == 0


def test_when_a_client_is_killed_its_children_end_and_the_next_client_continues_at_once(job, tmp_path):
    one = job("one", wait=tmp_path / "go")
    one.claim()
    code = (
        "import sys; from identbox.jobs.execution import Work, perform;"
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
    assert execution.execute([one], workers=1, threads=1) == {}
    assert time.monotonic() - begun < leases.STALE / 2
    assert starts(tmp_path, "one") == 2


def test_a_child_ends_when_another_process_has_taken_its_lease(job, tmp_path):
    one = job("one", wait=tmp_path / "never")
    one.claim()
    lease = one.log.with_suffix(".lease")
    code = (
        "import sys; from identbox.jobs.execution import Work, perform;"
        "print(perform(Work(command=tuple(sys.argv[2:]), log=sys.argv[1], threads=1)).state)"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(one.log), *one.command], stdout=subprocess.PIPE, text=True
    )
    until((tmp_path / "one" / "starts").exists)
    lease.write_text(json.dumps({"token": "other", "host": "another machine", "pid": 1}))
    assert client.communicate(timeout=4 * leases.BEAT)[0].strip() == "elsewhere"
    assert json.loads(lease.read_text())["token"] == "other"
