"""The command line: each command parses, calls, and prints."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from types import FrameType

import click

from identbox.commands import (
    data,
    doctor,
    explore,
    generate,
    multiview,
    process,
    scores,
    selftest,
    shapes,
    sweep,
    train,
    verify,
)
from identbox.errors import IdentboxError

RETRY = 0.05  # seconds between two attempts to handle a signal that came during an import


def print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the version and exit, as the callback of an option."""
    if wanted and not context.resilient_parsing:
        from identbox import __version__

        click.echo(f"identbox, version {__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Multimodal data whose hidden causes are known, and tests of whether a learner found them."""


for command in (
    process.process_group,
    doctor.doctor_command,
    selftest.selftest_command,
    data.render_command,
    data.check_command,
    data.export_command,
    multiview.data_group,
    explore.explore_command,
    shapes.shapes,
    train.simulate_command,
    sweep.sweep_command,
    sweep.report_command,
    train.train_command,
    train.probe_command,
    generate.generate_command,
    scores.scores_command,
    verify.verify_command,
):
    cli.add_command(command)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as the handler of a signal; during an import, as soon as the import is over.

    An import would lose the exception in a callback, or leave half a module behind. The alarm is repeated until the
    import is over, since one that comes just before a system call begins does not end that call.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, RETRY, RETRY)
            return
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise KeyboardInterrupt


def open_standard_streams() -> None:
    """Make sure that there are three standard streams, and that each can print any text.

    A caller may have closed some: what is opened next would get their numbers, and be written to by others. A terminal
    may know less than UTF-8: what it cannot show is printed as a question mark.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def message_of(error: OSError) -> str:
    """What the system refused, as a message to a user."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where}expected space on the disk, got '{error.strerror}'; free some and give the same command again"
    return f"{where}expected the system to allow it, got '{error.strerror or error}'"


def main() -> None:
    """Run the command line: a user's mistake is one line and exit code 1; Ctrl-C, SIGTERM and SIGHUP are 130."""
    open_standard_streams()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, interrupt)
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
    except BrokenPipeError:  # who read the output wants no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as error:
        click.echo(f"identbox: {IdentboxError(message_of(error))}", err=True)
    except MemoryError:
        click.echo("identbox: memory: expected more than this machine has left, got none", err=True)
    except (KeyboardInterrupt, click.Abort):
        click.echo("identbox: stopped; the same command continues where it stopped", err=True)
        sys.exit(130)
    sys.exit(1)
