"""
Source rows become clean rows: mapped, trimmed, normalised, checked; or blocked.

Nothing is guessed and nothing is lost on the way: rows in = rows clean + rows blocked.
A cell that is blank, absent or null means "not given" and is never sent, unless the
job declares that it erases its field; a cell that cannot be read blocks its row, unless
its field says `on_invalid: omit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import IDENTIFIERS, ROW_CODES, FieldKind, can_erase
from pipeline.erasing import check_budgets, with_token
from pipeline.errors import InvariantError
from pipeline.identifiers.proofs import Checked
from pipeline.json_values import reading_by_type, repairable
from pipeline.records import BLOCKED_SCHEMA, ROW_KEY, Slice, Transformed
from pipeline.settings import FieldRule
from pipeline.values import IDENTIFIER_KINDS, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

    from pipeline.identifiers.proofs import IdentifierChecks
    from pipeline.settings import Job, Mapping, SourceFormat


# Digits, letters and dashes, by the rules of these fields.
_PLAIN_KINDS: Final = frozenset(
    FieldKind(kind) for kind in ("phone", "uuid", "country", "birthDate", "sex")
)
# Where a text stands four times on average, reading it once pays (measured: tags in
# 110 instead of 470 CPU ms a million rows).
_REPEATS: Final = 4
_SAMPLE_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class TransformPlan:
    """
    A mapping compiled for the columns of one source.

    Attributes:
        raw: Fields whose clean column holds JSON text already.
        plain: Fields whose clean text holds no character that JSON escapes.
        identifiers: Fields that can find a profile in this workspace.
        checks: Normalises identifiers; keeps what it learned for the whole run.
        has_absent: Whether a null of the source is a cell that is not there at all.
    """

    readings: tuple[Reading, ...]
    raw: frozenset[str]
    plain: frozenset[str]
    identifiers: tuple[str, ...]
    checks: IdentifierChecks
    block_blank: bool = False
    erase_blank: bool = False
    has_absent: bool = False


@dataclass(frozen=True, slots=True)
class _Cells:
    """
    A field of one slice: its values, and a code where a cell is invalid.

    Attributes:
        erased: Whether a cell erases the field; None where none does.
    """

    reading: Reading
    values: pl.Series
    codes: pl.Series | None
    erased: pl.Series | None = None


def plan_transform(
    mapping: Mapping,
    dtypes: MappingType[str, pl.DataType],
    job: Job,
    checks: IdentifierChecks,
    kind: SourceFormat = "csv",
) -> TransformPlan:
    """
    Compile *mapping* for columns of these types.

    Args:
        kind: Of the source. A null of JSONL is a cell that is not there at all, any
            other one is blank.

    Raises:
        SettingsError: A column's type cannot serve its field, a zone is missing, or a
            budget is for a field that is not mapped or cannot be erased.
    """
    attribute = job.workspace.email_attribute
    rules = [
        rule
        if rule.name != "email" or job.workspace.unique_email
        else FieldRule(
            f"attributes.{attribute}", rule.column, FieldKind.EMAIL, rule.options
        )
        for rule in mapping.rules
    ]
    check_budgets(job.rows, rules)
    readings = tuple(
        reading_by_type(rule, dtypes[rule.column], job.workspace.timezone)
        for rule in rules
    )
    token = job.rows.null_token
    if token is not None:
        readings = tuple(
            with_token(reading, token, dtypes[reading.rule.column])
            for reading in readings
        )
    return TransformPlan(
        readings,
        frozenset(reading.rule.name for reading in readings if reading.raw),
        frozenset(rule.name for rule in rules if rule.kind in _PLAIN_KINDS),
        tuple(rule.name for rule in rules if rule.name in IDENTIFIERS),
        checks,
        block_blank=job.rows.blank == "block",
        erase_blank=job.rows.blank == "erase",
        has_absent=kind == "jsonl",
    )


def transform(piece: Slice, plan: TransformPlan) -> Transformed:
    """
    Read every mapped field of a slice.

    Frame:
        in   source_no, row_no, the source's columns
        out  clean: source_no, row_no, one column per rule, in the order of the rules;
             String, Boolean, Int64, UInt64 (clientId), Float64, List or Struct;
             null = not given. blocked and omitted: `BLOCKED_SCHEMA`.

    Rows: in = clean + distinct blocked; order kept.

    Raises:
        InvariantError: The rows do not add up.

    Cost: one pass; the libraries see each distinct odd identifier once a run.
    """
    cells = _read_fields(piece.frame, plan)
    faults, omitted = _faults(piece.frame, cells, plan)
    keys = piece.frame.select(ROW_KEY)
    clean = keys.with_columns(
        [cell.values.alias(cell.reading.rule.name) for cell in cells]
    )
    erased = _erased(keys, cells)
    if faults.height:
        bad = faults.select("row_no").unique()
        clean = clean.join(bad, on="row_no", how="anti", maintain_order="left")
        if erased is not None:
            erased = erased.join(bad, on="row_no", how="anti", maintain_order="left")
        if clean.height + bad.height != piece.frame.height:
            raise InvariantError(
                f"{piece.frame.height} rows went into the transform, and "
                f"{clean.height} clean and {bad.height} blocked ones came out"
            )
    if erased is not None:
        erased = erased.drop("row_no")
    return Transformed(clean, faults, omitted, _repairs(piece.frame, cells), erased)


def _read_fields(frame: pl.DataFrame, plan: TransformPlan) -> list[_Cells]:
    given = frame.lazy().select(
        reading.given.alias(reading.rule.name) for reading in plan.readings
    )
    columns = given.collect()
    cells = []
    for reading in plan.readings:
        series = columns[reading.rule.name]
        if reading.rule.kind in IDENTIFIER_KINDS and reading.invalid is None:
            checked = _check(reading.rule, series, plan.checks)
            cells.append(_Cells(reading, checked.values, checked.codes))
        else:
            cells.append(_evaluate(reading, series))
        if reading.alien is not None:
            is_alien = frame.select(reading.alien.alias("alien"))["alien"]
            cells[-1] = _refused(cells[-1], is_alien, "TYPE")
        if plan.erase_blank or reading.token is not None:
            cells[-1] = _with_erased(cells[-1], frame, plan)
    return cells


def _refused(cells: _Cells, refused: pl.Series, code: str) -> _Cells:
    """Put *code* on cells that the field cannot take; their values are null."""
    if not refused.any():
        return cells
    codes = pl.lit(None, pl.String) if cells.codes is None else cells.codes
    marked = pl.when(refused).then(pl.lit(code)).otherwise(codes)
    return replace(cells, codes=pl.select(marked).to_series())


def _with_erased(cells: _Cells, frame: pl.DataFrame, plan: TransformPlan) -> _Cells:
    """Find the cells that erase the field; a blank one only where it is there."""
    rule, token = cells.reading.rule, cells.reading.token
    is_token = None if token is None else frame.select(token.alias("token"))["token"]
    if not can_erase(rule.name):
        return cells if is_token is None else _refused(cells, is_token, "NO_ERASE")
    erased = is_token
    if plan.erase_blank:  # a token has no value and no fault either
        erased = _is_blank(cells)
        if plan.has_absent:
            erased &= frame[rule.column].is_not_null()
    return (
        replace(cells, erased=erased) if erased is not None and erased.any() else cells
    )


def _is_blank(cells: _Cells) -> pl.Series:
    blank = cells.values.is_null()
    return blank if cells.codes is None else blank & cells.codes.is_null()


def _erased(keys: pl.DataFrame, cells: list[_Cells]) -> pl.DataFrame | None:
    marks = [
        cell.erased.alias(cell.reading.rule.name)
        for cell in cells
        if cell.erased is not None
    ]
    return keys.select("row_no", *marks) if marks else None


def _check(rule: FieldRule, cells: pl.Series, checks: IdentifierChecks) -> Checked:
    match rule.kind:
        case FieldKind.EMAIL:
            return checks.emails(cells, keep_case=rule.options.case == "keep")
        case FieldKind.PHONE:
            return checks.phones(cells, region=rule.options.region)
        case FieldKind.CUSTOM_ID:
            return checks.custom_ids(cells)
        case FieldKind.UUID:
            return checks.uuids(cells)
        case _:
            found = checks.client_ids(cells)
            # The API takes this one as a number.
            return Checked(found.values.cast(pl.UInt64), found.codes)


def _evaluate(reading: Reading, given: pl.Series) -> _Cells:
    """Run the second and third stage of a reading on one column."""
    if reading.invalid is None:
        return _Cells(reading, given, None)
    suspects = list(reading.suspects)
    if suspects and not given.str.contains_any(suspects).any():
        return _Cells(reading, given, None)
    words = _distinct(given) if reading.value is not None else None
    if words is None:
        return _judged(reading, reading.invalid, given)
    # Each distinct text is read once, where texts repeat.
    judged = _judged(reading, reading.invalid, words)
    places = given.cast(pl.Enum(words)).to_physical()
    codes = None if judged.codes is None else judged.codes.gather(places)
    return _Cells(reading, judged.values.gather(places), codes)


def _distinct(given: pl.Series) -> pl.Series | None:
    """Return the distinct texts of a column, null left out; None where few repeat."""
    if given.dtype != pl.String or len(given) < _SAMPLE_ROWS:
        return None
    if given.head(_SAMPLE_ROWS).n_unique() > _SAMPLE_ROWS // 2:
        return None
    words = given.unique().drop_nulls()
    return words if len(words) <= len(given) // _REPEATS else None


def _judged(reading: Reading, is_invalid: pl.Expr, given: pl.Series) -> _Cells:
    frame = _with_values(given.alias("given").to_frame(), reading)
    invalid = frame.select(is_invalid.fill_null(value=False).alias("bad"))["bad"]
    if not invalid.any():
        return _Cells(reading, frame["value"], None)
    code = pl.lit(reading.code) if isinstance(reading.code, str) else reading.code
    judged = frame.with_columns(bad=invalid).select(
        pl.when(~pl.col("bad")).then(pl.col("value")).alias("value"),
        pl.when(pl.col("bad")).then(code).alias("code"),
    )
    return _Cells(reading, judged["value"], judged["code"])


def _with_values(frame: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Add `value`, by the shortcut where it holds and the long way elsewhere."""
    value = pl.col("given") if reading.value is None else reading.value
    if reading.shortcut is None:
        return frame.with_columns(value.alias("value"))
    holds = frame.select(reading.shortcut.holds.fill_null(value=True))["given"]
    if holds.all():
        return frame.with_columns(reading.shortcut.value.alias("value"))
    numbered = frame.with_row_index("place")
    return (
        pl.concat(
            [
                numbered.filter(holds).with_columns(
                    reading.shortcut.value.alias("value")
                ),
                numbered.filter(~holds).with_columns(value.alias("value")),
            ]
        )
        .sort("place")
        .drop("place")
    )


def _faults(
    frame: pl.DataFrame, cells: list[_Cells], plan: TransformPlan
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the cells that block their row, and the cells that are left out."""
    keys = frame.select(ROW_KEY)
    is_known = _has_identifier(keys, cells, plan)
    blocked, omitted = [], []
    for cell in cells:
        rule = cell.reading.rule
        if cell.codes is not None and cell.codes.null_count() < len(cell.codes):
            found = _listed(keys, rule, cell.codes, is_known)
            if rule.options.on_invalid == "omit":
                spared = (
                    found.filter("is_known") if rule.name in plan.identifiers else found
                )
                omitted.append(spared)
                found = found.join(spared, on="row_no", how="anti")
            blocked.append(found)
        if plan.block_blank:
            blank = _is_blank(cell)
            if cell.erased is not None:
                blank &= ~cell.erased
            codes = pl.select(pl.when(blank).then(pl.lit("BLANK"))).to_series()
            blocked.append(_listed(keys, rule, codes, is_known))
    faults = _together(blocked)
    if not is_known.all():
        named = faults.filter(pl.col("field").is_in(plan.identifiers))
        nobody = (
            keys.filter(~is_known)
            .join(
                named.select("row_no"), on="row_no", how="anti", maintain_order="left"
            )
            .select(
                *ROW_KEY,
                field=pl.lit(""),
                code=pl.lit("NO_ID"),
                message=pl.lit(ROW_CODES["NO_ID"]),
            )
        )
        # First, as identifiers are: such a row has no fault of an identifier.
        faults = pl.concat([nobody, faults])
    # Stable: within a row, faults keep the order of the rules.
    return faults.sort("row_no", maintain_order=True), _together(omitted)


def _has_identifier(
    keys: pl.DataFrame, cells: list[_Cells], plan: TransformPlan
) -> pl.Series:
    is_known = pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True)
    for cell in cells:
        if cell.reading.rule.name in plan.identifiers:
            is_known |= cell.values.is_not_null()
    return is_known


def _listed(
    keys: pl.DataFrame, rule: FieldRule, codes: pl.Series, is_known: pl.Series
) -> pl.DataFrame:
    return (
        keys.with_columns(
            pl.lit(rule.name).alias("field"),
            codes.alias("code"),
            is_known.alias("is_known"),
        )
        .filter(pl.col("code").is_not_null())
        .with_columns(
            (
                pl.lit(f"column {rule.column}: ")
                + pl.col("code").replace_strict(ROW_CODES, return_dtype=pl.String)
            ).alias("message")
        )
    )


def _together(parts: list[pl.DataFrame]) -> pl.DataFrame:
    shape = [part.select(list(BLOCKED_SCHEMA)) for part in parts]
    return pl.concat([pl.DataFrame(schema=BLOCKED_SCHEMA), *shape])


def _repairs(frame: pl.DataFrame, cells: list[_Cells]) -> dict[str, int]:
    """Count the text cells that a declared repair changed."""
    counts = {}
    for cell in cells:
        rule = cell.reading.rule
        before = repairable(cell.reading, frame[rule.column])
        if before is not None and cell.values.dtype == pl.String:
            n_changed = (cell.values != before).sum()
            if n_changed:
                counts[rule.name] = int(n_changed)
    return counts
