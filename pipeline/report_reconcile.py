"""The report of `reconcile`: a source against the CRM, or against a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted
from pipeline.report import (
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
from pipeline.report_parts import (
    EXAMPLES_NAME,
    MAX_FIELDS,
    chosen_of,
    ended_facts,
    note_on_values,
)

if TYPE_CHECKING:
    from pipeline.report_parts import Ending

# (what `FieldFact` counts, its words, its role)
VERDICTS: Final[tuple[tuple[str, str, Role], ...]] = (
    ("n_equal", "equal", Role.GOOD),
    ("n_source_newer", "source newer", Role.PLANNED),
    ("n_crm_edited", "CRM edited", Role.WAITING),
    ("n_both", "both changed", Role.BAD),
    ("n_different", "different", Role.WARNING),
    ("n_missing", "missing", Role.CARRIED),
    ("n_erased", "erased", Role.NEUTRAL),
)


@dataclass(frozen=True, slots=True)
class FieldFact:
    """
    How one field compares, over the rows that both sides hold.

    Attributes:
        n_source_newer: Changed in the source alone since the baseline, as the next two
            are changed in the CRM alone, and on both sides.
        n_different: Different, and no baseline tells who changed it.
        n_missing: Given in the source, and blank in the CRM.
        n_erased: To be erased by the source, and given in the CRM.
    """

    name: str
    n_equal: int
    n_source_newer: int = 0
    n_crm_edited: int = 0
    n_both: int = 0
    n_different: int = 0
    n_missing: int = 0
    n_erased: int = 0

    @property
    def n_compared(self) -> int:
        """Rows in which the field was compared."""
        return self.n_equal + self.n_unequal

    @property
    def n_unequal(self) -> int:
        """Rows in which it is not equal."""
        return sum(getattr(self, name) for name, _, _ in VERDICTS[1:])


@dataclass(frozen=True, slots=True)
class DifferentCell:
    """
    A field of a row that both sides hold, or a row that only one side holds.

    Attributes:
        place: Of the row, in words.
        verdict: In words, as `VERDICTS` has them.
        baseline: Like *source* and *crm*, JSON text; "" where there is none.
    """

    place: str
    verdict: str
    field: str = ""
    source: str = ""
    crm: str = ""
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class ReconcileFacts:
    """
    Everything that the report of a reconciliation is made of.

    Rows are persons here. `equal + unequal + only_in_source + duplicates` are the rows
    of the source, and the same with the other side's numbers those of the CRM.

    Attributes:
        against: The other side in words, such as the workspace or a file.
        n_unusable: Rows of the source that the mapping blocks.
        n_repairs: Rows of the repair file.
        differing_share: Of the rows of both sides; compared with *fail_over*.
        fail_over: The share from which the command ends with 4; None without a limit.
        fields: The one with most differences first.
        files: Name → what it holds, in words.
    """

    source: str
    against: str
    n_equal: int
    n_unequal: int
    n_only_source: int
    n_only_crm: int
    n_source_duplicates: int
    n_crm_duplicates: int
    n_unusable: int
    n_repairs: int
    differing_share: float
    fail_over: float | None
    fields: tuple[FieldFact, ...]
    has_baseline: bool = False
    examples: tuple[DifferentCell, ...] = ()
    n_different_cells: int = 0
    files: tuple[tuple[str, str], ...] = ()

    @property
    def n_differing(self) -> int:
        """Persons that are not the same on both sides."""
        return self.n_unequal + self.n_only_source + self.n_only_crm


def report_of_reconcile(facts: ReconcileFacts, ending: Ending) -> Document:
    """Return the report of a reconciliation."""
    is_over = facts.fail_over is not None and facts.differing_share > facts.fail_over
    is_same = not facts.n_differing
    return Document(
        kind=f"Reconciliation of {facts.source} with {facts.against}",
        when=ending.when,
        headline=_headline(facts),
        status="Both sides agree"
        if is_same
        else "Over the limit"
        if is_over
        else "Differences found",
        role=Role.GOOD if is_same else Role.BAD if is_over else Role.WARNING,
        lead=tuple(_lead(facts)),
        figures=_figures(facts),
        sections=(
            Section("Person by person", _equations(facts)),
            *ending.commands(),
            *_fields(facts),
            *_examples(facts, ending),
            Section(
                "About this reconciliation",
                (KeyValues((*facts.files, *ended_facts(ending))),),
            ),
        ),
    )


def _headline(facts: ReconcileFacts) -> str:
    n_both = facts.n_equal + facts.n_unequal
    if not facts.n_differing:
        return f"{counted(n_both, 'person', 'persons')} compared, and both sides agree."
    told = [
        f"{n:,} {words}"
        for n, words in (
            (facts.n_unequal, "differ"),
            (facts.n_only_source, "are only in the source"),
            (facts.n_only_crm, "are only in the CRM"),
        )
        if n
    ]
    return f"{n_both:,} persons are on both sides; {', '.join(told)}."


def _lead(facts: ReconcileFacts) -> list[str]:
    told = []
    if facts.n_repairs:
        rows = counted(facts.n_repairs, "row")
        told.append(f"The repair file holds {rows}: exactly what has to be sent.")
    if facts.fail_over is not None:
        told.append(
            f"{percent(facts.differing_share)} of the persons differ; the limit is "
            f"{percent(facts.fail_over)}."
        )
    if not facts.has_baseline:
        told.append("Without a baseline, nobody can tell which side changed a value.")
    return told


def _figures(facts: ReconcileFacts) -> tuple[Figure, ...]:
    n_both = facts.n_equal + facts.n_unequal
    return (
        Figure("On both sides", f"{n_both:,}"),
        Figure("Equal", f"{facts.n_equal:,}", share(facts.n_equal, n_both), Role.GOOD),
        Figure(
            "Different", f"{facts.n_unequal:,}", share(facts.n_unequal, n_both),
            Role.WARNING if facts.n_unequal else Role.NEUTRAL,
        ),
        Figure("Only in the source", f"{facts.n_only_source:,}"),
        Figure("Only in the CRM", f"{facts.n_only_crm:,}"),
    )  # fmt: skip


def _equations(facts: ReconcileFacts) -> tuple[EquationBar | Sentence, ...]:
    both = (
        Part("equal", facts.n_equal, Role.GOOD, "Every compared field is the same."),
        Part("different", facts.n_unequal, Role.WARNING, "A field at least differs."),
    )
    source = (
        *both,
        Part("only here", facts.n_only_source, Role.PLANNED, "Not in the CRM."),
        Part(
            "duplicates", facts.n_source_duplicates, Role.CARRIED,
            "Another row of the same person counts.",
        ),
        Part("unusable", facts.n_unusable, Role.BAD, "Blocked by the mapping."),
    )  # fmt: skip
    crm = (
        *both,
        Part("only here", facts.n_only_crm, Role.WAITING, "Not in the source."),
        Part(
            "duplicates", facts.n_crm_duplicates, Role.CARRIED,
            "Another profile of the same person counts.",
        ),
    )  # fmt: skip
    return (
        EquationBar("rows of the source", sum(part.n for part in source), source),
        Sentence("Seen from the other side:"),
        EquationBar("profiles of the CRM", sum(part.n for part in crm), crm),
    )


def _fields(facts: ReconcileFacts) -> tuple[Section, ...]:
    if not facts.fields:
        return ()
    used = tuple(
        (count, label, role)
        for count, label, role in VERDICTS
        if any(getattr(field, count) for field in facts.fields)
    )
    lines = tuple(
        FieldBar(
            field.name,
            max(field.n_compared, 1),
            tuple(
                Part(label, getattr(field, count), role) for count, label, role in used
            ),
            (
                *(f"{getattr(field, count):,}" for count, _, _ in used),
                share(field.n_unequal, field.n_compared),
            ),
        )
        for field in facts.fields[:MAX_FIELDS]
    )
    table = FieldBars(
        "How each field compares, over the persons that both sides hold.",
        "Field",
        "Share",
        (*(label[0].upper() + label[1:] for _, label, _ in used), "Not equal"),
        lines,
        max(len(facts.fields) - MAX_FIELDS, 0),
    )
    return (Section("Field by field", (table,)),)


def _examples(facts: ReconcileFacts, ending: Ending) -> tuple[Section, ...]:
    if not facts.examples:
        return ()
    columns: tuple[str, ...] = ("Row", "Verdict", "Field", "Source", "CRM")
    columns += ("Baseline",) if facts.has_baseline else ()
    rows = tuple(
        (
            cell.place, cell.verdict, cell.field,
            *map(ending.value, (cell.source, cell.crm, cell.baseline)),
        )[: len(columns)]
        for cell in facts.examples
    )  # fmt: skip
    n_all = facts.n_different_cells
    table = ExampleTable(
        EXAMPLES_NAME,
        "What is not the same on both sides",
        f"{chosen_of(len(rows), n_all, 'lines')} {note_on_values(ending)}",
        columns,
        rows,
        ("Field", "Source", "CRM", "Baseline"),
    )
    return (Section("Differences", (table,)),)
