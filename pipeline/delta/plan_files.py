"""
The files of a plan: written once, vouched for by `plan.json`, read window by window.

`rows.parquet` has lane, source_no, row_no, json, n_bytes, the name of the person, and
the digests of what is sent; lane by lane, each in the order of its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.digests import KEY_COLUMNS
from pipeline.delta.plan import (
    ABSENT_NAME,
    DELETES_NAME,
    KEPT_NAME,
    PLAN_NAME,
    ROWS_NAME,
    SEEN_NAME,
    SHARED_NAME,
    VANISHED_NAME,
    plan_json,
    plan_of,
)
from pipeline.errors import SettingsError, SourceChangedError, SourceError
from pipeline.files import sha256_of
from pipeline.identity import packed_row
from pipeline.outcomes import EXCEPTIONS_SCHEMA, Assembly, Evidence
from pipeline.records import MAIN_LANE, ROW_KEY, Encoded, State
from pipeline.writer import FileForm, write_frames, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.delta.plan import Plan
    from pipeline.records import BatchOutcome

WINDOW_ROWS: Final = 50_000
PLANNED_SCHEMA: Final[dict[str, pl.DataType]] = {
    "lane": pl.UInt8(),
    "source_no": pl.UInt32(),
    "row_no": pl.UInt64(),
    "json": pl.String(),
    "n_bytes": pl.UInt32(),
    "key_hi": pl.UInt64(),
    "key_lo": pl.UInt64(),
}


def write_rows(
    folder: Path, frames: Iterable[pl.DataFrame], fields: Iterable[str]
) -> dict[str, str]:
    """
    Write the rows that are to be sent.

    Args:
        frames: `PLANNED_SCHEMA` and the digest columns *fields*.

    Returns:
        The file's name → its SHA-256.

    Raises:
        CannotWriteError: The disk refuses.
    """
    schema = {**PLANNED_SCHEMA, **dict.fromkeys(fields, pl.UInt64())}
    return _write(folder / ROWS_NAME, frames, schema)


def write_vanished(folder: Path, frames: Iterable[pl.DataFrame]) -> dict[str, str]:
    """Write the persons that have no row any more; as `write_rows`."""
    schema = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
    return _write(folder / VANISHED_NAME, frames, schema)


def write_seen(
    folder: Path, frames: Iterable[pl.DataFrame], fields: Iterable[str]
) -> dict[str, str]:
    """
    Write what was seen of persons whom the state does not know; as `write_rows`.

    Args:
        frames: `KEY_COLUMNS` and the digest columns *fields*; null is not known.
    """
    schema = dict.fromkeys((*KEY_COLUMNS, *fields), pl.UInt64())
    return _write(folder / SEEN_NAME, frames, schema)


def write_shared(folder: Path, rows: pl.Series) -> dict[str, str]:
    """
    Write the rows of which nobody can say whose profile they become, if there are some.

    Args:
        rows: `CheckResult.shared_phones`.
    """
    if rows.is_empty():
        return {}
    frame = rows.to_frame("row")
    return _write(folder / SHARED_NAME, [frame], {"row": pl.UInt64()})


def write_absent(folder: Path, persons: pl.DataFrame) -> dict[str, str]:
    """Write whom the CRM did not have when it was asked; as `write_rows`."""
    schema = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
    return _write(folder / ABSENT_NAME, [persons], schema)


def write_deletes(folder: Path, deletes: pl.DataFrame) -> dict[str, str]:
    """
    Write the profiles that are to be deleted; as `write_rows`.

    Args:
        deletes: `mirroring.DELETES_SCHEMA`.
    """
    return _write(folder / DELETES_NAME, [deletes], deletes.schema)


def write_kept(folder: Path, kept: pl.DataFrame) -> dict[str, str]:
    """Write the profiles of persons without a row who stay; as `write_deletes`."""
    return _write(folder / KEPT_NAME, [kept], kept.schema)


def write_plan(folder: Path, plan: Plan) -> None:
    """
    Make a plan of the files of a folder: with this file it exists.

    Raises:
        CannotWriteError: The disk refuses.
    """
    write_json(folder / PLAN_NAME, plan_json(plan))


def is_plan(folder: Path) -> bool:
    """Return whether a folder holds a plan."""
    return (folder / PLAN_NAME).is_file()


def read_plan(folder: Path) -> Plan:
    """
    Read a plan and make sure that its files are those it was made with.

    Raises:
        SettingsError: There is no plan, or another version of the tool made it.
        SourceChangedError: A file is missing or was altered.

    Cost: one read of the files, about 1.5 GB/s.
    """
    path = folder / PLAN_NAME
    try:
        text = path.read_bytes()
    except OSError:
        raise SettingsError(
            f"there is no plan in {folder}: name the folder that `crm-pipeline plan` "
            "printed, or make a new plan"
        ) from None
    plan = plan_of(text, str(path))
    for name, digest in plan.files.items():
        try:
            found = sha256_of(folder / name)
        except SourceError:
            found = None
        if found != digest:
            raise SourceChangedError(
                f"{folder / name} is "
                f"{'gone' if found is None else 'not the file that was planned'}. "
                "Nothing was sent: make a new plan"
            )
    return plan


def planned_frames(folder: Path) -> Iterator[pl.DataFrame]:
    """
    Give the planned rows as they are in the file, each frame of one lane.

    Cost: memory of a window.
    """
    for window in _windows(folder / ROWS_NAME):
        yield from window.partition_by("lane", maintain_order=True)


def seen_frames(folder: Path, plan: Plan) -> Iterator[pl.DataFrame]:
    """Give what `write_seen` wrote; nothing where nobody was seen."""
    if SEEN_NAME in plan.files:
        yield from _windows(folder / SEEN_NAME)


def absent_persons(folder: Path, plan: Plan) -> pl.DataFrame | None:
    """Return `KEY_COLUMNS` as `write_absent` wrote them; None where nobody was."""
    if ABSENT_NAME not in plan.files:
        return None
    return pl.read_parquet(folder / ABSENT_NAME)


def planned_deletes(folder: Path) -> pl.DataFrame:
    """Return what `write_deletes` wrote, in its order."""
    return pl.read_parquet(folder / DELETES_NAME)


def _windows(path: Path) -> Iterator[pl.DataFrame]:
    rows = pl.scan_parquet(path)
    n_rows = rows.select(pl.len()).collect().item()
    for first in range(0, n_rows, WINDOW_ROWS):
        yield rows.slice(first, WINDOW_ROWS).collect()


def planned_bodies(folder: Path) -> Iterator[Encoded]:
    """Give the planned rows as the chunker takes them."""
    for frame in planned_frames(folder):
        yield Encoded(frame.select(*ROW_KEY, "json", "n_bytes"), frame["lane"][0])


def planned_lanes(folder: Path) -> pl.DataFrame:
    """Return row, lane of the planned rows outside the main lane."""
    return (
        pl.scan_parquet(folder / ROWS_NAME)
        .filter(pl.col("lane") != MAIN_LANE)
        .select(packed_row(), pl.col("lane").cast(pl.Int64))
        .collect()
    )


def planned_assembly(folder: Path, batches: Sequence[BatchOutcome]) -> Assembly:
    """Return what the journal proves of the planned rows, whatever lane they are in."""
    return Assembly(
        Evidence(
            pl.DataFrame(schema=EXCEPTIONS_SCHEMA),
            pl.Series("row", [], pl.UInt64),
            batches,
            lanes=planned_lanes(folder),
        )
    )


def accepted_planned(
    folder: Path, batches: Sequence[BatchOutcome]
) -> Iterator[pl.DataFrame]:
    """
    Give the rows of a plan that were accepted, as they went out.

    Frame:
        out  source_no, row_no, batch_no UInt64, json String
    """
    assembly = planned_assembly(folder, batches)
    for frame in planned_frames(folder):
        told = assembly.outcomes(frame.select(ROW_KEY))
        known = told.filter(pl.col("state") == State.ACCEPTED.value)
        rows = frame.join(known.select(*ROW_KEY, "batch_no"), on=ROW_KEY, how="inner")
        yield rows.select(*ROW_KEY, "batch_no", "json")


def shared_rows(folder: Path, plan: Plan) -> pl.Series:
    """Return what `write_shared` was given."""
    if SHARED_NAME not in plan.files:
        return pl.Series("row", [], pl.UInt64)
    return pl.read_parquet(folder / SHARED_NAME)["row"]


def vanished_persons(folder: Path) -> pl.DataFrame:
    """Return `KEY_COLUMNS` of those who have no row any more."""
    return pl.read_parquet(folder / VANISHED_NAME)


def _write(
    path: Path, frames: Iterable[pl.DataFrame], schema: Mapping[str, pl.DataType]
) -> dict[str, str]:
    form = FileForm("parquet", row_group_rows=WINDOW_ROWS)
    write_frames(
        path, form, lambda: (frame.select(*schema) for frame in frames), schema
    )
    return {path.name: sha256_of(path)}
