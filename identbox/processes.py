"""Which process is which, across restarts, containers and numbers that are used again.

A process number says nothing where it was given by another machine_id, before a restart, or in a container with numbers
of its own (a PID namespace). So a process is named by all of these, and by the moment at which it began.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

MOST_PID = 2**31 - 1


@cache
def machine_id() -> str:
    """This machine since it was started, and the set of process numbers that this process lives among."""
    boot, numbers = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        numbers = str(Path("/proc/self/ns/pid").stat().st_ino)
    return " ".join(filter(None, (socket.gethostname(), boot, numbers)))


def began(pid: int) -> str:
    """When a process of this machine began, in the kernel's own count; empty where that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    words = stat[stat.rindex(b")") + 2 :].split()
    return "" if words[0] in (b"Z", b"X") else words[19].decode()


def is_gone(pid: object, place: object, start: object) -> bool | None:
    """Whether the process of that number, machine and beginning runs no more; None where that cannot be known here.

    >>> is_gone(os.getpid(), machine_id(), began(os.getpid()))
    False
    """
    if place != machine_id() or type(pid) is not int or not 0 < pid <= MOST_PID:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's
    if not Path("/proc/self/stat").exists():
        return False
    return began(pid) != start if isinstance(start, str) and start else not began(pid)


def scratch_prefix() -> str:
    """How the temporary folders of this process begin; `is_left_over` knows them by it."""
    numbers = machine_id().rpartition(" ")[2]
    return f"identbox-{os.getpid()}-{began(os.getpid()) or 0}-{re.sub('[^0-9]', '', numbers) or 0}-"


def is_left_over(name: str) -> bool:
    """Whether a temporary folder of that name was left by a process of this machine that is gone."""
    match = re.fullmatch(r"identbox-(\d{1,10})-(\d{1,20})-(\d{1,20})-.+", name)
    if match is None or match[3] != scratch_prefix().split("-")[3]:
        return False
    return is_gone(int(match[1]), machine_id(), match[2]) is True
