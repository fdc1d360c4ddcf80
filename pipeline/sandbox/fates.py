"""
What befalls one request, drawn from the seed and its number; and the request limit.

Pure and repeatable: equal seeds give equal sequences, whatever runs at the same time.
The order of the draws is part of that: a new one goes behind the others.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.sandbox.validation import Problem
from pipeline.sandbox.weather import RATED, Fate, Weather

_MOST_NAMED: Final = 3
_IDENTIFIERS: Final = ("customId", "email", "uuid", "phone")


@dataclass(frozen=True, slots=True)
class Forecast:
    """
    What happens to one request.

    Attributes:
        delay_s: Before any answer.
        lot: From 0 to 1, to choose among the forms that the fate has.
        login_fails: Counts where the request is a login.
    """

    fate: Fate = Fate.NONE
    delay_s: float = 0.0
    lot: float = 0.0
    login_fails: bool = False


def forecast(weather: Weather, request_no: int) -> Forecast:
    """Tell the fate of the request with this number."""
    dice = random.Random(f"{weather.seed} {request_no}")  # noqa: S311 - repeatable
    delay_s = weather.slow_s if dice.random() < weather.slow else 0.0
    drawn = dice.random()
    lot = dice.random()
    login_fails = dice.random() < weather.login_failure
    for fate in RATED:
        drawn -= weather.rate(fate)
        if drawn < 0:
            return Forecast(fate, delay_s, lot, login_fails)
    return Forecast(Fate.NONE, delay_s, lot, login_fails)


# --- what the application is told ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowsRefused:
    """
    Rows of a batch that are refused although nothing is wrong with them.

    Attributes:
        status: 400 and 422 refuse the batch; 207 and 202 accept the other rows.
        named: Whether the answer names the rows; a 202 that does has a body.
        text: The rows that hold it, in a key or a value; empty: as `lot` says.
        lot: From 0 to 1; chooses one to three rows.
    """

    status: int
    named: bool
    text: str = ""
    lot: float = 0.0

    def positions(self, items: Sequence[Any]) -> frozenset[int]:
        """Return where the refused items stand, from 0."""
        if self.text:
            return frozenset(n for n, sent in enumerate(items) if self._in(sent))
        dice = random.Random(self.lot)  # noqa: S311 - repeatable
        n_named = dice.randint(1, min(_MOST_NAMED, len(items)))
        return frozenset(dice.sample(range(len(items)), n_named))

    def _in(self, value: object) -> bool:
        if isinstance(value, dict):
            return any(self._in(one) for pair in value.items() for one in pair)
        if isinstance(value, list):
            return any(self._in(one) for one in value)
        return self.text in str(value)

    @staticmethod
    def problem(item: object) -> Problem:
        """Describe a refused item by one of its identifiers."""
        found = item if isinstance(item, dict) else {}
        field = next((name for name in _IDENTIFIERS if name in found), _IDENTIFIERS[0])
        return Problem(field, "is not accepted", found.get(field))


@dataclass(frozen=True, slots=True)
class Omen:
    """
    What the weather asks of the application itself, for one request.

    Attributes:
        expire: The token of the request has expired.
        extra_s: Seconds that accepted writes wait beyond the settle time; infinite:
            they are never applied.
    """

    expire: bool = False
    extra_s: float = 0.0
    refused: RowsRefused | None = None


CLEAR: Final = Omen()

_ROWS_REFUSED: Final = {
    Fate.BAD_ROWS: (400, True),
    Fate.UNPROCESSABLE: (422, True),
    Fate.PARTIAL: (207, True),
    Fate.SUSPECT: (202, True),
}


def omen_of(sky: Forecast, weather: Weather) -> Omen:
    """Tell what of a fate the application has to carry out."""
    refused = None
    if sky.fate in _ROWS_REFUSED:
        refused = RowsRefused(*_ROWS_REFUSED[sky.fate], lot=sky.lot)
    elif weather.refuse:
        refused = RowsRefused(
            weather.refuse_status, weather.refuse_named, weather.refuse
        )
    extra_s = {Fate.LOST: math.inf, Fate.LATE: weather.late_s}.get(sky.fate, 0.0)
    return Omen(sky.fate is Fate.EXPIRE, extra_s, refused)


# --- the request limit ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a request limit, and when that was counted."""

    tokens: float
    at_s: float


def admit(bucket: Bucket, limit: float, now_s: float) -> tuple[Bucket, float]:
    """
    Let one request through a limit, or say how long it should wait.

    The bucket holds one second's worth of requests, at least one.

    Returns:
        The bucket afterwards, and seconds to wait; 0 means admitted.
    """
    size = max(1.0, limit)
    tokens = min(size, bucket.tokens + (now_s - bucket.at_s) * limit)
    if tokens >= 1:
        return Bucket(tokens - 1, now_s), 0.0
    return Bucket(tokens, now_s), (1 - tokens) / limit
