"""What reports of several commands share: examples, fields, findings, endings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline.contract import LINT_CODES
from pipeline.plain_text import masked
from pipeline.report.document import (
    Command,
    ExampleTable,
    FieldBar,
    FieldBars,
    Notice,
    Notices,
    Part,
    Role,
    Section,
    share,
)
from pipeline.report.pace import in_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.findings import Finding

MAX_FIELDS: Final = 150
MAX_FINDINGS: Final = 60
EXAMPLES_NAME: Final = "examples"
MAX_VALUE_CHARS: Final = 200
_MASKED: Final = (
    "Values show their shape only: a and A for letters, 9 for digits. With "
    "`--show-values` they stand here as they are."
)
_SHOWN: Final = "Values stand here as they are: this page holds personal data."


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How a command ended, as its shell knows it.

    Attributes:
        at: Seconds since 1970.
        next_commands: (purpose, command line), the first one first.
        shows_values: Whether values may stand in the report.
    """

    exit_code: int
    seconds: float
    at: float
    next_commands: tuple[tuple[str, str], ...] = ()
    shows_values: bool = False

    @property
    def when(self) -> str:
        """The moment in words."""
        at = datetime.fromtimestamp(self.at, UTC)
        return f"{at.day} {at:%B %Y, %H:%M} UTC"

    def value(self, text: str) -> str:
        """Return a value as it may be shown."""
        return text[:MAX_VALUE_CHARS] if self.shows_values else masked(text)

    def commands(self) -> tuple[Section, ...]:
        """Return what to type next."""
        if not self.next_commands:
            return ()
        return (Section("Next", tuple(Command(*told) for told in self.next_commands)),)


@dataclass(frozen=True, slots=True)
class Example:
    """
    A row to look at.

    Attributes:
        place: Its number, with its file where there are several.
        value: Of the field, as text; None where nothing is to be shown.
    """

    place: str
    state: str
    code: str
    field: str
    value: str | None
    message: str


def examples_section(
    examples: Sequence[Example], n_all: int, ending: Ending
) -> tuple[Section, ...]:
    """Return a table of rows to look at, or nothing where there are none."""
    if not examples:
        return ()
    rows = tuple(
        (
            example.place,
            example.state,
            example.code,
            example.field,
            "" if example.value is None else ending.value(example.value),
            example.message,
        )
        for example in examples
    )
    table = ExampleTable(
        EXAMPLES_NAME,
        "Rows that did not go out, by their number",
        f"{chosen_of(len(rows), n_all, 'rows')} {note_on_values(ending)}",
        ("Row", "State", "Code", "Field", "Value", "What is wrong"),
        rows,
        ("Code", "Field", "Value"),
    )
    return (Section("Examples", (table,)),)


def chosen_of(n: int, n_all: int, noun: str) -> str:
    """Return how many of all are shown, as a sentence."""
    return f"The first {n:,} of {n_all:,} {noun}." if n < n_all else f"All {noun}."


def note_on_values(ending: Ending) -> str:
    """Return whether values are masked, in words."""
    return _SHOWN if ending.shows_values else _MASKED


def fill_bars(
    filled: Mapping[str, int], n_whole: int, whole: str, subject: str = "Field"
) -> FieldBars:
    """
    Return how often each field holds a value.

    Args:
        filled: Field → rows that hold one, of *n_whole*.
        whole: What these are, in words.
    """
    lines = tuple(
        FieldBar(
            name,
            n_whole,
            (Part("filled", n, Role.PLANNED),),
            (f"{n:,}", share(n, n_whole)),
        )
        for name, n in list(filled.items())[:MAX_FIELDS]
    )
    return FieldBars(
        f"How many of {n_whole:,} {whole} hold a value.",
        subject,
        "Filled",
        ("Rows", "Share"),
        lines,
        n_more=max(len(filled) - MAX_FIELDS, 0),
    )


def findings_section(findings: Sequence[Finding]) -> tuple[Section, ...]:
    """Return what the columns show, or nothing."""
    if not findings:
        return ()
    items = tuple(
        Notice(
            f"{finding.code} in {finding.column}: {LINT_CODES[finding.code]}"
            + (" Accepted." if finding.is_accepted else ""),
            finding.message,
            Role.BAD if finding.stops else Role.WARNING,
        )
        for finding in findings[:MAX_FINDINGS]
    )
    return (Section("What the columns show", (Notices(items),)),)


def ended_facts(ending: Ending) -> tuple[tuple[str, str], ...]:
    """Return what every command tells of its end."""
    return (
        ("Ended", f"{ending.when}, with exit code {ending.exit_code}"),
        ("Time", in_seconds(ending.seconds)),
    )
