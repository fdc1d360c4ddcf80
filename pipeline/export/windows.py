"""
Which questions together show more of a list than its cap lets one question show.

A window is a part of the list: by `recognized`, by a `search`, in an order. Every
profile has a UUID (API 3.1), so searches for parts of UUIDs can share a list out among
them; where searches are of no use, other orders and values that were seen are tried.
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
_N_ENDS: Final = len(_RUNS) - 1  # runs with a hyphen behind them
_SHORT_RUN: Final = 4
MOST_DIGITS: Final = _RUNS[0]  # behind them stands a hyphen
RECOGNIZED: Final = ("RECOGNIZED", "ANONYMOUS")
# Beside the id, in the names of the list (API 3.10). All of them may change.
SORT_FIELDS: Final = ("created", "email", "custom_identify", "lastName", "uuid")
# Whose values are worth a search `field:value`, in the same names.
VALUE_FIELDS: Final = (
    "lastName",
    "firstname",
    "city",
    "zipCode",
    "province",
    "countryCode",
    "company",
    "birthdate",
    "sex",
)
_FILL: Final = 0.8  # of a window, so that chance does not make it full


class Meaning(StrEnum):
    """What a `search` for digits of a UUID finds (API 9, question 17)."""

    CONTAINS = "contains"
    PREFIX = "prefix"
    NOTHING = "nothing of use"


@dataclass(frozen=True, slots=True)
class Window:
    """
    A part of the list.

    Attributes:
        recognized: `RECOGNIZED`, `ANONYMOUS`, or None for both.
        search: As the service is asked; empty for no search.
        sort_field: In the words of the list; None leaves the order to the service.
    """

    recognized: str | None = None
    search: str = ""
    sort_field: str | None = "id"
    is_descending: bool = False

    def turned(self) -> Window:
        """Return the same part from its other end."""
        return replace(self, is_descending=not self.is_descending)

    @property
    def name(self) -> str:
        """Return one text for each window."""
        order = f"{self.sort_field}:{'DESC' if self.is_descending else 'ASC'}"
        return f"{self.recognized}|{order}|{self.search}"


@dataclass(frozen=True, slots=True)
class Searching:
    """
    How parts of UUIDs are asked for.

    Attributes:
        field: That is searched, as in `uuid:0a`; empty for a plain search.
    """

    meaning: Meaning = Meaning.NOTHING
    field: str = ""

    @property
    def is_of_use(self) -> bool:
        """Whether the list can be shared out by it."""
        return self.meaning is not Meaning.NOTHING

    def window(self, base: Window, digits: str) -> Window:
        """Return the part of *base* whose UUIDs have these digits."""
        text = f"{self.field}:{digits}" if self.field else digits
        return replace(base, search=text)

    def probes(self, run: str) -> str:
        """Return a text that finds the UUID that begins with *run*, and few others."""
        return run[:6] if self.meaning is Meaning.PREFIX else f"{run[2:]}-"


# What is found within a text is found at its beginning, too; so that is asked second.
PROBED: Final = tuple(
    Searching(meaning, field)
    for field in ("", "uuid")
    for meaning in (Meaning.CONTAINS, Meaning.PREFIX)
)


def digits_of(uuid: str) -> str | None:
    """Return the first run of a UUID, to ask for parts of it; None of other texts."""
    run = uuid.partition("-")[0].lower()
    is_usual = len(run) == _RUNS[0] and all(digit in HEX for digit in run)
    return run if is_usual and len(uuid) == sum(_RUNS) + _N_ENDS else None


def first_digits(meaning: Meaning, n_rows: int, most_rows: int) -> int:
    """
    Return how many digits a search needs, so that its window is probably not full.

    Args:
        n_rows: That are to be divided.
        most_rows: That a window shows.
    """
    n_digits = 1
    while n_digits < MOST_DIGITS:
        share = 16.0**-n_digits
        if meaning is Meaning.CONTAINS:
            share = 1 - (1 - share) ** _N_ENDS
        if n_rows * share <= most_rows * _FILL:
            break
        n_digits += 1
    return n_digits


def first_texts(meaning: Meaning, n_rows: int, most_rows: int) -> Iterator[str]:
    """
    Give texts that together find every UUID of the usual form.

    Where a search finds texts within, they are the last digits before a hyphen: each
    UUID has four such places, where without the hyphen it would have some twenty.
    """
    n_digits = first_digits(meaning, n_rows, most_rows)
    behind = "-" if meaning is Meaning.CONTAINS else ""
    for number in range(16**n_digits):
        yield f"{number:0{n_digits}x}{behind}"


def parts_of(meaning: Meaning, text: str) -> Iterator[str]:
    """Give texts that together find all that *text* finds; none when it is whole."""
    n_digits = len(text.strip("-"))
    if n_digits >= MOST_DIGITS or text.startswith("-"):
        return
    if meaning is Meaning.PREFIX:
        yield from (text + digit for digit in HEX)
        return
    yield from (digit + text for digit in HEX)
    if n_digits >= _SHORT_RUN:  # a whole run, behind another one
        yield f"-{text}"


def orders(window: Window) -> Iterator[Window]:
    """Give the same part in every other order, from both ends."""
    for field in SORT_FIELDS:
        sorted_so = replace(window, sort_field=field, is_descending=False)
        yield sorted_so
        yield sorted_so.turned()
