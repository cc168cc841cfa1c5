import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from identbox import processes
from identbox.errors import IdentboxError
from identbox.jobs import leases
from identbox.jobs.leases import Lease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.lease"


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def held_elsewhere(path: Path) -> None:
    """As another machine holds it."""
    path.write_text(json.dumps({"token": "other", "host": "another machine", "pid": 1}))


def test_only_one_process_holds_a_lease_until_it_is_given_back(path):
    lease = Lease.take(path)
    assert lease is not None
    assert Lease.take(path) is None
    assert lease.beat()
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lease.release()
    assert list(path.parent.iterdir()) == []
    assert Lease.take(path) is not None


@pytest.fixture
def quick(monkeypatch):
    """Waits of a tenth of a second instead of a minute."""
    monkeypatch.setattr(leases, "STALE_IF_OLD", 0.1)
    monkeypatch.setattr(leases, "CHECK_EVERY", 0.02)


def test_the_lease_of_another_machine_is_taken_when_it_is_stale_and_not_before(path, quick):
    held_elsewhere(path)
    age(path, leases.STALE - 5)
    assert Lease.take(path) is None
    time.sleep(0.2)
    assert Lease.take(path) is None
    age(path, leases.STALE + 5)
    assert Lease.take(path) is None  # the clock may have jumped: a living holder refreshes it soon
    time.sleep(0.2)
    lease = Lease.take(path)
    assert lease is not None
    assert lease.is_mine()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_a_day_off_frees_no_living_lease_and_keeps_no_dead_one(path, monkeypatch, days):
    monkeypatch.setattr(leases, "STALE", 0.3)
    monkeypatch.setattr(leases, "STALE_IF_OLD", 0.3)
    held_elsewhere(path)
    for beat in range(10):
        age(path, days * 86400 - beat)
        assert Lease.take(path) is None
        time.sleep(0.05)
    time.sleep(0.35)
    assert Lease.take(path) is not None


def test_the_number_of_a_process_means_nothing_in_another_container_or_when_it_is_used_again(path):
    mine = Lease.take(path)
    assert mine is not None
    held = json.loads(path.read_text())
    for change, gone in (
        ({}, False),
        ({"host": held["host"] + "1"}, None),
        ({"began": "1"}, True),
        ({"pid": -1}, None),
    ):
        other = {**held, **change}
        assert processes.is_gone(other["pid"], other["host"], other["began"]) is gone


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b'{"pid": 1e400, "token": []}', b"9" * 5000])
def test_a_lease_of_other_content_is_taken_when_it_does_not_change(path, quick, content):
    path.write_bytes(content)
    age(path, leases.STALE + 5)
    assert Lease.take(path) is None
    time.sleep(0.2)
    assert Lease.take(path) is not None


def test_the_lease_of_a_dead_process_here_is_free_at_once_and_that_of_a_living_one_is_not(path):
    code = (
        "import sys; from pathlib import Path; from identbox.jobs.leases import Lease;"
        "assert Lease.take(Path(sys.argv[1])); print(flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    age(path, 2 * leases.STALE - 1)  # it sleeps, say: alive, but it does not renew
    path.touch()
    assert Lease.take(path) is None
    child.kill()
    child.wait()
    assert Lease.take(path) is not None


def test_a_process_that_lost_a_lease_learns_it_and_does_not_release_that_of_the_new_holder(path):
    late = Lease.take(path)
    assert late is not None
    held_elsewhere(path)  # taken over
    assert not late.beat()
    late.release()
    assert json.loads(path.read_text())["token"] == "other"


def test_a_jump_of_the_clock_of_this_machine_frees_no_lease(path, monkeypatch):
    held_elsewhere(path)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert Lease.take(path) is None


def test_of_many_processes_at_once_one_gets_a_stale_lease(path, monkeypatch):
    monkeypatch.setattr(leases, "STALE_IF_OLD", 0.0)
    for _ in range(20):
        held_elsewhere(path)
        age(path, leases.STALE + 5)
        assert Lease.take(path) is None
        holders = []
        barrier = threading.Barrier(8)

        def take(holders=holders, barrier=barrier) -> None:
            barrier.wait()
            holders.append(Lease.take(path))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(lease is not None and lease.is_mine() for lease in holders) == 1
        path.unlink()


def test_a_lease_cut_short_is_stale_by_its_time_alone(path, quick):
    path.write_text('{"token": "oth')
    assert Lease.take(path) is None
    age(path, leases.STALE + 5)
    assert Lease.take(path) is None
    time.sleep(0.2)
    assert Lease.take(path) is not None


def test_a_held_lease_is_refreshed_and_given_back(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    with leases.hold(path):
        first = path.stat().st_mtime_ns
        deadline = time.monotonic() + 10
        while path.stat().st_mtime_ns == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with leases.hold(path):  # as what a child does within
            leases.expect_held()
        assert path.exists()
    assert not path.exists()


def test_a_second_process_is_refused_while_the_holder_refreshes_its_lease(path, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_EVERY", 0.02)
    held_elsewhere(path)
    messages = []

    def live() -> None:
        while not messages:
            time.sleep(0.01)
        age(path, 1)

    thread = threading.Thread(target=live)
    thread.start()
    expected = f"{path.parent}: expected no other process in this folder, got process 1 on another"
    with pytest.raises(IdentboxError, match=re.escape(expected)), leases.hold(path, messages.append):
        pass
    thread.join()
    assert len(messages) == 1
    assert json.loads(path.read_text())["token"] == "other"


def test_a_second_process_waits_until_a_lease_that_is_not_refreshed_is_stale(path, monkeypatch):
    monkeypatch.setattr(leases, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(leases, "STALE", 0.5)
    held_elsewhere(path)
    begun = time.monotonic()
    with leases.hold(path):
        assert time.monotonic() - begun > 0.4
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_process_that_wakes_after_another_took_its_lease_writes_nothing_more(path):
    with leases.hold(path):
        leases.expect_held()
        held_elsewhere(path)
        with pytest.raises(IdentboxError, match="expected the lease of this process, got that of another"):
            leases.expect_held()
        path.unlink()  # or a shared folder that does not answer
        leases.expect_held()
