"""Runs a command of identbox in a process of its own with limits, as a user's whom a stranger sent a folder."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60  # on a busy machine; each takes a few
CEILING = 12 << 30  # bytes: so that a fault does not take the machine with it
DESCRIPTORS = 256
PAGE = resource.getpagesize() / 2**20  # MiB
NEW_NETWORK = 0x40000000  # of unshare: no network but one without connections, where the system allows it
CAPABILITIES = 0x20080522  # the version of capget and capset that has 64 of them
OVERRIDES = 0b1110  # capabilities by which root reads and writes what its mode forbids


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended; the code is None where it was ended for taking too long."""

    code: int | None
    output: str
    seconds: float
    memory: float  # MiB, the most that it had beyond what it began with


def run_limited(arguments: list[object], scratch: Path) -> Outcome:
    """Run ``identbox ARGUMENT...``; forked from this process, which has the libraries already."""
    home, output = scratch / "home", scratch / "output"
    home.mkdir(mode=0o555, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    begun, before = time.monotonic(), int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    pid = os.fork()
    if not pid:
        _become(arguments, home, output)
    deadline = begun + SECONDS
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return Outcome(
                code=os.waitstatus_to_exitcode(status),
                output=output.read_text(errors="replace"),
                seconds=time.monotonic() - begun,
                memory=usage.ru_maxrss / 1024 - before,
            )
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return Outcome(code=None, output=output.read_text(errors="replace"), seconds=SECONDS, memory=0.0)


def _obey_modes() -> None:
    """As root, give up what other users do not have, so that a folder that is read-only is so for this process."""
    library, head, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    if library.capget(head, sets) == 0:
        for place in (0, 1, 2):  # of the first 32: effective, permitted, inheritable
            sets[place] &= ~OVERRIDES
        library.capset(head, sets)


def _become(arguments: list[object], home: Path, output: Path) -> None:
    """In the child: take on the limits, run the command, and end."""
    code = 70
    try:
        os.setsid()
        number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(number, 1)
        os.dup2(number, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
        os.environ |= {"HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
        ctypes.CDLL(None).unshare(NEW_NETWORK)
        _obey_modes()
        resource.setrlimit(resource.RLIMIT_DATA, (CEILING, CEILING))
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        from identbox.commands.main import main

        sys.argv = ["identbox", *map(str, arguments)]
        main()
        code = 0
    except SystemExit as end:
        code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
