"""
The files of an applied plan, made from what was planned and what the journal proves.

`outcomes.parquet` was written with the plan; its planned rows get the state they ended
in. `refused.jsonl` holds the bodies that the service refused, for the source is not
read again: they have the names of the API, not those of the columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import ROW_CODES
from pipeline.delta.plan_files import planned_assembly, planned_frames
from pipeline.errors import SourceChangedError
from pipeline.outcomes import (
    CHUNK_ROWS,
    OUTCOMES_SCHEMA,
    count_rows,
    tally,
)
from pipeline.records import ROW_KEY, State
from pipeline.writer import FileForm, write_frames, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.outcomes import Assembly, RowCounts
    from pipeline.records import BatchOutcome

OUTCOMES_NAME: Final = "outcomes.parquet"
REFUSED_NAME: Final = "refused.jsonl"
# Of planned rows, before they are sent and after.
_PLANNED: Final = (
    State.PLANNED.value,
    State.ACCEPTED.value,
    State.REJECTED.value,
    State.PENDING.value,
)


@dataclass(frozen=True, slots=True)
class Applied:
    """
    What was written, and what it adds up to.

    Attributes:
        codes: Of blocked and rejected rows: code → rows.
        paths: Name of the file → where it is.
    """

    counts: RowCounts
    codes: dict[str, int]
    paths: dict[str, Path]


def write_applied(folder: Path, batches: Sequence[BatchOutcome]) -> Applied:
    """
    Bring the files of a plan up to date with the journal.

    Raises:
        InvariantError: The states do not add up to the rows that were read.
        SourceChangedError: The outcomes are not those that were planned.
        CannotWriteError: The disk refuses.
    """
    assembly = planned_assembly(folder, batches)
    path = folder / OUTCOMES_NAME
    try:
        before = pl.scan_parquet(path)
        n_read = int(before.select(pl.len()).collect().item())
    except (OSError, pl.exceptions.PolarsError):
        raise SourceChangedError(
            f"{path} is not the file that was planned; what was sent is in the journal"
        ) from None
    tallies: list[pl.DataFrame] = []

    def frames() -> Iterator[pl.DataFrame]:
        for first in range(0, n_read, CHUNK_ROWS):
            planned = before.slice(first, CHUNK_ROWS).collect()
            chunk = _as_it_ended(planned, assembly)
            tallies.append(tally(chunk))
            yield chunk

    write_frames(path, FileForm("parquet"), frames, OUTCOMES_SCHEMA)
    paths = {"outcomes": path}
    paths |= {
        file.stem: file
        for file in sorted(folder.iterdir())
        if file.name.startswith(("rejected.", "findings.", "unreadable."))
    }
    counts = count_rows(tallies, n_read)
    if counts.rejected:
        paths["refused"] = folder / REFUSED_NAME
        write_lines(paths["refused"], _refused(folder, assembly))
    return Applied(counts, _codes(tallies), paths)


def _as_it_ended(planned: pl.DataFrame, assembly: Assembly) -> pl.DataFrame:
    was_planned = pl.col("state").is_in(_PLANNED)
    sent = assembly.outcomes(planned.filter(was_planned).select(ROW_KEY))
    kept = planned.filter(~was_planned)
    return pl.concat([kept, sent.select(kept.columns)]).sort(ROW_KEY)


def _codes(tallies: list[pl.DataFrame]) -> dict[str, int]:
    failed = pl.col("state").is_in([State.BLOCKED.value, State.REJECTED.value])
    found = (
        pl.concat([pl.DataFrame(schema=_TALLY), *(t.select(*_TALLY) for t in tallies)])
        .filter(failed)
        .group_by("code")
        .agg(pl.col("n").sum())
        .sort("n", descending=True)
    )
    return {str(code): int(n) for code, n in found.iter_rows()}


_TALLY: Final = {"state": pl.String(), "code": pl.String(), "n": pl.UInt32()}


def _refused(folder: Path, assembly: Assembly) -> Iterator[str]:
    for frame in planned_frames(folder):
        told = assembly.outcomes(frame.select(ROW_KEY))
        bad = told.filter(pl.col("state") == State.REJECTED.value)
        rows = frame.join(bad.select(*ROW_KEY, "code"), on=ROW_KEY, how="inner")
        for row_no, text, code in rows.select("row_no", "json", "code").iter_rows():
            tool = {
                "_row_no": row_no,
                "_state": State.REJECTED.value,
                "_code": code,
                "_message": ROW_CODES.get(code, ""),
            }
            yield json.dumps(json.loads(text) | tool, ensure_ascii=False)
