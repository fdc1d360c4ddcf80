"""The rows of a plan, and what was seen of persons, on their way to its files."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipeline.delta.canary import Canary
from pipeline.delta.comparing import FIRST_CHANGED, NEW
from pipeline.delta.lane_spools import lane_by_lane, spooled_by_lane
from pipeline.delta.plan_files import (
    write_absent,
    write_deletes,
    write_kept,
    write_rows,
    write_seen,
    write_shared,
    write_vanished,
)
from pipeline.delta.selecting import (
    Counts,
    changed_columns,
    select_rows,
    selection,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from pipeline.delta.comparing import Comparison
    from pipeline.delta.knowing import Known
    from pipeline.delta.mirroring import Mirrored
    from pipeline.delta.modes import HeldBack
    from pipeline.delta.plan_request import PlanRequest
    from pipeline.delta.source_rows import SourceRows


def write_planned(
    request: PlanRequest, rows: SourceRows, compared: Comparison
) -> tuple[dict[str, str], Counts]:
    """Write the rows to send, and who vanished; return digests of files, and counts."""
    counts = Counts()
    folder, scratch = rows.line.folder, rows.line.scratch
    with ExitStack() as stack:
        chosen = _selected(request, rows, compared, counts)
        canary = Canary(rows.check.shared_phones)
        stores = spooled_by_lane(chosen, canary, scratch, stack)
        first = canary.chosen() if request.line.job.sync.canary else None
        digests = write_rows(folder, lane_by_lane(stores, first), compared.columns)
    digests |= write_vanished(folder, [compared.vanished])
    return digests | write_shared(folder, rows.check.shared_phones), counts


def write_witnessed(
    folder: Path, known: Known, held: HeldBack, mirror: Mirrored
) -> dict[str, str]:
    """Write what was seen of persons, and whom to delete, if there is anything."""
    digests: dict[str, str] = {}
    columns = held.compared.columns
    if known.n_adopted or held.found.height:
        digests |= write_seen(folder, known.seen(held.found, columns), columns)
    if held.absent.height:
        digests |= write_absent(folder, held.absent)
    if mirror.deletes.height:
        digests |= write_deletes(folder, mirror.deletes)
    if mirror.kept.height:
        digests |= write_kept(folder, mirror.kept)
    return digests


def _selected(
    request: PlanRequest, rows: SourceRows, compared: Comparison, counts: Counts
) -> Iterator[pl.DataFrame]:
    """Give the rows that are sent, each frame of one lane."""
    sent: dict[int, tuple[str, ...] | None] = {NEW: None}
    for code, numbers in enumerate(compared.changed, FIRST_CHANGED):
        sent[code] = changed_columns(numbers, compared.columns)
    how = selection(
        compared.codes,
        sent,
        compared.columns,
        request.key,
        only_changed=request.line.job.sync.fields == "changed",
    )
    for part in rows.encoded():
        request.line.stop.check()
        yield from select_rows(part, how, counts)
