"""
What a profile of an export shows of a row: the fields whose value it already has.

Pure. Only a value that is there, and can mean nothing else, counts: an empty cell may
be a field that the export does not hold, and `12` in a file without types may be a
number or a text. What is not shown is not known, and is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.reconcile.canonical import canonical_cells
from pipeline.reconcile.compare import other_reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

CRM_PREFIX: Final = "crm:"
_ERASE: Final = "null"


def shown_fields(
    matched: pl.DataFrame, fields: Sequence[str], untyped: AbstractSet[str]
) -> pl.DataFrame:
    """
    Say which fields of rows their profiles show.

    Args:
        untyped: Fields whose cells in the export are texts that may mean other values.

    Frame:
        in   row, the fields, and each of them behind `CRM_PREFIX`: JSON texts; null
             where nothing is sent, or nothing is there; `null` erases
        out  row, fields String: comma-separated places in *fields*

    Rows: count and order unchanged. A row that erases a field is not shown it: an
        empty cell proves nothing.
    """
    marks = []
    for n, name in enumerate(fields):
        sent, there = matched[name], matched[f"{CRM_PREFIX}{name}"]
        is_held = (
            sent.is_not_null()
            & (sent != _ERASE)
            & (canonical_cells(name, sent) == canonical_cells(name, there))
        )
        if name in untyped:
            is_held &= other_reading(there).is_null()
        marks.append(pl.when(is_held).then(pl.lit(str(n))))
    listed = pl.concat_str(marks, separator=",", ignore_nulls=True)
    return matched.select("row", listed.alias("fields"))
