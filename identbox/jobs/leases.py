"""Leases: files in a shared folder that say which process is doing a piece of work, so that no other does it as well.

A lease is valid while its file's modification time is refreshed. When that has not happened for STALE seconds, or when
its process no longer runs on this machine, any process may take it. Times are compared with that of a file written
just now, so that only the clock of the shared folder counts.

`hold` takes a lease for as long as a block runs. A process that was stopped for longer than a lease lasts may wake up
while another does its work: `expect_held`, called before each file that both would write, stops it then.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from identbox import files
from identbox.errors import IdentboxError

BEAT = 5.0  # seconds between two refreshments
STALE = 60.0  # seconds without one after which any process may take a lease
CHECK_EVERY = 0.5  # seconds between two looks at a lease that another process holds
_held: list[Lease] = []  # of this process


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
            os.utime(self.path)
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
def hold(path: Path, on_message: Callable[[str], None] = lambda message: None) -> Iterator[None]:
    """Hold a lease while the block runs; a lease that this process, as a child, has already is left as it is.

    Waits, at most STALE seconds, for a lease that its holder does not refresh. Raises IdentboxError where the holder
    does refresh it.
    """
    if any(lease.path.resolve() == path.resolve() for lease in _held):
        yield
        return
    lease = _wait_for(path, on_message)
    _held.append(lease)
    over = threading.Event()

    def refresh() -> None:
        while not over.wait(BEAT):
            lease.beat()

    threading.Thread(target=refresh, daemon=True).start()
    try:
        yield
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


def _wait_for(path: Path, on_message: Callable[[str], None]) -> Lease:
    beaten = None
    while True:
        lease = Lease.take(path)
        if lease is not None:
            return lease
        held, time_of = _read_lease(path), None
        with suppress(FileNotFoundError):
            time_of = path.stat().st_mtime_ns
        who = f"process {held.get('pid', '?')} on {str(held.get('host')).partition(' ')[0]}"
        if beaten is None:
            beaten = time_of
            on_message(f"{path.parent}: {who} is working in this folder, or was killed; waiting to see which")
        elif time_of not in (None, beaten):
            raise IdentboxError(f"{path.parent}: expected no other process in this folder, got {who}")
        time.sleep(CHECK_EVERY)


def _lease_content(token: str) -> str:
    return json.dumps({"token": token, "host": _host(), "pid": os.getpid()})


def _read_lease(path: Path) -> dict[str, object]:
    """The content of a lease; empty where the file is gone, or not yet written."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _host() -> str:
    """This machine since it was started: after a restart it has other processes."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()


def _is_stale(path: Path, held: dict[str, object]) -> bool:
    """Whether any process may take the lease, whose content was ``held``."""
    pid = held.get("pid")
    if held.get("host") == _host() and isinstance(pid, int):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
    clock = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        clock.touch()
        return clock.stat().st_mtime - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return True  # given back in the meantime
    finally:
        clock.unlink(missing_ok=True)
