"""What a reconciliation found, as text for people and as JSON for programs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.exit_codes import DIFFERENT, INCOMPLETE, OK, PARTIAL
from pipeline.plain_text import counted
from pipeline.records import FieldClass, RowClass

if TYPE_CHECKING:
    from pipeline import FieldReport, ReconcileReport

RECONCILE_VERSION: Final = 1
SHOWN_FIELDS: Final = 10
_ROWS: Final = {
    RowClass.ONLY_IN_SOURCE: "are only in the source",
    RowClass.SEVERAL_PROFILES: "meet several profiles, and none of them was chosen",
    RowClass.SEVERAL_ROWS: "share their profile with another row",
    RowClass.UNKNOWN: "were not found, and may be there",
}
_WORDS: Final = {
    FieldClass.SOURCE_NEWER: "changed in the source",
    FieldClass.CRM_EDITED: "edited in the CRM",
    FieldClass.BOTH_CHANGED: "changed on both sides",
    FieldClass.ERASED: "erased in the CRM",
    FieldClass.MISSING: "missing in the CRM",
    FieldClass.DIFFERS: "different",
}


def exit_code_of_reconcile(report: ReconcileReport, fail_over: float) -> int:
    """
    Return the number for a comparison, the gravest first.

    Args:
        fail_over: The share of rows that may disagree.
    """
    if not report.is_whole:
        return INCOMPLETE
    if report.share > fail_over:
        return DIFFERENT
    return PARTIAL if report.n_blocked else OK


def reconcile_lines(report: ReconcileReport, *, config: str | None) -> list[str]:
    """
    Return what was found, a line a field that differs, and the next command.

    Args:
        config: The job file, for the command.
    """
    crm, rows = report.crm, report.rows
    n_equal = rows[RowClass.MATCHED] - report.n_differing
    compared = counted(report.n_compared, "row")
    profiles = counted(crm.n_profiles, "profile")
    lines = [
        f"{compared} compared with {profiles} of {crm.name}:",
        f"  {n_equal:>9,} agree in every field that was compared",
        f"  {report.n_differing:>9,} differ",
        *(
            f"  {rows[found]:>9,} {told}"
            for found, told in _ROWS.items()
            if rows[found]
        ),
    ]
    lines += _beside(report)
    differing = [field for field in report.fields if field.n_different]
    differing.sort(key=lambda field: -field.n_different)
    if differing:
        wide = max(len(field.field) for field in differing[:SHOWN_FIELDS])
        lines.append("fields that differ most:")
        lines += [_field_line(field, wide) for field in differing[:SHOWN_FIELDS]]
    lines += _out_of_sight(report)
    lines.append(f"{report.share:.2%} of the rows disagree")
    if report.n_disagreeing or rows[RowClass.ONLY_IN_CRM] or rows[RowClass.UNKNOWN]:
        lines.append(f"a line for each difference: {report.files['differences']}")
    repair = report.files.get("repair")
    if repair is not None:
        job = "" if config is None else f" -c {shlex.quote(config)}"
        lines.append(
            f"to make the CRM agree, send {counted(report.n_repairable, 'row')}: "
            f"crm-pipeline import {shlex.quote(repair)}{job}"
        )
    return lines


def _field_line(field: FieldReport, wide: int) -> str:
    told = ", ".join(
        f"{field.counts[found]:,} {words}"
        for found, words in _WORDS.items()
        if field.counts[found]
    )
    share = field.n_different / field.n_compared
    return f"  {field.field:<{wide}}  {share:>7.2%}  {told}"


def _beside(report: ReconcileReport) -> list[str]:
    """Return what stands beside the rows that were compared."""
    n_blocked, n_shared = report.n_blocked, report.crm.n_shared
    n_strangers = report.rows[RowClass.ONLY_IN_CRM]
    lines = []
    if n_blocked:
        lines.append(
            f"  {n_blocked:>9,} could not be compared: an import would block them"
        )
    if n_strangers:
        lines.append(f"{counted(n_strangers, 'profile')} only in the CRM")
    if n_shared:
        lines.append(
            f"{counted(n_shared, 'profile')} of the CRM share an identifier with "
            "another one"
        )
    return lines


def _out_of_sight(report: ReconcileReport) -> list[str]:
    crm = report.crm
    lines = [f"not shown to be all profiles: {reason}" for reason in crm.reasons]
    if crm.lacking:
        lines.append(
            f"not compared, because the other side does not have it: "
            f"{', '.join(crm.lacking)}; name it in --ignore-fields if it need not be"
        )
    if crm.unknown:
        lines.append(
            f"columns of the other side that were left out: {', '.join(crm.unknown)}"
        )
    return lines


def reconcile_json(report: ReconcileReport, exit_code: int) -> dict[str, Any]:
    """Return the documented summary of a comparison; it holds no values."""
    crm = report.crm
    return {
        "version": RECONCILE_VERSION,
        "run_id": report.run_id,
        "command": "reconcile",
        "exit_code": exit_code,
        "source": list(report.sources),
        "against": {
            "name": crm.name,
            "workspace": crm.guid,
            "profiles": crm.n_profiles,
            "shared_identifiers": crm.n_shared,
            "complete": not crm.reasons,
            "reasons": list(crm.reasons),
            "lacking": list(crm.lacking),
            "unknown_columns": list(crm.unknown),
        },
        "baseline": report.baseline,
        "rows": {
            "read": report.n_read,
            "empty": report.n_empty,
            "blocked": report.n_blocked,
            "folded": report.n_folded,
            "compared": report.n_compared,
            "differing": report.n_differing,
            **{found.value: report.rows[found] for found in RowClass},
        },
        "disagreeing_share": report.share,
        "fields": {
            field.field: {
                "in_source": field.n_in_source,
                "in_crm": field.n_in_crm,
                **{found.value: field.counts[found] for found in FieldClass},
            }
            for field in report.fields
        },
        "ignored": list(report.ignored),
        "repair_rows": report.n_repairable,
        "files": dict(report.files),
    }
