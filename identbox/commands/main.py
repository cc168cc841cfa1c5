"""The command line: each command parses, calls, and prints."""

from __future__ import annotations

import errno
import signal
import sys
from types import FrameType

import click

from identbox import __version__
from identbox.commands import data, doctor, process, shapes, sweep, train, verify
from identbox.errors import IdentboxError

AGAIN = 0.05  # seconds between two tries of a signal that came amid an import


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="identbox")
def cli() -> None:
    """Multimodal data whose hidden causes are known, and tests of whether a learner found them."""


for command in (
    process.process,
    doctor.doctor,
    data.render,
    data.check,
    data.export,
    shapes.shapes,
    train.simulate,
    sweep.sweep,
    sweep.report,
    train.train,
    train.probe,
    verify.verify,
):
    cli.add_command(command)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as the handler of a signal; amid an import, as soon as that is over.

    An import would lose it in a callback, or leave half a module behind it. The alarm goes on until it is heard, since
    one that rings just before a system call begins does not end that.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
            return
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line: a user's mistake is one line and exit code 1, Ctrl-C and SIGTERM are 130."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a script's & leaves it
        signal.signal(signal.SIGINT, interrupt)
    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        click.echo(f"identbox: {error.format_message()}", err=True)
    except IdentboxError as error:
        click.echo(f"identbox: {error}", err=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        told = f"{where}expected room to write, got '{error.strerror}'; make room and give the same command again"
        click.echo(f"identbox: {told}", err=True)
    except (KeyboardInterrupt, click.Abort):
        click.echo("identbox: stopped; the same command goes on where it stopped", err=True)
        sys.exit(130)
    sys.exit(1)
