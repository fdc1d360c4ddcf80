"""The report of `export`: the certificate in words and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted, size
from pipeline.report.document import (
    Document,
    EquationBar,
    ExampleTable,
    FieldBar,
    FieldBars,
    Figure,
    KeyValues,
    Notice,
    Notices,
    Part,
    Role,
    Section,
    share,
)
from pipeline.report.pace import in_seconds
from pipeline.report.parts import (
    EXAMPLES_NAME,
    chosen_of,
    ended_facts,
    fill_bars,
    note_on_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.report.parts import Ending

MAX_WINDOWS: Final = 200


@dataclass(frozen=True, slots=True)
class WindowFact:
    """
    A part of the list that was asked for.

    Attributes:
        label: The question in words, without what was searched for.
        search: What was searched for, which may be a part of a value.
        matching: Rows in it, as the service says; None when it does not say.
        n_new: Profiles that no question before it had shown.
    """

    label: str
    search: str
    matching: int | None
    n_rows: int
    n_new: int
    is_saturated: bool


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """
    Everything that the report of an export is made of.

    Attributes:
        n_all: In the workspace, as the service says in the end; None if it does not.
        words: The certificate in sentences.
        reasons: Why it cannot be called complete; none when it can.
        filled: Column → profiles that hold a value.
        columns: Of *examples*.
    """

    name: str
    n_profiles: int
    n_all: int | None
    words: tuple[str, ...]
    reasons: tuple[str, ...]
    windows: tuple[WindowFact, ...]
    n_requests: int
    n_bytes: int
    workspace: str
    filled: Mapping[str, int]
    columns: tuple[str, ...] = ()
    examples: tuple[tuple[str, ...], ...] = ()


def report_of_export(facts: ExportFacts, ending: Ending) -> Document:
    """Return the report of an export."""
    is_complete = not facts.reasons
    n_all = "an unknown number" if facts.n_all is None else f"{facts.n_all:,}"
    profiles = counted(facts.n_profiles, "profile")
    return Document(
        kind=f"Export to {facts.name}",
        when=ending.when,
        headline=f"{profiles} exported, shown to be complete."
        if is_complete
        else f"{profiles} of {n_all} exported; not shown to be complete.",
        status="Complete" if is_complete else "Not complete",
        role=Role.GOOD if is_complete else Role.WARNING,
        lead=facts.words,
        figures=_figures(facts, ending),
        sections=(
            *_why(facts),
            *_equation(facts),
            *ending.commands(),
            *_fields(facts),
            *_windows(facts, ending),
            *_examples(facts, ending),
            Section("About this export", (KeyValues(_about(facts, ending)),)),
        ),
    )


def _figures(facts: ExportFacts, ending: Ending) -> tuple[Figure, ...]:
    told = "?" if facts.n_all is None else f"{facts.n_all:,}"
    return (
        Figure(
            "Profiles", f"{facts.n_profiles:,}", "each id once",
            Role.WARNING if facts.reasons else Role.GOOD,
        ),
        Figure("In the workspace", told, "as the service says"),
        Figure("Requests", f"{facts.n_requests:,}"),
        Figure("Time", in_seconds(ending.seconds)),
    )  # fmt: skip


def _why(facts: ExportFacts) -> tuple[Section, ...]:
    if not facts.reasons:
        return ()
    items = tuple(Notice("Not shown", reason, Role.WARNING) for reason in facts.reasons)
    return (Section("Why it cannot be called complete", (Notices(items),)),)


def _equation(facts: ExportFacts) -> tuple[Section, ...]:
    """Return the whole and its parts, where the service tells a whole."""
    if facts.n_all is None or facts.n_all < facts.n_profiles:
        return ()
    n_unseen = facts.n_all - facts.n_profiles
    parts = (
        Part("in the file", facts.n_profiles, Role.GOOD, "Each id once."),
        Part("not seen", n_unseen, Role.WARNING, "No question showed them."),
    )
    bar = EquationBar("profiles in the workspace", facts.n_all, parts)
    return (Section("What is in the file", (bar,)),)


def _fields(facts: ExportFacts) -> tuple[Section, ...]:
    if not facts.n_profiles:
        return ()
    bars = fill_bars(facts.filled, facts.n_profiles, "profiles", "Column")
    return (Section("Columns", (bars,)),)


def _windows(facts: ExportFacts, ending: Ending) -> tuple[Section, ...]:
    if len(facts.windows) < 2:  # noqa: PLR2004 - one is the whole list
        return ()
    lines = tuple(
        FieldBar(
            f"{window.label}, search {ending.value(window.search)}"
            if window.search
            else window.label,
            max(window.n_rows, 1),
            (
                Part("new", window.n_new, Role.PLANNED),
                Part("seen before", window.n_rows - window.n_new, Role.CARRIED),
            ),
            (
                "?" if window.matching is None else f"{window.matching:,}",
                f"{window.n_rows:,}",
                f"{window.n_new:,}",
                "yes" if window.is_saturated else "no",
            ),
        )
        for window in facts.windows[:MAX_WINDOWS]
    )
    n_full = sum(window.is_saturated for window in facts.windows)
    table = FieldBars(
        f"{len(facts.windows):,} windows were read, {n_full:,} of them full: the cap "
        "ended them.",
        "Window",
        "New and seen before",
        ("Matching", "Shown", "New", "Full"),
        lines,
        max(len(facts.windows) - MAX_WINDOWS, 0),
    )
    return (Section("Windows", (table,)),)


def _examples(facts: ExportFacts, ending: Ending) -> tuple[Section, ...]:
    if not facts.examples:
        return ()
    rows = tuple(
        (first, *(ending.value(cell) for cell in others))
        for first, *others in facts.examples
    )
    table = ExampleTable(
        EXAMPLES_NAME,
        "Profiles, by their place in the file",
        f"{chosen_of(len(rows), facts.n_profiles, 'profiles')} "
        + note_on_values(ending),
        facts.columns,
        rows,
        facts.columns[1:],
    )
    return (Section("Examples", (table,)),)


def _about(facts: ExportFacts, ending: Ending) -> tuple[tuple[str, str], ...]:
    told = "not said" if facts.n_all is None else f"{facts.n_all:,} profiles"
    return (
        ("File", f"{facts.name}, {size(facts.n_bytes)}"),
        ("Workspace", f"{facts.workspace}; {told}"),
        (
            "Share written",
            "unknown" if facts.n_all is None else share(facts.n_profiles, facts.n_all),
        ),
        *ended_facts(ending),
    )
