"""Leases: files in a shared folder that say which process is doing a piece of work, so that no other does it as well.

A lease is valid while its file changes: its holder refreshes its modification time. When it has not changed for STALE
seconds of this process's own clock, or when its process no longer runs among those of this machine, any process may
take it. No two clocks are compared, so that a time in the future or the past means nothing; only of a file that looks
older than STALE one does not wait so long.

`hold` takes a lease for as long as a block runs. A process that was stopped for longer than a lease lasts may wake up
while another does its work: `expect_held`, called before each file that both would write, stops it then.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from identbox import files, processes
from identbox.errors import IdentboxError

BEAT = 5.0  # seconds between two refreshments
STALE = 55.0  # seconds without one after which any process may take a lease
STALE_IF_OLD = (
    3 * BEAT
)  # the same, where the file's time is older than STALE: that may be so of a living one's for a BEAT
CHECK_EVERY = 0.5  # seconds between two looks at a lease that another process holds
LARGEST_LEASE = 4096  # bytes of a lease
_held: list[Lease] = []  # of this process
_seen_changes: dict[
    Path, tuple[tuple, float]
] = {}  # the state of others' leases, and since when this process knows it


@dataclass(frozen=True)
class Lease:
    """A lease that this process, or its parent, took."""

    path: Path
    token: str

    @staticmethod
    def take(path: Path) -> Lease | None:
        """Take a lease; None where another process holds it. Raises OSError where no file can be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lease = Lease(path, uuid.uuid4().hex)
        if lease._create():
            return lease
        held = _read_lease(path)
        if not _is_stale(path, held):
            return None
        _seen_changes.pop(path, None)
        # Of several processes that come now, only one moves the file out of the way.
        aside = path.with_name(f".{path.name}.{lease.token}")
        with suppress(FileNotFoundError):
            path.rename(aside)
            if _read_lease(aside) != held:  # another process was faster, and this is its lease
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink()
        return lease if lease._create() else None

    @staticmethod
    def of_child(path: str, token: str) -> Lease:
        """The lease that the parent took; from now on it names this process."""
        lease = Lease(Path(path), token)
        if lease.is_mine():
            files.write_whole(lease.path, _lease_content(token).encode())
        return lease

    def is_mine(self) -> bool:
        """Whether no other process has taken it."""
        return _read_lease(self.path).get("token") == self.token

    def is_lost(self) -> bool:
        """Whether another process has taken it; a lease that cannot be read may still be this one."""
        return _read_lease(self.path).get("token") not in (None, self.token)

    def beat(self) -> bool:
        """Refresh it; returns whether it still belongs to this process."""
        if not self.is_mine():
            return False
        with suppress(OSError):
            os.utime(self.path, follow_symlinks=False)
        return True

    def release(self) -> None:
        """Give it back, if it still belongs to this process."""
        if self.is_mine():
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            with self.path.open("x") as file:
                file.write(_lease_content(self.token))
        except FileExistsError:
            return False
        return True


@contextmanager
def hold(path: Path, on_message: Callable[[str], None] = lambda message: None) -> Iterator[Lease]:
    """Hold a lease while the block runs; a lease that this process, as a child, has already is left as it is.

    Waits, at most STALE seconds, for a lease that its holder does not refresh. Raises IdentboxError where the holder
    does refresh it.
    """
    own = next((lease for lease in _held if lease.path.resolve() == path.resolve()), None)
    if own is not None:
        yield own
        return
    lease: Lease = _wait_for(path, on_message, lambda: Lease.take(path))
    _held.append(lease)
    over = threading.Event()

    def refresh() -> None:
        while not over.wait(BEAT):
            lease.beat()

    threading.Thread(target=refresh, daemon=True).start()
    try:
        yield lease
    finally:
        over.set()
        _held.remove(lease)
        lease.release()


def register_lease(lease: Lease) -> None:
    """Count a lease among those that this process holds; the caller refreshes it."""
    _held.append(lease)


def expect_held() -> None:
    """Raise IdentboxError where another process has taken a lease of this one, and now does its work."""
    for lease in _held:
        if lease.is_lost():
            raise IdentboxError(
                f"{lease.path}: expected the lease of this process, got that of another, which took it when it had "
                f"not been refreshed for {STALE:g} s"
            )


def expect_free(paths: list[Path], on_message: Callable[[str], None] = lambda message: None) -> None:
    """Wait, at most STALE seconds, until no other process holds any of these leases; they are not taken.

    Raises IdentboxError for a lease that its holder refreshes.
    """
    for path in paths:
        if not any(lease.path.resolve() == path.resolve() for lease in _held):
            _wait_for(path, on_message, partial(_is_free, path))


def looks_held(path: Path) -> bool:
    """Whether a process seems to hold a lease: at once, without writing anything, and by this machine's clock.

    For display alone: only `hold` and `expect_free` know.
    """
    held = _read_lease(path)
    if not held or processes.is_gone(held.get("pid"), held.get("host"), held.get("began")):
        return False
    try:
        return time.time() - path.lstat().st_mtime < STALE
    except OSError:
        return False


def _is_free(path: Path) -> bool:
    return not path.exists() or _is_stale(path, _read_lease(path))


def _wait_for(path: Path, on_message: Callable[[str], None], free: Callable[[], Any]) -> Any:
    """Wait until ``free`` gives something, and return it. Raises IdentboxError where the lease is refreshed."""
    first = None
    while not (given := free()):
        held, state = _read_lease(path), _state(path)
        who = f"process {held.get('pid', '?')} on {str(held.get('host')).partition(' ')[0]}"
        if first is None:
            first = state
            on_message(f"{path.parent}: {who} is working in this folder, or was killed; waiting to see which")
        elif state is not None and state != first:
            raise IdentboxError(f"{path.parent}: expected no other process in this folder, got {who}")
        time.sleep(CHECK_EVERY)
    return given


def _lease_content(token: str) -> str:
    pid = os.getpid()
    return json.dumps(
        {"token": token, "host": processes.machine_id(), "pid": pid, "began": processes.began(pid)}
    )


def _read_lease(path: Path) -> dict[str, object]:
    """The content of a lease; empty where the file is gone, not yet written, or holds something else."""
    try:
        content = files.read_json(path, most=LARGEST_LEASE)
    except IdentboxError:
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> tuple | None:
    """What changes when a lease is refreshed or taken; None where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, str(_read_lease(path).get("token"))


def _is_stale(path: Path, held: dict[str, object]) -> bool:
    """Whether any process may take the lease, whose content was ``held``."""
    if processes.is_gone(held.get("pid"), held.get("host"), held.get("began")):
        return True
    state = _state(path)
    if state is None:
        return True  # given back in the meantime
    now = time.monotonic()
    known, since = _seen_changes.setdefault(path, (state, now))
    if known != state:
        _seen_changes[path] = (state, now)
        return False
    return now - since > (STALE_IF_OLD if _looks_old(path) else STALE)


def _looks_old(path: Path) -> bool:
    """Whether a lease was refreshed long ago, by the clock of the shared folder."""
    clock = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        clock.touch(exist_ok=False)
        return clock.stat().st_mtime - path.lstat().st_mtime > STALE
    except OSError:
        return False
    finally:
        clock.unlink(missing_ok=True)
