"""
The rows of a source against the state, span by span; one number a row is kept.

Rows come by once with their digests, which wait on disk. What each row is then stands
in a series of whole numbers, one for each file, so memory grows by four bytes a row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import (
    STATE_KEYS,
    WHOLE,
    compare_bucket,
    empty_state,
    named_fields,
    whole_digest,
)
from pipeline.delta.digest_set import DigestSet, spans
from pipeline.delta.digests import KEY_COLUMNS, field_columns, field_of
from pipeline.errors import InvariantError
from pipeline.identity import packed_row, unpacked_row
from pipeline.records import ROWS_A_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.delta.changes import Compared
    from pipeline.records import Encoded

# What a row is; from the last on, a changed row by the set of its changed fields.
NOT_SENDABLE: Final = 0
NEW: Final = 1
UNCHANGED: Final = 2
FIRST_CHANGED: Final = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    What every row is against the state.

    Attributes:
        codes: For each file, a UInt32 for each of its rows.
        changed: Numbers of changed fields, see `changes.Compared`, in the order of the
            codes from `FIRST_CHANGED` on.
        columns: The digest columns, in the order that these numbers mean.
        vanished: `KEY_COLUMNS` of the persons without a row.
        n_rows: Code → rows.
        given: Field → persons that give it.
        lost: Field → persons of whom the state has it and who do not give it.
        odd: Field → persons with a value that is not accepted.
    """

    codes: tuple[pl.Series, ...]
    changed: tuple[str, ...]
    columns: tuple[str, ...]
    vanished: pl.DataFrame
    n_rows: Counter[int] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)

    @property
    def unchanged(self) -> tuple[pl.Series, ...]:
        """For each file, whether a row is not sent because nothing of it differs."""
        return tuple(codes == UNCHANGED for codes in self.codes)

    @property
    def changed_fields(self) -> Counter[str]:
        """Field → changed persons in whom it differs."""
        found: Counter[str] = Counter()
        for code, numbers in enumerate(self.changed, FIRST_CHANGED):
            for name in named_fields(numbers, self.columns):
                found[name] += self.n_rows[code]
        return +found

    def changed_rows(self) -> pl.Series:
        """Return the changed rows, as `identity.packed_row`."""
        found = [
            (codes >= FIRST_CHANGED).arg_true().cast(pl.UInt64)
            + (source_no * ROWS_A_FILE + 1)
            for source_no, codes in enumerate(self.codes)
        ]
        return pl.concat([pl.Series("row", [], pl.UInt64), *found])

    def without(self, rows: pl.Series) -> Comparison:
        """Return the same with rows that cannot be sent, as `identity.packed_row`."""
        n_rows, codes = self.n_rows.copy(), list(self.codes)
        places = rows.to_frame("row").select(*unpacked_row())
        for (source_no,), part in places.group_by("source_no"):
            number = int(str(source_no))
            at = part["row_no"] - 1
            for code, n in codes[number].gather(at).value_counts().iter_rows():
                n_rows[code] -= n
            nothing = pl.repeat(NOT_SENDABLE, len(at), dtype=pl.UInt32, eager=True)
            codes[number] = codes[number].clone().scatter(at, nothing)
        return replace(self, codes=tuple(codes), n_rows=n_rows)


def compare_rows(
    encoded: Iterable[Encoded],
    state: DigestSet,
    n_rows: Sequence[int],
    scratch: Path,
    *,
    is_full: bool = False,
    accepted: Mapping[str, Sequence[int]] | None = None,
) -> Comparison:
    """
    Compare all rows of a source.

    Args:
        encoded: As they would go out, with their digests.
        state: With no file when nothing is known.
        n_rows: Physical records of each file.
        scratch: A folder for digests; what is put there is left there.
        is_full: Every row counts as new.
        accepted: Column → digests of the only values that it may have.

    Cost: ten million persons of 16 fields against as many, 300,000 of them changed: 9
        CPU s and 245 MB (`benchmarks/delta.py`), and the reading of the source.
    """
    today = DigestSet(scratch)
    seen = _gathered(encoded, today, accepted or {})
    columns = seen.columns
    codes = [pl.zeros(n, dtype=pl.UInt32, eager=True) for n in n_rows]
    sorting = _Sorting(codes, columns)
    vanished = [pl.DataFrame(schema=dict.fromkeys(KEY_COLUMNS, pl.UInt64()))]
    for buckets in spans(max(today.n_rows(), state.n_rows())):
        known = state.read(buckets, list(STATE_KEYS))
        here = today.read(buckets, ["row", *KEY_COLUMNS, WHOLE])
        compared = compare_bucket(
            _NOBODY if here is None else here,
            empty_state() if known is None else known,
            partial(_fields_of, today, state, buckets),
        )
        vanished.append(compared.vanished)
        sorting.add(compared, is_full=is_full)
    return Comparison(
        tuple(codes),
        tuple(sorting.numbers),
        tuple(columns),
        pl.concat(vanished),
        sorting.n_rows,
        seen.given,
        sorting.lost,
        +seen.odd,
    )


@dataclass(slots=True)
class _Seen:
    """What the rows show as they go by."""

    columns: list[str] = field(default_factory=list)
    given: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)


def _gathered(
    encoded: Iterable[Encoded], today: DigestSet, accepted: Mapping[str, Sequence[int]]
) -> _Seen:
    """Keep the digests of all rows on disk."""
    seen = _Seen()
    allowed = {
        name: pl.Series(digests, dtype=pl.UInt64).implode()
        for name, digests in accepted.items()
    }
    with today:
        for part in encoded:
            frame = part.frame
            seen.columns = columns = seen.columns or field_columns(frame.columns)
            if frame.is_empty():
                continue
            today.add(
                frame.select(
                    packed_row(), *KEY_COLUMNS, whole_digest(columns), *columns
                )
            )
            for name in columns:
                n_given = frame.height - frame[name].null_count()
                seen.given[field_of(name)] += n_given
            for name, digests in allowed.items():
                is_odd = ~pl.col(name).is_in(digests)
                seen.odd[field_of(name)] += frame.filter(is_odd).height
    return seen


def _fields_of(
    today: DigestSet,
    state: DigestSet,
    buckets: range,
    here: pl.Series,
    there: pl.Series,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the digests of rows in these places, as they are now and as they were."""
    now, was = today.read(buckets), state.read(buckets)
    if now is None or was is None:
        raise InvariantError("a bucket of digests has gone; please report this")
    return now[here], was[there]


_NOBODY: Final = pl.DataFrame(
    schema={"row": pl.UInt64(), **dict.fromkeys((*KEY_COLUMNS, WHOLE), pl.UInt64())}
)


class _Sorting:
    """Writes what rows are to where they stand."""

    def __init__(self, codes: list[pl.Series], columns: Sequence[str]) -> None:
        self._codes = codes
        self._columns = columns
        self._code_of: dict[str, int] = {}
        self.numbers: list[str] = []
        self.n_rows: Counter[int] = Counter()
        self.lost: Counter[str] = Counter()

    def add(self, found: Compared, *, is_full: bool) -> None:
        differing = found.differing
        for numbers, n in differing["lost"].value_counts().iter_rows():
            for name in named_fields(numbers, self._columns):
                self.lost[name] += n
        for numbers in differing["fields"].unique():
            if numbers and numbers not in self._code_of:
                self._code_of[numbers] = FIRST_CHANGED + len(self.numbers)
                self.numbers.append(numbers)
        self._mark(found.new, NEW)
        self._mark(found.equal, NEW if is_full else UNCHANGED)
        for (numbers,), part in differing.group_by("fields"):
            code = self._code_of.get(str(numbers), UNCHANGED)
            self._mark(part["row"], NEW if is_full else code)

    def _mark(self, rows: pl.Series, code: int) -> None:
        self.n_rows[code] += len(rows)
        places = rows.alias("row").to_frame().select(*unpacked_row())
        for (source_no,), part in places.partition_by(
            "source_no", as_dict=True, include_key=False
        ).items():
            self._codes[source_no].scatter(part["row_no"] - 1, code)
