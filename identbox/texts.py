"""Texts of users and strangers in the formats that people and programs read: one function for each format.

A name may hold anything: codes that a terminal obeys, marks of Markdown and HTML, a formula of a spreadsheet. Wherever
it enters a format it goes through one of these, and is shown as the text that it is. HTML is escaped by the templates
of `identbox.documents`, which also use `visible`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

# An underscore within a word is none.
MARKDOWN_MARKS = re.compile(r"[\\|*`]|(?<![^\W_])_|_(?![^\W_])|~~|\](?=[(\[:])|&(?=#?\w+;)")
APOSTROPHE = "'"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that a spreadsheet would compute


def visible(text: str, keep: str = "") -> str:
    """A text without characters that a terminal obeys: these become escapes; those in ``keep`` stay.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) or c in keep else c.encode("unicode_escape").decode() for c in text)


def _is_shown(character: str) -> bool:
    # Python calls no space but the plain one printable.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def escape_markdown(text: str) -> str:
    """A text that Markdown shows as it is, in a table too, on one line.

    >>> print(escape_markdown("a|b <b>c</b> [d](e) `f`"))
    a\\|b &lt;b>c&lt;/b> [d\\](e) \\`f\\`
    """
    line = visible(" ".join(text.splitlines())).strip()
    line = MARKDOWN_MARKS.sub(lambda match: "&amp;" if match[0] == "&" else "\\" + match[0], line)
    line = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)
    # What begins a heading, a quotation, a list or a rule, where the text begins a line.
    return re.sub(r"^(\d*)(?=[.)](?:\s|$)|[#>]|[+=-](?:[\s#>+=-]|$))", r"\1\\", line)


def markdown_code(text: str) -> str:
    """A text as Markdown shows code; the mark that would end it becomes another.

    >>> print(markdown_code("a`b"))
    `a'b`
    """
    return f"`{visible(' '.join(text.split())).replace('`', APOSTROPHE)}`"


def figure_text(text: str) -> str:
    """A text that matplotlib draws as it is, formulas between dollars too.

    >>> figure_text("1 $ and 2 $")
    '1 \\\\$ and 2 \\\\$'
    """
    return visible(text, "\n").replace("$", r"\$")


def csv_cell(value: Any) -> Any:
    """A value that a spreadsheet shows and does not compute.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell(-0.5), csv_cell("a")
    ("'=1+1", '-0.5', -0.5, 'a')
    """
    if not isinstance(value, str):
        return value
    text = visible(value, "\n")
    return f"'{text}" if value.startswith(FORMULA) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def yaml_string(text: str) -> str:
    """A text as YAML, on one line.

    >>> print(yaml_string('a: "b"'))
    "a: \\"b\\""
    """
    return json.dumps(visible(" ".join(text.split())), ensure_ascii=False)


def fixed_digits(x: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number with fixed digits, never a negative zero.

    >>> fixed_digits(-0.001), fixed_digits(-0.12), fixed_digits(0.5, sign=True)
    ('0.00', '-0.12', '+0.50')
    """
    text = f"{x:+.{digits}f}" if sign else f"{x:.{digits}f}"
    return text if float(text) else text.lstrip("+-")
