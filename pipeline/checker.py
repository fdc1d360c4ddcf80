"""
Pass 1: everything is read, nothing is sent.

What cannot be decided row by row is decided here: whether the files can be read to
their end, which rows are one profile, what is too large. The second pass relies on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.encoder import encode_slice
from pipeline.erasing import count_erased, count_filled
from pipeline.findings import ranked, stop_of
from pipeline.identity import decide, identifier_entries, packed_row
from pipeline.lint.evidence import Evidence as LintEvidence
from pipeline.lint.evidence import merge, observe
from pipeline.lint.linter import judge, judge_header
from pipeline.lint.signs import roles_of
from pipeline.lookahead import map_ahead
from pipeline.outcomes import EXCEPTIONS_SCHEMA, Evidence
from pipeline.records import BLOCKED_SCHEMA, ROW_KEY, State
from pipeline.spill import Spill, by_digest
from pipeline.transform import transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.errors import SourceUnusableError
    from pipeline.findings import Finding
    from pipeline.lint.signs import Role
    from pipeline.reader import Source
    from pipeline.records import Encoded, Fingerprint, Slice, Transformed
    from pipeline.settings import Duplicates
    from pipeline.spill import SliceStore
    from pipeline.transform import TransformPlan


@dataclass(frozen=True, slots=True)
class CheckRules:
    """
    What pass 1 decides by, beside the mapping.

    Attributes:
        key: Secret text of this run, for the digests of identifiers.
        max_row_bytes: The longest row that can be sent.
        null_tokens: Words that are declared: they erase the field.
        accepted: Findings that stop nothing, see `findings.ranked`.
        encode: Writes the clean rows of a slice.
    """

    duplicates: Duplicates
    key: str
    max_row_bytes: int
    null_tokens: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    encode: Callable[[Transformed, TransformPlan], Encoded] = encode_slice


@dataclass(frozen=True, slots=True)
class CheckResult:
    """
    What pass 1 found.

    Attributes:
        n_rows: Physical records of each file.
        n_clean: Rows that the transform let pass.
        faults: Every fault, `BLOCKED_SCHEMA`; several of one row possible.
        unreadable: source_no, row_no, line_no, code, message, text.
        omitted: Cells dropped by `on_invalid: omit`, `BLOCKED_SCHEMA`.
        shared_phones: row, of phone-only rows whose phone stands on another row too.
        repairs: Field → cells changed.
        filled: Field → cells given in clean rows.
        erased: Field → cells that erase it in clean rows; `erasures.counted_exactly`
            takes those away that are not sent.
        fates: See `identity.decide`.
        line_nos: row, line_no of faulty rows, where the source has lines.
        exceptions: See `outcomes.Evidence`.
        mean_row_bytes: Of a clean row as JSON.
        fingerprints: Of the files that were read.
        findings: About columns, the most serious first.
    """

    n_rows: tuple[int, ...]
    n_clean: int
    faults: pl.DataFrame
    unreadable: pl.DataFrame
    omitted: pl.DataFrame
    shared_phones: pl.Series
    repairs: dict[str, int]
    filled: dict[str, int]
    erased: dict[str, int]
    fates: pl.DataFrame
    line_nos: pl.DataFrame
    exceptions: pl.DataFrame
    mean_row_bytes: float
    fingerprints: tuple[Fingerprint, ...]
    findings: tuple[Finding, ...]

    @property
    def stop(self) -> SourceUnusableError | None:
        """What ends the run before anything is sent."""
        names = [PurePath(file.path).name for file in self.fingerprints]
        return stop_of(self.findings, names)

    @property
    def n_sendable(self) -> int:
        """Rows that would go out."""
        return sum(self.n_rows) - self.exceptions.height

    @property
    def folded_lane(self) -> pl.Series:
        """row, of the survivors that carry folded rows."""
        carries = pl.col("state").is_null() & pl.col("bucket").is_not_null()
        return self.fates.filter(carries)["row"]

    def evidence(self) -> Evidence:
        """Return what is known of the rows while nothing was sent."""
        return Evidence(self.exceptions, self.folded_lane, is_sent=False)


@dataclass(slots=True)
class _Findings:
    """What gathers while the slices go by."""

    n_rows: Counter[int] = field(default_factory=Counter)
    n_clean: int = 0
    repairs: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    erased: Counter[str] = field(default_factory=Counter)
    faults: list[pl.DataFrame] = field(default_factory=list)
    omitted: list[pl.DataFrame] = field(default_factory=list)
    unreadable: list[pl.DataFrame] = field(default_factory=list)
    empty: list[pl.DataFrame] = field(default_factory=list)
    line_nos: list[pl.DataFrame] = field(default_factory=list)
    n_bytes: int = 0
    lint: LintEvidence = field(default_factory=LintEvidence)


@dataclass(frozen=True, slots=True)
class _Examined:
    """One slice after the work that needs no neighbours."""

    piece: Slice
    result: Transformed
    encoded: Encoded
    entries: pl.DataFrame
    too_large: pl.DataFrame
    lint: LintEvidence


def check_source(
    source: Source,
    plan: TransformPlan,
    rules: CheckRules,
    *,
    folder: Path,
    store: SliceStore,
    on_rows: Callable[[int], None] = lambda _: None,
) -> CheckResult:
    """
    Read a source to its end and decide about every row.

    Args:
        folder: For digests that do not fit into memory; removed at the end.
        store: Keeps the encoded rows for pass 2, as far as it takes them.
        on_rows: Told how many rows went by.

    Raises:
        SourceError: The source cannot be read to its end, or changes meanwhile.

    Cost: memory of a few slices, of the rows that are faulty, and of those that
        collide; up to 20 MB of digests before they go to disk.
    """
    found = _Findings()
    roles = roles_of((reading.rule for reading in plan.readings), rules.null_tokens)

    def examine(piece: Slice) -> _Examined:
        return _examine(piece, plan, rules, roles)

    with Spill(folder, cut_by="digest") as spill:
        for examined in map_ahead(examine, source.slices()):
            _gather(found, examined)
            spill.add(by_digest(examined.entries))
            store.add(examined.encoded.frame)
            on_rows(examined.piece.n_rows)
        fates, shared = decide(spill.buckets, rules.duplicates)
    faults = _joined(found.faults, BLOCKED_SCHEMA)
    unreadable = _joined(found.unreadable, _UNREADABLE)
    return CheckResult(
        n_rows=tuple(found.n_rows[number] for number in range(len(source.files))),
        n_clean=found.n_clean,
        faults=faults,
        unreadable=unreadable,
        omitted=_joined(found.omitted, BLOCKED_SCHEMA),
        shared_phones=shared["row"],
        repairs=dict(found.repairs),
        filled=dict(found.filled),
        erased=dict(found.erased),
        fates=fates,
        line_nos=_joined(found.line_nos, _LINES),
        exceptions=_exceptions(found, faults, unreadable, fates),
        mean_row_bytes=found.n_bytes / max(1, found.n_clean),
        fingerprints=source.fingerprints(),
        findings=ranked(
            judge_header(source.columns) + judge(found.lint, roles), rules.accepted
        ),
    )


_LINES: Final[dict[str, pl.DataType]] = {"row": pl.UInt64(), "line_no": pl.UInt64()}
_UNREADABLE: Final[dict[str, pl.DataType]] = {
    "source_no": pl.UInt32(),
    "row_no": pl.UInt64(),
    "line_no": pl.UInt64(),
    "code": pl.String(),
    "message": pl.String(),
    "text": pl.String(),
}


def _examine(
    piece: Slice, plan: TransformPlan, rules: CheckRules, roles: Mapping[str, Role]
) -> _Examined:
    result = transform(piece, plan)
    clean = result.clean
    encoded = rules.encode(result, plan)
    is_large = pl.col("n_bytes") > rules.max_row_bytes
    too_large = encoded.frame.filter(is_large).select(ROW_KEY)
    if too_large.height:
        clean = clean.join(too_large, on="row_no", how="anti", maintain_order="left")
    entries = identifier_entries(clean, plan.identifiers, rules.key)
    lint = observe(piece.frame, roles, pl.concat([result.blocked, result.omitted]))
    return _Examined(piece, result, encoded, entries, too_large, lint)


def _gather(found: _Findings, examined: _Examined) -> None:
    piece, result = examined.piece, examined.result
    number = pl.lit(piece.source_no, dtype=pl.UInt32).alias("source_no")
    found.n_rows[piece.source_no] += piece.n_rows
    found.n_clean += result.clean.height
    found.repairs.update(result.repairs)
    found.filled.update(count_filled(result))
    found.erased.update(count_erased(result, examined.too_large))
    found.n_bytes += int(examined.encoded.frame["n_bytes"].sum())
    found.lint = merge(found.lint, examined.lint)
    if len(piece.empty):
        found.empty.append(pl.DataFrame({"row_no": piece.empty}).with_columns(number))
    if piece.unreadable.height:
        found.unreadable.append(piece.unreadable.with_columns(number))
    if result.omitted.height:
        found.omitted.append(result.omitted)
    faults = [result.blocked] if result.blocked.height else []
    if examined.too_large.height:
        faults.append(
            examined.too_large.select(
                "source_no",
                "row_no",
                pl.lit("").alias("field"),
                pl.lit("TOO_LARGE").alias("code"),
                pl.lit("the row is larger than a request may be").alias("message"),
            )
        )
    found.faults += faults
    if faults and piece.line_nos is not None:
        lines = piece.frame.select(packed_row(), line_no=piece.line_nos)
        rows = pl.concat(part.select(packed_row()) for part in faults).unique()
        found.line_nos.append(lines.join(rows, on="row", how="semi"))


def _joined(parts: list[pl.DataFrame], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat(
        [pl.DataFrame(schema=schema), *(p.select(schema.keys()) for p in parts)]
    )


def _exceptions(
    found: _Findings,
    faults: pl.DataFrame,
    unreadable: pl.DataFrame,
    fates: pl.DataFrame,
) -> pl.DataFrame:
    nobody = pl.lit(None, dtype=pl.UInt64).alias("survivor")
    blocked = pl.lit(State.BLOCKED.value).alias("state")
    parts = [
        _joined(found.empty, {"source_no": pl.UInt32(), "row_no": pl.UInt64()}).select(
            packed_row(),
            pl.lit(State.EMPTY.value).alias("state"),
            pl.lit("EMPTY").alias("code"),
            nobody,
        ),
        unreadable.select(packed_row(), blocked, "code", nobody),
        # The first fault of a row names its code.
        faults.unique(
            ["source_no", "row_no"], keep="first", maintain_order=True
        ).select(packed_row(), blocked, "code", nobody),
        fates.filter(pl.col("state").is_not_null()).select(
            "row",
            "state",
            "code",
            pl.when(pl.col("state") == State.FOLDED.value).then(pl.col("survivor")),
        ),
    ]
    return pl.concat(
        part.select(pl.col(n).cast(t) for n, t in EXCEPTIONS_SCHEMA.items())
        for part in parts
    ).sort("row")
