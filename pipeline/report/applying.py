"""The report of a night: what a plan said, what was sent of it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.plain_text import counted, size
from pipeline.report.document import (
    Document,
    Figure,
    KeyValues,
    Notice,
    Notices,
    Role,
    Section,
    share,
)
from pipeline.report.importing import (
    file_facts,
    named_sources,
    repair_section,
    rows_section,
    what_is_open,
)
from pipeline.report.pace import in_seconds
from pipeline.report.parts import ended_facts, examples_section
from pipeline.report.planning import (
    change_sections,
    guards_section,
    leaving_section,
    made_from,
)
from pipeline.report.sent import pace_section
from pipeline.report.verifying import verify_sections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.delta.plan import Plan
    from pipeline.outcomes import RowCounts
    from pipeline.report.importing import FailedRows, SourceFile
    from pipeline.report.parts import Ending, Example
    from pipeline.report.sent import Sent
    from pipeline.report.verifying import VerifyFacts


@dataclass(frozen=True, slots=True)
class NightFacts:
    """
    Everything that the report of an applied plan is made of.

    Attributes:
        command: `apply` or `sync`.
        failures: The most frequent first.
        examples: Some of the rows that the service refused.
        n_canary: Rows that went first and were read back; None when none were.
        canary_refusal: Why they could not be read back; None when they could.
        n_deleted: Profiles that a mirror deleted.
        n_spared: Profiles that it kept, because they are not whom the plan meant.
        n_undeleted: Profiles that it has still to delete.
        verified: What reading back showed; None when nothing was read back.
        error: What ended the run early.
        versions: Name → version of what shaped the bodies.
        files: Name → bytes of what the run left.
    """

    command: str
    plan: Plan
    counts: RowCounts
    sources: tuple[SourceFile, ...]
    sent: Sent
    failures: tuple[FailedRows, ...] = ()
    examples: tuple[Example, ...] = ()
    n_canary: int | None = None
    canary_refusal: str | None = None
    n_deleted: int = 0
    n_spared: int = 0
    n_undeleted: int = 0
    verified: VerifyFacts | None = None
    error: str | None = None
    versions: Mapping[str, str] | None = None
    files: Mapping[str, int] | None = None


def report_of_night(facts: NightFacts, ending: Ending) -> Document:
    """Return the report of `apply` or `sync`."""
    counts, seen = facts.counts, facts.verified
    n_failed = counts.blocked + counts.rejected
    status, role = _status(facts, n_failed)
    return Document(
        kind=f"{facts.command.capitalize()} of {named_sources(facts.sources)}",
        when=ending.when,
        headline=_headline(facts),
        status=status,
        role=role,
        lead=tuple(_lead(facts)),
        figures=_figures(facts, ending, n_failed),
        sections=(
            rows_section(counts),
            *(() if seen is None else verify_sections(seen, ending)),
            *ending.commands(),
            _before(facts),
            *change_sections(facts.plan.figures),
            *leaving_section(_leaving(facts)),
            *repair_section(facts.failures, n_failed, facts.examples),
            *pace_section(facts.sent),
            Section("About this run", (KeyValues(_about(facts, ending)),)),
            *examples_section(facts.examples, counts.rejected, ending),
        ),
    )


def _status(facts: NightFacts, n_failed: int) -> tuple[str, Role]:
    seen, counts, done = facts.verified, facts.counts, facts.plan.figures
    is_quiet = not (done.n_planned or facts.n_deleted)
    ends: tuple[tuple[object, str, Role], ...] = (
        (facts.error is not None, "Ended early", Role.BAD),
        (seen is not None and seen.n_wrong, "Rows in the CRM differ", Role.BAD),
        (facts.n_spared, "Profiles were kept that were to go", Role.BAD),
        (counts.pending, "Rows are pending", Role.WAITING),
        (facts.n_undeleted, "Deletions are pending", Role.WAITING),
        (n_failed, "Finished, with rows to repair", Role.WARNING),
        (is_quiet, "Nothing had to be sent", Role.GOOD),
        (True, "Finished", Role.GOOD),
    )
    return next((words, role) for holds, words, role in ends if holds)


def _leaving(facts: NightFacts) -> tuple[tuple[str, int], ...]:
    return (
        ("Profiles deleted", facts.n_deleted),
        ("Profiles kept: they are not whom the plan meant any more", facts.n_spared),
        ("Profiles still to be deleted", facts.n_undeleted),
        ("Persons without a row who are kept", facts.plan.figures.n_kept),
    )


def _headline(facts: NightFacts) -> str:
    counts, n_planned = facts.counts, facts.plan.figures.n_planned
    if not n_planned:
        gone = ""
        if facts.n_deleted:
            is_are = "is" if facts.n_deleted == 1 else "are"
            gone = f" {counted(facts.n_deleted, 'profile')} {is_are} deleted."
        return f"Nothing had to be sent: no row differs from what was confirmed.{gone}"
    is_are = "is" if counts.accepted == 1 else "are"
    rows = counted(n_planned, "planned row")
    told = f"{counts.accepted:,} of {rows} {is_are} accepted"
    rest = [
        f"{n:,} {word}"
        for n, word in ((counts.rejected, "refused"), (counts.pending, "pending"))
        if n
    ]
    return f"{told}; {', '.join(rest)}." if rest else f"{told}."


def _lead(facts: NightFacts) -> list[str]:
    error = [] if facts.error is None else [f"What ended the run: {facts.error}"]
    is_seen = facts.verified is not None
    return [*error, *what_is_open(facts.counts, facts.sent, is_read_back=is_seen)]


def _figures(facts: NightFacts, ending: Ending, n_failed: int) -> tuple[Figure, ...]:
    counts, done = facts.counts, facts.plan.figures
    figures = [
        Figure("Rows read", f"{counts.read:,}"),
        Figure(
            "Planned", f"{done.n_planned:,}",
            f"{done.n_new:,} new, {done.n_changed:,} changed",
        ),
        Figure(
            "Accepted", f"{counts.accepted:,}", share(counts.accepted, done.n_planned),
            Role.GOOD,
        ),
        Figure(
            "To repair", f"{n_failed:,}", share(n_failed, counts.read),
            Role.BAD if n_failed else Role.NEUTRAL,
        ),
    ]  # fmt: skip
    if counts.pending:
        note = share(counts.pending, done.n_planned)
        figures.append(Figure("Pending", f"{counts.pending:,}", note, Role.WAITING))
    return (*figures, Figure("Time", in_seconds(ending.seconds)))


def _before(facts: NightFacts) -> Section:
    """Return what was looked at before most rows went out."""
    guards = guards_section(facts.plan)
    if facts.n_canary is None:
        return guards
    if facts.canary_refusal is None:
        rows = counted(facts.n_canary, "row")
        told = f"{rows} of every shape went first, and the CRM holds them as sent."
        canary = Notice("The rows that went first", told, Role.GOOD)
    else:
        told = f"They could not be read back: {facts.canary_refusal}"
        canary = Notice("The rows that went first", told, Role.WARNING)
    return Section(guards.title, (*guards.blocks, Notices((canary,))))


def _about(facts: NightFacts, ending: Ending) -> tuple[tuple[str, str], ...]:
    sent = facts.sent
    again = f", {sent.n_retried:,} of them repetitions" if sent.n_retried else ""
    return (
        *made_from(facts.plan),
        ("Command", facts.command),
        ("Workspace", sent.workspace),
        ("Requests", f"{sent.n_requests:,}{again}; {size(sent.n_bytes)} sent"),
        *ended_facts(ending),
        *file_facts(facts.sources, facts.versions, facts.files),
    )
