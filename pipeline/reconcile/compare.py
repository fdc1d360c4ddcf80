"""
One field of many rows: what the source gives, what the CRM has, and who changed it.

Everything is decided on texts that are equal exactly where values are the same, see
`canonical`. A file without types, such as CSV, may mean a number or a text by `12`, and
JSON by what looks like it; its cells have two readings, and are the same as another
cell if either of them is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.reconcile.canonical import canonical_cells
from pipeline.records import FieldClass

SIDES: Final = ("source", "crm", "baseline")
_ERASE: Final = "null"
NOTHING: Final = ("null", '""', "[]", "{}", '"NOT_SPECIFIED"')
# JSON in a text: what a file without types may mean by it.
_TYPED: Final = r'^(?s:-?[0-9][0-9.eE+-]*|(?i:true|false)|\[.*\]|\{.*\}|".*")$'
# A double is not exact: 1.1 - 1.0 is a little more than 0.1.
_SLACK: Final = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class FieldRules:
    """
    How one field is compared.

    Attributes:
        untyped: Of `SIDES`, those whose cells are texts that may mean other values.
        tolerance: By how much numbers may differ; None allows nothing.
    """

    field: str
    untyped: frozenset[str] = frozenset()
    tolerance: float | None = None


def classify(cells: pl.DataFrame, rules: FieldRules) -> pl.Series:
    """
    Say of each row how its two sides stand to each other, and who changed it.

    Frame:
        in   source, crm, baseline String: the JSON text of a value, or null.
             source: what is sent; `null` erases the field, null is not compared.
             crm: null where the field is empty. baseline: what both sides once had,
             null where it was empty; has_baseline Boolean: whether it is known at all.
        out  class String, a `FieldClass`; null where source is null

    Rows: count and order unchanged.
    """
    told = cells.with_columns(
        column for side in SIDES for column in _readings(cells[side], side, rules)
    )
    tolerance = rules.tolerance
    source, crm, baseline = (pl.col(side) for side in SIDES)
    is_erase = source == _ERASE
    crm_nothing, baseline_nothing = _is_nothing(crm), _is_nothing(baseline)
    held = (
        pl.when(is_erase)
        .then(crm_nothing | (crm == "false"))
        .otherwise(_same("source", "crm", tolerance))
    )
    source_kept = (
        pl.when(is_erase)
        .then(baseline_nothing | (baseline == "false"))
        .otherwise(_same("source", "baseline", tolerance))
    )
    crm_kept = (crm_nothing & baseline_nothing) | _same("crm", "baseline", tolerance)
    return told.select(
        pl.when(source.is_null())
        .then(None)
        .when(held)
        .then(_word(FieldClass.EQUAL))
        .when(pl.col("has_baseline") & ~source_kept & ~crm_kept)
        .then(_word(FieldClass.BOTH_CHANGED))
        .when(pl.col("has_baseline") & ~source_kept)
        .then(_word(FieldClass.SOURCE_NEWER))
        .when(pl.col("has_baseline") & ~crm_kept & crm_nothing)
        .then(_word(FieldClass.ERASED))
        .when(pl.col("has_baseline") & ~crm_kept)
        .then(_word(FieldClass.CRM_EDITED))
        .when(crm_nothing & ~is_erase)
        .then(_word(FieldClass.MISSING))
        .otherwise(_word(FieldClass.DIFFERS))
        .alias("class")
    ).to_series()


def _word(found: FieldClass) -> pl.Expr:
    return pl.lit(found.value)


def _is_nothing(cell: pl.Expr) -> pl.Expr:
    """Whether a cell is empty: the default of a field is no value."""
    return cell.is_null() | cell.is_in(NOTHING)


def _readings(
    cells: pl.Series, side: str, rules: FieldRules
) -> tuple[pl.Series, pl.Series]:
    """Return `SIDE_text` and `SIDE_other`: what a cell says, and what it may mean."""
    text = canonical_cells(rules.field, cells).rename(f"{side}_text")
    if side not in rules.untyped:
        nothing = pl.repeat(None, len(cells), dtype=pl.String, eager=True)
        return text, nothing.rename(f"{side}_other")
    other = other_reading(cells)
    return text, canonical_cells(rules.field, other).rename(f"{side}_other")


def other_reading(cells: pl.Series) -> pl.Series:
    """Return the JSON that texts may mean instead, null where they mean themselves."""
    inner = cells.str.json_path_match("$").str.strip_chars()
    is_typed = inner.str.contains(_TYPED) & cells.str.starts_with('"')
    other = pl.select(pl.when(is_typed).then(inner)).to_series()
    lowered = other.str.to_lowercase()
    words = lowered.is_in(["true", "false"]).fill_null(value=False)
    return pl.select(pl.when(words).then(lowered).otherwise(other)).to_series()


def _same(one: str, two: str, tolerance: float | None) -> pl.Expr:
    """Whether two sides have the same value in any of their readings."""
    pairs = [
        pl.col(f"{one}_{a}") == pl.col(f"{two}_{b}")
        for a in ("text", "other")
        for b in ("text", "other")
    ]
    if tolerance is not None:
        distance = (_number(one) - _number(two)).abs()
        pairs.append(distance <= tolerance * _SLACK)
    return pl.any_horizontal(pair.fill_null(value=False) for pair in pairs)


def _number(side: str) -> pl.Expr:
    """Return the number of a cell, null where it is none; NaN is none."""
    found = pl.coalesce(f"{side}_other", f"{side}_text").cast(pl.Float64, strict=False)
    return pl.when(found.is_finite()).then(found)
