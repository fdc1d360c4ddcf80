"""Words for people: numbers with nouns, and foreign text made fit to be shown."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_TEXT_CHARS: Final = 500
MAX_SHAPE_CHARS: Final = 60
_LETTERS: Final = ("L", "M")
_DIGITS: Final = "N"
# The API names no rate, so forecasts of minutes assume a modest one.
FORECAST_REQUESTS_PER_S: Final = 5.0


def printable(text: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
    r"""
    Return *text* as one harmless line of at most *max_chars* characters.

    Control, format and bidirectional characters, line ends and lone surrogates become
    `\x1b`-like escapes, so neither a terminal nor a log can be written to by a server
    or a file name. A cut shows as `…`.
    """
    shown = "".join(map(_harmless, text[: max_chars + 1]))
    if len(shown) <= max_chars:
        return shown
    return shown[: max_chars - 1] + "…"


def _harmless(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def masked(text: str) -> str:
    """
    Return the shape of a value: `a` and `A` for letters, `9` for digits.

    ASCII punctuation and blanks stay, because that is where values go wrong; what else
    can be seen becomes `·`, and what cannot be seen shows as `printable` shows it. So a
    person sees what is odd, and not whom it is about.
    """
    return printable("".join(map(_shape, text)), max_chars=MAX_SHAPE_CHARS)


def _shape(char: str) -> str:
    category = unicodedata.category(char)
    if category.startswith(_LETTERS):
        return "A" if char.isupper() else "a"
    if category.startswith(_DIGITS):
        return "9"
    return char if char.isascii() or not char.isprintable() else "·"


def counted(n: int, noun: str, many: str | None = None) -> str:
    """Return a number with its noun, such as "1 batch" and "2 batches"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {many or noun + 's'}"


def size(n_bytes: float) -> str:
    """Return bytes in the unit that people read best."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:  # noqa: PLR2004 - SI units
            number = f"{n_bytes:.0f}" if unit == "bytes" else f"{n_bytes:.1f}"
            return f"{number} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def forecast(n_requests: int, n_bytes: float) -> str:
    """Return what sending would take, with the rate that is assumed."""
    minutes = n_requests / FORECAST_REQUESTS_PER_S / 60
    time = f"{minutes:,.0f} minutes" if minutes >= 1 else "under a minute"
    return (
        f"{counted(n_requests, 'request')}, {size(n_bytes)}, "
        f"{time} at {FORECAST_REQUESTS_PER_S:g} requests/s"
    )
