"""
The files of a run: outcomes, rejected and unreadable rows, findings, summary.

Each is whole or absent, private, and made again from the same evidence if need be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import ROW_CODES, TOOL_COLUMNS
from pipeline.findings import findings_frame
from pipeline.identity import packed_row, unpacked_row
from pipeline.outcomes import CHUNK_ROWS, OUTCOMES_SCHEMA, Assembly, count_rows, tally
from pipeline.records import ROW_KEY, ROW_NO, SOURCE_NO, State
from pipeline.writer import FileForm, write_frames, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.outcomes import Evidence, RowCounts
    from pipeline.reader import Source

EXAMPLES: Final = 300
EXAMPLES_A_CODE: Final = 25
FAILED: Final = (State.BLOCKED.value, State.REJECTED.value)
_FINDINGS: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "row_no": pl.UInt64(),
    "field": pl.String(),
    "code": pl.String(),
    "message": pl.String(),
}


@dataclass(frozen=True, slots=True)
class RunFiles:
    """
    What was written, and what it adds up to.

    Attributes:
        paths: Name of the file → where it is; a file without content is left out.
        failed: row, state, code of blocked and rejected rows.
        examples: The first failed rows of each code, `EXAMPLES` at most, unreadable
            ones left out: the source's columns, `_row_no` packed as by
            `identity.packed_row`, `_state`, `_code`, `_message`.
    """

    counts: RowCounts
    paths: dict[str, Path]
    failed: pl.DataFrame
    examples: pl.DataFrame


def write_run_files(
    folder: Path, source: Source, check: CheckResult, evidence: Evidence
) -> RunFiles:
    """
    Write everything about the rows of a run.

    Effects: `outcomes.parquet`, and, where there is something to say, `rejected.*` in
    the source's own kind, `unreadable.txt` and `findings.csv`. The source is read once
    more when rows failed.

    Raises:
        InvariantError: The states do not add up to the rows read; nothing is shown.
        CannotWriteError: The disk refuses.
        SourceError: The source cannot be read again.
    """
    assembly = Assembly(evidence)
    failed: list[pl.DataFrame] = []
    tallies: list[pl.DataFrame] = []

    def outcomes() -> Iterator[pl.DataFrame]:
        for source_no, n_rows in enumerate(check.n_rows):
            for first in range(1, n_rows + 1, CHUNK_ROWS):
                n_chunk = min(CHUNK_ROWS, n_rows + 1 - first)
                chunk = assembly.chunk(source_no, first, n_chunk)
                tallies.append(tally(chunk))
                bad = chunk.filter(pl.col("state").is_in(FAILED))
                failed.append(bad.select(packed_row(), "state", "code"))
                yield chunk

    paths = {"outcomes": folder / "outcomes.parquet"}
    write_frames(paths["outcomes"], FileForm("parquet"), outcomes, OUTCOMES_SCHEMA)
    counts = count_rows(tallies, sum(check.n_rows))
    shape = {"row": pl.UInt64, "state": pl.String, "code": pl.String}
    bad_rows = pl.concat([pl.DataFrame(schema=shape), *failed])
    splittable = _without_unreadable(bad_rows, check)
    examples = pl.DataFrame()
    if splittable.height:
        paths["rejected"], examples = _write_rejected(folder, source, check, splittable)
    if check.unreadable.height:
        paths["unreadable"] = folder / "unreadable.txt"
        write_lines(paths["unreadable"], _unreadable_lines(source, check))
    findings = _findings(source, check)
    if findings.height:
        paths["findings"] = folder / "findings.csv"
        write_frames(paths["findings"], FileForm("csv"), lambda: [findings], _FINDINGS)
    return RunFiles(counts, paths, bad_rows, examples)


def _without_unreadable(failed: pl.DataFrame, check: CheckResult) -> pl.DataFrame:
    unreadable = check.unreadable.select(packed_row())
    return failed.join(unreadable, on="row", how="anti", maintain_order="left")


def _write_rejected(
    folder: Path, source: Source, check: CheckResult, failed: pl.DataFrame
) -> tuple[Path, pl.DataFrame]:
    """
    Hand rows back as they were, with what is wrong; fixed, they can be fed again.

    A source may have columns of any name but `TOOL_COLUMNS`.

    Returns:
        The file; and `RunFiles.examples`, taken in passing.
    """
    wanted = failed.group_by("code").head(EXAMPLES_A_CODE).sort("row").head(EXAMPLES)
    taken: list[pl.DataFrame] = []
    told = failed.join(_messages(check), on="row", how="left").with_columns(
        pl.col("message").fill_null(
            pl.col("code").replace_strict(
                ROW_CODES, default=None, return_dtype=pl.String
            )
        )
    )
    packed, state, code, message, source_name = TOOL_COLUMNS
    told = told.select(
        pl.col("row").alias(packed),
        pl.col("state").alias(state),
        pl.col("code").alias(code),
        pl.col("message").alias(message),
    )
    kept = [name for name in source.columns if name not in TOOL_COLUMNS]
    names = dict(enumerate(path.name for path in source.files))
    file_name = pl.col(SOURCE_NO).replace_strict(names, return_dtype=pl.String)
    tool = (
        pl.col(ROW_NO).alias(packed),
        state,
        code,
        message,
        file_name.alias(source_name),
    )

    def frames() -> Iterator[pl.DataFrame]:
        for piece in source.slices():
            rows = (
                piece.frame.select(*ROW_KEY, *kept, packed_row().alias(packed))
                .join(told, on=packed, how="inner", maintain_order="left")
            )  # fmt: skip
            if rows.height:
                chosen = rows.join(wanted, left_on=packed, right_on="row", how="semi")
                taken.append(chosen.drop(*ROW_KEY))
                yield rows.select(*kept, *tool)

    schema = {name: source.dtypes[name] for name in kept} | {
        packed: pl.UInt64(),
        **dict.fromkeys(TOOL_COLUMNS[1:], pl.String()),
    }
    path = folder / f"rejected.{source.kind}"
    write_frames(path, form_of(source), frames, schema)
    return path, pl.concat(taken) if taken else pl.DataFrame()


def form_of(source: Source) -> FileForm:
    """Return the form in which rows of *source* are handed back: its own."""
    dialect = source.csv
    if dialect is None:
        return FileForm(source.kind, hands_back=True)
    return FileForm("csv", dialect.delimiter, dialect.encoding)


def _messages(check: CheckResult) -> pl.DataFrame:
    """Return row, message: all faults of a row, and the rows that contradict it."""
    faults = (
        check.faults.select(packed_row(), "message")
        .group_by("row", maintain_order=True)
        .agg(pl.col("message").str.join("; "))
    )
    conflicts = check.fates.filter(pl.col("state") == State.BLOCKED.value)
    # Rows that contradict each other are told by their numbers, ten at the most.
    linked = conflicts.with_columns(unpacked_row()[1])
    groups = linked.group_by("survivor").agg(
        pl.col("row_no").sort().head(10).cast(pl.String).str.join(", ").alias("rows")
    )
    told = linked.join(groups, on="survivor").select(
        "row",
        (
            pl.lit("rows ")
            + pl.col("rows")
            + pl.lit(": ")
            + pl.col("code")
            .cast(pl.String)
            .replace_strict(ROW_CODES, return_dtype=pl.String)
        ).alias("message"),
    )
    return pl.concat([faults, told])


def _unreadable_lines(source: Source, check: CheckResult) -> Iterator[str]:
    for row in check.unreadable.iter_rows(named=True):
        name = source.files[row["source_no"]].name
        yield f"{name}, line {row['line_no']} (row {row['row_no']}): {row['code']}"
        yield str(row["text"])


def _findings(source: Source, check: CheckResult) -> pl.DataFrame:
    """Return what was noticed beside the rows that failed, `_FINDINGS`."""
    names = dict(enumerate(path.name for path in source.files))
    shared = check.shared_phones.to_frame("row").with_columns(
        *unpacked_row(),
        field=pl.lit("phone"),
        code=pl.lit("PHONE_SHARED"),
        message=pl.lit(ROW_CODES["PHONE_SHARED"]),
    )
    omitted = check.omitted.with_columns(
        (pl.col("message") + pl.lit(" The cell was left out.")).alias("message")
    )
    columns = ["source_no", *list(_FINDINGS)[1:]]
    return (
        pl.concat(
            part.select(columns)
            for part in (omitted, shared, findings_frame(check.findings))
        )
        .sort("source_no", "row_no", maintain_order=True)
        .select(
            pl.col("source_no")
            .replace_strict(names, return_dtype=pl.String)
            .alias("source"),
            *list(_FINDINGS)[1:],
        )
    )
