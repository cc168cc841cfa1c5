# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that are written as text, millions of them at once. Needs numpy alone."""

import warnings

import numpy as np

WHOLE = b"0123456789+-"
DECIMAL = WHOLE + b".eE" + b"nNaAiIfFtTyY"  # of nan, inf and infinity
SPACE = b" \t\n"
MOST = np.iinfo(np.int64).max


def read(text: bytes, kind: type = float) -> np.ndarray | None:
    """The numbers between the white space of a text, in float64 or int64; None where a word is no plain number.

    Words such as ``0x1`` and ``1_000`` are none here, nor is a whole number of 64 bits or more.
    """
    if not text.strip(SPACE):
        return np.zeros(0, kind)
    if text.translate(None, (DECIMAL if kind is float else WHOLE) + SPACE):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            values = np.fromstring(text, kind, sep=" ")
    except (DeprecationWarning, ValueError):
        return None
    if kind is not float and not -MOST < values.min() <= values.max() < MOST:
        return None
    # A word such as 1.2.3 or 1-2 would give two numbers; each gives one at least.
    return values if len(values) == words_of_lines(text).sum() else None


def words_of_lines(text: bytes) -> np.ndarray:
    """How many words each line of a text has, (lines,) int64."""
    ends = np.append(np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")), len(text))
    return np.diff(np.searchsorted(beginnings(text), ends), prepend=0)


def beginnings(text: bytes) -> np.ndarray:
    """Where each word of a text begins, (words,) int64."""
    black = np.frombuffer(text, np.uint8) > ord(" ")
    black[1:] &= ~black[:-1]
    return np.flatnonzero(black)
