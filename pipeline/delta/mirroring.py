"""
Whom a mirror deletes: persons that this tool made, and that have no row any more.

The state holds no values, so an export finds their profiles: by the digests of their
identifiers. Whatever is unclear keeps a profile: a row of today that meets it, an
identifier that is not as it was sent, or two persons for one profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import GONE, MADE
from pipeline.delta.digest_set import spans
from pipeline.delta.digests import (
    FIELD_PREFIX,
    KEY_COLUMNS,
    digests_of_texts,
    named_by,
)
from pipeline.identity import packed_row
from pipeline.plain_text import counted
from pipeline.reconcile.sides import NUMBER, open_profiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.delta.digest_set import DigestSet
    from pipeline.delta.snapshot import Snapshot

# What names one profile for good; a phone may be that of several.
PROVING: Final = ("customId", "email", "uuid")
# A profile that has got one of these since belongs to others as well.
_OWN: Final = ("customId", "email")
DELETES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "key_hi": pl.UInt64(),
    "key_lo": pl.UInt64(),
    "clientId": pl.String(),
    **dict.fromkeys(PROVING, pl.String()),
}
_ID: Final = "clientId"


@dataclass(frozen=True, slots=True)
class Persons:
    """
    The state and the source of today, as far as a mirror looks at them.

    Attributes:
        state: Every person that was ever confirmed.
        today: Those who have a row that can be sent.
        key: Of the digests.
    """

    state: DigestSet
    today: DigestSet
    key: str

    def missing(self) -> pl.DataFrame:
        """
        Return the persons without a row whom the state trusts, or whom this tool made.

        Frame:
            out  `KEY_COLUMNS`, `MADE`, and the digests of their `PROVING` identifiers
        """
        names = [FIELD_PREFIX + name for name in PROVING]
        schema = {
            **dict.fromkeys(KEY_COLUMNS, pl.UInt64()),
            MADE: pl.Boolean(),
            **dict.fromkeys(names, pl.UInt64()),
        }
        found = [pl.DataFrame(schema=schema)]
        nothing = pl.lit(None, dtype=pl.UInt64)
        for buckets in spans(max(self.state.n_rows(), self.today.n_rows())):
            state = self.state.read(buckets)
            if state is None:
                continue
            if MADE not in state.columns:  # of an older version
                state = state.with_columns(pl.lit(value=False).alias(MADE))
            lacking = [name for name in names if name not in state.columns]
            known = state.with_columns(
                pl.col(MADE).fill_null(value=False),
                *(nothing.alias(name) for name in lacking),
            ).filter(pl.col(MADE) | ~pl.col(GONE))
            today = self.today.read(buckets, list(KEY_COLUMNS))
            if today is not None:
                known = known.join(today, on=KEY_COLUMNS, how="anti")
            found.append(known.select(*schema))
        return pl.concat(found)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """
    What a mirror makes of those who have no row.

    Attributes:
        deletes: `DELETES_SCHEMA`.
        kept: The same, of profiles that are not deleted, as far as they are found.
        n_kept: Persons without a row who are not deleted.
        notes: Why nobody is deleted, in words.
    """

    deletes: pl.DataFrame
    kept: pl.DataFrame
    n_kept: int = 0
    notes: tuple[str, ...] = ()


_NOBODY: Final = pl.DataFrame(schema=DELETES_SCHEMA)
NOT_MIRRORED: Final = Mirrored(_NOBODY, _NOBODY)


def mirrored(
    persons: Persons,
    snapshot: Snapshot | None,
    scratch: Path,
    *,
    n_persons: int,
    n_hidden: int,
) -> Mirrored:
    """
    Say whom a mirror deletes, or why it deletes nobody.

    Args:
        scratch: An existing folder.
        n_persons: Of the source. A source with nobody is no reason to delete all.
        n_hidden: Rows whose identifiers are not all known; they may be of anybody.

    Raises:
        SourceError: The export cannot be used.
        SourceChangedError: It changed meanwhile.

    Cost: one reading of the export; memory of the persons without a row.
    """
    missing = persons.missing()
    if missing.is_empty():
        return NOT_MIRRORED
    if snapshot is None:
        note = (
            "nobody is deleted: only an export tells which profiles they are, so name "
            "one with --crm FILE"
        )
        return Mirrored(_NOBODY, _NOBODY, missing.height, (note,))
    found = _profiles_of(missing, persons.key, snapshot, scratch)
    kept = found.filter(~pl.col(MADE)).select(*DELETES_SCHEMA)
    deletes = found.filter(MADE).select(*DELETES_SCHEMA)
    if n_hidden or not n_persons:
        note = (
            f"nobody is deleted: {counted(n_hidden, 'row')} of the source cannot be "
            "read in full, and nobody knows whom they are about"
            if n_hidden
            else "nobody is deleted, because the source has nobody"
        )
        everybody = found.select(*DELETES_SCHEMA)
        return Mirrored(_NOBODY, everybody, missing.height, (note,))
    return Mirrored(deletes, kept, missing.height - deletes.height)


def n_hidden_rows(exceptions: pl.DataFrame, omitted: pl.DataFrame) -> int:
    """
    Count the rows whose identifiers are not all among those that are sent.

    Args:
        exceptions: `EXCEPTIONS_SCHEMA`. What is folded into another row is there.
        omitted: Cells that were dropped, `BLOCKED_SCHEMA`.
    """
    is_known = pl.col("code").is_in(["EMPTY", "FOLDED"])
    hidden = exceptions.filter(~is_known)["row"]
    lost = omitted.filter(pl.col("field").is_in(PROVING)).select(packed_row())["row"]
    return pl.concat([hidden, lost]).n_unique()


def _profiles_of(
    missing: pl.DataFrame, key: str, snapshot: Snapshot, scratch: Path
) -> pl.DataFrame:
    """
    Find the profiles of persons without a row, as far as there is no doubt.

    Frame:
        out  `DELETES_SCHEMA`: the identifiers as the export shows them; and `MADE`;
             by clientId
    """
    matches = [
        pl.DataFrame(schema={**DELETES_SCHEMA, MADE: pl.Boolean(), NUMBER: pl.UInt32()})
    ]
    wanted = (_ID, *PROVING)
    for frame in open_profiles(snapshot.path, wanted, PROVING, scratch).frames():
        is_met = pl.col(NUMBER).is_in(snapshot.met_profiles.implode())
        matches += _matches(_texts(frame.filter(~is_met)), missing, key)
    snapshot.check_unchanged()
    # Found by two identifiers it is one pair; anything else that is twice is unclear.
    pairs = pl.concat(matches).unique([*KEY_COLUMNS, _ID, NUMBER])
    is_clear = (
        (pl.len().over(KEY_COLUMNS) == 1)
        & (pl.len().over(_ID) == 1)
        & pl.col(_ID).is_not_null()
    )
    return pairs.filter(is_clear).drop(NUMBER).sort(_ID)


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the identifiers of profiles as plain texts."""
    return frame.select(
        NUMBER,
        pl.col(_ID).str.strip_chars('"'),
        *(pl.col(name).str.json_decode(pl.String) for name in PROVING),
    )


def _matches(
    profiles: pl.DataFrame, missing: pl.DataFrame, key: str
) -> Iterator[pl.DataFrame]:
    """Give the persons that profiles are, by each identifier, if all others agree."""
    digests = profiles.with_columns(
        digests_of_texts(name, profiles[name], key).alias(f"now:{name}")
        for name in PROVING
    )
    for name in PROVING:
        named = digests.hstack(named_by(name, profiles[name], key))
        known = named.drop_nulls(list(KEY_COLUMNS))
        both = known.join(missing, on=KEY_COLUMNS, how="inner")
        yield both.filter(*map(_agrees, PROVING)).select(*DELETES_SCHEMA, MADE, NUMBER)


def _agrees(name: str) -> pl.Expr:
    """Whether an identifier is as it was confirmed, and no other has come."""
    now, was = pl.col(f"now:{name}"), pl.col(FIELD_PREFIX + name)
    if name in _OWN:
        return now.eq_missing(was)
    return was.is_null() | (now == was).fill_null(value=False)
