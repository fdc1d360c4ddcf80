"""
One bucket of a comparison: rows, the profiles they met, and what both once were.

What is told of it is a line a difference, and counts that add up over all buckets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.reconcile.compare import NOTHING, FieldRules, classify
from pipeline.records import FieldClass, RowClass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE, CRM, BASELINE = 0, 1, 2
LINES: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt32(),
    "number": pl.UInt32(),
    "profile": pl.String(),
    "field": pl.String(),
    "class": pl.String(),
    "source_value": pl.String(),
    "crm_value": pl.String(),
    "baseline_value": pl.String(),
}
_OWN: Final = frozenset({"side", "row", "number", "profile"})
MARKS: Final[dict[str, pl.DataType]] = {"row": pl.UInt32(), "mark": pl.UInt64()}
# A field has a bit; one more than these, and rows are handed back whole.
MAX_MARKED_FIELDS: Final = 63
WHOLE_ROW: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class BucketRules:
    """
    How rows are compared.

    Attributes:
        fields: Those that are compared, in the order of the mapping.
        known_empty: Fields of which the baseline tells also that they were empty.
        is_complete: Whether a profile that is not among those of the CRM is missing.
        conflicts: Class → UInt32, the rows that are in it.
        doubtful: UInt32, rows that met several in the baseline: it tells nothing.
        n_examples: Lines kept of each field and class.
    """

    fields: Sequence[FieldRules]
    known_empty: frozenset[str]
    is_complete: bool
    conflicts: Mapping[RowClass, pl.Series]
    doubtful: pl.Series
    n_examples: int = 5


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """
    How many rows of a bucket came to what.

    Attributes:
        rows: Class → rows, or profiles without one.
        n_differing: Matched rows with a field that is not equal.
        fields: Field → class → rows.
        n_in_crm: Field → matched profiles with a value.
        n_in_source: Field → matched rows with a value.
    """

    rows: Counter[RowClass]
    n_differing: int
    fields: Mapping[str, Counter[FieldClass]]
    n_in_crm: Counter[str]
    n_in_source: Counter[str]


@dataclass(frozen=True, slots=True)
class BucketResult:
    """
    What a bucket came to.

    Attributes:
        lines: `LINES`, sorted by row; a line of a whole row has no field.
        marks: row UInt32, mark UInt64: the fields that an import would have to send,
            a bit each in their order; `WHOLE_ROW` for all of them.
        examples: The first lines of each field and class.
    """

    counts: BucketCounts
    lines: pl.DataFrame
    marks: pl.DataFrame
    examples: pl.DataFrame


def compare_bucket(bucket: pl.DataFrame, rules: BucketRules) -> BucketResult:
    """
    Compare the rows of a bucket with their profiles.

    Frame:
        in   side, row, number, profile, and the fields, as `meeting.Meeting.gather`
             leaves them
    """
    source = bucket.filter(pl.col("side") == SOURCE).sort("row")
    crm = bucket.filter(pl.col("side") == CRM)
    is_clear = ~pl.col("row").is_in(rules.doubtful.implode())
    former = bucket.filter((pl.col("side") == BASELINE) & is_clear)
    parts = [_conflicts(source, crm, rules)]
    torn = pl.concat([pl.Series([], dtype=pl.UInt32), *rules.conflicts.values()])
    clear = source.filter(~pl.col("row").is_in(torn.implode()))
    met = crm.filter(pl.col("row").is_not_null())
    parts.append(_unmet(clear, met, rules))
    strangers = crm.filter(pl.col("row").is_null()).sort("number")
    parts.append(_whole(strangers, RowClass.ONLY_IN_CRM))
    matched = _matched(clear, met, former)
    counted: dict[str, Counter[FieldClass]] = {}
    in_crm: Counter[str] = Counter()
    in_source: Counter[str] = Counter()
    for rule in rules.fields:
        cells = _cells(matched, rule.field, rules)
        found = classify(cells, rule)
        values = found.value_counts().drop_nulls().iter_rows()
        counted[rule.field] = Counter({FieldClass(name): n for name, n in values})
        in_source[rule.field] = _n_given(matched[rule.field])
        in_crm[rule.field] = _n_given(matched[f"crm:{rule.field}"])
        parts.append(_field_lines(cells, found, rule.field))
    fields = [rule.field for rule in rules.fields]
    lines = _sorted(pl.concat(parts), fields)
    differing = lines.filter(pl.col("field").is_not_null())["row"].n_unique()
    rows = _row_counts(lines, matched.height, rules)
    return BucketResult(
        BucketCounts(rows, differing, counted, in_crm, in_source),
        lines=lines,
        marks=_marks(lines, fields),
        examples=_first(lines, rules.n_examples),
    )


def _conflicts(
    source: pl.DataFrame, crm: pl.DataFrame, rules: BucketRules
) -> pl.DataFrame:
    """Return a line for each profile that a row in conflict met."""
    parts = [_whole(source.head(0), RowClass.SEVERAL_PROFILES)]
    for found, rows in rules.conflicts.items():
        torn = source.filter(pl.col("row").is_in(rows.implode())).select("row")
        met = torn.join(crm, on="row").sort("row", "number")
        parts.append(_whole(met, found))
    return pl.concat(parts)


def _unmet(clear: pl.DataFrame, met: pl.DataFrame, rules: BucketRules) -> pl.DataFrame:
    alone = clear.join(met, on="row", how="anti", maintain_order="left")
    found = RowClass.ONLY_IN_SOURCE if rules.is_complete else RowClass.UNKNOWN
    return _whole(alone.with_columns(pl.lit(None, pl.UInt32).alias("number")), found)


def _whole(rows: pl.DataFrame, found: RowClass) -> pl.DataFrame:
    """Return lines that say of rows what they are, without a field."""
    nothing = [
        pl.lit(None, pl.String).alias(name)
        for name in ("field", "source_value", "crm_value", "baseline_value")
    ]
    told = pl.lit(found.value).alias("class")
    return rows.with_columns(*nothing, told).select(LINES.keys())


def _matched(
    clear: pl.DataFrame, met: pl.DataFrame, former: pl.DataFrame
) -> pl.DataFrame:
    """Return rows beside their profile (`crm:FIELD`) and baseline (`then:FIELD`)."""
    fields = [name for name in clear.columns if name not in _OWN]
    there = met.select(
        "row",
        "number",
        "profile",
        *(pl.col(name).alias(f"crm:{name}") for name in fields),
    )
    then = former.select(
        "row",
        pl.lit(value=True).alias("has_baseline"),
        *(pl.col(name).alias(f"then:{name}") for name in fields),
    )
    return (
        clear.drop("number", "profile", "side")
        .join(there, on="row", maintain_order="left")
        .join(then, on="row", how="left", maintain_order="left")
    )


def _cells(matched: pl.DataFrame, name: str, rules: BucketRules) -> pl.DataFrame:
    has_baseline = pl.col("has_baseline").fill_null(value=False)
    if name not in rules.known_empty:
        has_baseline = has_baseline & pl.col(f"then:{name}").is_not_null()
    return matched.filter(pl.col(name).is_not_null()).select(
        "row",
        "number",
        "profile",
        source=pl.col(name),
        crm=pl.col(f"crm:{name}"),
        baseline=pl.col(f"then:{name}"),
        has_baseline=has_baseline,
    )


def _n_given(cells: pl.Series) -> int:
    return int((cells.is_not_null() & ~cells.is_in(NOTHING)).sum())


def _field_lines(cells: pl.DataFrame, found: pl.Series, name: str) -> pl.DataFrame:
    return (
        cells.with_columns(found.alias("class"), pl.lit(name).alias("field"))
        .filter(pl.col("class") != FieldClass.EQUAL.value)
        .rename({side: f"{side}_value" for side in ("source", "crm", "baseline")})
        .select(LINES.keys())
    )


def _sorted(lines: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    order = pl.col("field").replace_strict(
        {name: place for place, name in enumerate(fields)},
        default=None,
        return_dtype=pl.UInt32,
    )
    return lines.sort("row", "number", order, nulls_last=[True, True, False])


def _row_counts(
    lines: pl.DataFrame, n_matched: int, rules: BucketRules
) -> Counter[RowClass]:
    whole = lines.filter(pl.col("field").is_null())
    counts: Counter[RowClass] = Counter({RowClass.MATCHED: n_matched})
    for found in (RowClass.ONLY_IN_SOURCE, RowClass.UNKNOWN, RowClass.ONLY_IN_CRM):
        counts[found] = whole.filter(pl.col("class") == found.value).height
    for found in rules.conflicts:
        counts[found] = whole.filter(pl.col("class") == found.value)["row"].n_unique()
    return counts


def _marks(lines: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    """Return what of which row would have to be sent."""
    all_of_it = pl.lit(WHOLE_ROW, pl.UInt64).alias("mark")
    whole = lines.filter(pl.col("class") == RowClass.ONLY_IN_SOURCE.value)
    parts = lines.filter(pl.col("field").is_not_null())
    if len(fields) > MAX_MARKED_FIELDS:
        marked = parts.select("row", all_of_it).unique()
    else:
        bits = {name: 2**place for place, name in enumerate(fields)}
        bit = pl.col("field").replace_strict(bits, return_dtype=pl.UInt64)
        marked = parts.group_by("row").agg(bit.sum().alias("mark"))
    return pl.concat([whole.select("row", all_of_it), marked]).sort("row")


def _first(lines: pl.DataFrame, n: int) -> pl.DataFrame:
    return (
        lines.group_by("field", "class", maintain_order=True)
        .head(n)
        .select(LINES.keys())
    )


@dataclass(slots=True)
class Tally:
    """
    The counts of all buckets together.

    Attributes:
        marks: Those of all buckets, ascending by row.
    """

    rows: Counter[RowClass] = field(default_factory=Counter)
    n_differing: int = 0
    fields: dict[str, Counter[FieldClass]] = field(default_factory=dict)
    n_in_crm: Counter[str] = field(default_factory=Counter)
    n_in_source: Counter[str] = field(default_factory=Counter)
    marks: list[pl.DataFrame] = field(default_factory=list)
    examples: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LINES))

    def add(self, result: BucketResult, n_examples: int) -> None:
        """Count one more bucket, behind those that were counted."""
        found = result.counts
        self.rows.update(found.rows)
        self.n_differing += found.n_differing
        for name, counts in found.fields.items():
            self.fields.setdefault(name, Counter()).update(counts)
        self.n_in_crm.update(found.n_in_crm)
        self.n_in_source.update(found.n_in_source)
        self.marks.append(result.marks)
        self.examples = _first(pl.concat([self.examples, result.examples]), n_examples)
