"""Runs of the past as text for people and as JSON for programs."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.exit_codes import STOPPED
from pipeline.plain_text import counted, printable, size
from pipeline.records import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline import Health, Purged, Run, RunDetails

LABEL_COLUMNS: Final = 11
OK: Final = "ok"
FAILING: Final = "failing"
_STATES: Final = {
    "open": "open: at work now, or cut off",
    "pending": "pending: rows are left to send",
    "done": "done: nothing is left to send",
}


def resume_command(run_id: str, work_dir: Path, base_url: str | None = None) -> str:
    """Return what to type to go on with a run, from any folder."""
    words = ["crm-pipeline", "resume", run_id, "--work-dir", str(work_dir.absolute())]
    words += ["--base-url", base_url] if base_url else []
    return shlex.join(words)


def list_line(run: Run, summary: Mapping[str, Any] | None) -> str:
    """Return the line of a run in the list; its name begins with when it began."""
    ended = "not ended" if run.exit_code is None else f"exit {run.exit_code}"
    seconds = run_seconds(run)
    took = "" if seconds is None else str(timedelta(seconds=round(seconds)))
    rows = _rows_in(summary)
    read = "" if rows is None else counted(rows["read"], "row")
    n_failed = 0 if rows is None else rows["blocked"] + rows["rejected"]
    failed = f" ({n_failed:,} failed)" if n_failed else ""
    return (
        f"{run.run_id}  {run.command:<7} {ended:<9} {took:>8}  "
        f"{read + failed:<15}  {printable(run.dataset)}"
    )


def run_seconds(run: Run) -> float | None:
    """Return how long the last process of a run took; None while it has not ended."""
    if run.ended_at is None:
        return None
    return max(0.0, run.ended_at - (run.resumed_at or run.began_at))


def run_json(run: Run, summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a run of the list for programs; times are seconds since 1970."""
    says_nothing = run.exit_code is None or run.exit_code in STOPPED
    return {
        **asdict(run),
        "seconds": run_seconds(run),
        "rows": _rows_in(summary),
        "health": None if says_nothing else FAILING if run.exit_code else OK,
    }


def health_lines(records: Sequence[Health]) -> list[str]:
    """Return how it stands with each dataset, beneath the list."""
    lines = ["health:"] if records else []
    for health in records:
        who = f"  {health.last.activity} of {printable(health.last.dataset)}"
        if health.exit_code is None or health.since_at is None:
            lines.append(f"{who}: not known; its runs were stopped")
            continue
        ok_at = health.last_ok_at
        last_ok = "never ok" if ok_at is None else f"last ok {_when(ok_at)}"
        how = (
            f"failing with exit {health.exit_code} since {_when(health.since_at)}, "
            if health.exit_code
            else "ok, "
        )
        lines.append(f"{who}: {how}{last_ok}")
    return lines


def details_lines(details: RunDetails, work_dir: Path) -> list[str]:
    """Return everything that is known of a run."""
    run = details.run
    told: list[tuple[str, object]] = [
        ("run", f"{run.run_id} ({run.command})"),
        ("state", _STATES[run.state.value]),
        (
            "exit code",
            "none, it has not ended" if run.exit_code is None else run.exit_code,
        ),
        ("began", _when(run.began_at)),
    ]
    if run.resumed_at is not None:
        told.append(("resumed", f"{_when(run.resumed_at)}, begun {run.n_begun} times"))
    if run.ended_at is not None:
        told.append(("ended", _when(run.ended_at)))
    if run.purged_at is not None:
        told.append(("purged", f"{_when(run.purged_at)}; its files were removed"))
    told += [
        ("dataset", printable(run.dataset)),
        ("workspace", run.workspace or "none"),
        ("versions", ", ".join(f"{name} {no}" for name, no in run.versions.items())),
        *(
            ("source", f"{printable(known.path)} ({size(known.size_bytes)})")
            for known in run.fingerprints
        ),
        *_row_lines(details),
        *_sent_lines(details),
        ("resumable", _resumable(details, work_dir)),
    ]
    lines = [f"{name:<{LABEL_COLUMNS}} {value}" for name, value in told]
    if not details.files:
        return [*lines, f"no files in {details.folder}"]
    wide = max(map(len, details.files))
    lines.append(f"files in {details.folder}:")
    lines += [f"  {name:<{wide}}  {size(n)}" for name, n in details.files.items()]
    return lines


def _row_lines(details: RunDetails) -> list[tuple[str, object]]:
    """Tell rows by the summary, which knows all of them, else by the journal."""
    rows = _rows_of(details)
    if rows is not None:
        parts = " + ".join(
            f"{rows[state.value]:,} {state.value}"
            for state in State
            if rows.get(state.value)
        )
        return [("rows", f"{rows['read']:,} read = {parts or 'nothing'}")]
    if details.is_forgotten:
        return [("rows", "not known any more: it was purged")]
    proven = f"{details.n_accepted:,} accepted, {details.n_rejected:,} rejected"
    return [
        ("rows", f"{proven}, {details.n_unproven:,} in batches without proof"),
        ("", "rows that no batch was made of yet are not counted"),
    ]


def _sent_lines(details: RunDetails) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    if details.batches:
        total = sum(details.batches.values())
        parts = ", ".join(f"{n:,} {state}" for state, n in details.batches.items())
        lines.append(("batches", f"{total:,}: {parts}"))
        cut_off = (
            f", {details.n_unanswered:,} without an answer"
            if details.n_unanswered
            else ""
        )
        lines.append(
            (
                "attempts",
                f"{details.n_attempts:,} ({details.n_retried:,} repeated{cut_off})",
            )
        )
    requests = (details.summary or {}).get("requests")
    if isinstance(requests, dict) and requests.get("sent"):
        answers = dict(requests.get("status") or {}).items()
        statuses = ", ".join(f"{status} {n:,} times" for status, n in answers)
        told = f"{requests['sent']:,} by its last process"
        lines.append(("requests", f"{told}; answers: {statuses or 'none'}"))
    return lines


def _rows_of(details: RunDetails) -> Mapping[str, int] | None:
    return _rows_in(details.summary)


def _rows_in(summary: Mapping[str, Any] | None) -> Mapping[str, int] | None:
    rows = (summary or {}).get("rows")
    return rows if isinstance(rows, dict) and "read" in rows else None


def _resumable(details: RunDetails, work_dir: Path) -> str:
    if details.obstacle is not None:
        return f"no: {details.obstacle}"
    return resume_command(details.run.run_id, work_dir)


def details_json(details: RunDetails, work_dir: Path) -> dict[str, Any]:
    """Return the same for programs; times are seconds since 1970."""
    is_resumable = details.obstacle is None
    return {
        **asdict(details.run),
        "folder": str(details.folder),
        "batches": dict(details.batches),
        "attempts": details.n_attempts,
        "retried": details.n_retried,
        "unanswered": details.n_unanswered,
        "rows": {
            "accepted": details.n_accepted,
            "rejected": details.n_rejected,
            "unproven": details.n_unproven,
        },
        "resumable": is_resumable,
        "obstacle": details.obstacle,
        "resume": (
            resume_command(details.run.run_id, work_dir) if is_resumable else None
        ),
        "files": dict(details.files),
        "summary": None if details.summary is None else dict(details.summary),
    }


def purged_lines(purged: Purged, work_dir: Path, keep_days: int) -> list[str]:
    """Return what was removed."""
    old = f"{counted(keep_days, 'day')} or more ago"
    if not purged.run_ids:
        return [f"nothing to remove: no run in {work_dir} left files {old}"]
    files = counted(purged.n_files, "file")
    runs = counted(len(purged.run_ids), "run")
    told = f"{files} of {runs} removed, {size(purged.n_bytes)}"
    return [
        f"{told}; the runs were last at work {old}:",
        *(f"  {run_id}" for run_id in purged.run_ids),
    ]


def purged_warnings(purged: Purged) -> list[str]:
    """Return what to know about runs that were not complete."""
    return [
        f"run {run_id} has rows left to send; it can be resumed as long as its source "
        "is where it was"
        for run_id in purged.resumable
    ]


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"
