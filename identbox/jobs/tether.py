"""Runs a module as a child process that ends when its parent ends, and refreshes the lease of its work.

    python -m identbox.jobs.tether PARENT LEASE TOKEN MODULE ARGUMENT...

A parent that is killed cannot end its child. So the child ends itself: it exits when its parent is gone, or when
another process has taken its lease.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

from identbox.jobs.leases import BEAT, Lease, register_lease

ORPHANED = 75  # exit code: "try again", as in sysexits.h


def run_module(arguments: list[str]) -> None:
    """Run the module, while a thread watches the parent and the lease."""
    parent, path, token, module, *rest = arguments
    lease = Lease.of_child(path, token)
    register_lease(lease)
    threading.Thread(target=_end_with_parent, args=(int(parent), lease), daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(parent: int, lease: Lease) -> None:
    """Exit when the parent is gone or the lease is lost; until then, refresh the lease."""
    refreshed, lost = time.monotonic(), 0
    while os.getppid() == parent and lost < 3:
        time.sleep(0.5)
        if lost or time.monotonic() - refreshed >= BEAT:
            refreshed = time.monotonic()
            # A shared folder may fail to answer once.
            lost = 3 if lease.is_lost() else 0 if lease.beat() else lost + 1
    os._exit(ORPHANED)


if __name__ == "__main__":
    run_module(sys.argv[1:])
