"""What a journal proves of the rows of a plan, as the state has to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import Proof
from pipeline.delta.digest_set import DigestSet
from pipeline.delta.digests import KEY_COLUMNS, bucket_of, field_columns
from pipeline.delta.plan import ROWS_NAME
from pipeline.delta.plan_files import (
    planned_assembly,
    planned_frames,
    vanished_persons,
)
from pipeline.records import ROW_KEY, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.records import BatchOutcome


@dataclass(frozen=True, slots=True)
class Proven:
    """
    What a run proves.

    Attributes:
        sent: As `changes.overlay` takes it.
        fields: The digest columns.
        vanished: `KEY_COLUMNS`, bucket.
        n_accepted: Rows whose values the CRM took.
    """

    sent: DigestSet
    fields: Sequence[str]
    vanished: pl.DataFrame
    n_accepted: int

    def bucket(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return of a bucket what `changes.overlay` takes."""
        names = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
        schema = {
            **names,
            "proof": pl.String(),
            **dict.fromkeys(self.fields, pl.UInt64()),
        }
        sent = self.sent.read(number)
        gone = self.vanished.filter(pl.col("bucket") == number)
        return pl.DataFrame(schema=schema) if sent is None else sent, gone


def proven_rows(
    folder: Path, proofs: Callable[[pl.DataFrame], pl.DataFrame], scratch: Path
) -> Proven:
    """
    Return what is to be known of the rows of a plan.

    Args:
        proofs: Returns the planned rows that were sent, with a column proof.
    """
    fields = field_columns(pl.read_parquet_schema(folder / ROWS_NAME))
    n_accepted = 0
    with DigestSet(scratch) as sent:
        for frame in planned_frames(folder):
            rows = proofs(frame).select(*KEY_COLUMNS, "proof", *fields)
            n_accepted += rows.filter(proof=Proof.ACCEPTED.value).height
            sent.add(rows)
    vanished = vanished_persons(folder).with_columns(bucket_of())
    return Proven(sent, fields, vanished, n_accepted)


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
