"""
What a person should know about the columns of a source, and what stops a run.

A finding changes no value. Most are told and no more; one that says that identifiers
are lost for good stops the run before anything is sent, until somebody accepts it.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import IDENTIFIERS, LINT_CODES
from pipeline.errors import SourceUnusableError
from pipeline.identity import unpacked_row
from pipeline.records import BLOCKED_SCHEMA, ROWS_A_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something about one column that a person should know.

    Attributes:
        column: As the source calls it.
        field: That it is mapped to; None of a column that is not mapped.
        code: One of `LINT_CODES`.
        n_cells: That show it.
        rows: The first of these, packed as `identity.packed_row` does; none where the
            name of the column itself is meant.
        message: What was seen and what to do; never a value.
        is_fatal: Whether identifiers are lost for good.
        is_accepted: Whether somebody has seen it and goes on all the same.
    """

    column: str
    field: str | None
    code: str
    n_cells: int
    rows: tuple[int, ...]
    message: str
    is_fatal: bool = False
    is_accepted: bool = False

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        return self.is_fatal and not self.is_accepted


def ranked(
    findings: Iterable[Finding], accepted: Iterable[str] = ()
) -> tuple[Finding, ...]:
    """
    Mark what is accepted, and put the most serious first.

    Args:
        accepted: A code, or `CODE:column`, each.
    """
    known = frozenset(accepted)
    marked = (
        replace(finding, is_accepted=bool(known & set(_names(finding))))
        for finding in findings
    )
    return tuple(sorted(marked, key=_weight))


def _names(finding: Finding) -> tuple[str, str]:
    return finding.code, f"{finding.code}:{finding.column}"


_PLACES = {code: place for place, code in enumerate(LINT_CODES)}


def _weight(finding: Finding) -> tuple[bool, bool, bool, int]:
    return (
        not finding.stops,
        finding.is_accepted,
        finding.field not in IDENTIFIERS,
        _PLACES[finding.code],
    )


def stop_of(
    findings: Sequence[Finding], names: Sequence[str]
) -> SourceUnusableError | None:
    """
    Return what ends the run, or None where it may go on.

    Args:
        names: Of the files of the source, in their order.
    """
    fatal = [finding for finding in findings if finding.stops]
    if not fatal:
        return None
    told = " ".join(
        f"{_files(finding, names)}, {finding.message} See {_places(finding, names)}."
        for finding in fatal
    )
    accepted = [_names(finding)[1] for finding in fatal]
    flags = " ".join(f"--accept-finding {shlex.quote(name)}" for name in accepted)
    key = f"rows.accept_findings: {json.dumps(accepted, ensure_ascii=False)}"
    return SourceUnusableError(
        f"{told} This command sent nothing. To go on all the same, add {flags}, or "
        f"{key} to the job; rows that are blocked stay blocked"
    )


def _files(finding: Finding, names: Sequence[str]) -> str:
    numbers = dict.fromkeys(row // ROWS_A_FILE for row in finding.rows)
    return ", ".join(names[number] for number in numbers)


def _places(finding: Finding, names: Sequence[str]) -> str:
    """Return the first rows; with their file where there are several."""
    shown = []
    for row in finding.rows[:_SHOWN_ROWS]:
        source_no, row_no = divmod(row, ROWS_A_FILE)
        shown.append(f"{names[source_no]} {row_no}" if len(names) > 1 else f"{row_no}")
    word = "row" if finding.n_cells == 1 else "rows"
    more = finding.n_cells - len(shown)
    return f"{word} {', '.join(shown)}" + (f" and {more:,} more" if more else "")


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """
    Return findings as rows of `findings.csv`.

    Frame:
        out  `BLOCKED_SCHEMA`; one row for each example row of a finding, and one with
             row_no 0 where it has none
    """
    lines = [
        (row, finding.field or finding.column, finding.code, finding.message)
        for finding in findings
        for row in finding.rows or (0,)
    ]
    shape = {
        "row": pl.UInt64,
        "field": pl.String,
        "code": pl.String,
        "message": pl.String,
    }
    frame = pl.DataFrame(lines, schema=shape, orient="row")
    return frame.with_columns(*unpacked_row()).select(list(BLOCKED_SCHEMA))
