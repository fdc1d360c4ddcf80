"""Findings: their order, what accepts them, and what the run is told to stop with."""

import pytest

from pipeline.contract import LINT_CODES
from pipeline.findings import Finding, findings_frame, ranked, stop_of

OTHER_FILE = 2**40


def finding(
    code: str,
    column: str = "no",
    field: str | None = "customId",
    rows: tuple[int, ...] = (1, 2),
    *,
    is_fatal: bool = False,
) -> Finding:
    told = f"column {column}: {len(rows)} cells odd."
    return Finding(column, field, code, len(rows), rows, told, is_fatal)


def test_the_most_serious_come_first() -> None:
    in_order = [
        finding("ROUNDED_15", "account", is_fatal=True),
        finding("E_NOTATION", "note", "attributes.note", is_fatal=True),
        finding("E_NOTATION"),
        finding("INVISIBLE"),
        finding("NULL_WORD", "first", "firstName"),
        finding("BOM", "\ufeffno", None),
        finding("E_NOTATION", "tel", "phone", is_fatal=True),
    ]

    found = ranked(reversed(in_order), ["E_NOTATION:tel"])

    assert [(f.code, f.column) for f in found] == [(f.code, f.column) for f in in_order]
    assert [f.stops for f in found] == [True, True, *[False] * 5]
    assert [f.is_accepted for f in found] == [*[False] * 6, True]


@pytest.mark.parametrize(
    ("accepted", "stops"),
    [
        ([], True),
        (["E_NOTATION"], False),
        (["ROUNDED_15", "E_NOTATION:no"], False),
        (["E_NOTATION:tel"], True),
        (["ROUNDED_15"], True),
    ],
)
def test_a_finding_is_accepted_by_code_or_by_code_and_column(
    accepted: list[str], *, stops: bool
) -> None:
    found = ranked([finding("E_NOTATION", is_fatal=True)], accepted)

    assert (stop_of(found, ["a.csv"]) is not None) is stops
    assert found[0].is_accepted is not stops


def test_what_stops_a_run_is_told_with_place_remedy_and_key() -> None:
    rows = (1, 2, 3, 4, OTHER_FILE + 5, OTHER_FILE + 6)
    found = [
        finding("E_NOTATION", "client no", rows=rows, is_fatal=True),
        finding("ROUNDED_15", "tel", rows=(7,), is_fatal=True),
        finding("NULL_WORD"),
    ]

    stop = stop_of(found, ["a.csv", "b.csv"])

    assert str(stop) == (
        "a.csv, b.csv, column client no: 6 cells odd. "
        "See rows a.csv 1, a.csv 2, a.csv 3, a.csv 4, b.csv 5 and 1 more. "
        "a.csv, column tel: 1 cells odd. See row a.csv 7. "
        "This command sent nothing. To go on all the same, add --accept-finding "
        "'E_NOTATION:client no' --accept-finding ROUNDED_15:tel, or "
        'rows.accept_findings: ["E_NOTATION:client no", "ROUNDED_15:tel"] to the job; '
        "rows that are blocked stay blocked"
    )
    assert "See rows 1, 2, 3, 4, 5 and 1 more. " in str(
        stop_of([finding("E_NOTATION", rows=(1, 2, 3, 4, 5, 6), is_fatal=True)], ["a"])
    )


def test_what_stops_nothing_is_no_error() -> None:
    assert stop_of([], []) is None
    assert stop_of([finding(code) for code in LINT_CODES], ["a.csv"]) is None


def test_findings_become_rows_of_a_file() -> None:
    bom = finding("BOM", "\ufeffa", None, rows=())
    word = finding("NULL_WORD", "name", "firstName", rows=(2, OTHER_FILE + 3))

    rows = findings_frame([bom, word])

    assert rows.drop("message").rows() == [
        (0, 0, "\ufeffa", "BOM"),
        (0, 2, "firstName", "NULL_WORD"),
        (1, 3, "firstName", "NULL_WORD"),
    ]
    assert rows["message"].to_list() == [bom.message, word.message, word.message]
    assert findings_frame([]).height == 0
