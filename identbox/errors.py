"""The one exception that a user's mistake raises."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST = 2000  # characters of a message


class IdentboxError(Exception):
    """A mistake that a user can mend.

    The message is one line of the form ``where: expected what, got what``. The command line prints it and
    exits with code 1; any other exception is a bug and keeps its traceback.

    >>> from identbox import IdentboxError, Mixing
    >>> try:
    ...     Mixing(layers=0)
    ... except IdentboxError as error:
    ...     print(error)
    layers: expected at least 1, got 0
    """

    def __init__(self, message: str) -> None:
        """What files hold may be quoted as it is: line breaks become spaces, control characters escapes."""
        line = " ".join(message.split())
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        super().__init__(shown if len(shown) <= LONGEST else shown[:LONGEST] + "…")


@contextmanager
def expect_library(what: str, library: str, extra: str) -> Iterator[None]:
    """Raise IdentboxError where the imports inside fail, with the ``extra`` of identbox that has the library."""
    try:
        yield
    except ImportError as error:
        raise IdentboxError(
            f"{what}: expected {library}, got {error}; type: pip install 'identbox[{extra}]'"
        ) from error


def first_few(items: Iterable[object], most: int = 5) -> str:
    """The first few of some items as text, with the number of those left out."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
