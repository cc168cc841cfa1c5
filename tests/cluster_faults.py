"""Every process of a real Dask cluster is killed while it renders; the dataset is compared with an undisturbed run.

    python tests/cluster_faults.py --images 400

Two workers are killed and replaced, then the client is killed and started again, then the scheduler is killed, and the
same command continues on another cluster. Every byte of the dataset must equal that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults import differing, files
from lives import PATIENCE

# The command line, with shards of {} images.
COMMAND = (
    "import sys; from identbox.rendering import shards; shards.IMAGES_PER_JOB = {};"
    "from identbox.commands.main import main; main()"
)

KILLS = ((0.1, "worker"), (0.3, "worker"), (0.5, "client"), (0.7, "scheduler"))


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until a condition holds; raises TimeoutError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected it within {seconds:g} s")
        time.sleep(0.02)


class Dask:
    """A scheduler and workers as processes of their own, with their logs in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.children: list[subprocess.Popen] = []
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", file
        )
        until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    def worker(self) -> subprocess.Popen:
        """Start another worker, of one thread."""
        return self._start(
            "distributed.cli.dask_worker",
            *(self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", self.folder),
        )

    def start_workers(self, count: int) -> list[subprocess.Popen]:
        """Start workers, and wait until the scheduler knows them."""
        workers = [self.worker() for _ in range(count)]
        until(lambda: self.workers() == count)
        return workers

    def workers(self) -> int:
        """The number of workers that have registered with the scheduler so far."""
        return sum("Registered to" in path.read_text() for path in self.folder.glob("*.log"))

    def close(self) -> None:
        """Kill the workers and the scheduler."""
        for child in reversed(self.children):
            kill(child)

    def _start(self, module: str, *options: object) -> subprocess.Popen:
        with (self.folder / f"{len(self.children)}.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, options)], stdout=log, stderr=subprocess.STDOUT
            )
        self.children.append(child)
        return child


def kill(child: subprocess.Popen) -> None:
    """Send SIGKILL, and wait for the end of the process."""
    child.kill()
    child.wait()


def render_with_kills(
    arguments: list[str],
    images: int,
    out: Path,
    scratch: Path,
    *,
    shard: int,
    kills: Sequence[tuple[float, str]] = KILLS,
    workers: int = 2,
) -> list[str]:
    """Render ``images`` images into ``out`` while workers, client and scheduler are killed; returns what was killed.

    ``arguments`` are those of `identbox render` without --out and --cluster; ``shard`` is the images of one job.
    ``kills`` are shares of the images, and what is killed when they are there; the last is the scheduler. The first
    cluster has so many ``workers``, the second has one.
    Raises RuntimeError where the command does not end as it should.
    """
    first, second, client_log = Dask(scratch / "first"), None, scratch / "client.log"
    killed = []

    def client(cluster: Dask) -> subprocess.Popen:
        words = [*arguments, "--out", str(out), "--cluster", cluster.address]
        with client_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(shard), "render", *words], stdout=log, stderr=log
            )

    def rendered() -> int:
        return len(list(out.glob("*/images/*.png")))

    def wait_for(share: float) -> None:
        goal = min(images, max(share * images, rendered() + 1))
        until(lambda: rendered() >= goal, PATIENCE)

    try:
        running = first.start_workers(workers)
        process = client(first)
        for share, what in kills:
            wait_for(share)
            if what == "worker":
                kill(running.pop())
                first.worker()
            elif what == "client":
                kill(process)
                process = client(first)
            else:
                kill(first.scheduler)
            killed.append(f"the {what} at {rendered()} images")
        # The client ends with 0 where the workers had done everything before it noticed, and else with one line.
        if process.wait(timeout=PATIENCE) not in (0, 1) or "Traceback" in client_log.read_text():
            raise RuntimeError(f"expected one line about the scheduler, got {client_log.read_text()[-800:]}")
        first.close()
        second = Dask(scratch / "second")
        second.start_workers(1)
        if client(second).wait(timeout=PATIENCE):
            raise RuntimeError(client_log.read_text()[-800:])
    finally:
        first.close()
        if second is not None:
            second.close()
    return killed


def main() -> int:
    """Render undisturbed and with kills, and compare; returns 1 where a byte differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--shard", type=int, default=40)
    options = parser.parse_args()
    words = ["--n", str(options.images), "--val", "0", "--test", "0", "--size", str(options.size)]
    identbox = [sys.executable, "-m", "identbox"]
    with tempfile.TemporaryDirectory(prefix="cluster-faults-") as place:
        scratch = Path(place)
        undisturbed, out = scratch / "undisturbed", scratch / "disturbed"
        subprocess.run(
            [*identbox, "render", *words, "--out", str(undisturbed)], check=True, stdout=subprocess.DEVNULL
        )
        begun = time.monotonic()
        for what in render_with_kills(words, options.images, out, scratch, shard=options.shard):
            print(f"killed {what}")
        print(f"{options.images} images in {time.monotonic() - begun:.0f} s")
        subprocess.run([*identbox, "check", str(out)], check=True, stdout=subprocess.DEVNULL)
        wrong = differing(files(undisturbed), files(out))
        print(f"DIFFERS: {', '.join(wrong[:3])}" if wrong else f"equal: all {len(files(undisturbed))} files")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
