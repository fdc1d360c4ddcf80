"""A state to write, and what a run tells it: one person a bucket."""

import polars as pl

from pipeline.delta.changes import Proof
from pipeline.delta.digests import KEY_COLUMNS
from pipeline.delta.state import StateRecord

KEYS = dict.fromkeys(KEY_COLUMNS, pl.UInt64())
NOBODY = pl.DataFrame(schema=KEYS)
FIRST = StateRecord("guid", "people", "key")


def told(buckets: range) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One person a bucket, accepted."""
    rows = [
        {"key_hi": n << 58, "key_lo": 1, "proof": Proof.ACCEPTED.value, "d:a": 5}
        for n in buckets
    ]
    schema = {**KEYS, "proof": pl.String(), "d:a": pl.UInt64()}
    return pl.DataFrame(rows, schema=schema), NOBODY
