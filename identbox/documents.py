"""HTML pages that need nothing beside themselves: no network, no script, no font.

A policy in each page forbids the browser to load anything. The texts of a page are escaped; what has a method
``__html__`` is put in as it is: `markupsafe.Markup`, and an `identbox.tables.Table`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identbox.texts import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

BASE_TEMPLATES = Path(__file__).parent / "templates"


def page(title: str, *parts: object, kicker: str = "identbox", lead: str = "") -> str:
    """A whole page in the project's style: a title, and parts one below the other.

    A string among the parts becomes a paragraph; a table, or markup, is put in as it is. ``kicker`` is the line above
    the title, ``lead`` the sentence below it. Equal arguments give equal text.

    >>> "<h1>1 &lt; 2</h1>" in page("1 < 2", "A paragraph.")
    True
    """
    shown = [(part, hasattr(part, "__html__")) for part in parts]
    return str(fill_template("page.html.j2", title=title, parts=shown, kicker=kicker, lead=lead))


def heading(text: str) -> Markup:
    """The heading of a section of a `page`."""
    from markupsafe import Markup

    return Markup("<h2>{}</h2>").format(text)


def fill_template(template: str, folder: Path = BASE_TEMPLATES, /, **values: Any) -> Markup:
    """A template, filled in; it is found in ``folder``, and what it extends or includes in identbox/templates too."""
    from markupsafe import Markup

    return Markup(environment(folder).get_template(template).render(values))


def _shown(value: Any) -> Any:
    """Any value as a text without control characters; what is markup already stays as it is."""
    return value if hasattr(value, "__html__") else visible(str(value), "\n")


@lru_cache
def environment(folder: Path) -> Environment:
    """Templates that escape every text, refuse names without a value, and end lines as they are written."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, BASE_TEMPLATES]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
