"""What a verification found, as text for people and as JSON for programs."""

from __future__ import annotations

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
        return [
            f"not verified: {report.refusal}",
            (
                f"{n_accepted:,} rows are accepted, {report.n_asked:,} of them were "
                "read. Let the key read profiles to verify them"
            ),
        ]
    if not n_accepted:
        return ["no row of this run is accepted; there is nothing to verify"]
    lines = [
        f"{counted(n_accepted, 'row')} accepted, {report.n_asked:,} asked for:",
        *(
            f"  {report.counts[state]:>9,} {words}"
            for state, words in _WORDS.items()
            if report.counts[state] or state is VerifyState.SETTLED
        ),
    ]
    if report.n_ambiguous:
        lines.append(
            f"{counted(report.n_ambiguous, 'row')} cannot be told apart by asking: "
            "another row has nothing but the same phone"
        )
    if report.fields:
        shown = list(report.fields.items())[:SHOWN_FIELDS]
        told = ", ".join(f"{name} ({n:,})" for name, n in shown)
        lines.append(f"fields that differ most: {told}")
    if report.settled_after_s is not None:
        lines.append(
            f"rows appeared as late as {report.settled_after_s:.0f} s after their 202"
        )
    lines.append(_bound(report))
    if report.path is not None:
        lines.append(f"rows that differ or are absent: {report.path}")
    return lines


def _bound(report: VerifyReport) -> str:
    share = report.wrong_share_at_most
    n_askable = report.n_accepted - report.n_ambiguous
    if report.n_asked == n_askable and not report.counts[VerifyState.NOT_YET]:
        return f"every row that can be asked for was: {share:.2%} are wrong"
    return (
        f"so at most {share:.2%} of the accepted rows are wrong, with a confidence "
        "of 95 %"
    )


def verify_json(report: VerifyReport, exit_code: int) -> dict[str, Any]:
    """Return the documented summary of a verification."""
    return {
        "version": VERIFY_VERSION,
        "run_id": report.run_id,
        "command": "verify",
        "exit_code": exit_code,
        "rows": {
            "accepted": report.n_accepted,
            "asked": report.n_asked,
            **{state.value: report.counts[state] for state in VerifyState},
            "ambiguous": report.n_ambiguous,
        },
        "wrong_share_at_most": report.wrong_share_at_most,
        "settled_after_s": report.settled_after_s,
        "fields": dict(report.fields),
        "refusal": report.refusal,
        "files": {} if report.path is None else {"differences": str(report.path)},
    }
