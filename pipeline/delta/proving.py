"""What a journal proves of the rows of a plan, as the state has to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import DELETED, MADE, Proof
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import KEY_COLUMNS, field_columns, is_in
from pipeline.delta.plan import ROWS_NAME
from pipeline.delta.plan_files import planned_assembly, planned_frames
from pipeline.records import ROW_KEY, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pipeline.records import BatchOutcome


@dataclass(frozen=True, slots=True)
class Proven:
    """
    What a run proves.

    Attributes:
        sent: As `changes.overlay` takes it.
        fields: The digest columns.
        vanished: `KEY_COLUMNS`, `DELETED`.
        n_accepted: Rows whose values the CRM took.
    """

    sent: DigestSet
    fields: Sequence[str]
    vanished: pl.DataFrame
    n_accepted: int

    def of(self, buckets: range) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return of some buckets what `changes.overlay` takes."""
        names = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
        schema = {
            **names,
            "proof": pl.String(),
            **dict.fromkeys(self.fields, pl.UInt64()),
        }
        sent = self.sent.read(buckets)
        gone = self.vanished.filter(is_in(buckets))
        return pl.DataFrame(schema=schema) if sent is None else sent, gone


def proven_rows(
    folder: Path,
    proofs: Callable[[pl.DataFrame], pl.DataFrame],
    scratch: Path,
    *,
    vanished: pl.DataFrame,
    absent: pl.DataFrame | None = None,
) -> Proven:
    """
    Return what is to be known of the rows of a plan.

    Args:
        proofs: Returns the planned rows that were sent, with a column proof.
        vanished: As `leaving` returns it.
        absent: `KEY_COLUMNS` of whom the CRM did not have when it was asked.
    """
    fields = field_columns(pl.read_parquet_schema(folder / ROWS_NAME))
    n_accepted = 0
    with DigestSet(scratch) as sent:
        for frame in planned_frames(folder):
            rows = proofs(frame)
            told = [*KEY_COLUMNS, "proof", *fields]
            if absent is not None:
                made = absent.with_columns(pl.lit(value=True).alias(MADE))
                rows = rows.join(made, on=KEY_COLUMNS, how="left")
                told.append(MADE)
            n_accepted += rows.filter(proof=Proof.ACCEPTED.value).height
            sent.add(rows.select(told))
    return Proven(sent, fields, vanished, n_accepted)


def seen_rows(frames: Iterable[pl.DataFrame], scratch: Path) -> Proven | None:
    """
    Return what a plan saw before it was made; None when it saw nothing.

    Args:
        frames: As `plan_files.seen_frames` gives them.
    """
    columns: list[str] = []
    n_seen = 0
    with DigestSet(scratch) as seen:
        for frame in frames:
            columns = field_columns(frame.columns)
            n_seen += frame.height
            accepted = pl.lit(Proof.ACCEPTED.value).alias("proof")
            seen.add(frame.select(*KEY_COLUMNS, accepted, *columns))
    nobody = pl.DataFrame(schema=dict.fromkeys(KEY_COLUMNS, pl.UInt64()))
    return Proven(seen, columns, leaving(nobody, nobody), n_seen) if columns else None


def leaving(vanished: pl.DataFrame, deleted: pl.DataFrame) -> pl.DataFrame:
    """
    Return who is to be trusted no more, as `changes.overlay` takes it.

    Args:
        vanished: `KEY_COLUMNS` of who has no row any more.
        deleted: Likewise, of them, those whose profile may be deleted by now.
    """
    others = vanished.join(deleted, on=KEY_COLUMNS, how="anti")
    parts = [
        persons.select(KEY_COLUMNS).with_columns(pl.lit(is_deleted).alias(DELETED))
        for persons, is_deleted in ((others, False), (deleted, True))
    ]
    return pl.concat(parts)


DOUBT: Final = pl.lit(Proof.DOUBTFUL.value).alias("proof")
_BY_STATE: Final = (
    pl.when(pl.col("state") == State.ACCEPTED.value)
    .then(pl.lit(Proof.ACCEPTED.value))
    .otherwise(pl.lit(Proof.DOUBTFUL.value))
    .alias("proof")
)


def proofs_of(
    folder: Path, batches: Sequence[BatchOutcome], proof: pl.Expr = _BY_STATE
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return what says of planned rows what the journal proves of them."""
    assembly = planned_assembly(folder, batches)

    def proofs(frame: pl.DataFrame) -> pl.DataFrame:
        told = assembly.outcomes(frame.select(ROW_KEY))
        known = told.filter(pl.col("batch_no").is_not_null()).select(*ROW_KEY, proof)
        return frame.join(known, on=ROW_KEY, how="inner")

    return proofs
