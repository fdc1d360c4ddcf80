"""
Reports on disk: what a command came to, gathered from its records and written as HTML.

Each appears whole or not at all, readable by its owner only. It shows values only where
somebody asked for them; all the same it belongs to the personal data of its run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.continuing import versions_at_work
from pipeline.contract import IDENTIFIERS, TOOL_COLUMNS
from pipeline.files import replacing
from pipeline.identity import packed_row
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.json_values import JSON_CELL, NULL_VALUE, TEXT_FIELD, VALUE_FIELD
from pipeline.records import ROWS_A_FILE, State
from pipeline.report.cells import Cells
from pipeline.report.exporting import ExportFacts, WindowFact, report_of_export
from pipeline.report.html import page_of
from pipeline.report.importing import (
    FailedRows,
    ImportFacts,
    SourceFile,
    report_of_import,
)
from pipeline.report.parts import Example
from pipeline.report.reconciling import report_of_reconcile
from pipeline.report.sent import Sent
from pipeline.report.verifying import VerifyFacts, WrongCell, report_of_verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.connection import Workspace
    from pipeline.delta.application import ApplyReport
    from pipeline.export.request import ExportReport
    from pipeline.export.windows import Window
    from pipeline.importer import RunReport
    from pipeline.reconcile.report import ReconcileReport
    from pipeline.report.document import Document
    from pipeline.report.parts import Ending
    from pipeline.verify.report import VerifyReport

REPORT_NAME: Final = "report.html"
VERIFY_REPORT_NAME: Final = "verify.html"
EXPORT_SUFFIX: Final = ".report.html"
EXAMPLES: Final = 300
EXPORT_EXAMPLES: Final = 50
FIRST_ROWS: Final = 2
# What a person looks for first in a list of people.
_EXPORT_COLUMNS: Final = (
    "clientId",
    "email",
    "phone",
    "customId",
    "firstName",
    "lastName",
)


def write_page(path: Path, document: Document) -> None:
    """
    Write a report: the whole page, or none.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    with replacing(path) as draft:
        draft.write_text(page_of(document), encoding="utf-8")


# -- check, import, resume -------------------------------------------------------------


def write_run_report(report: RunReport, ending: Ending) -> Path:
    """
    Write `report.html` into the folder of a run, and return where it is.

    Effects: reads the journal of the work folder; nothing of the source.

    Raises:
        CannotWriteError: The folder or the disk refuses.

    Cost: 10 ms of CPU for 1 M rows, and 70 ms for 10,000 batches; under 1 MB.
    """
    path = report.folder / REPORT_NAME
    write_page(path, report_of_import(import_facts(report), ending))
    return path


def import_facts(report: RunReport) -> ImportFacts:
    """Return what the report of a run is made of."""
    check, seen = report.check, report.verification
    return ImportFacts(
        run_id=report.run_id,
        command=report.command,
        counts=report.counts,
        sources=tuple(
            SourceFile(Path(file.path).name, n_rows, file.size_bytes, file.sha256)
            for file, n_rows in zip(check.fingerprints, check.n_rows, strict=True)
        ),
        cells=Cells(
            n_clean=check.n_clean,
            filled=check.filled,
            repaired=check.repairs,
            omitted=_by_field(check.omitted),
            faulty=_by_field(check.faults),
            erased=check.erased,
        ),
        failures=_failures(report),
        examples=_examples(report),
        findings=check.findings,
        sent=sent_of(report),
        verified=None if seen is None else verify_facts(seen),
        error=None if report.error is None else str(report.error),
        versions=versions_at_work(),
        files={
            path.name: path.stat().st_size for path in report.files.paths.values()
        },
    )  # fmt: skip


def _by_field(faults: pl.DataFrame) -> dict[str, int]:
    return dict(faults["field"].value_counts(sort=True).iter_rows())


def sent_of(report: RunReport | ApplyReport) -> Sent | None:
    """Return what a run sent, of the journal of its work folder; None of nothing."""
    done, workspace = report.delivery, report.workspace
    if done is None or workspace is None:
        return None
    with Journal.open(report.folder.parents[1] / JOURNAL_NAME) as journal:
        run = journal.run(report.run_id)
        if run is None:
            return None
        since = run.resumed_at or run.began_at
        attempts = tuple(journal.attempts(run.run_id, since=since))
    return Sent(
        workspace=in_words(workspace),
        dataset=run.dataset,
        n_requests=done.n_requests,
        n_retried=done.n_retried,
        n_bytes=done.bytes_sent,
        statuses=done.statuses or {},
        n_odd=done.n_anomalies,
        attempts=attempts,
    )


def in_words(workspace: Workspace) -> str:
    """Return which workspace, and where."""
    return f"{workspace.name} ({workspace.guid}) at {workspace.host}"


def _failures(report: RunReport) -> tuple[FailedRows, ...]:
    groups = (
        report.files.failed.group_by("code", "state")
        .agg(pl.len().alias("n"), pl.col("row").sort().head(FIRST_ROWS))
        .sort("n", "code", descending=[True, False])
    )
    place = _placing(report, groups["row"].explode())
    return tuple(
        FailedRows(code, state, n, first_places(map(place, rows), n))
        for code, state, n, rows in groups.iter_rows()
    )


def first_places(places: Iterable[str], n: int) -> str:
    """Return the first of *n* rows in words."""
    shown = list(places)
    more = f" and {n - len(shown):,} more" if n > len(shown) else ""
    return f"{'row' if n == 1 else 'rows'} {', '.join(shown)}{more}"


def _placing(report: RunReport, rows: pl.Series) -> Callable[[int], str]:
    """Return how *rows* are named: by number, line, and file if there are several."""
    check = report.check
    known = (check.line_nos, check.unreadable.select(packed_row(), "line_no"))
    wanted = pl.col("row").is_in(rows.implode())
    lines = {row: no for part in known for row, no in part.filter(wanted).iter_rows()}
    files = report.source.files

    def place(row: int) -> str:
        source_no, row_no = divmod(row, ROWS_A_FILE)
        name = f"{files[source_no].name} " if len(files) > 1 else ""
        line = f" (line {lines[row]})" if row in lines else ""
        return f"{name}{row_no}{line}"

    return place


def _examples(report: RunReport) -> tuple[Example, ...]:
    """Return rows that failed, in the order of the source, with what failed in them."""
    frame = report.files.examples
    unreadable = report.check.unreadable.select(
        packed_row(), "code", "message", "text"
    ).head(EXAMPLES)
    failed = [] if frame.is_empty() else frame[TOOL_COLUMNS[0]].to_list()
    rows = pl.Series("row", [*failed, *unreadable["row"]], dtype=pl.UInt64)
    place = _placing(report, rows)
    found: dict[int, Example] = {}
    columns = {rule.name: rule.column for rule in report.mapping.rules}
    fields = _faulty_fields(report.check.faults, frame)
    for cells in frame.iter_rows(named=True):
        row, state, code, message = (cells[name] for name in TOOL_COLUMNS[:4])
        field = fields.get(row) or _identifier(columns, cells)
        value = cells.get(columns.get(field, ""))
        found[row] = Example(place(row), state, code, field, _text(value), message)
    for row, code, message, text in unreadable.iter_rows():
        found[row] = Example(place(row), State.BLOCKED.value, code, "", text, message)
    return tuple(found[row] for row in sorted(found)[:EXAMPLES])


def _faulty_fields(faults: pl.DataFrame, frame: pl.DataFrame) -> dict[int, str]:
    """Return row → the field of its first fault, for the rows of *frame*."""
    if frame.is_empty():
        return {}
    first = (
        faults.select(packed_row(), "field")
        .join(frame.select(row=TOOL_COLUMNS[0]), on="row", how="semi")
        .unique("row", keep="first", maintain_order=True)
    )
    return dict(first.iter_rows())


def _identifier(columns: Mapping[str, str], cells: Mapping[str, Any]) -> str:
    """Return the first identifier of a row; "" when it has none."""
    given = (name for name in IDENTIFIERS if _text(cells.get(columns.get(name, ""))))
    return next(given, "")


def _text(value: object) -> str | None:
    """Return a cell as text; None of a blank one."""
    if isinstance(value, dict) and set(value) == set(JSON_CELL.to_schema()):
        text, other = value[TEXT_FIELD], value[VALUE_FIELD]
        value = text if other in (None, NULL_VALUE) else other
    if value is None or value == "":
        return None
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


# -- verify ----------------------------------------------------------------------------


def write_verify_report(report: VerifyReport, ending: Ending) -> Path:
    """
    Write `verify.html` into the folder of the run, and return where it is.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    path = report.folder / VERIFY_REPORT_NAME
    write_page(path, report_of_verify(verify_facts(report), ending))
    return path


def verify_facts(report: VerifyReport) -> VerifyFacts:
    """Return what the report of a verification is made of."""
    wrong = _wrong_cells(report.path)
    return VerifyFacts(
        run_id=report.run_id,
        n_accepted=report.n_accepted,
        n_asked=report.n_asked,
        counts=report.counts,
        n_ambiguous=report.n_ambiguous,
        wrong_share_at_most=report.wrong_share_at_most,
        settled_after_s=report.settled_after_s,
        refusal=report.refusal,
        fields=report.fields,
        wrong=wrong[:EXAMPLES],
        n_wrong_cells=len(wrong),
    )


def _wrong_cells(path: Path | None) -> tuple[WrongCell, ...]:
    if path is None:
        return ()
    # The file is our own, and as small as the sample it is about.
    frame = pl.read_csv(path, infer_schema=False)
    names = frame["source"].n_unique()
    return tuple(
        WrongCell(
            f"{cells['source']} {cells['row_no']}" if names > 1 else cells["row_no"],
            cells["state"],
            cells["field"] or "",
            cells["sent"] or "",
            cells["found"] or "",
        )
        for cells in frame.iter_rows(named=True)
    )


# -- reconcile -------------------------------------------------------------------------


def write_reconcile_report(
    report: ReconcileReport, fail_over: float, ending: Ending
) -> Path:
    """
    Write `report.html` into the folder of the comparison, and return where it is.

    Args:
        fail_over: The share of rows that may disagree.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    path = Path(report.folder, REPORT_NAME)
    write_page(path, report_of_reconcile(report, fail_over, ending))
    return path


# -- export ----------------------------------------------------------------------------


def write_export_report(report: ExportReport, ending: Ending) -> Path:
    """
    Write `NAME.EXT.report.html` beside the file of an export, and return where it is.

    Effects: reads the file once, to count what its columns hold.

    Raises:
        CannotWriteError: The folder or the disk refuses.

    Cost: of a Parquet file next to nothing, else one read of the file.
    """
    path = export_report_path(report)
    write_page(path, report_of_export(export_facts(report), ending))
    return path


def export_report_path(report: ExportReport) -> Path:
    """Return where the page of an export is, beside its file."""
    return report.path.with_name(report.path.name + EXPORT_SUFFIX)


def export_facts(report: ExportReport) -> ExportFacts:
    """Return what the report of an export is made of."""
    certificate = report.certificate
    frame = _scanned(report.path)
    schema = frame.collect_schema()
    filled = frame.select(pl.all().is_not_null().sum()).collect()
    columns = [name for name in _EXPORT_COLUMNS if name in schema]
    first = frame.select(columns).head(EXPORT_EXAMPLES).collect()
    return ExportFacts(
        name=report.path.name,
        n_profiles=certificate.n_profiles,
        n_all=certificate.n_all_after,
        # What is missing has a section of its own.
        words=certificate.words()[0 if certificate.is_complete else 1 :],
        reasons=certificate.reasons(),
        windows=tuple(
            WindowFact(
                _asked(read.window),
                read.window.search,
                read.matching,
                read.n_rows,
                read.n_new,
                read.is_saturated,
            )
            for read in certificate.windows
        ),
        n_requests=report.n_requests,
        n_bytes=report.path.stat().st_size,
        workspace=in_words(report.workspace),
        filled=filled.row(0, named=True) if filled.height else {},
        columns=("Profile", *columns),
        examples=tuple(
            (str(number), *(_text(cell) or "" for cell in cells))
            for number, cells in enumerate(first.iter_rows(), 1)
        ),
    )


def _scanned(path: Path) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    if path.suffix == ".csv":
        return pl.scan_csv(path, infer_schema=False)
    return pl.scan_ndjson(path, infer_schema_length=None)


def _asked(window: Window) -> str:
    whose = {"RECOGNIZED": "recognised", "ANONYMOUS": "anonymous"}
    part = whose.get(window.recognized or "", "all profiles")
    order = "" if window.sort_field is None else f", by {window.sort_field}"
    return f"{part}{order}{' from the end' if window.is_descending else ''}"
