"""
How many cells erase a field, exactly: what is folded or left out is looked at again.

Most sources need no second look: no rows share a profile, and every row arrives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import can_erase
from pipeline.erasing import cell_states, count_erased, count_folded
from pipeline.errors import SourceError
from pipeline.identity import packed_row
from pipeline.lookahead import map_ahead
from pipeline.records import State
from pipeline.transform import transform

if TYPE_CHECKING:
    from pipeline.checker import CheckResult
    from pipeline.reader import Source
    from pipeline.records import Slice, Transformed
    from pipeline.run_files import RunFiles
    from pipeline.transform import TransformPlan


def counted_exactly(
    source: Source, plan: TransformPlan, check: CheckResult
) -> CheckResult:
    """
    Count in `CheckResult.erased` only what would be sent.

    Raises:
        SourceError: The source cannot be read again, or has changed.
    """
    if not check.erased or check.fates.is_empty():
        return check
    is_carried = (pl.col("code") == "FOLDED").fill_null(value=False)
    left_out = check.exceptions.filter(~is_carried)["row"]
    erased = _erased_cells(source, plan, check.fates, left_out)
    source.check_unchanged(check.fingerprints)
    return replace(check, erased=erased)


def accepted_erasures(
    source: Source, plan: TransformPlan, check: CheckResult, files: RunFiles
) -> dict[str, int] | None:
    """
    Count the fields that were erased in accepted rows.

    Returns:
        Field → rows; None where the source has changed and cannot be asked again.
    """
    if not check.erased or files.counts.accepted == check.n_sendable:
        return check.erased
    is_carried = pl.col("code") == "FOLDED"
    is_sent = (pl.col("state") == State.ACCEPTED.value) | is_carried
    left_out = (
        pl.scan_parquet(files.paths["outcomes"])
        .filter(~is_sent.fill_null(value=False))
        .select(packed_row())
        .collect()["row"]
    )
    try:
        found = _erased_cells(source, plan, check.fates, left_out)
        source.check_unchanged(check.fingerprints)
    except SourceError:
        return None
    return found


def _erased_cells(
    source: Source, plan: TransformPlan, fates: pl.DataFrame, left_out: pl.Series
) -> dict[str, int]:
    """
    Read a source again and count what its rows erase when they are sent.

    Args:
        fates: See `identity.decide`; rows of a group count as the row they become.
        left_out: row, of rows that are not sent; a group falls out with its survivor.

    Cost: a pass of reading and normalising; memory of 16 bytes and of 2 bits a field
        for each row that is folded.
    """
    fields = [r.rule.name for r in plan.readings if can_erase(r.rule.name)]
    folded = fates.filter(pl.col("bucket").is_not_null()).select("row", "survivor")
    groups = folded.filter(~pl.col("survivor").is_in(left_out.implode()))
    apart = pl.concat([folded["row"], left_out]).unique().to_frame("row")
    counts: Counter[str] = Counter()
    held = []

    def work(piece: Slice) -> Transformed:
        return transform(piece, plan)

    for done in map_ahead(work, source.slices()):
        rows = done.clean.select("row_no", packed_row())
        # A lookup among few: the rows of this slice that do not go out by themselves.
        nearby = pl.col("row").is_between(rows["row"].min(), rows["row"].max())
        counts += count_erased(
            done, rows.join(apart.filter(nearby), on="row", how="semi")
        )
        held.append(
            pl.concat(
                [rows.select("row"), cell_states(done, fields)], how="horizontal"
            ).join(groups.filter(nearby), on="row")
        )
    return dict(counts + count_folded(pl.concat(held), fields))
