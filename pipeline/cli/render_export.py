"""An export in words, and its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.render import SUMMARY_VERSION
from pipeline.plain_text import counted

if TYPE_CHECKING:
    from pipeline import ExportReport

_SHOWN_ROWS: Final = 5


def continued_line(n_profiles: int) -> str:
    """Return what is said when an interrupted export goes on."""
    return (
        f"going on with an export that was cut off: {counted(n_profiles, 'profile')} "
        "seen so far (--fresh begins anew)"
    )


def export_summary(report: ExportReport, exit_code: int) -> dict[str, Any]:
    """Return the documented summary of an export."""
    done = report.certificate
    return {
        "version": SUMMARY_VERSION,
        "command": "export",
        "exit_code": exit_code,
        "workspace": report.workspace.guid,
        "profiles": done.n_profiles,
        "all": done.n_all_after,
        "complete": done.is_complete,
        "reasons": list(done.reasons()),
        "roads": [road.value for road in done.roads],
        "absent": len(report.absent_rows),
        "continued": report.n_continued,
        "requests": report.n_requests,
        "sort_by": report.sort_by,
        "file": report.place_of(report.path),
        "certificate": report.place_of(report.certificate_path),
    }


def export_lines(report: ExportReport) -> list[str]:
    """Return what an export came to, in words."""
    done, place = report.certificate, report.place_of(report.path)
    if done.is_complete:
        said = [f"{counted(done.n_profiles, 'profile')}, complete: {place}"]
    else:
        said = [
            f"NOT COMPLETE: {'; '.join(done.reasons())}",
            f"{counted(done.n_profiles, 'profile')} written to {place}",
        ]
    if report.absent_rows:
        rows = ", ".join(f"{row:,}" for row in report.absent_rows[:_SHOWN_ROWS])
        more = " and more" if len(report.absent_rows) > _SHOWN_ROWS else ""
        said.append(
            f"{counted(len(report.absent_rows), 'row')} of the file name a profile "
            f"that is not there: rows {rows}{more}"
        )
    if len(done.windows) > 1:
        said.append(
            f"read in {len(done.windows):,} windows, {done.n_saturated:,} of them "
            f"full, with {counted(report.n_requests, 'request')}"
        )
    said += [
        f"GET /v4/clients was left: {read.refusal}"
        for read in done.pages
        if read.refusal
    ]
    if done.estimate is not None and not done.is_complete:
        said.append(f"an estimate, no evidence: {done.estimate:,} profiles")
    return [*said, f"certificate: {report.place_of(report.certificate_path)}"]
