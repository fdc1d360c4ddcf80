"""
What a report says, before it looks like anything: a headline, figures, sections.

A builder, such as `importing` or `planning`, fills this model from the records of a
command, and `html` makes the page. Texts are plain: whatever they hold is shown, never
interpreted. Numbers arrive counted; nothing is computed here but shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from pipeline.errors import InvariantError


class Role(StrEnum):
    """What a colour means; every use of one stands beside a word that says the same."""

    GOOD = "good"
    PLANNED = "planned"
    WARNING = "warning"
    BAD = "bad"
    WAITING = "waiting"
    CARRIED = "carried"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of a whole.

    Attributes:
        meaning: One sentence; "" where the label says it all.
    """

    label: str
    n: int
    role: Role
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What to type next, and what for."""

    purpose: str
    line: str


@dataclass(frozen=True, slots=True)
class EquationBar:
    """
    A whole and its parts: a bar, an equation and a table.

    Raises:
        InvariantError: The parts do not add up to the whole.
    """

    whole: str
    n: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if sum(part.n for part in self.parts) != self.n:
            raise InvariantError(
                f"the parts of {self.n} {self.whole} in a report do not add up. This "
                "is a defect of crm-pipeline: please report it with this sentence"
            )


@dataclass(frozen=True, slots=True)
class Reason:
    """
    Why rows did not go out.

    Attributes:
        state: Of these rows, in words.
        where: The first of them.
        next_step: What to do about them.
        has_examples: Whether some of them are among the examples.
    """

    code: str
    n_rows: int
    state: str
    role: Role
    message: str
    where: str
    next_step: str
    has_examples: bool = True


@dataclass(frozen=True, slots=True)
class ReasonTable:
    """Reasons, the most frequent first."""

    caption: str
    reasons: tuple[Reason, ...]


class Stroke(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    DASHED = "dashed"
    DOTS = "dots"
    STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time: (seconds, value), by ascending time."""

    label: str
    points: tuple[tuple[float, float], ...]
    stroke: Stroke
    role: Role


@dataclass(frozen=True, slots=True)
class LineChart:
    """
    Values over time.

    Attributes:
        title: What is drawn, with its unit.
        words: What the picture shows, for who cannot see it.
        span_s: Length of the axis of time.
        decimals: Of the values in the table behind the picture.
    """

    title: str
    words: str
    series: tuple[Series, ...]
    span_s: float
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class FieldBar:
    """
    One line of `FieldBars`.

    Attributes:
        parts: Of *n_whole*; what is left of it stays blank.
        cells: One for each column.
    """

    name: str
    n_whole: int
    parts: tuple[Part, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldBars:
    """
    A bar for each field, beside its numbers.

    Attributes:
        subject: Heading of the names.
        bar: Heading of the bars.
        columns: Headings of the numbers.
        n_more: Lines left out.
    """

    caption: str
    subject: str
    bar: str
    columns: tuple[str, ...]
    lines: tuple[FieldBar, ...]
    n_more: int = 0


@dataclass(frozen=True, slots=True)
class ExampleTable:
    """
    Rows to look at, with a search.

    Attributes:
        name: Of the table in the page; a letter, then letters and hyphens.
        note: What was chosen, and whether values are masked.
        code_columns: Columns set in the type of code.
    """

    name: str
    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    code_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know."""

    label: str
    text: str
    role: Role


@dataclass(frozen=True, slots=True)
class Notices:
    """Several of them, the most serious first."""

    items: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Facts by name."""

    pairs: tuple[tuple[str, str], ...]


Block: TypeAlias = (
    Sentence
    | Command
    | EquationBar
    | ReasonTable
    | LineChart
    | FieldBars
    | ExampleTable
    | Notices
    | KeyValues
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number to see first."""

    label: str
    value: str
    note: str = ""
    role: Role = Role.NEUTRAL


@dataclass(frozen=True, slots=True)
class Document:
    """
    A report.

    Attributes:
        kind: What it is about, such as "Import of customers.csv".
        when: Date and time in words.
        headline: What happened, in a sentence.
        status: The same in a few words, and its role.
        lead: What follows from it.
    """

    kind: str
    when: str
    headline: str
    status: str
    role: Role
    lead: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    sections: tuple[Section, ...] = ()


def share(n: int, n_whole: int) -> str:
    """Return a percentage that never hides something: not 0 % of few, nor 100 %."""
    if not n_whole or n in (0, n_whole):
        return "100 %" if n and n_whole else "0 %"
    percent = 100 * n / n_whole
    for shown in (f"{percent:.1f}", f"{percent:.2f}"):
        if shown not in ("0.0", "100.0", "0.00", "100.00"):
            return f"{shown} %"
    return "under 0.01 %" if percent < 1 else "over 99.99 %"


def percent(part: float) -> str:
    """Return a measured or estimated share, such as 0.99 %."""
    return f"{100 * part:.2f} %"
