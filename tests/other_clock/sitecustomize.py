"""Python on a machine whose clock is off by CLOCK_OFF seconds, where this folder is on PYTHONPATH.

A process sees that time, and writes it on the files that it refreshes.
"""

import os
import time
from typing import Any

OFF = float(os.environ.get("CLOCK_OFF", 0))
true_time, true_utime = time.time, os.utime


def utime(path: Any, times: tuple[float, float] | None = None, **more: Any) -> None:
    """As os.utime; where no times are given, those of this clock."""
    true_utime(path, None if "ns" in more else times or (time.time(),) * 2, **more)


time.time = lambda: true_time() + OFF
os.utime = utime  # type: ignore[assignment]
