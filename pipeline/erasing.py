"""
Cells that erase: which they are, how many of them, and how many may be.

A field is missing, given or erased. It is erased by the null token, and under
`rows.blank: erase` by a blank cell, and then `null` is sent for it. What may be erased,
and how often, the job has to say beforehand: the budget.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import can_erase
from pipeline.errors import LimitError, SettingsError
from pipeline.json_values import text_of
from pipeline.records import ROW_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.records import Transformed
    from pipeline.settings import FieldRule, RowSettings
    from pipeline.values import Reading


def check_budgets(rows: RowSettings, rules: Iterable[FieldRule]) -> None:
    """
    Refuse a budget, or a token, that cannot mean what it says.

    Raises:
        SettingsError: A budget is for a field that cannot be erased or is not mapped,
            or the token is a word of `values`.
    """
    names = {rule.name for rule in rules}
    fixed = [name for name in rows.allow_erase if not can_erase(name)]
    if fixed:
        raise SettingsError(
            f"{', '.join(fixed)} cannot be erased by an import: no identifier can, and "
            "what null does to agreements and tags is not documented. Take it out of "
            "rows.allow_erase; an agreement is withdrawn by the value false"
        )
    unknown = [name for name in rows.allow_erase if name not in names]
    if unknown:
        raise SettingsError(
            f"rows.allow_erase names {', '.join(unknown)}, to which no column is "
            f"mapped. Mapped are: {', '.join(sorted(filter(can_erase, names)))}"
        )
    doubtful = [
        f"mapping.{rule.name}.values"
        for rule in rules
        if rows.null_token in (rule.options.values or ())
    ]
    if doubtful:
        raise SettingsError(
            f"the null token is a word of {', '.join(doubtful)} too: choose another one"
        )


def with_token(reading: Reading, token: str, dtype: pl.DataType) -> Reading:
    """Let *reading* know a cell that is the token; it is not given then."""
    text = text_of(reading.rule, dtype)
    if text is None:
        return reading
    is_token = text.eq_missing(pl.lit(token))
    given = pl.when(~is_token).then(reading.given)
    return replace(reading, given=given, token=is_token)


def count_erased(done: Transformed, left_out: pl.DataFrame) -> Counter[str]:
    """
    Count the cells of clean rows that erase, by field.

    Args:
        left_out: row_no, of rows that do not count.
    """
    if done.erased is None:
        return Counter()
    counts = ~done.clean["row_no"].is_in(left_out["row_no"].implode())
    kept = done.erased.filter(counts)
    return +Counter({name: int(kept[name].sum()) for name in kept.columns})


def count_filled(done: Transformed) -> dict[str, int]:
    """Count the cells of clean rows that give a value, by field; no cell is read."""
    clean = done.clean
    return {
        name: clean.height - clean[name].null_count()
        for name in clean.columns
        if name not in ROW_KEY
    }


def cell_states(done: Transformed, fields: Iterable[str]) -> pl.DataFrame:
    """Return what clean rows do to *fields*: erase is true, give false, else null."""
    marks = {} if done.erased is None else done.erased.to_dict()
    return done.clean.select(
        pl.when(marks.get(name, pl.lit(value=False)))
        .then(pl.lit(value=True))
        .when(pl.col(name).is_not_null())
        .then(pl.lit(value=False))
        .alias(name)
        for name in fields
    )


def count_folded(states: pl.DataFrame, fields: Sequence[str]) -> Counter[str]:
    """
    Count the fields that are erased once rows of one profile are one row.

    The last row that says anything of a field wins, as in `folding.fold`.

    Frame:
        in   row, survivor, and a column per field as `cell_states` writes it
    """
    folded = (
        states.sort("row")
        .group_by("survivor")
        .agg(pl.col(name).drop_nulls().last() for name in fields)
    )
    return +Counter({name: int(folded[name].sum()) for name in fields})


def excess(erased: Mapping[str, int], budgets: Mapping[str, int]) -> LimitError | None:
    """Return what stops a run that would erase more than it may; None if nothing."""
    over = {name: n for name, n in erased.items() if n > budgets.get(name, 0)}
    if not over:
        return None
    told = ", ".join(
        f"{name} in {n} (allowed: {budgets.get(name, 0)})" for name, n in over.items()
    )
    flags = " ".join(
        f"--allow-erase {shlex.quote(f'{name}={n}')}" for name, n in over.items()
    )
    return LimitError(
        f"these fields would be erased in more rows than allowed: {told}. Nothing was "
        f"sent. If that is what you want, add {flags}, or the numbers to "
        "rows.allow_erase in the job"
    )
