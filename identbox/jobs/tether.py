"""Runs a module as a child of a run's watcher: ends with it, and keeps the lease of its work alive.

    python -m identbox.tether PARENT LEASE TOKEN MODULE ARGUMENT...

A watcher that is killed cannot end its child. So the child looks after itself: it exits when its parent is gone, or
when its lease has become another's.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

from identbox.jobs.leases import BEAT, Lease, keep

ORPHANED = 75  # exit code: "try again", as in sysexits.h


def main(arguments: list[str]) -> None:
    """Watch the parent and the lease from a thread of their own, and run the module."""
    parent, path, token, module, *rest = arguments
    lease = Lease.of_child(path, token)
    keep(lease)
    threading.Thread(target=_watch, args=(int(parent), lease), daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int, lease: Lease) -> None:
    beaten, lost = time.monotonic(), 0
    while os.getppid() == parent and lost < 3:
        time.sleep(0.5)
        if lost or time.monotonic() - beaten >= BEAT:
            beaten = time.monotonic()
            # A shared folder may fail to answer once.
            lost = 3 if lease.is_lost() else 0 if lease.beat() else lost + 1
    os._exit(ORPHANED)


if __name__ == "__main__":
    main(sys.argv[1:])
