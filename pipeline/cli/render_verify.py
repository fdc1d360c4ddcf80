"""What a verification found, as text for people and as JSON for programs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from pipeline.plain_text import counted
from pipeline.records import VerifyState

if TYPE_CHECKING:
    from pipeline import VerifyReport

VERIFY_VERSION: Final = 1
SHOWN_FIELDS: Final = 3
_WORDS: Final = {
    VerifyState.SETTLED: "hold every field that was sent",
    VerifyState.DIFFERS: "differ",
    VerifyState.ABSENT: "are absent",
    VerifyState.NOT_YET: "are not there yet, and their time is not over",
    VerifyState.UNVERIFIED: "were not asked for",
}


def verify_lines(report: VerifyReport) -> list[str]:
    """Return what was found, the worst first, and what to do."""
    n_accepted = report.n_accepted
    if report.refusal is not None:
        return _refused(report)
    if not n_accepted:
        return ["no row of this run is accepted; there is nothing to verify"]
    return [
        f"{counted(n_accepted, 'row')} accepted, {report.n_asked:,} asked for:",
        *(
            f"  {report.counts[state]:>9,} {words}"
            for state, words in _WORDS.items()
            if report.counts[state] or state is VerifyState.SETTLED
        ),
        *_ambiguous(report),
        *_details(report),
        *_bound(report),
        *_path(report),
    ]


def reading_line(n_rows: int) -> str:
    """Return what an import does at its end."""
    rows = counted(n_rows, "accepted row")
    return f"reading back {rows}; Ctrl-C ends it, and nothing is lost"


def inline_lines(report: VerifyReport) -> list[str]:
    """Return what an import found when it read back, in a few lines."""
    told = ", ".join(
        f"{report.counts[state]:,} {words}"
        for state, words in _WORDS.items()
        if report.counts[state] and state is not VerifyState.UNVERIFIED
    )
    lines = [f"read back {counted(report.n_asked, 'row')}: {told or 'none'}"]
    if report.refusal is not None:
        lines = _refused(report)
    elif report.n_asked:
        lines += [*_details(report), *_bound(report), *_path(report)]
    if report.counts[VerifyState.NOT_YET] or report.refusal or report.error:
        lines.append(f"to ask again: {verify_command(report)}")
    return lines


def verify_command(report: VerifyReport) -> str:
    """Return what to type to verify a run, from any folder."""
    work_dir = str(report.folder.parents[1].absolute())
    return shlex.join(["crm-pipeline", "verify", report.run_id, "--work-dir", work_dir])


def _refused(report: VerifyReport) -> list[str]:
    rows = counted(report.n_accepted, "row")
    return [
        f"not verified: {report.refusal}",
        f"{rows} accepted, {report.n_asked:,} of them were read back",
        *_path(report),
    ]


def _ambiguous(report: VerifyReport) -> list[str]:
    if not report.n_ambiguous:
        return []
    return [
        (
            f"{counted(report.n_ambiguous, 'row')} cannot be told apart by asking: "
            "another row has nothing but the same phone"
        )
    ]


def _details(report: VerifyReport) -> list[str]:
    lines = []
    if report.fields:
        shown = list(report.fields.items())[:SHOWN_FIELDS]
        told = ", ".join(f"{name} ({n:,})" for name, n in shown)
        lines.append(f"fields that differ most: {told}")
    if report.settled_after_s is not None:
        lines.append(
            f"rows appeared as late as {report.settled_after_s:.0f} s after their 202"
        )
    return lines


def _bound(report: VerifyReport) -> list[str]:
    share = report.wrong_share_at_most
    n_askable = report.n_accepted - report.n_ambiguous
    if report.n_asked == n_askable and not report.counts[VerifyState.NOT_YET]:
        return [f"every row that can be asked for was: {share:.2%} are wrong"]
    return [
        (
            f"so at most {share:.2%} of the accepted rows are wrong, with a confidence "
            "of 95 %"
        )
    ]


def _path(report: VerifyReport) -> list[str]:
    if report.path is None:
        return []
    return [f"rows that differ or are absent: {report.path}"]


def verify_json(report: VerifyReport, exit_code: int) -> dict[str, Any]:
    """Return the documented summary of a verification."""
    told = report.as_dict()
    return {
        "version": VERIFY_VERSION,
        "run_id": report.run_id,
        "command": "verify",
        "exit_code": exit_code,
        "rows": {
            "accepted": report.n_accepted,
            "asked": told.pop("asked"),
            **{state.value: report.counts[state] for state in VerifyState},
            "ambiguous": told.pop("ambiguous"),
        },
        **told,
        "files": {} if report.path is None else {"differences": str(report.path)},
    }
