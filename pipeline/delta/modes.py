"""
Whom a mode lets go: rows of persons that the CRM has, or of those that it has not.

Whom the state knows, the CRM has. Of the others there must be evidence: an export, or
an answer of the service. Nobody is guessed at: one person too many to ask for, and the
plan is not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.comparing import NEW
from pipeline.delta.digest_set import DigestSet, spans
from pipeline.delta.digests import KEY_COLUMNS
from pipeline.delta.looking_up import person_of
from pipeline.delta.selecting import CODE, codes_of
from pipeline.delta.snapshot import NOT_MET
from pipeline.errors import LimitError
from pipeline.identity import packed_row
from pipeline.outcomes import EXCEPTIONS_SCHEMA
from pipeline.plain_text import counted
from pipeline.records import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pipeline.delta.comparing import Comparison
    from pipeline.delta.looking_up import LookUp, Person
    from pipeline.delta.snapshot import Snapshot
    from pipeline.records import Encoded
    from pipeline.settings_sync import SyncSettings

EXISTS: Final = "MODE_EXISTS"
ABSENT: Final = "MODE_ABSENT"
_SHOWN: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "key_hi": pl.UInt64(),
    "key_lo": pl.UInt64(),
    "is_heard": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Witnesses:
    """
    Who can tell whether the CRM has somebody.

    Attributes:
        settings: Mode and budget.
        snapshot: An export; None without one.
        heard_of: All persons that the state ever knew, those who are gone too: of them
            an export that lacks them proves nothing.
        look_up: Asks the service.
        identifiers: Fields that can find a profile in this workspace.
    """

    settings: SyncSettings
    snapshot: Snapshot | None
    heard_of: DigestSet
    look_up: LookUp
    identifiers: Sequence[str]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """
    What a mode leaves of a comparison.

    Attributes:
        compared: Without the rows that are held back.
        exceptions: Those rows, `EXCEPTIONS_SCHEMA`.
        counts: Code → rows that are held back.
        found: `KEY_COLUMNS` of persons that the service was asked for and has, as far
            as that may be remembered.
        absent: The same of persons whom it has not, and the state never heard of.
        n_looked_up: Persons that the service was asked for.
        n_unasked: New persons of whom nobody will ever know who made them.
    """

    compared: Comparison
    exceptions: pl.DataFrame
    counts: dict[str, int]
    found: pl.DataFrame
    absent: pl.DataFrame
    n_looked_up: int = 0
    n_unasked: int = 0

    def notes(self) -> tuple[str, ...]:
        """Say what of the look-ups was left out."""
        if not self.n_unasked:
            return ()
        persons = counted(self.n_unasked, "new person")
        told = (
            f"{persons} would have to be looked up to be deleted one day, more than "
            "sync.lookup_budget: they are sent, and this mirror never deletes them"
        )
        return (told,)


async def hold_back(
    witnesses: Witnesses,
    compared: Comparison,
    encoded: Callable[[], Iterable[Encoded]],
    scratch: Path,
) -> HeldBack:
    """
    Find the rows that the mode does not let go.

    Args:
        encoded: Gives the rows of the source, with their digests.
        scratch: A folder for digests; what is put there is left there.

    Raises:
        LimitError: More persons would have to be asked for than the budget lets.
        AccessError, RemoteError, ContractError: As the service answers.
        StoppedError: Somebody asked to stop.

    Cost: up to two readings of the source; 25 bytes a new row that no export shows.
    """
    mode = witnesses.settings.mode
    nobody = pl.DataFrame(schema=dict.fromkeys(KEY_COLUMNS, pl.UInt64()))
    if mode == "upsert":
        return HeldBack(compared, _exceptions([], ""), {}, nobody, nobody)
    sorted_out = _sorted_out(witnesses, compared, encoded(), scratch)
    unknown, n_unasked = sorted_out.unknown, 0
    if mode == "mirror":
        # Nothing depends on an answer but who may be deleted one day.
        unknown = pl.concat([unknown, sorted_out.absent]).filter(~pl.col("is_heard"))
        if unknown.height > witnesses.settings.lookup_budget:
            unknown, n_unasked = unknown.clear(), unknown.height
    asked = _persons(witnesses, encoded, unknown)
    found = await witnesses.look_up.found(asked)
    has_profile = pl.col("row").is_in(list(found))
    there, missing = unknown.filter(has_profile), unknown.filter(~has_profile)
    code, rows = "", [_NO_ROWS]
    if mode == "update-only":
        code, rows = ABSENT, [sorted_out.absent["row"], missing["row"]]
    elif mode == "create-only":
        code = EXISTS
        rows = [sorted_out.existing, there["row"], compared.changed_rows()]
        # To be known keeps a row back here, so an old answer does no harm.
        nobody = there.select(KEY_COLUMNS)
    exceptions = _exceptions(rows, code)
    return HeldBack(
        compared.without(exceptions["row"]),
        exceptions,
        {code: exceptions.height} if exceptions.height else {},
        found=nobody,
        absent=missing.filter(~pl.col("is_heard")).select(KEY_COLUMNS),
        n_looked_up=len(asked),
        n_unasked=n_unasked,
    )


@dataclass(frozen=True, slots=True)
class _SortedOut:
    """
    New rows by what is known of their persons.

    Attributes:
        existing: Packed rows.
        absent, unknown: `_SHOWN`.
    """

    existing: pl.Series
    absent: pl.DataFrame
    unknown: pl.DataFrame


def _sorted_out(
    witnesses: Witnesses,
    compared: Comparison,
    encoded: Iterable[Encoded],
    scratch: Path,
) -> _SortedOut:
    """Tell of new rows what the export says, where it is to be believed."""
    snapshot = witnesses.snapshot
    shows_absence = snapshot is not None and snapshot.shows_absence
    with DigestSet(scratch) as new:
        for part in encoded:
            is_met = pl.lit(value=False)
            frame = part.frame.with_columns(codes_of(part.frame, compared.codes))
            if snapshot is not None:
                met = codes_of(part.frame, snapshot.codes) != NOT_MET
                is_met = pl.lit(met)
            rows = frame.with_columns(is_met.alias("is_met"))
            new.add(
                rows.filter(pl.col(CODE) == NEW).select(
                    packed_row(), *KEY_COLUMNS, "is_met"
                )
            )
    existing, left = [_NO_ROWS], [pl.DataFrame(schema=_SHOWN)]
    n_rows = max(new.n_rows(), witnesses.heard_of.n_rows())
    for buckets in spans(n_rows):
        here = new.read(buckets)
        if here is None:
            continue
        existing.append(here.filter("is_met")["row"])
        known = witnesses.heard_of.read(buckets, list(KEY_COLUMNS))
        rest = here.filter(~pl.col("is_met"))
        heard = rest.clear()
        if known is not None:
            heard = rest.join(known, on=KEY_COLUMNS, how="semi")
        is_heard = pl.col("row").is_in(heard["row"].implode())
        left.append(rest.with_columns(is_heard.alias("is_heard")).select(*_SHOWN))
    others = pl.concat(left)
    is_believed = pl.lit(shows_absence) & ~pl.col("is_heard")
    return _SortedOut(
        pl.concat(existing), others.filter(is_believed), others.filter(~is_believed)
    )


_NO_ROWS: Final = pl.Series("row", [], pl.UInt64)


def _persons(
    witnesses: Witnesses,
    encoded: Callable[[], Iterable[Encoded]],
    unknown: pl.DataFrame,
) -> list[Person]:
    """
    Return the persons that have to be asked for.

    Raises:
        LimitError: There are more than the budget lets.
    """
    settings = witnesses.settings
    if unknown.height > settings.lookup_budget:  # never of a mirror
        raise LimitError(
            f"{counted(unknown.height, 'person')} would have to be looked up, because "
            f"sync.mode is {settings.mode} and nothing tells whether the CRM has them; "
            f"{settings.lookup_budget:,} are allowed (sync.lookup_budget). Nothing was "
            f"sent: {_advice(witnesses.snapshot)}, or raise the budget"
        )
    persons = []
    if unknown.height:
        for part in encoded():
            rows = part.frame.select(packed_row(), "json")
            wanted = rows.join(unknown, on="row", how="semi", maintain_order="left")
            persons += [
                person_of(row, text, witnesses.identifiers)
                for row, text in wanted.iter_rows()
            ]
    return persons


def _advice(snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return "name an export of the workspace with --crm FILE"
    if snapshot.shows_absence:
        return f"the state knew them once, and {snapshot.path} lacks them"
    return (
        f"{snapshot.path} does not tell, because it is not shown to be complete, or "
        "is older than what was sent; name another export (--crm FILE)"
    )


def _exceptions(rows: Sequence[pl.Series], code: str) -> pl.DataFrame:
    held = pl.concat([_NO_ROWS, *rows]).unique().sort().to_frame()
    told = held.with_columns(
        pl.lit(State.BLOCKED.value).alias("state"),
        pl.lit(code).alias("code"),
        pl.lit(None, dtype=pl.UInt64).alias("survivor"),
    )
    return told.select(EXCEPTIONS_SCHEMA.keys())
