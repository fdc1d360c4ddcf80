"""The report of `check`, `import` and `resume`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.contract import ROW_CODES
from pipeline.plain_text import counted, size
from pipeline.records import State
from pipeline.report.cells import fields_section
from pipeline.report.document import (
    Document,
    EquationBar,
    Figure,
    KeyValues,
    Part,
    Reason,
    ReasonTable,
    Role,
    Section,
    share,
)
from pipeline.report.pace import in_seconds
from pipeline.report.parts import (
    ended_facts,
    examples_section,
    findings_section,
)
from pipeline.report.sent import pace_section
from pipeline.report.verifying import verify_sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.findings import Finding
    from pipeline.outcomes import RowCounts
    from pipeline.report.cells import Cells
    from pipeline.report.parts import Ending, Example
    from pipeline.report.sent import Sent
    from pipeline.report.verifying import VerifyFacts

STATES: Final[tuple[tuple[State, Role, str], ...]] = (
    (State.ACCEPTED, Role.GOOD, "Taken into the API's queue, which is what 202 says."),
    (State.PLANNED, Role.PLANNED, "Would be sent; nothing was."),
    (State.UNCHANGED, Role.NEUTRAL, "Equal to the last confirmed state; not sent."),
    (State.FOLDED, Role.CARRIED, "Travels in another row of the same profile."),
    (State.PENDING, Role.WAITING, "Not proven yet; the run can go on with it."),
    (State.REJECTED, Role.BAD, "The API said no to this very content."),
    (State.BLOCKED, Role.WARNING, "Stopped here before sending, with a reason."),
    (State.EMPTY, Role.NEUTRAL, "An empty line."),
)  # fmt: skip
# What to do about a row, after what `ROW_CODES` says is wrong with it.
NEXT_STEPS: Final = {
    "ROW_TOO_WIDE": "Quote the cells that hold a delimiter, in the source itself.",
    "ROW_TOO_SHORT": "Complete the record in the source itself.",
    "ROW_QUOTE": "Double the quotes inside quoted cells, in the source itself.",
    "ROW_JSON": "Repair the line in the source itself: one object on each line.",
    "TOO_LARGE": "Shorten the cell, or leave the column out.",
    "NO_ID": "Give the row an e-mail, phone, customId or uuid.",
    "EMAIL": "Correct the address; where the row has another identifier, "
    "`on_invalid: omit` sends it without.",
    "PHONE": "Correct the number; where the row has another identifier, "
    "`on_invalid: omit` sends it without.",
    "PHONE_REGION": "Name the region of national numbers: --region, or `region` of "
    "the phone.",
    "CUSTOM_ID": "Take the character out, here and in the system that made it.",
    "E_NOTATION": "Export the column as text from the system that made it.",
    "NULL_WORD": "Leave the cell empty, or declare the word as `null_token`.",
    "UUID": "Correct the UUID, or leave the cell empty.",
    "CLIENT_ID": "Correct the clientId, or map another identifier.",
    "DATE": "Correct the date, declare its `format`, or `on_invalid: omit`.",
    "VALUE": "Declare the word under `values`, correct it, or `on_invalid: omit`.",
    "TYPE": "Correct the value, declare another `type`, or `on_invalid: omit`.",
    "TEXT": "Remove the character in the source, or `on_invalid: omit`.",
    "NO_ERASE": "Leave the cell empty: this field cannot be erased by an import.",
    "BLANK": "Fill the cell, or choose another `rows.blank`.",
    "ID_CONFLICT": "Decide which identifier is right, and correct the other rows.",
    "MODE_EXISTS": "Nothing, if only new persons are to be created; else choose "
    "another `sync.mode`.",
    "MODE_ABSENT": "Nothing, if only known persons are to be updated; else choose "
    "another `sync.mode`.",
    "DUPLICATE": "Keep one row of the profile, or choose another `rows.duplicates`.",
    "REFUSED": "Look at the row and at what the service allows; correct it.",
    "QUARANTINED": "Send the same row again later; if it fails again, ask the service.",
}
SHOWN_FILES: Final = 50
_REPAIR: Final = "Repair the row, and import rejected.* with the same job."


@dataclass(frozen=True, slots=True)
class SourceFile:
    """
    A file of a source, as it was checked.

    Attributes:
        n_rows: None where they were not counted by the command.
    """

    name: str
    n_rows: int | None
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FailedRows:
    """
    Rows that failed with one code.

    Attributes:
        where: The first of them, in words.
    """

    code: str
    state: str
    n_rows: int
    where: str


@dataclass(frozen=True, slots=True)
class ImportFacts:
    """
    Everything that the report of a run is made of.

    Attributes:
        failures: The most frequent first.
        examples: Some of the rows that failed.
        sent: None where nothing was to be sent.
        verified: What reading back showed; None when nothing was read back.
        error: What ended the run early.
        versions: Name → version of what shaped the bodies.
        files: Name → bytes of what the run left.
    """

    run_id: str
    command: str
    counts: RowCounts
    sources: tuple[SourceFile, ...]
    cells: Cells
    failures: tuple[FailedRows, ...] = ()
    examples: tuple[Example, ...] = ()
    findings: tuple[Finding, ...] = ()
    sent: Sent | None = None
    verified: VerifyFacts | None = None
    error: str | None = None
    versions: Mapping[str, str] | None = None
    files: Mapping[str, int] | None = None


def report_of_import(facts: ImportFacts, ending: Ending) -> Document:
    """Return the report of a check or an import."""
    counts = facts.counts
    n_failed = counts.blocked + counts.rejected
    status, role = _status(facts)
    seen = facts.verified
    return Document(
        kind=f"{facts.command.capitalize()} of {named_sources(facts.sources)}",
        when=ending.when,
        headline=_headline(facts, n_failed),
        status=status,
        role=role,
        lead=tuple(_lead(facts)),
        figures=_figures(facts, ending, n_failed),
        sections=(
            rows_section(counts),
            *(() if seen is None else verify_sections(seen, ending)),
            *ending.commands(),
            *repair_section(facts.failures, n_failed, facts.examples),
            *pace_section(facts.sent),
            *fields_section(facts.cells),
            *findings_section(facts.findings),
            Section("About this run", (KeyValues(_about(facts, ending)),)),
            *examples_section(facts.examples, n_failed, ending),
        ),
    )


def named_sources(sources: Sequence[SourceFile]) -> str:
    """Return the first file, and how many more there are."""
    more = f" and {counted(len(sources) - 1, 'more file')}" if len(sources) > 1 else ""
    return (sources[0].name if sources else "no file") + more


def _status(facts: ImportFacts) -> tuple[str, Role]:
    counts = facts.counts
    if facts.error is not None:
        return "Ended early", Role.BAD
    if facts.verified is not None and facts.verified.n_wrong:
        return "Rows in the CRM differ", Role.BAD
    if counts.pending:
        return "Rows are pending", Role.WAITING
    if counts.rejected or counts.blocked:
        return "Finished, with rows to repair", Role.WARNING
    if facts.sent is None:
        return "Checked: every row can be sent", Role.PLANNED
    return "Finished", Role.GOOD


def _headline(facts: ImportFacts, n_failed: int) -> str:
    counts = facts.counts
    if not counts.read:
        return "The source has no rows; nothing was sent."
    n_done, word = counts.accepted, "accepted"
    if facts.sent is None:
        n_done, word = counts.planned, "ready to be sent"
    is_are = "is" if n_done == 1 else "are"
    told = f"{n_done:,} of {counted(counts.read, 'row')} {is_are} {word}"
    rest = []
    if n_failed:
        rest.append(f"{n_failed:,} {'needs' if n_failed == 1 else 'need'} repair")
    if counts.pending:
        rest.append(
            f"{counts.pending:,} {'is' if counts.pending == 1 else 'are'} pending"
        )
    return f"{told}; {' and '.join(rest)}." if rest else f"{told}."


def _lead(facts: ImportFacts) -> list[str]:
    error = [] if facts.error is None else [f"What ended the run: {facts.error}"]
    is_seen = facts.verified is not None
    return [*error, *what_is_open(facts.counts, facts.sent, is_read_back=is_seen)]


def what_is_open(
    counts: RowCounts, sent: Sent | None, *, is_read_back: bool
) -> list[str]:
    """Return in sentences what nobody knows yet of the rows that were sent."""
    told = []
    if counts.accepted and not is_read_back:
        told.append(
            "Accepted means that the API has taken the rows into its queue. Whether "
            "they were applied, only reading back can show."
        )
    if counts.unknown:
        told.append(
            f"{counts.unknown:,} of the pending rows may have arrived: no answer came "
            "that can be trusted. They are sent again with the same content."
        )
    if sent is not None and sent.n_odd:
        batches = counted(sent.n_odd, "batch was", "batches were")
        told.append(
            f"{batches} accepted with an answer that speaks of errors or broke off: "
            "look whether their rows are there."
        )
    return told


def _figures(facts: ImportFacts, ending: Ending, n_failed: int) -> tuple[Figure, ...]:
    counts, n_read = facts.counts, facts.counts.read
    if facts.sent is None:
        through = Figure(
            "Ready to send", f"{counts.planned:,}", share(counts.planned, n_read),
            Role.PLANNED,
        )  # fmt: skip
    else:
        through = Figure(
            "Accepted", f"{counts.accepted:,}", share(counts.accepted, n_read),
            Role.GOOD,
        )  # fmt: skip
    figures = [
        Figure("Rows read", f"{n_read:,}", counted(len(facts.sources), "file")),
        through,
        Figure(
            "To repair", f"{n_failed:,}", share(n_failed, n_read),
            Role.BAD if n_failed else Role.NEUTRAL,
        ),
    ]  # fmt: skip
    if counts.pending:
        note = share(counts.pending, n_read)
        figures.append(Figure("Pending", f"{counts.pending:,}", note, Role.WAITING))
    speed = f"{n_read / ending.seconds:,.0f} rows/s" if ending.seconds else ""
    figures.append(Figure("Time", in_seconds(ending.seconds), speed))
    return tuple(figures)


def rows_section(counts: RowCounts) -> Section:
    """Return every row by the state it ended in."""
    parts = tuple(
        Part(state.value, getattr(counts, state.value), role, meaning)
        for state, role, meaning in STATES
    )
    bar = EquationBar("rows read", counts.read, parts)
    return Section("Where every row went", (bar,))


def repair_section(
    failures: Sequence[FailedRows], n_failed: int, examples: Sequence[Example]
) -> tuple[Section, ...]:
    """
    Return why rows did not go out and what to do about it, or nothing.

    Args:
        examples: That stand on the same page.
    """
    if not failures:
        return ()
    shown = {example.code for example in examples}
    reasons = tuple(
        Reason(
            code=failed.code,
            n_rows=failed.n_rows,
            state=failed.state,
            role=Role.WARNING if failed.state == State.BLOCKED.value else Role.BAD,
            message=ROW_CODES.get(failed.code, ""),
            where=failed.where,
            next_step=NEXT_STEPS.get(failed.code, _REPAIR),
            has_examples=failed.code in shown,
        )
        for failed in failures
    )
    caption = f"Why {counted(n_failed, 'row')} did not go out, by the first fault."
    table = ReasonTable(caption, reasons)
    return (Section("What to repair", (table,)),)


def _about(facts: ImportFacts, ending: Ending) -> tuple[tuple[str, str], ...]:
    sent = facts.sent
    pairs = [("Run", facts.run_id), ("Command", facts.command), *ended_facts(ending)]
    if sent is not None:
        again = f", {sent.n_retried:,} of them repetitions" if sent.n_retried else ""
        pairs += [
            ("Dataset", sent.dataset),
            ("Workspace", sent.workspace),
            ("Requests", f"{sent.n_requests:,}{again}; {size(sent.n_bytes)} sent"),
        ]
    return (*pairs, *file_facts(facts.sources, facts.versions, facts.files))


def file_facts(
    sources: Sequence[SourceFile],
    versions: Mapping[str, str] | None,
    files: Mapping[str, int] | None,
) -> tuple[tuple[str, str], ...]:
    """Return what was read, by what, and what it left."""
    pairs = [("Source", _file(file)) for file in sources[:SHOWN_FILES]]
    if versions:
        told = ", ".join(f"{name} {number}" for name, number in versions.items())
        pairs.append(("Versions", told))
    if files:
        told = ", ".join(f"{name} ({size(n)})" for name, n in files.items())
        pairs.append(("Files", told))
    return tuple(pairs)


def _file(file: SourceFile) -> str:
    rows = "" if file.n_rows is None else f"{counted(file.n_rows, 'row')}, "
    return f"{file.name}: {rows}{size(file.n_bytes)}, SHA-256 {file.sha256}"
