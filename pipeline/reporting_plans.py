"""Reports of plans and of the nights that applied them, gathered and written."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.continuing import versions_at_work
from pipeline.contract import IDENTIFIERS, TOOL_COLUMNS
from pipeline.delta.applied_files import OUTCOMES_NAME
from pipeline.errors import InvariantError
from pipeline.identity import packed_row
from pipeline.records import ROWS_A_FILE, State
from pipeline.report.applying import NightFacts, report_of_night
from pipeline.report.importing import FailedRows, SourceFile
from pipeline.report.parts import Example
from pipeline.report.planning import PlanFacts, PlannedCell, report_of_plan
from pipeline.reporting import (
    EXAMPLES,
    FIRST_ROWS,
    REPORT_NAME,
    first_places,
    import_facts,
    in_words,
    sent_of,
    verify_facts,
    write_page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.delta.application import ApplyReport
    from pipeline.delta.examples import PlannedRow
    from pipeline.delta.plan_request import PlanReport
    from pipeline.report.parts import Ending

PLAN_REPORT_NAME: Final = "plan.html"
_CONSENTS: Final = "agreements."
_FAILED: Final = (State.BLOCKED.value, State.REJECTED.value)


def write_plan_report(report: PlanReport, ending: Ending) -> Path:
    """
    Write `plan.html` into the folder of a plan, and return where it is.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    path = report.run.folder / PLAN_REPORT_NAME
    write_page(path, report_of_plan(plan_facts(report), ending))
    return path


def plan_facts(report: PlanReport) -> PlanFacts:
    """
    Return what the report of a plan is made of.

    Raises:
        InvariantError: There is no plan.
    """
    plan, workspace = report.plan, report.run.workspace
    if plan is None or workspace is None:
        raise InvariantError("a report of no plan was asked for; please report this")
    several = len(report.run.source.files) > 1
    files = [path.name for path in report.run.source.files]
    cells: list[PlannedCell] = []
    n_shown = 0
    for row in report.examples:
        place = f"{files[row.source_no]} {row.row_no}" if several else str(row.row_no)
        more = list(_cells(row, place))
        if len(cells) + len(more) > EXAMPLES:
            break
        cells += more
        n_shown += 1
    return PlanFacts(
        import_facts(report.run), plan, in_words(workspace), tuple(cells), n_shown
    )


def _cells(row: PlannedRow, place: str) -> Iterator[PlannedCell]:
    change = "new" if row.changed is None else "changed"
    for field, value in _fields(row.content):
        if row.changed is None or field in row.changed:
            yield PlannedCell(place, change, _does(field, value), field, _text(value))


def _fields(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if name in _NESTED and isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


_NESTED: Final = ("attributes", "agreements")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _does(field: str, value: object) -> str:
    if value is None:
        return "erase"
    if not field.startswith(_CONSENTS):
        return "set"
    return "grant" if value else "withdraw"


# -- nights ------------------------------------------------------------------------


def write_night_report(report: ApplyReport, ending: Ending) -> Path:
    """
    Write `report.html` into the folder of an applied plan, and return where it is.

    Effects: reads the journal of the work folder and the outcomes of the run.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    path = report.folder / REPORT_NAME
    write_page(path, report_of_night(night_facts(report), ending))
    return path


def night_facts(report: ApplyReport) -> NightFacts:
    """
    Return what the report of a night is made of.

    Raises:
        InvariantError: The journal does not know the run.
    """
    sent, canary, seen = sent_of(report), report.canary, report.verification
    if sent is None:
        raise InvariantError("the journal does not know this run; please report this")
    return NightFacts(
        command=report.command,
        plan=report.plan,
        counts=report.counts,
        sources=tuple(
            SourceFile(Path(file.path).name, None, file.size_bytes, file.sha256)
            for file in report.plan.fingerprints
        ),
        sent=sent,
        failures=_failures(report),
        examples=tuple(_refused(report)),
        n_canary=None if canary is None else canary.n_rows,
        canary_refusal=None if canary is None else canary.refusal,
        n_deleted=report.actions.done,
        n_spared=report.actions.refused,
        n_undeleted=report.actions.pending,
        verified=None if seen is None else verify_facts(seen),
        error=None if report.error is None else str(report.error),
        versions=versions_at_work(),
        files={path.name: path.stat().st_size for path in report.paths.values()},
    )


def _failures(report: ApplyReport) -> tuple[FailedRows, ...]:
    groups = (
        pl.scan_parquet(report.folder / OUTCOMES_NAME)
        .filter(pl.col("state").is_in(_FAILED))
        .group_by("code", "state")
        .agg(pl.len().alias("n"), packed_row().bottom_k(FIRST_ROWS).sort())
        .sort("n", "code", descending=[True, False])
        .collect(engine="streaming")
    )
    names = [Path(file.path).name for file in report.plan.fingerprints]

    def place(row: int) -> str:
        source_no, row_no = divmod(row, ROWS_A_FILE)
        return f"{names[source_no]} {row_no}" if len(names) > 1 else str(row_no)

    return tuple(
        FailedRows(code, state, n, first_places(map(place, rows), n))
        for code, state, n, rows in groups.iter_rows()
    )


def _refused(report: ApplyReport) -> Iterator[Example]:
    """Give the first rows that the service refused."""
    path = report.applied.paths.get("refused")
    if path is None:
        return
    with path.open(encoding="utf-8") as lines:
        for line in islice(lines, EXAMPLES):
            row = json.loads(line)
            row_no, state, code, message = (row[name] for name in TOOL_COLUMNS[:4])
            field = next((name for name in IDENTIFIERS if row.get(name)), "")
            value = _text(row.get(field)) or None
            yield Example(str(row_no), state, code, field, value, message)
