"""What variables and views may be called: their names become columns, files and headings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from identbox.errors import IdentboxError

LONGEST_NAME = 100  # characters
NOT_IN_NAMES = re.compile(r"""[,"/\\]""")


def expect_names(what: str, names: Iterable[str]) -> None:
    """Raise IdentboxError for a name that a table, a file or a page could not hold as it is."""
    for name in names:
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or NOT_IN_NAMES.search(name):
            raise IdentboxError(
                f"{what}: expected names of at most {LONGEST_NAME} characters without commas, quotes and "
                f"slashes, got {name!r:.120}"
            )
