"""
Which questions together show more of a list than its cap lets one question show.

A window is a part of the list: by `recognized`, by a `search`, in an order. One that is
full is read from its other end, too, and split if that is not enough. Whether the
windows cover everything is never taken from this plan: only counting tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HEX: Final = "0123456789abcdef"
# Of a UUID in its usual form: runs of digits between hyphens.
_RUNS: Final = (8, 4, 4, 4, 12)
_MOST_DIGITS: Final = 8  # of a prefix: behind them stands a hyphen
RECOGNIZED: Final = ("RECOGNIZED", "ANONYMOUS")
# Beside the id, in the names of the list (API 3.10). All of them may change.
SORT_FIELDS: Final = ("created", "email", "custom_identify", "lastName", "uuid")


class Meaning(StrEnum):
    """What a plain `search` finds (API 9, question 17)."""

    CONTAINS = "contains"
    PREFIX = "prefix"
    NOTHING = "nothing of use"


@dataclass(frozen=True, slots=True)
class Window:
    """
    A part of the list.

    Attributes:
        recognized: `RECOGNIZED`, `ANONYMOUS`, or None for both.
        search: Digits of UUIDs; empty for no search.
        sort_field: In the words of the list; None leaves the order to the service.
    """

    recognized: str | None = None
    search: str = ""
    sort_field: str | None = "id"
    is_descending: bool = False

    def turned(self) -> Window:
        """Return the same part from its other end."""
        return replace(self, is_descending=not self.is_descending)


def digits_of(uuid: str) -> str | None:
    """Return the first run of a UUID, to ask for parts of it; None of other texts."""
    run = uuid.partition("-")[0].lower()
    is_usual = len(run) == _RUNS[0] and all(digit in HEX for digit in run)
    return run if is_usual else None


def first_digits(meaning: Meaning, n_rows: int, most_rows: int) -> int:
    """
    Return how many digits a search needs, so that its window is probably not full.

    Args:
        n_rows: That are to be divided.
        most_rows: That a window shows.
    """
    n_digits = 1
    while n_digits < _MOST_DIGITS:
        share = 16.0**-n_digits
        if meaning is Meaning.CONTAINS:
            places = sum(max(0, run - n_digits + 1) for run in _RUNS)
            share = 1 - (1 - share) ** places
        if n_rows * share <= most_rows * 0.8:
            return n_digits
        n_digits += 1
    return n_digits


def searches(
    window: Window, meaning: Meaning, n_rows: int, most_rows: int
) -> Iterator[Window]:
    """Give the parts of a full window; none when no search is of use."""
    if meaning is Meaning.NOTHING or len(window.search) >= _MOST_DIGITS:
        return
    if window.search:
        for digit in HEX:
            yield replace(window, search=window.search + digit)
        return
    n_digits = first_digits(meaning, n_rows, most_rows)
    for number in range(16**n_digits):
        # Neighbours in this order share the least: each adds much to the one before.
        text = f"{number:0{n_digits}x}"[::-1]
        yield replace(window, search=text)


def orders(window: Window) -> Iterator[Window]:
    """Give the same part in every other order, from both ends."""
    for field in SORT_FIELDS:
        sorted_so = replace(window, sort_field=field, is_descending=False)
        yield sorted_so
        yield sorted_so.turned()
