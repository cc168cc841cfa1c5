"""The command selftest: is what this machine computes about multimodal VAEs right?"""

from __future__ import annotations

import time

import click

from identbox.commands.options import device_option, torch_device
from identbox.errors import IdentboxError


@click.command("selftest")
@device_option
def selftest_command(device: str) -> None:
    """Hold objectives and likelihoods of multimodal VAEs against closed forms on this machine.

    It takes less than a minute, and exits with code 1 where a check fails.
    """
    from rich.console import Console

    from identbox.metrics.selftest import checks
    from identbox.tables import Table, TableCell

    place, begun = torch_device(device), time.monotonic()
    rows, failed = [], 0
    for check in checks(place):
        failed += not check.holds
        most = f"{check.most:g} {check.unit}".strip()
        state = TableCell("holds", state="good") if check.holds else TableCell("violated", state="bad")
        rows.append((check.what, check.expected, f"{check.difference:.2g}", most, state))
    table = Table(
        "Linear-Gaussian multimodal VAEs, against closed forms",
        ("what", "expected", "off by", "at most", ""),
        rows,
        notes=[
            f"{len(rows) - failed} of {len(rows)} hold, on {place}, in {time.monotonic() - begun:.0f} s.",
            "s.e.: standard errors of what was estimated.",
        ],
        dense=True,
        align="llrll",
    )
    Console().print(table.terminal())
    if failed:
        raise IdentboxError(f"selftest: expected all checks to hold, got {failed} that do not")
