"""The one exception that a user's mistake raises."""


class IdentboxError(Exception):
    """A mistake that a user can mend.

    The message is one line of the form ``where: expected what, got what``. The command line prints it and
    exits with code 1; any other exception is a bug and keeps its traceback.
    """


def first_few(items, most: int = 5) -> str:
    """The first few of some items as text, with the number of those left out."""
    items = [str(item) for item in items]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
