"""Reports as text for people and as JSON for programs; no cell value is ever shown."""

from __future__ import annotations

import json
import sys
import textwrap
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.memory import peak_rss_bytes
from pipeline.cli.talking import to_nowhere
from pipeline.contract import IDENTIFIERS, ROW_CODES
from pipeline.plain_text import counted, forecast, size
from pipeline.records import ROWS_A_FILE, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline import (
        Finding,
        ResumePlan,
        Run,
        RunReport,
        Workspace,
    )
    from pipeline.settings import Mapping

SUMMARY_VERSION: Final = 1
SHOWN_ROWS: Final = 2
SHOWN_REASONS: Final = 3
SHOWN_FINDINGS: Final = 5


def mapping_lines(mapping: Mapping) -> list[str]:
    """Return the mapping in use, and what is left out."""
    wide = max((len(rule.column) for rule in mapping.rules), default=0)
    lines = ["mapping:"]
    lines += [f"  {rule.column:<{wide}} -> {rule.name}" for rule in mapping.rules]
    if mapping.ignored:
        lines.append(f"  ignored: {', '.join(mapping.ignored)}")
    return lines


def workspace_line(workspace: Workspace) -> str:
    """Return who is written to."""
    return f"workspace: {workspace.name} ({workspace.guid}) at {workspace.host}"


def resume_line(run: Run, plan: ResumePlan) -> str:
    """Return which run goes on, and what of it is through."""
    began = datetime.fromtimestamp(run.began_at, UTC)
    return (
        f"continuing run {run.run_id} of {began:%Y-%m-%d %H:%M:%S}Z: "
        f"{plan.n_accepted:,} rows accepted and {plan.n_rejected:,} rejected so far"
    )


def run_summary(report: RunReport, exit_code: int, seconds: float) -> dict[str, Any]:
    """Return the documented summary of a check or an import."""
    counts, delivery = report.counts.as_dict(), report.delivery
    seen = report.verification
    return {
        "version": SUMMARY_VERSION,
        "run_id": report.run_id,
        "command": report.command,
        "exit_code": exit_code,
        "resumable": report.is_resumable,
        "source": [str(path) for path in report.source.files],
        "workspace": report.workspace.guid if report.workspace else None,
        "rows": {**counts, **report.accepted_parts},
        "verification": None if seen is None else seen.as_dict(),
        "codes": _codes(report),
        "findings": [_finding(finding) for finding in report.check.findings],
        "omitted_invalid": report.check.omitted.height,
        "repairs": report.check.repairs,
        "erased": {"planned": report.check.erased, "accepted": report.erased},
        "requests": {
            "sent": delivery.n_requests if delivery else 0,
            "retried": delivery.n_retried if delivery else 0,
            "status": {str(k): v for k, v in (delivery.statuses or {}).items()}
            if delivery
            else {},
        },
        "n_anomalies": delivery.n_anomalies if delivery else 0,
        "bytes_sent": delivery.bytes_sent if delivery else 0,
        "seconds": round(seconds, 3),
        "rows_per_s": round(counts["read"] / seconds) if seconds else None,
        "peak_rss_bytes": peak_rss_bytes(),
        "files": {name: str(path) for name, path in report.paths.items()},
        "error": str(report.error) if report.error else None,
    }


def nothing_summary(
    command: str, sources: Sequence[str], exit_code: int, seconds: float
) -> dict[str, Any]:
    """Return the documented summary of a run that found files of 0 bytes alone."""
    states = ("read", *(state.value for state in State), "unknown")
    accepted_parts = ("settled", "differs", "absent", "not_yet", "unverified")
    return {
        "version": SUMMARY_VERSION,
        "run_id": None,
        "command": command,
        "exit_code": exit_code,
        "resumable": False,
        "source": list(sources),
        "workspace": None,
        "rows": dict.fromkeys((*states, *accepted_parts), 0),
        "verification": None,
        "codes": {},
        "findings": [],
        "omitted_invalid": 0,
        "repairs": {},
        "erased": {"planned": {}, "accepted": {}},
        "requests": {"sent": 0, "retried": 0, "status": {}},
        "n_anomalies": 0,
        "bytes_sent": 0,
        "seconds": round(seconds, 3),
        "rows_per_s": None,
        "peak_rss_bytes": peak_rss_bytes(),
        "files": {},
        "error": None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    keys = ("column", "field", "code", "n_cells", "is_fatal", "is_accepted")
    return {key: getattr(finding, key) for key in keys}


def _codes(report: RunReport) -> dict[str, int]:
    counted = report.files.failed["code"].value_counts(sort=True)
    return {str(code): int(n) for code, n in counted.iter_rows()}


def show_json(content: object) -> None:
    """Write a JSON document to stdout; a reader who has left changes no exit code."""
    try:
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    except BrokenPipeError:
        to_nowhere(sys.stdout)


def run_lines(
    report: RunReport, seconds: float, *, exact: str | None = None
) -> list[str]:
    """
    Return what a run came to, in words, within 80 columns.

    Args:
        exact: What sending would take, where that is known and not only estimated.
    """
    counts = report.counts
    names = ", ".join(path.name for path in report.files.paths.values())
    files = [f"files in {report.folder}:", f"  {names}, summary.json"]
    if not counts.read:
        return ["the source has no rows; nothing was sent", *files]
    parts = [
        f"{n:,} {state}"
        for state, n in counts.as_dict().items()
        if n and state not in ("read", "unknown")
    ]
    rate = f", {counts.read / seconds:,.0f} rows/s" if seconds else ""
    lines = [
        f"{counts.read:,} rows read = {' + '.join(parts) or 'nothing'}",
        f"{seconds:.1f} s{rate}",
    ]
    if counts.unknown:
        lines.append(f"{counts.unknown:,} of the pending rows may have arrived")
    lines += [*_reason_lines(report), *_hint_lines(report), *_repair_lines(report)]
    lines += _remedy_lines(report)
    lines += _finding_lines(report)
    lines += _erased_lines(report)
    if report.delivery is None:
        lines.append(f"forecast: {exact or estimate(report)}")
    else:
        lines += _sent_lines(report)
    return [*lines, *files]


def _sent_lines(report: RunReport) -> list[str]:
    done = report.delivery
    if done is None:
        return []
    retried = f" ({done.n_retried:,} repeated)" if done.n_retried else ""
    requests = counted(done.n_requests, "request")
    odd = []
    if done.n_anomalies:
        batches = counted(done.n_anomalies, "batch", "batches")
        odd.append(
            f"{batches} accepted (202) with an answer that speaks of errors or broke "
            "off: look whether their rows are there"
        )
    return [
        f"{requests}{retried}, {size(done.bytes_sent)} sent",
        *odd,
        "accepted: taken into the API's queue",
    ]


def closing_lines(steps: Sequence[tuple[str, str]], place: Path | str) -> list[str]:
    """Return the first command to type next, and where the report is."""
    lines = [
        f"next, {purpose[0].lower()}{purpose[1:]}:\n  {line}"
        for purpose, line in steps[:1]
    ]
    return [*lines, f"report: {place}"]


def _reason_lines(report: RunReport) -> list[str]:
    """Return why rows failed, the most frequent reasons first, with places."""
    codes = list(_codes(report).items())
    lines = []
    for code, n in codes[:SHOWN_REASONS]:
        lines.append(f"{n:>7,}  {code}: {ROW_CODES.get(code, '')}")
        lines.append(f"         {_places(report, code)}")
    if codes[SHOWN_REASONS:]:
        # A no-break space keeps a number and its code on one line.
        rest = ", ".join(f"{n:,}\u00a0{code}" for code, n in codes[SHOWN_REASONS:])
        wrapped = textwrap.wrap(
            rest, 78, initial_indent="         ", subsequent_indent="         "
        )
        lines += [line.replace("\u00a0", " ") for line in wrapped]
    return lines


def _hint_lines(report: RunReport) -> list[str]:
    """Return what `on_invalid: omit` would save, for fields that block rows now."""
    faults = report.check.faults
    counted = dict(faults["field"].value_counts(sort=True).iter_rows())
    rules = [
        rule
        for rule in report.mapping.rules
        if rule.name in counted
        and rule.options.on_invalid == "block"
        and rule.name not in IDENTIFIERS
    ]
    rules.sort(key=lambda rule: -counted[rule.name])
    lines = [
        f"{counted[rule.name]:>7,}  {rule.name}: "
        f"{{column: {rule.column}, on_invalid: omit}}"
        for rule in rules[:SHOWN_REASONS]
    ]
    if lines:
        lines.insert(0, "rows that could go out without one invalid cell:")
    return lines


def _remedy_lines(report: RunReport) -> list[str]:
    """Return what to do about rows that did not go out."""
    paths, lines = report.files.paths, []
    if "rejected" in paths:
        name = paths["rejected"].name
        lines.append(f"to do: repair the rows of {name} and import it the same way")
    if "unreadable" in paths:
        name = paths["unreadable"].name
        lines.append(f"to do: repair the lines of {name} in the source itself")
    return lines


def _places(report: RunReport, code: str) -> str:
    """Return the first rows with *code*, with their lines."""
    rows = report.files.failed.filter(report.files.failed["code"] == code)["row"]
    lines = dict(report.check.line_nos.iter_rows())
    lines |= _unreadable_lines(report)
    files = report.source.files
    shown = []
    for row in rows.head(SHOWN_ROWS).to_list():
        source_no, row_no = divmod(row, ROWS_A_FILE)
        name = f"{files[source_no].name} " if len(files) > 1 else ""
        line = f" (line {lines[row]})" if row in lines else ""
        shown.append(f"{name}row {row_no}{line}")
    more = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _unreadable_lines(report: RunReport) -> dict[int, int]:
    columns = ("source_no", "row_no", "line_no")
    return {
        source_no * ROWS_A_FILE + row_no: line_no
        for source_no, row_no, line_no in report.check.unreadable.select(
            columns
        ).iter_rows()
    }


def _repair_lines(report: RunReport) -> list[str]:
    lines = []
    if report.check.repairs:
        told = ", ".join(f"{name} {n:,}" for name, n in report.check.repairs.items())
        lines += _wrapped(f"cells repaired (white space, case, number form): {told}")
    if n_omitted := report.check.omitted.height:
        lines.append(f"{n_omitted:,} invalid cells left out (findings.csv)")
    if n_shared := len(report.check.shared_phones):
        lines.append(
            f"{n_shared:,} rows have only a phone that other rows have too "
            "(findings.csv)"
        )
    return lines


def _finding_lines(report: RunReport) -> list[str]:
    """Return what the columns of the source look like, the most serious first."""
    findings = report.check.findings
    lines = ["findings about columns (findings.csv):"] if findings else []
    for finding in findings[:SHOWN_FINDINGS]:
        word = " (accepted)" if finding.is_accepted else ""
        lines += textwrap.wrap(
            f"{finding.code}{word}: {finding.message}",
            78,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    if n_more := len(findings[SHOWN_FINDINGS:]):
        lines.append(f"  and {counted(n_more, 'more finding')}")
    return lines


def _erased_lines(report: RunReport) -> list[str]:
    """Return which fields are erased, in how many rows."""
    planned, accepted = report.check.erased, report.erased
    if not planned:
        return []
    if report.delivery is None:
        told = [f"{name} {n:,}" for name, n in planned.items()]
        return _wrapped(f"rows that would erase a field: {', '.join(told)}")
    if accepted is None:
        return ["fields were erased; in how many rows, a changed source cannot tell"]
    told = [
        f"{name} {accepted.get(name, 0):,}"
        + (f" of {n:,}" if accepted.get(name, 0) != n else "")
        for name, n in planned.items()
    ]
    return _wrapped(f"accepted rows that erase a field: {', '.join(told)}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 78, subsequent_indent="         ")


def estimate(report: RunReport) -> str:
    """Return what sending would take, from the mean size of a row."""
    n_rows, row_bytes = report.counts.planned, report.check.mean_row_bytes + 1
    limits = report.limits
    rows_a_request = min(limits.max_rows, limits.max_bytes / row_bytes)
    return forecast(ceil(n_rows / rows_a_request), n_rows * row_bytes)
