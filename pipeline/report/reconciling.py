"""The report of `reconcile`: a source against the CRM, or against a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted
from pipeline.records import FieldClass, RowClass
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
from pipeline.report.parts import (
    EXAMPLES_NAME,
    MAX_FIELDS,
    chosen_of,
    ended_facts,
    note_on_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.reconcile.report import Example, FieldReport, ReconcileReport
    from pipeline.report.parts import Ending

FIELDS: Final[dict[FieldClass, tuple[str, Role]]] = {
    FieldClass.EQUAL: ("equal", Role.GOOD),
    FieldClass.SOURCE_NEWER: ("source newer", Role.PLANNED),
    FieldClass.CRM_EDITED: ("CRM edited", Role.WAITING),
    FieldClass.BOTH_CHANGED: ("both changed", Role.BAD),
    FieldClass.DIFFERS: ("different", Role.WARNING),
    FieldClass.MISSING: ("missing", Role.CARRIED),
    FieldClass.ERASED: ("erased", Role.NEUTRAL),
}
ROWS: Final[dict[RowClass, tuple[str, Role, str]]] = {
    RowClass.ONLY_IN_SOURCE: ("only here", Role.PLANNED, "Not in the CRM."),
    RowClass.UNKNOWN: (
        "not found", Role.WAITING, "Not among the profiles seen, which are not all.",
    ),
    RowClass.SEVERAL_PROFILES: (
        "several profiles", Role.BAD, "Its identifiers belong to more than one.",
    ),
    RowClass.SEVERAL_ROWS: (
        "shared profile", Role.BAD, "Another row meets the same profile.",
    ),
}  # fmt: skip
_VERBS: Final = {
    RowClass.ONLY_IN_SOURCE: "only in the source",
    RowClass.UNKNOWN: "not found",
    RowClass.SEVERAL_PROFILES: "with several profiles",
    RowClass.SEVERAL_ROWS: "sharing a profile",
    RowClass.ONLY_IN_CRM: "only in the CRM",
}


def report_of_reconcile(
    report: ReconcileReport, fail_over: float, ending: Ending
) -> Document:
    """
    Return the report of a comparison.

    Args:
        fail_over: The share of rows that may disagree.
    """
    status, role = _status(report, fail_over)
    names = " and ".join(_name(path) for path in report.sources[:1])
    more = f" and {len(report.sources) - 1} more" if len(report.sources) > 1 else ""
    return Document(
        kind=f"Comparison of {names}{more} with {report.crm.name}",
        when=ending.when,
        headline=_headline(report),
        status=status,
        role=role,
        lead=tuple(_lead(report, fail_over)),
        figures=_figures(report),
        sections=(
            Section("Row by row", _equations(report)),
            *ending.commands(),
            *_fields(report),
            *_examples(report, ending),
            Section("About this comparison", (KeyValues(_about(report, ending)),)),
        ),
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _n_equal(report: ReconcileReport) -> int:
    return report.rows[RowClass.MATCHED] - report.n_differing


def _status(report: ReconcileReport, fail_over: float) -> tuple[str, Role]:
    if not report.is_whole:
        return "A part was out of sight", Role.WAITING
    if report.share > fail_over:
        return "More differences than allowed", Role.BAD
    if report.n_disagreeing or report.rows[RowClass.ONLY_IN_CRM]:
        return "Differences found", Role.WARNING
    return "Both sides agree", Role.GOOD


def _headline(report: ReconcileReport) -> str:
    told = f"{_n_equal(report):,} of {counted(report.n_compared, 'row')} agree"
    rest = [f"{report.n_differing:,} differ"] if report.n_differing else []
    rest += [
        f"{report.rows[found]:,} {words}"
        for found, words in _VERBS.items()
        if report.rows[found]
    ]
    return f"{told}; {', '.join(rest)}." if rest else f"{told}."


def _lead(report: ReconcileReport, fail_over: float) -> Iterator[str]:
    if report.n_repairable:
        rows = counted(report.n_repairable, "row")
        yield f"The repair file holds {rows}: exactly what has to be sent."
    yield (
        f"{percent(report.share)} of the rows disagree; {percent(fail_over)} may. "
        "Profiles without a row do not count."
    )
    for reason in report.crm.reasons:
        yield f"Not every profile was seen: {reason}."
    if report.crm.lacking:
        yield f"The other side has no {', '.join(report.crm.lacking)}: not compared."
    if report.baseline is None:
        yield "Without a baseline, nobody can tell which side changed a value."


def _figures(report: ReconcileReport) -> tuple[Figure, ...]:
    equal, compared = _n_equal(report), report.n_compared
    only = report.rows[RowClass.ONLY_IN_SOURCE]
    differing = report.n_differing
    return (
        Figure("Rows compared", f"{compared:,}"),
        Figure("Agree", f"{equal:,}", share(equal, compared), Role.GOOD),
        Figure(
            "Differ", f"{differing:,}", share(differing, compared),
            Role.WARNING if differing else Role.NEUTRAL,
        ),
        Figure("Only in the source", f"{only:,}", share(only, compared)),
        Figure("Only in the CRM", f"{report.rows[RowClass.ONLY_IN_CRM]:,}"),
    )  # fmt: skip


def _equations(report: ReconcileReport) -> tuple[EquationBar | Sentence, ...]:
    both = (
        Part("agree", _n_equal(report), Role.GOOD, "Every compared field is the same."),
        Part("differ", report.n_differing, Role.WARNING, "A field at least differs."),
    )
    apart = tuple(
        Part(label, report.rows[found], role, meaning)
        for found, (label, role, meaning) in ROWS.items()
    )
    left_out = (
        Part("blocked", report.n_blocked, Role.WARNING, "An import would not send it."),
        Part("folded", report.n_folded, Role.CARRIED, "Part of another row."),
        Part("empty", report.n_empty, Role.NEUTRAL, "An empty line."),
    )
    n_matched = report.rows[RowClass.MATCHED]
    n_only = report.rows[RowClass.ONLY_IN_CRM]
    crm = (
        *both,
        Part("only there", n_only, Role.WAITING, "No row of the source meets it."),
        Part(
            "in conflict", report.crm.n_profiles - n_matched - n_only, Role.BAD,
            "Rows and profiles are not one to one.",
        ),
    )  # fmt: skip
    return (
        EquationBar("rows of the source", report.n_read, (*both, *apart, *left_out)),
        Sentence("Seen from the other side:"),
        EquationBar("profiles of the CRM", report.crm.n_profiles, crm),
    )


def _fields(report: ReconcileReport) -> tuple[Section, ...]:
    if not report.fields:
        return ()
    used = [
        found for found in FIELDS if any(field.counts[found] for field in report.fields)
    ]
    most_first = sorted(report.fields, key=lambda field: -field.n_different)
    headings = [FIELDS[found][0] for found in used]
    table = FieldBars(
        "How each field compares, over the rows that met a profile.",
        "Field",
        "Share",
        (*(text[0].upper() + text[1:] for text in headings), "Not equal"),
        tuple(_field(field, used) for field in most_first[:MAX_FIELDS]),
        max(len(most_first) - MAX_FIELDS, 0),
    )
    return (Section("Field by field", (table,)),)


def _field(field: FieldReport, used: list[FieldClass]) -> FieldBar:
    return FieldBar(
        field.field,
        max(field.n_compared, 1),
        tuple(Part(FIELDS[found][0], field.counts[found], FIELDS[found][1])
              for found in used),
        (
            *(f"{field.counts[found]:,}" for found in used),
            share(field.n_different, field.n_compared),
        ),
    )  # fmt: skip


def _examples(report: ReconcileReport, ending: Ending) -> tuple[Section, ...]:
    if not report.examples:
        return ()
    columns: tuple[str, ...] = ("Row", "Profile", "What", "Field", "Source", "CRM")
    columns += () if report.baseline is None else ("Baseline",)
    n_all = sum(field.n_different for field in report.fields) + sum(
        n for found, n in report.rows.items() if found is not RowClass.MATCHED
    )
    several = len(report.sources) > 1
    rows = tuple(
        _example(example, ending, shows_source=several)[: len(columns)]
        for example in report.examples
    )
    table = ExampleTable(
        EXAMPLES_NAME,
        "What is not the same on both sides",
        f"{chosen_of(len(rows), n_all, 'lines')} {note_on_values(ending)}",
        columns,
        rows,
        ("Field", "Source", "CRM", "Baseline"),
    )
    return (Section("Differences", (table,)),)


def _example(
    example: Example, ending: Ending, *, shows_source: bool
) -> tuple[str, ...]:
    row = "" if example.row_no is None else str(example.row_no)
    if shows_source and example.source is not None:
        row = f"{_name(example.source)} {row}"
    profile = "" if example.profile_no is None else str(example.profile_no)
    values = (example.source_value, example.crm_value, example.baseline_value)
    return (
        row,
        profile,
        example.found.replace("_", " "),
        example.field or "",
        *("" if value is None else ending.value(value) for value in values),
    )


def _about(report: ReconcileReport, ending: Ending) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Source", ", ".join(_name(path) for path in report.sources)),
        ("Compared with", report.crm.name),
        ("Workspace", report.crm.guid),
        ("Baseline", report.baseline),
        ("Not compared", ", ".join((*report.ignored, *report.crm.lacking)) or None),
        ("Unknown columns", ", ".join(report.crm.unknown) or None),
        ("Run", report.run_id),
        ("Files", ", ".join(_name(path) for path in report.files.values())),
    ]
    known = [(name, told) for name, told in facts if told]
    return (*known, *ended_facts(ending))
