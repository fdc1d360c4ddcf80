"""Plans, and what applying them came to, in words and as JSON; no value is shown."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.render import nothing_summary, run_lines, run_summary
from pipeline.plain_text import counted, forecast, size

if TYPE_CHECKING:
    from pipeline import ApplyReport, Plan, PlanReport

SHOWN_FIELDS: Final = 8


def plan_figures(plan: Plan) -> dict[str, Any]:
    """Return the documented figures of a plan."""
    done = plan.figures
    return {
        "plan_id": plan.plan_id,
        "mode": plan.mode,
        "state_generation": plan.state_generation,
        "new": done.n_new,
        "changed": done.n_changed,
        "unchanged": done.n_unchanged,
        "vanished": done.n_vanished,
        "held_back": done.held_back,
        "adopted": done.n_adopted,
        "looked_up": done.n_looked_up,
        "deletes": done.n_deletes,
        "kept": done.n_kept,
        "actions": None,
        "changed_fields": done.changed_fields,
        "lost_fields": done.lost_fields,
        "erased_fields": done.erased_fields,
        "withdrawn": done.withdrawn,
        "granted": done.granted,
        "requests": done.n_requests,
        "bytes": done.n_bytes,
        "reasons": list(plan.reasons),
        "trips": list(plan.trips),
    }


def plan_summary(report: PlanReport, exit_code: int, seconds: float) -> dict[str, Any]:
    """Return the documented summary of a plan: that of a check, and its figures."""
    summary = run_summary(report.run, exit_code, seconds)
    return {**summary, "plan": plan_figures(report.plan) if report.plan else None}


def plan_lines(plan: Plan) -> list[str]:
    """Return what a plan would do, in words, within 80 columns."""
    done = plan.figures
    fate = "" if plan.mode == "mirror" else "; not acted on"
    lines = [
        f"plan {plan.plan_id}, against generation {plan.state_generation} of state:",
        f"  {done.n_new:>11,} new",
        f"  {done.n_changed:>11,} changed{_listed(done.changed_fields)}",
        f"  {done.n_unchanged:>11,} unchanged, not sent",
        f"  {done.n_vanished:>11,} vanished: no row that can be sent{fate}",
    ]
    if plan.mode == "mirror":
        lines += [
            f"  {done.n_deletes:>11,} to be deleted{_listed_in(plan, 'deletes')}",
            f"  {done.n_kept:>11,} without a row, and kept{_listed_in(plan, 'kept')}",
        ]
    elif plan.mode != "upsert":
        lines.append(f"  {done.n_held_back:>11,} held back, as the mode is {plan.mode}")
    if done.n_looked_up:
        asked = counted(done.n_looked_up, "person")
        lines.append(f"the CRM was asked for {asked}")
    for words, found in (
        ("lost a field that they had; the CRM keeps it", done.lost_fields),
        ("erase a field", done.erased_fields),
        ("withdraw a consent", done.withdrawn),
        ("grant a consent", done.granted),
    ):
        if found:
            lines += _wrapped(f"rows that {words}{_listed(found)}")
    for trip in plan.trips:
        lines += _wrapped(f"guard: {trip}")
    for reason in plan.reasons:
        lines += _wrapped(f"note: {reason}")
    return lines


def plan_report_lines(report: PlanReport, seconds: float) -> list[str]:
    """Return what a plan came to."""
    if report.plan is None:
        return run_lines(report.run, seconds)
    done = report.plan.figures
    exact = forecast(done.n_requests, done.n_bytes)
    return [*run_lines(report.run, seconds, exact=exact), *plan_lines(report.plan)]


def apply_summary(
    report: ApplyReport,
    exit_code: int,
    seconds: float,
    planned: PlanReport | None = None,
) -> dict[str, Any]:
    """
    Return the documented summary of an application: that of an import.

    Args:
        planned: What was found while the plan was made, if that was just now.
    """
    counts, done = report.counts.as_dict(), report.delivery
    files = [print_.path for print_ in report.plan.fingerprints]
    summary = nothing_summary(report.command, files, exit_code, seconds)
    if planned is not None:
        found = run_summary(planned.run, exit_code, seconds)
        kept = ("findings", "omitted_invalid", "repairs")
        summary |= {key: found[key] for key in kept}
    seen = report.verification
    erased = report.plan.figures.erased_fields
    return {
        **summary,
        "run_id": report.run_id,
        "resumable": report.is_resumable,
        "workspace": report.workspace.guid,
        "rows": {**counts, **report.accepted_parts},
        "verification": None if seen is None else seen.as_dict(),
        "codes": report.applied.codes,
        "erased": {"planned": erased, "accepted": None},
        "requests": {
            "sent": done.n_requests,
            "retried": done.n_retried,
            "status": {str(k): v for k, v in (done.statuses or {}).items()},
        },
        "n_anomalies": done.n_anomalies,
        "bytes_sent": done.bytes_sent,
        "rows_per_s": round(counts["read"] / seconds) if seconds else None,
        "files": {name: str(path) for name, path in report.paths.items()},
        "error": str(report.error) if report.error else None,
        "plan": plan_figures(report.plan) | {"actions": asdict(report.actions)},
    }


def apply_lines(report: ApplyReport, seconds: float) -> list[str]:
    """Return what an application came to, in words."""
    counts, done = report.counts, report.delivery
    parts = [
        f"{n:,} {state}"
        for state, n in counts.as_dict().items()
        if n and state not in ("read", "unknown")
    ]
    retried = f" ({done.n_retried:,} repeated)" if done.n_retried else ""
    requests = counted(done.n_requests, "request")
    lines = [
        f"{counts.read:,} rows read = {' + '.join(parts) or 'nothing'}",
        f"{seconds:.1f} s, {requests}{retried}, {size(done.bytes_sent)} sent",
    ]
    if report.canary is not None:
        lines += _wrapped(
            f"{report.canary.n_rows} rows of every shape went first and were read back"
            if report.canary.refusal is None
            else "the rows that went first could not be read back: "
            f"{report.canary.refusal}"
        )
    actions = {word: n for word, n in asdict(report.actions).items() if n}
    if actions:
        told = ", ".join(f"{n:,} {word}" for word, n in actions.items())
        lines.append(f"deletions: {told}")
    if report.actions.refused:
        lines += _wrapped(
            "a deletion is refused when the profile is not as the export showed it"
        )
    if counts.unknown:
        lines.append(f"{counts.unknown:,} of the pending rows may have arrived")
    if counts.rejected:
        lines.append(
            f"{counts.rejected:,} rows were refused by the API (refused.jsonl): repair "
            "them in the source"
        )
    names = ", ".join(path.name for path in report.paths.values())
    return [*lines, f"files in {report.folder}:", f"  {names}, summary.json"]


def _listed_in(plan: Plan, name: str) -> str:
    """Name a file of the plan, if it is there."""
    file = f"{name}.parquet"
    return f" ({file})" if file in plan.files else ""


def _listed(found: dict[str, int]) -> str:
    """Return fields with their numbers, the most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{name} {n:,}" for name, n in ordered[:SHOWN_FIELDS])
    more = len(ordered) - SHOWN_FIELDS
    return f" ({told}{f' and {more} more' if more > 0 else ''})" if told else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 78, subsequent_indent="  ", break_long_words=False)
