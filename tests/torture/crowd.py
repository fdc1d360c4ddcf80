"""
The people of a month of nights: who leaves, who comes, who comes back, who changes.

Frames, so that a million change in a second. Every draw is made by polars, from a seed
that one `Random` gives, so that a month can be lived again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Final

import polars as pl

from torture.guarded_nights import CITIES, TIERS

SEEN: Final = "attributes.seen"
CONSENT: Final = "agreements.email"
NAMES: Final = ("Ewa", "Jan", "Żaneta", "Łukasz", "Anna")
# Of those who come, those who were there before; of those who change, whose consent is
# asked for again.
_SHARE_BACK: Final = 0.5
_SHARE_ASKED: Final = 0.1
_AT: Final = "at"


@dataclass(frozen=True)
class Size:
    """
    How many people there are, and how many of them one day moves.

    Attributes:
        changed: Share of them that is not what it was.
        moved: Share that leaves, and that comes.
        max_rows: Of a batch; None for the default of the tool.
    """

    n_people: int
    changed: float
    moved: float
    max_rows: int | None = None


class Crowd:
    """
    A list of people that is another one every day.

    Attributes:
        rows: Who is on the list, all columns text.
        away: Who was on it, as of the last day.
    """

    def __init__(self, size: Size, day: date, dice: random.Random) -> None:
        self._size = size
        self._dice = dice
        self._n_ever = size.n_people
        self.rows = self._newcomers(0, size.n_people, day)
        self.away = self.rows.clear()

    def everybody(self) -> pl.DataFrame:
        """Return all who were ever on the list, as they were when last on it."""
        return pl.concat([self.rows, self.away])

    def pass_day(self, day: date) -> None:
        """Let some leave and others change, then some come back, and some come."""
        n_moved = round(self._size.n_people * self._size.moved)
        n_changed = round(self._size.n_people * self._size.changed)
        rows = self.rows.with_row_index(_AT)
        picked = rows[_AT].sample(n_moved + n_changed, seed=self._seed())
        leave, change = picked.head(n_moved), picked.tail(n_changed)
        n_asked = round(n_changed * _SHARE_ASKED)
        asked = self._draw(("yes", "no"), n_asked)
        news = self._changes(n_changed, day).with_columns(
            change, asked.extend_constant(None, n_changed - n_asked).alias(CONSENT)
        )
        leaving = pl.col(_AT).is_in(leave.implode())
        gone = rows.filter(leaving).drop(_AT)
        stay = rows.filter(~leaving).update(news, on=_AT).drop(_AT)
        n_back = min(self.away.height, round(n_moved * _SHARE_BACK))
        back = self.away.sample(n_back, seed=self._seed())
        others = self.away.join(back, on="customId", how="anti", maintain_order="left")
        back = back.with_columns(self._changes(n_back, day))
        new = self._newcomers(self._n_ever, n_moved - n_back, day)
        self._n_ever += new.height
        self.rows = pl.concat([stay, back, new])
        self.away = pl.concat([others, gone])

    def write(self, path: Path) -> None:
        """Write who is on the list as CSV."""
        self.rows.write_csv(path)

    def _newcomers(self, first: int, n: int, day: date) -> pl.DataFrame:
        number = pl.int_range(first, first + n, eager=True).cast(pl.String)
        born = pl.date_range(date(1950, 1, 1), date(1999, 12, 31), eager=True)
        born = born.sample(n, with_replacement=True, seed=self._seed())
        return pl.DataFrame(
            {
                "customId": "C" + number.str.zfill(8),
                "email": "p" + number + "@example.com",
                "city": self._draw(CITIES, n),
                "birthDate": born.dt.to_string("%Y-%m-%d"),
                CONSENT: self._draw(("yes", "no"), n),
                "attributes.tier": self._draw(TIERS, n),
                "attributes.points": self._draw([str(i) for i in range(1000)], n),
            }
        ).hstack(self._changes(n, day))

    def _changes(self, n: int, day: date) -> pl.DataFrame:
        """Draw the fields that change from day to day."""
        half, other = (
            self._draw([str(i) for i in range(least, 10 * least)], n)
            for least in (10, 100)
        )
        seen = datetime.combine(day, time(12, 0)).isoformat()
        return pl.DataFrame(
            {
                "firstName": self._draw(NAMES, n),
                "zipCode": half + "-" + other,
                SEEN: pl.repeat(seen, n, eager=True),
            }
        )

    def _draw(self, choices: Sequence[str], n: int) -> pl.Series:
        return pl.Series(choices).sample(n, with_replacement=True, seed=self._seed())

    def _seed(self) -> int:
        return self._dice.getrandbits(32)
