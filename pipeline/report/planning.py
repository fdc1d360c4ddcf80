"""The report of a plan: what would be sent, why, and what the guards say to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted, forecast, size
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
from pipeline.report.importing import (
    file_facts,
    named_sources,
    repair_section,
    rows_section,
)
from pipeline.report.parts import (
    MAX_FIELDS,
    ended_facts,
    examples_section,
    findings_section,
    note_on_values,
)

if TYPE_CHECKING:
    from pipeline.delta.plan import Figures, Plan
    from pipeline.report.importing import ImportFacts
    from pipeline.report.parts import Ending

PLANNED_NAME: Final = "planned"
_CHANGES: Final = (
    ("new", "n_new", Role.PLANNED, "Nothing is known of them; sent whole."),
    ("changed", "n_changed", Role.WARNING, "A field at least differs; sent."),
    ("unchanged", "n_unchanged", Role.NEUTRAL, "As confirmed before; not sent."),
    ("held back", "n_held_back", Role.CARRIED, "The mode does not let them go."),
)


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """
    A field of a planned row.

    Attributes:
        place: Of the row, in words.
        change: What the row is: new, or changed.
        does: What is done to the field: set, erase, grant, withdraw.
        value: As it is sent; "" of an erased one.
    """

    place: str
    change: str
    does: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """
    Everything that the report of a plan is made of.

    Attributes:
        checked: What reading the source came to.
        cells: Of some rows of every kind of change.
        n_shown: These rows.
    """

    checked: ImportFacts
    plan: Plan
    workspace: str
    cells: tuple[PlannedCell, ...] = ()
    n_shown: int = 0


def report_of_plan(facts: PlanFacts, ending: Ending) -> Document:
    """Return the report of a plan."""
    checked, done = facts.checked, facts.plan.figures
    n_failed = checked.counts.blocked
    status, role = _status(facts)
    return Document(
        kind=f"Plan for {named_sources(checked.sources)}",
        when=ending.when,
        headline=headline(done),
        status=status,
        role=role,
        lead=tuple(_lead(facts)),
        figures=(
            Figure(
                "To be sent", f"{done.n_planned:,}",
                share(done.n_planned, done.n_persons), Role.PLANNED,
            ),
            Figure("New", f"{done.n_new:,}"),
            Figure("Changed", f"{done.n_changed:,}"),
            Figure("Vanished", f"{done.n_vanished:,}", _of_vanished(done)),
            Figure("Requests", f"{done.n_requests:,}", size(done.n_bytes)),
        ),
        sections=(
            guards_section(facts.plan),
            *change_sections(done),
            *leaving_section(_leaving(done)),
            *ending.commands(),
            *_planned_rows(facts, ending),
            rows_section(checked.counts),
            *repair_section(checked.failures, n_failed, checked.examples),
            *findings_section(checked.findings),
            Section("About this plan", (KeyValues(_about(facts, ending)),)),
            *examples_section(checked.examples, n_failed, ending),
        ),
    )  # fmt: skip


# -- what a night tells of its plan, too -------------------------------------------


def headline(done: Figures) -> str:
    """Return what a plan comes to, in a sentence."""
    if not done.n_planned:
        rest = ", or is held back by the mode" if done.n_held_back else ""
        told = f"no row differs from what was confirmed{rest}"
        return f"Nothing has to be sent: {told}.{_deletions(done)}"
    is_are = "is" if done.n_planned == 1 else "are"
    parts = [
        f"{n:,} {word}"
        for n, word in ((done.n_new, "new"), (done.n_changed, "changed"))
        if n
    ]
    persons = counted(done.n_persons, "person")
    return (
        f"{done.n_planned:,} of {persons} {is_are} to be sent: {', '.join(parts)}."
        + (_deletions(done))
    )


def _deletions(done: Figures) -> str:
    if not done.n_deletes:
        return ""
    is_are = "is" if done.n_deletes == 1 else "are"
    return f" {counted(done.n_deletes, 'profile')} {is_are} to be deleted."


def _of_vanished(done: Figures) -> str:
    return f"{done.n_deletes:,} to be deleted" if done.n_deletes else "not acted on"


def _leaving(done: Figures) -> tuple[tuple[str, int], ...]:
    return (
        ("Profiles to be deleted", done.n_deletes),
        ("Persons without a row who are kept", done.n_kept),
    )


def leaving_section(counts: tuple[tuple[str, int], ...]) -> tuple[Section, ...]:
    """Return what a mirror does about persons without a row, if there are some."""
    pairs = tuple((label, f"{n:,}") for label, n in counts if n)
    return (Section("Who has no row any more", (KeyValues(pairs),)),) if pairs else ()


def guards_section(plan: Plan) -> Section:
    """Return the verdict of the guards, and why rows are planned that are no change."""
    items = [Notice("A guard trips", _sentence(trip), Role.BAD) for trip in plan.trips]
    if not items:
        told = (
            "The plan is within what is usual."
            if plan.figures.n_known
            else "There is nothing to compare a first night with; only values that are "
            "not accepted would stop it."
        )
        items = [Notice("No guard trips", told, Role.GOOD)]
    items += [Notice("Note", _sentence(why), Role.WARNING) for why in plan.reasons]
    return Section("What the guards say", (Notices(tuple(items)),))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def change_sections(done: Figures) -> tuple[Section, ...]:
    """Return the persons by what is done, the fields that change, and the consents."""
    parts = tuple(
        Part(label, getattr(done, name), role, meaning)
        for label, name, role, meaning in _CHANGES
        if name != "n_held_back" or done.n_held_back
    )
    whole = EquationBar("persons of the source", done.n_persons, parts)
    return (
        Section("Who is told something", (whole,)),
        *_fields(done),
        *_consents(done),
    )


def _fields(done: Figures) -> tuple[Section, ...]:
    columns = {
        "Changed": done.changed_fields,
        "Erased": done.erased_fields,
        "Lost": done.lost_fields,
    }
    used = {name: by_field for name, by_field in columns.items() if by_field}
    if not used:
        return ()
    names = sorted(
        {name for by_field in used.values() for name in by_field},
        key=lambda name: (-done.changed_fields.get(name, 0), name),
    )
    lines = tuple(
        FieldBar(
            name,
            max(done.n_changed, 1),
            (Part("changed", done.changed_fields.get(name, 0), Role.WARNING),),
            tuple(_number(by_field.get(name, 0)) for by_field in used.values()),
        )
        for name in names[:MAX_FIELDS]
    )
    changed = counted(done.n_changed, "changed person")
    table = FieldBars(
        " ".join((f"Of {changed}.", *(_MEANINGS[name] for name in used))),
        "Field",
        "Changed",
        tuple(used),
        lines,
        max(len(names) - MAX_FIELDS, 0),
    )
    return (Section("Fields", (table,)),)


_MEANINGS: Final = {
    "Changed": "Changed: in how many of them the field differs.",
    "Erased": "Erased: rows that delete the value in the profile.",
    "Lost": "Lost: persons that had the field and do not give it today; the CRM keeps "
    "it.",
}


def _consents(done: Figures) -> tuple[Section, ...]:
    names = sorted({*done.withdrawn, *done.granted})
    if not names:
        return ()
    lines = tuple(
        FieldBar(
            name,
            done.n_planned,
            (
                Part("withdrawn", done.withdrawn.get(name, 0), Role.BAD),
                Part("granted", done.granted.get(name, 0), Role.GOOD),
            ),
            (
                _number(done.withdrawn.get(name, 0)),
                _number(done.granted.get(name, 0)),
            ),
        )
        for name in names
    )
    table = FieldBars(
        f"Of {counted(done.n_planned, 'row')} to be sent. Rows that withdraw a consent "
        "go before the others.",
        "Consent",
        "Withdrawn and granted",
        ("Withdrawn", "Granted"),
        lines,
    )
    return (Section("Consents", (table,)),)


def made_from(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return what a plan was made from."""
    return (
        ("Plan", plan.plan_id),
        ("Dataset", plan.dataset),
        ("State", f"generation {plan.state_generation}"),
        ("Forecast", forecast(plan.figures.n_requests, plan.figures.n_bytes)),
    )


def _number(n: int) -> str:
    return f"{n:,}" if n else "–"


# -- the plan alone ----------------------------------------------------------------


def _status(facts: PlanFacts) -> tuple[str, Role]:
    if facts.plan.trips:
        return "Stopped by the guards", Role.BAD
    if not (facts.plan.figures.n_planned or facts.plan.figures.n_deletes):
        return "Nothing to send", Role.GOOD
    return "Planned; nothing was sent", Role.PLANNED


def _lead(facts: PlanFacts) -> list[str]:
    done, counts = facts.plan.figures, facts.checked.counts
    told = []
    if facts.checked.error is not None:
        told.append(f"What ended it: {facts.checked.error}")
    if done.n_planned:
        told.append(f"It would take {forecast(done.n_requests, done.n_bytes)}.")
    if counts.blocked:
        needs = "needs" if counts.blocked == 1 else "need"
        rows = counted(counts.blocked, "row")
        told.append(f"{rows} of the source {needs} repair and cannot be sent.")
    return told


def _planned_rows(facts: PlanFacts, ending: Ending) -> tuple[Section, ...]:
    if not facts.cells:
        return ()
    rows = tuple(
        (
            cell.place,
            cell.change,
            cell.does,
            cell.field,
            ending.value(cell.value),
        )
        for cell in facts.cells
    )
    n_all = facts.plan.figures.n_planned
    which = (
        f"{facts.n_shown:,} of {counted(n_all, 'row')}, some for each set of fields "
        "that changes."
        if facts.n_shown < n_all
        else "All rows."
    )
    table = ExampleTable(
        PLANNED_NAME,
        "Rows that would be sent, by their number",
        f"{which} What the CRM holds now is not known here: of what was confirmed, "
        f"digests are kept. {note_on_values(ending)}",
        ("Row", "Is", "Does", "Field", "Value"),
        rows,
        ("Field", "Value"),
    )
    return (Section("What would be sent", (table,)),)


def _about(facts: PlanFacts, ending: Ending) -> tuple[tuple[str, str], ...]:
    plan, checked = facts.plan, facts.checked
    hours = plan.max_age_s / 3600
    return (
        *made_from(plan),
        ("Workspace", facts.workspace),
        ("Can be applied", f"for {hours:g} hours, while nothing it rests on changes"),
        *ended_facts(ending),
        *file_facts(checked.sources, checked.versions, checked.files),
    )
