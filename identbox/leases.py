"""Leases: files in a shared folder that say who is at a piece of work, so that no one else does it as well.

A lease is held as long as its file's time is renewed. One that was not for STALE seconds, or whose process is gone
from this machine, is anyone's. Times are compared with that of a file written just now, so that only the clock of the
shared folder counts.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BEAT = 5.0  # seconds between two renewals
STALE = 60.0  # seconds without one after which a lease is anyone's


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
            part = lease.path.with_name(f".{lease.path.name}.{token}")
            part.write_text(_content(token))
            part.replace(lease.path)
        return lease

    def is_mine(self) -> bool:
        """Whether no other has taken it over."""
        return _read(self.path).get("token") == self.token

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
