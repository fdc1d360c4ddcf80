"""
The sides of a comparison, each as frames of cells: a source, an export, a former run.

A source and a former run are made by the very code of an import: mapped, normalised,
checked and folded. All sides give the same columns, so that they can wait together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.encoder import NESTED, encode_cells, encode_slice
from pipeline.errors import SourceUnusableError
from pipeline.folding import members_of
from pipeline.lookahead import map_ahead
from pipeline.outcomes import Assembly, Evidence
from pipeline.outgoing import Outgoing
from pipeline.reader import open_source
from pipeline.reconcile.array_file import is_array, write_lines_of_array
from pipeline.reconcile.columns import plan_columns
from pipeline.records import ROW_KEY
from pipeline.sent_rows import accepted_rows
from pipeline.settings import SourceSettings
from pipeline.transform import transform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.line import Line
    from pipeline.reader import Source
    from pipeline.reconcile.columns import SideColumns
    from pipeline.records import BatchOutcome, Slice

NUMBER: Final = "number"
PROFILE: Final = "profile"


@dataclass(frozen=True, slots=True)
class SourceRows:
    """
    The rows that an import of a source would send.

    Attributes:
        fields: In the order of the mapping.
        batches: Of the run whose accepted rows alone are meant; None for all rows.
        exceptions: Set when all frames were given: `Outgoing.exceptions`.
    """

    line: Line
    check: CheckResult
    batches: Sequence[BatchOutcome] | None = None
    exceptions: list[pl.DataFrame] = field(default_factory=list)

    @property
    def fields(self) -> tuple[str, ...]:
        """The mapped fields, in the order of the mapping."""
        return tuple(reading.rule.name for reading in self.line.plan.readings)

    def number_of(self, source_no: pl.Expr, row_no: pl.Expr) -> pl.Expr:
        """Return the number of a row, counted through all files from 0, UInt32."""
        offset = source_no.replace_strict(self._offsets(), return_dtype=pl.UInt64)
        return (offset + row_no - 1).cast(pl.UInt32)

    def place_of(self, number: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
        """Return the name of the file and the row_no of a row by its number."""
        offsets = self._offsets()
        file, row_no = pl.lit(None, pl.String), pl.lit(None, pl.UInt64)
        for source_no, path in enumerate(self.line.source.files):
            is_behind = number >= offsets[source_no]
            file = pl.when(is_behind).then(pl.lit(path.name)).otherwise(file)
            row_no = (
                pl.when(is_behind)
                .then(number.cast(pl.UInt64) - offsets[source_no] + 1)
                .otherwise(row_no)
            )
        return file, row_no

    def _offsets(self) -> dict[int, int]:
        return dict(enumerate([0, *accumulate(self.check.n_rows)][:-1]))

    def frames(self) -> Iterator[pl.DataFrame]:
        """
        Give the rows as they would go out, folded ones last.

        Frame:
            out  number UInt32, counted through all files from 0; then the fields,
                 String: the JSON text that is sent, `null` to erase, null where
                 nothing is

        Raises:
            SourceError: The source cannot be read again.
            InvariantError: It does not have the clean rows that were checked.
        """
        line, check = self.line, self.check
        outgoing = Outgoing(check, line.limits.max_row_bytes, line.scratch / "held")
        for encoded in outgoing.encoded(map_ahead(self._encoded, line.source.slices())):
            frame = encoded.frame
            if self.fields[0] not in frame.columns:
                frame = _parsed(frame, self.fields)
            if self.batches is not None:
                frame = self._accepted(frame, self.batches)
            number = self.number_of(pl.col("source_no"), pl.col("row_no"))
            yield frame.select(number.alias(NUMBER), *self.fields)
        self.exceptions[:] = [outgoing.exceptions()]

    def _encoded(self, piece: Slice) -> pl.DataFrame:
        plan = self.line.plan
        done = transform(piece, plan)
        cells = encode_cells(done, plan).drop(ROW_KEY)
        return pl.concat([encode_slice(done, plan).frame, cells], how="horizontal")

    def _accepted(
        self, frame: pl.DataFrame, batches: Sequence[BatchOutcome]
    ) -> pl.DataFrame:
        evidence = Evidence(self.check.exceptions, self.check.folded_lane, batches)
        assembly = Assembly(evidence)
        keys = list(ROW_KEY)
        known = [
            accepted_rows(assembly, int(str(source_no)), rows["row_no"]).select(keys)
            for (source_no,), rows in frame.select(keys).group_by("source_no")
        ]
        return frame.join(pl.concat(known), on=keys, how="semi") if known else frame


def _parsed(frame: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    """Take folded rows apart, which exist as whole JSON texts alone."""
    rows = [_cells_of(text) for text in frame["json"]]
    cells = {name: [row.get(name) for row in rows] for name in fields}
    return frame.select(ROW_KEY).with_columns(
        pl.Series(name, column, pl.String) for name, column in cells.items()
    )


def _cells_of(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in members_of(text).items():
        name = json.loads(key)
        if name in NESTED:
            parts = members_of(value).items()
            found |= {f"{name}.{json.loads(part)}": inner for part, inner in parts}
        else:
            found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """
    A file of profiles: an export of this tool, or one of the platform's portal.

    Attributes:
        fields: Those of the source, which every frame has.
    """

    source: Source
    columns: SideColumns
    fields: tuple[str, ...]
    name: str

    def frames(self) -> Iterator[pl.DataFrame]:
        """
        Give the profiles in the order of the file.

        Frame:
            out  number UInt32, counted from 0; the fields, String: the JSON text of
                 the value, null where it is empty or the file does not have it;
                 profile String, how it is called to people

        Raises:
            SourceError: It cannot be read to its end, or a record of it is broken.
        """
        first = 0
        for piece in self.source.slices():
            if piece.unreadable.height:
                row_no, code = piece.unreadable.row(0)[0], piece.unreadable["code"][0]
                raise SourceUnusableError(
                    f"{self.name}: record {row_no} cannot be read ({code}), so nobody "
                    "knows which profiles it holds. Export it again"
                )
            nothing = pl.lit(None, pl.String)
            number = pl.col("row_no") - piece.first_row_no + first
            yield piece.frame.select(
                number.cast(pl.UInt32).alias(NUMBER),
                *(
                    self.columns.cells.get(name, nothing).alias(name)
                    for name in self.fields
                ),
                self.columns.profile.alias(PROFILE),
            )
            first += piece.n_rows


def open_profiles(
    path: Path,
    fields: Sequence[str],
    identifiers: Sequence[str],
    scratch: Path,
    *,
    whole: AbstractSet[str] = frozenset(),
    name: str | None = None,
) -> ProfileFile:
    """
    Open a file of profiles and find the fields of a source in it.

    Args:
        identifiers: Fields by which rows of the source can be found.
        scratch: An existing folder, for the lines of a JSON array.
        whole: As `plan_columns`.
        name: For messages; its path when not given.

    Raises:
        SourceError: It is missing, is no table, or has none of the *identifiers*.
        CannotWriteError: The disk refuses.
    """
    at = path
    if is_array(path):
        at = scratch / f"{path.name}.jsonl"
        write_lines_of_array(path, at)
    source = open_source(SourceSettings(path=str(at)))
    columns = plan_columns(
        source.dtypes,
        source.kind,
        fields,
        identifiers,
        whole=whole,
        name=name or str(path),
    )
    return ProfileFile(source, columns, tuple(fields), name or str(path))
