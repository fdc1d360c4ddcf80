"""The report of `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted
from pipeline.records import VerifyState
from pipeline.report.document import (
    Document,
    EquationBar,
    ExampleTable,
    FieldBar,
    FieldBars,
    Figure,
    KeyValues,
    Part,
    Role,
    Section,
    Sentence,
    percent,
    share,
)
from pipeline.report.pace import in_seconds
from pipeline.report.parts import (
    MAX_FIELDS,
    chosen_of,
    ended_facts,
    note_on_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.report.parts import Ending

STATES: Final[tuple[tuple[VerifyState, Role, str], ...]] = (
    (VerifyState.SETTLED, Role.GOOD, "The profile holds every field that was sent."),
    (VerifyState.DIFFERS, Role.BAD, "The profile is there and holds something else."),
    (VerifyState.ABSENT, Role.BAD, "No such profile, though its time is over."),
    (VerifyState.NOT_YET, Role.WAITING, "Not there yet; its time is not over."),
    (VerifyState.UNVERIFIED, Role.NEUTRAL, "Not asked for."),
)
_ASKED: Final = STATES[:-1]
_VERBS: Final = (
    (VerifyState.DIFFERS, "differs", "differ"),
    (VerifyState.ABSENT, "is absent", "are absent"),
    (VerifyState.NOT_YET, "is not there yet", "are not there yet"),
)


@dataclass(frozen=True, slots=True)
class WrongCell:
    """
    A field that does not hold what was sent, or a row that is absent.

    Attributes:
        field: "" of an absent row, as the next two.
        sent: As JSON text, as the next.
    """

    place: str
    state: str
    field: str
    sent: str
    found: str


@dataclass(frozen=True, slots=True)
class VerifyFacts:
    """
    Everything that the report of a verification is made of.

    Attributes:
        counts: State → accepted rows; they add up to *n_accepted*.
        n_ambiguous: A part of the unverified ones that asking cannot tell apart.
        wrong_share_at_most: At 95 % confidence.
        settled_after_s: The longest time a row took to appear; None when all were
            there at once.
        refusal: Why nothing more could be read; None when all could.
        fields: Field → rows that differ in it.
        wrong: Some of what differs or is absent.
        n_wrong_cells: How many there are of these.
    """

    run_id: str
    n_accepted: int
    n_asked: int
    counts: Mapping[VerifyState, int]
    n_ambiguous: int
    wrong_share_at_most: float
    settled_after_s: float | None
    refusal: str | None
    fields: Mapping[str, int]
    wrong: tuple[WrongCell, ...] = ()
    n_wrong_cells: int = 0

    @property
    def n_wrong(self) -> int:
        """Rows that differ or are absent."""
        return self.counts[VerifyState.DIFFERS] + self.counts[VerifyState.ABSENT]


def report_of_verify(facts: VerifyFacts, ending: Ending) -> Document:
    """Return the report of a verification."""
    status, role = _status(facts)
    return Document(
        kind=f"Verification of run {facts.run_id}",
        when=ending.when,
        headline=_headline(facts),
        status=status,
        role=role,
        lead=tuple(_lead(facts)),
        figures=_figures(facts),
        sections=(
            *verify_sections(facts, ending),
            *ending.commands(),
            Section("About this verification", (KeyValues(_about(facts, ending)),)),
        ),
    )


def verify_sections(facts: VerifyFacts, ending: Ending) -> tuple[Section, ...]:
    """Return what was found: the rows, the fields, and what differs."""
    return (
        Section("What the CRM holds", _equations(facts)),
        *_fields(facts),
        *_wrong(facts, ending),
    )


def _status(facts: VerifyFacts) -> tuple[str, Role]:
    if facts.refusal is not None:
        return "Not verified", Role.WAITING
    if facts.n_wrong:
        return "Differences found", Role.BAD
    if facts.counts[VerifyState.NOT_YET]:
        return "Rows are still to come", Role.WAITING
    return "No difference found", Role.GOOD


def _headline(facts: VerifyFacts) -> str:
    if facts.refusal is not None:
        return "Not every row could be read back."
    if not facts.n_accepted:
        return "No row of this run is accepted; there is nothing to verify."
    settled = facts.counts[VerifyState.SETTLED]
    holds = "holds" if settled == 1 else "hold"
    asked = counted(facts.n_asked, "row")
    told = f"{settled:,} of {asked} read back {holds} what was sent"
    rest = [
        f"{n:,} {one if n == 1 else many}"
        for state, one, many in _VERBS
        if (n := facts.counts[state])
    ]
    return f"{told}; {', '.join(rest)}." if rest else f"{told}."


def _lead(facts: VerifyFacts) -> list[str]:
    if facts.refusal is not None:
        return [facts.refusal]
    told = []
    if facts.n_accepted:
        told.append(_bound(facts))
    if facts.n_ambiguous:
        told.append(
            f"{counted(facts.n_ambiguous, 'row')} cannot be told apart by asking: "
            "another row has nothing but the same phone."
        )
    return told


def _bound(facts: VerifyFacts) -> str:
    share_wrong = percent(facts.wrong_share_at_most)
    is_whole = facts.n_asked == facts.n_accepted - facts.n_ambiguous
    if is_whole and not facts.counts[VerifyState.NOT_YET]:
        return f"Every row that can be asked for was: {share_wrong} are wrong."
    return f"At most {share_wrong} of the accepted rows are wrong, at 95 % confidence."


def _figures(facts: VerifyFacts) -> tuple[Figure, ...]:
    settled, wrong = facts.counts[VerifyState.SETTLED], facts.n_wrong
    asked = share(facts.n_asked, facts.n_accepted)
    return (
        Figure("Accepted rows", f"{facts.n_accepted:,}"),
        Figure("Read back", f"{facts.n_asked:,}", asked),
        Figure("As sent", f"{settled:,}", share(settled, facts.n_asked), Role.GOOD),
        Figure(
            "Wrong", f"{wrong:,}", share(wrong, facts.n_asked),
            Role.BAD if wrong else Role.NEUTRAL,
        ),
    )  # fmt: skip


def _equations(facts: VerifyFacts) -> tuple[EquationBar | Sentence, ...]:
    asked = _bar("rows read back", facts.n_asked, facts, _ASKED)
    accepted = _bar("rows accepted", facts.n_accepted, facts, STATES)
    if facts.n_asked in (0, facts.n_accepted):
        return (accepted,)
    return (asked, Sentence("Among all rows that were accepted:"), accepted)


def _bar(
    whole: str,
    n: int,
    facts: VerifyFacts,
    states: tuple[tuple[VerifyState, Role, str], ...],
) -> EquationBar:
    parts = tuple(
        Part(state.value.replace("_", " "), facts.counts[state], role, meaning)
        for state, role, meaning in states
    )
    return EquationBar(whole, n, parts)


def _fields(facts: VerifyFacts) -> tuple[Section, ...]:
    if not facts.fields:
        return ()
    n_found = facts.counts[VerifyState.SETTLED] + facts.counts[VerifyState.DIFFERS]
    lines = tuple(
        FieldBar(
            name,
            n_found,
            (Part("differ", n, Role.BAD),),
            (f"{n:,}", share(n, n_found)),
        )
        for name, n in list(facts.fields.items())[:MAX_FIELDS]
    )
    table = FieldBars(
        f"In how many of {n_found:,} profiles a field differs from what was sent.",
        "Field",
        "Differ",
        ("Rows", "Share"),
        lines,
        max(len(facts.fields) - MAX_FIELDS, 0),
    )
    return (Section("Fields that differ", (table,)),)


def _wrong(facts: VerifyFacts, ending: Ending) -> tuple[Section, ...]:
    if not facts.wrong:
        return ()
    rows = tuple(
        (
            cell.place, cell.state, cell.field,
            ending.value(cell.sent), ending.value(cell.found),
        )
        for cell in facts.wrong
    )  # fmt: skip
    n_all = facts.n_wrong_cells
    table = ExampleTable(
        "differences",
        "What differs or is absent, by row",
        f"{chosen_of(len(rows), n_all, 'lines')} {note_on_values(ending)}",
        ("Row", "State", "Field", "Sent", "Found"),
        rows,
        ("Field", "Sent", "Found"),
    )
    return (Section("Rows that differ or are absent", (table,)),)


def _about(facts: VerifyFacts, ending: Ending) -> tuple[tuple[str, str], ...]:
    took = facts.settled_after_s
    return (
        ("Run", facts.run_id),
        *ended_facts(ending),
        (
            "Rows appeared",
            "at once"
            if took is None
            else f"as late as {in_seconds(took)} after their 202",
        ),
    )
