"""Leases: files in a shared folder that say who is at a piece of work, so that no one else does it as well.

A lease is held as long as its file's time is renewed. One that was not for STALE seconds, or whose process is gone
from this machine, is anyone's. Times are compared with that of a file written just now, so that only the clock of the
shared folder counts.

`hold` takes one for as long as a block runs. A process that was stopped for longer than a lease lasts wakes up beside
another one at its work: `expect_held`, before each file that both would write, keeps it from that.
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

BEAT = 5.0  # seconds between two renewals
STALE = 60.0  # seconds without one after which a lease is anyone's
LOOK = 0.5  # seconds between two looks at a lease that another holds
_held: list[Lease] = []  # of this process


@dataclass(frozen=True)
class Lease:
    """A lease that this process, or its parent, took."""

    path: Path
    token: str

    @staticmethod
    def take(path: Path) -> Lease | None:
        """Take a lease, or None where another holds it. Raises OSError where no file can be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lease = Lease(path, uuid.uuid4().hex)
        if lease._create():
            return lease
        held = _read(path)
        if not _is_stale(path, held):
            return None
        # Only one of several that come now gets the file out of the way.
        aside = path.with_name(f".{path.name}.{lease.token}")
        with suppress(FileNotFoundError):
            path.rename(aside)
            if _read(aside) != held:  # another was faster, and this is its lease
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink()
        return lease if lease._create() else None

    @staticmethod
    def of_child(path: str, token: str) -> Lease:
        """The lease that the parent took, from now on in the name of this process."""
        lease = Lease(Path(path), token)
        if lease.is_mine():
            files.write_whole(lease.path, _content(token).encode())
        return lease

    def is_mine(self) -> bool:
        """Whether no other has taken it over."""
        return _read(self.path).get("token") == self.token

    def is_lost(self) -> bool:
        """Whether another has taken it over; one that cannot be read may still be this one's."""
        return _read(self.path).get("token") not in (None, self.token)

    def beat(self) -> bool:
        """Renew it; whether it is still this one's."""
        if not self.is_mine():
            return False
        with suppress(OSError):
            os.utime(self.path)
        return True

    def release(self) -> None:
        """Give it back, if it is still this one's."""
        if self.is_mine():
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            with self.path.open("x") as file:
                file.write(_content(self.token))
        except FileExistsError:
            return False
        return True


@contextmanager
def hold(path: Path, on_message: Callable[[str], None] = lambda message: None) -> Iterator[None]:
    """Hold a lease while the block runs; nothing is done where this process, as a child, has that one already.

    Waits for one whose holder shows no sign of life, STALE seconds at most. Raises IdentboxError where the holder
    does.
    """
    if any(lease.path.resolve() == path.resolve() for lease in _held):
        yield
        return
    lease = _wait_for(path, on_message)
    _held.append(lease)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(BEAT):
            lease.beat()

    threading.Thread(target=renew, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        _held.remove(lease)
        lease.release()


def keep(lease: Lease) -> None:
    """Count a lease among those of this process, which somebody else renews."""
    _held.append(lease)


def expect_held() -> None:
    """Raise IdentboxError where another has taken over a lease of this process, and is at its work."""
    for lease in _held:
        if lease.is_lost():
            raise IdentboxError(
                f"{lease.path}: expected the lease of this process, got another's: it took over when there was no "
                f"sign of life for {STALE:g} s"
            )


def _wait_for(path: Path, on_message: Callable[[str], None]) -> Lease:
    beaten = None
    while True:
        lease = Lease.take(path)
        if lease is not None:
            return lease
        held, time_of = _read(path), None
        with suppress(FileNotFoundError):
            time_of = path.stat().st_mtime_ns
        who = f"process {held.get('pid', '?')} on {str(held.get('host')).partition(' ')[0]}"
        if beaten is None:
            beaten = time_of
            on_message(f"{path.parent}: {who} is at it, or was killed; waiting for a sign of life")
        elif time_of not in (None, beaten):
            raise IdentboxError(f"{path.parent}: expected nobody else at it, got {who}")
        time.sleep(LOOK)


def _content(token: str) -> str:
    return json.dumps({"token": token, "host": _host(), "pid": os.getpid()})


def _read(path: Path) -> dict[str, object]:
    """What a lease says; empty where it is gone, or not yet written."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _host() -> str:
    """This machine since it was started: after a restart its processes are others."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()


def _is_stale(path: Path, held: dict[str, object]) -> bool:
    pid = held.get("pid")
    if held.get("host") == _host() and isinstance(pid, int):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return True  # given back meanwhile
    finally:
        probe.unlink(missing_ok=True)
