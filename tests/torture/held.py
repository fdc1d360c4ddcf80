"""
What the file of a sandbox holds, row by row, against the people it should be of.

Nothing of the tool is asked: the profiles are read from the sandbox's own tables by
SQL, all of them and all fields that are sent, and met with the people in one join.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from torture.crowd import CONSENT, SEEN

# The first bit of the agreements is that of e-mail; a number is not a text that looks
# like one, so attributes are compared as JSON.
_COLUMNS: Final = {
    "customId": "customId",
    "email": "email",
    "firstName": "firstName",
    "city": "city",
    "zipCode": "zipCode",
    "birthDate": "birthDate",
    CONSENT: "CASE agreements & 1 WHEN 1 THEN 'yes' ELSE 'no' END",
    "attributes.tier": "json_quote(json_extract(attributes, '$.tier'))",
    "attributes.points": "json_quote(json_extract(attributes, '$.points'))",
    SEEN: "json_extract(attributes, '$.seen')",
}
_PROFILES: Final = f"SELECT {', '.join(_COLUMNS.values())} FROM profiles"  # noqa: S608 - our names
_TAKEN: Final = "SELECT coalesce(sum(n_items), 0) FROM queue"
_ASKED: Final = (
    "SELECT count(*), count(*) FILTER (WHERE status = 401), "
    "count(*) FILTER (WHERE NOT answered OR status >= 400) FROM requests"
)
_PAGE_ROWS: Final = 50_000
_HELD: Final = "_held"


@dataclass(frozen=True)
class Seen:
    """
    What a look at all profiles found.

    Attributes:
        n_wrong: People whose profile is missing, or not as they are.
        n_strangers: Profiles that are of nobody, or of somebody who has another.
    """

    n_people: int
    n_wrong: int
    n_strangers: int

    @property
    def is_equal(self) -> bool:
        return not self.n_wrong and not self.n_strangers


@dataclass(frozen=True)
class Asked:
    """
    What the sandbox knows of its requests.

    Attributes:
        n_expired: Answered that the token has expired.
        n_bad: Not answered, or not as asked; these too.
    """

    n_requests: int = 0
    n_expired: int = 0
    n_bad: int = 0


def look(database: Path, people: pl.DataFrame, zone: str) -> Seen:
    """
    Compare all profiles with all people.

    Args:
        database: Of a sandbox in which nothing waits.
        zone: Of the moments of the people.
    """
    held = _held(database)
    both = _expected(people, zone).join(held, on="customId", how="left", suffix=_HELD)
    names = [name for name in _COLUMNS if name != "customId"]
    owners = held.join(people, on="customId", how="semi")["customId"].n_unique()
    is_wrong = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name + _HELD)) for name in names
    )
    return Seen(
        people.height,
        both.filter(is_wrong)["customId"].n_unique(),
        held.height - owners,
    )


def n_taken(database: Path) -> int:
    """Return how many items the sandbox ever took from batches."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute(_TAKEN).fetchone()[0])


def asked(database: Path) -> Asked:
    """Count what was asked of the sandbox so far."""
    with closing(sqlite3.connect(database)) as connection:
        return Asked(*connection.execute(_ASKED).fetchone())


def _held(database: Path) -> pl.DataFrame:
    schema = dict.fromkeys(_COLUMNS, pl.String())
    frames = [pl.DataFrame(schema=schema)]
    with closing(sqlite3.connect(database)) as connection:
        cursor = connection.execute(_PROFILES)
        while page := cursor.fetchmany(_PAGE_ROWS):
            frames.append(pl.DataFrame(page, schema=schema, orient="row"))
    moment = pl.col(SEEN).str.to_datetime("%Y-%m-%dT%H:%M:%S%#z", strict=False)
    return pl.concat(frames).with_columns(moment)


def _expected(people: pl.DataFrame, zone: str) -> pl.DataFrame:
    moment = pl.col(SEEN).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
    return people.select(*_COLUMNS).with_columns(
        pl.format('"{}"', "attributes.tier").alias("attributes.tier"),
        moment.dt.replace_time_zone(zone).dt.convert_time_zone("UTC"),
    )
