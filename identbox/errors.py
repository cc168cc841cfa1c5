"""The one exception that a user's mistake raises."""

from collections.abc import Iterable


class IdentboxError(Exception):
    """A mistake that a user can mend.

    The message is one line of the form ``where: expected what, got what``. The command line prints it and
    exits with code 1; any other exception is a bug and keeps its traceback.
    """


def first_few(items: Iterable[object], most: int = 5) -> str:
    """The first few of some items as text, with the number of those left out."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
