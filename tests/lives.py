"""Commands as they live: each in a process group of its own, on this machine or in a container whose clock is off.

`faults` disturbs them. A command has PATIENCE seconds to end, in which those do not count that it waited for a
processor: on a busy machine it is given longer, and one that hangs is found all the same.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from identbox.jobs.leases import STALE

PATIENCE = 300.0  # seconds that a command may take when it is left undisturbed
LOADED = 10  # so many times PATIENCE is the most that a busy machine is given
LOOK_EVERY = 0.2  # seconds between two looks at a command
DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of identbox, and what of its folder counts."""

    arguments: tuple[str, ...]  # without --out
    content: Callable[[Path], dict[str, Any]]  # by name, of what is left in the end


IDENTBOX = ("-m", "identbox")
# A process number means something else in each container.
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
OTHER_CLOCK = Path(__file__).with_name("other_clock")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a command is started: here, or each time in another container whose clock is up to a day off."""

    program: tuple[str, ...] = IDENTBOX
    containers: random.Random | None = None

    def words(self) -> tuple[str, ...]:
        """What comes before the arguments of the command."""
        return (*(CONTAINER if self.containers else ()), sys.executable, *self.program)

    def environment(self) -> dict[str, str]:
        """This process's own, and the clock of a container, which the command's children share."""
        if self.containers is None:
            return dict(os.environ)
        path = os.pathsep.join(filter(None, (str(OTHER_CLOCK), os.environ.get("PYTHONPATH"))))
        off = self.containers.uniform(-DAY, DAY)
        return {**os.environ, "PYTHONPATH": path, "CLOCK_OFF": str(off)}


HERE = Machine()


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    """A process and all that it started; none where it has ended."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def waited(processes: list[psutil.Process]) -> dict[psutil.Process, float]:
    """The seconds that each has waited for a processor since it began; none where the system does not tell."""
    seconds = {}
    for process in processes:
        with suppress(OSError, IndexError):
            seconds[process] = int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9
    return seconds


def end(process: subprocess.Popen, patience: float = PATIENCE) -> int:
    """Wait for the end of a process; returns its exit code.

    Raises TimeoutError, which names what its processes were doing, where that takes longer than ``patience`` seconds,
    those left out that one of them waited for a processor; or LOADED times as long with them.
    """
    begun = looked = time.monotonic()
    known, spent = waited(tree(process)), 0.0
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=LOOK_EVERY)
        now, there = time.monotonic(), waited(tree(process))
        delay = max((seconds - known.get(each, seconds) for each, seconds in there.items()), default=0.0)
        spent += max(now - looked - delay, 0.0)
        looked, known = now, there
        if spent > patience or now - begun > LOADED * patience:
            raise TimeoutError(
                f"expected its end within {patience:g} s, got {'; '.join(map(doing, tree(process)))}"
            )


def doing(process: psutil.Process) -> str:
    """What a process is doing, in a few words."""
    try:
        words, seconds = " ".join(process.cmdline())[-80:], sum(process.cpu_times()[:2])
        return f"{words} ({process.status()}, {seconds:.0f} s of processor)"
    except psutil.Error:
        return "a process that has just ended"


class Life:
    """A command in a process group of its own, started again whenever it has ended."""

    def __init__(self, command: Command, out: Path, log: Path, machine: Machine = HERE) -> None:
        self.command, self.out, self.log, self.machine = command, out, log, machine
        self.child = self.start()

    def start(self) -> subprocess.Popen:
        """Start it; returns its process."""
        self.begun = time.time()
        with self.log.open("ab") as file:
            return subprocess.Popen(
                [*self.machine.words(), *self.command.arguments, "--out", str(self.out)],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self.machine.environment(),
            )

    def wait_for_work(self) -> None:
        """Wait until it has written a file besides its leases, or has ended, but no longer than a lease lasts twice."""
        deadline = time.monotonic() + 2 * STALE
        while self.child.poll() is None and time.monotonic() < deadline and not self.works():
            time.sleep(LOOK_EVERY)

    def works(self) -> bool:
        """Whether it has written a file besides its leases since it was started."""
        for path in self.out.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and ".lease" not in path.name and path.stat().st_mtime > self.begun:
                    return True
        return False

    def peace(self, tries: int = 1) -> None:
        """Let it end, starting it again up to ``tries`` times; raises RuntimeError where it fails or takes too long."""
        for _ in range(tries):
            if end(self.child) == 0:
                return
            self.child = self.start()
        if end(self.child) != 0:
            self.fail()

    def fail(self) -> NoReturn:
        """Raise RuntimeError with the end of its log."""
        raise RuntimeError(f"{self.command.arguments[0]}: {self.log.read_text()[-500:]}")

    def disturb(self, kind: str, rng: random.Random) -> None:
        """Disturb it in one way, one of FAULTS."""
        if kind == "cut":
            self.kill_all()
            chosen = [
                path for path in sorted(self.out.rglob("*")) if path.is_file() and path.suffix != ".lease"
            ]
            if chosen:
                path = rng.choice(chosen)
                os.truncate(path, rng.randrange(path.stat().st_size + 1))
        elif kind == "times":
            jump = rng.uniform(-DAY, DAY)
            for path in self.out.rglob("*"):
                with suppress(FileNotFoundError):
                    then = path.stat().st_mtime + jump
                    os.utime(path, (then, then))
        elif kind == "twice":
            self.second()
        else:
            with suppress(psutil.NoSuchProcess, IndexError):
                victim = rng.choice(tree(self.child))
                victim.send_signal(signal.Signals[kind])
                if kind == "SIGSTOP":
                    time.sleep(rng.uniform(0.5, 3))
                    victim.resume()

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def second(self) -> None:
        """Start the same command beside it: it must do its part, or say which process is working in the folder."""
        other = self.start()
        code = end(other)
        if code not in (0, 1, -signal.SIGKILL):
            self.fail()
        if code == 1 and "expected no other process in this folder" not in self.log.read_text():
            self.fail()
