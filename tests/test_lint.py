"""The linter: what it finds on columns of known truth, and what it must not say."""

from functools import cache
from itertools import pairwise
from random import Random
from statistics import mode

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lint_corpus import CLEAN, KINDS, N_REAL, Column, clean, damaged, original, rule_of
from pipeline.contract import LINT_CODES
from pipeline.findings import Finding
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.lint.evidence import MAX_ROWS, Evidence, merge, observe
from pipeline.lint.linter import judge, judge_header
from pipeline.lint.signs import Role, roles_of
from pipeline.records import Slice
from pipeline.settings import FieldRule, Job, Mapping
from pipeline.transform import plan_transform, transform

ROW_OFFSET = 2**40
# One for all: what it has learned of numbering plans is dear.
CHECKS = IdentifierChecks()


@cache
def corpus() -> tuple[Column, ...]:
    return (*damaged(), *clean())


def frame_of(column: Column, source_no: int = 0) -> pl.DataFrame:
    return frame(
        column.rule.column, pl.Series(column.cells, dtype=pl.String), source_no
    )


def frame(name: str, cells: pl.Series, source_no: int = 0) -> pl.DataFrame:
    return pl.select(
        pl.repeat(source_no, len(cells), dtype=pl.UInt32).alias("source_no"),
        pl.int_range(1, len(cells) + 1, dtype=pl.UInt64).alias("row_no"),
    ).with_columns(cells.alias(name))


def findings_of(column: Column) -> tuple[Finding, ...]:
    roles = roles_of([column.rule])
    return judge(observe(frame_of(column), roles), roles)


@cache
def judged() -> tuple[tuple[Column, tuple[Finding, ...]], ...]:
    return tuple((column, findings_of(column)) for column in corpus())


def found(rule: FieldRule, cells: list[str]) -> dict[str, Finding]:
    return {f.code: f for f in findings_of(Column("", rule, cells))}


def title(column: Column) -> str:
    return f"{column.rule.name} {column.rule.options.type} {column.cells[:3]}"


# -- recall and false alarms -------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found(kind: str) -> None:
    columns = [(column, told) for column, told in judged() if column.kind == kind]
    missed = [
        title(column)
        for column, told in columns
        if kind not in {finding.code for finding in told}
    ]

    n_real = sum(column.is_real for column, _ in columns)
    recall = 1 - len(missed) / len(columns)
    print(f"{kind}: recall {recall:.1%} of {len(columns)}, {n_real} real; {missed}")  # noqa: T201 - the number is asked for
    assert (len(columns), n_real) == (2 * N_REAL, N_REAL)
    assert recall >= 0.95


def test_sound_columns_stay_quiet() -> None:
    columns = [(column, told) for column, told in judged() if column.kind == CLEAN]
    alarms = [
        (title(column), [finding.code for finding in told])
        for column, told in columns
        if told
    ]

    print(f"{len(alarms)} false alarms in {len(columns)} sound columns: {alarms}")  # noqa: T201 - the number is asked for
    assert len(columns) >= 200
    assert len(alarms) <= 0.01 * len(columns)


def test_the_originals_stay_quiet_too() -> None:
    """What is found is the damage, not the column."""
    made_here = {"INVISIBLE", "NULL_WORD", "DAY_MONTH", "ROUNDED_15"}
    alarms = [
        (kind, no)
        for kind in KINDS
        if kind not in made_here
        for no in range(2 * N_REAL)
        if kind in {finding.code for finding in findings_of(original(kind, no))}
    ]

    assert alarms == []


def test_the_spreadsheet_lost_no_cell() -> None:
    for column, no in zip(damaged(), [*range(2 * N_REAL)] * len(KINDS), strict=True):
        assert len(column.cells) == len(original(column.kind, no).cells)


# -- evidence adds up --------------------------------------------------------------


@given(st.data())
def test_evidence_does_not_depend_on_slicing(data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(corpus()))
    roles = roles_of([column.rule])
    whole = frame_of(column)
    cuts = data.draw(st.lists(st.integers(0, whole.height), max_size=4))
    edges = [0, *sorted(cuts), whole.height]
    parts = [
        observe(whole.slice(first, last - first), roles)
        for first, last in pairwise(edges)
    ]
    data.draw(st.randoms()).shuffle(parts)
    total = Evidence()
    for part in parts:
        total = merge(total, part)

    assert judge(total, roles) == judge(observe(whole, roles), roles)


def test_evidence_of_two_files_names_rows_of_both() -> None:
    column = Column("", rule_of("customId"), ["1.5E+11"] * 3)
    roles = roles_of([column.rule])
    total = merge(
        observe(frame_of(column, 1), roles), observe(frame_of(column, 0), roles)
    )

    (finding,) = judge(total, roles)

    assert finding.rows == (1, 2, 3, ROW_OFFSET + 1, ROW_OFFSET + 2, ROW_OFFSET + 3)
    assert finding.n_cells == 6


def test_memory_is_bounded() -> None:
    rule = rule_of("customId")
    roles = roles_of([rule])
    cells = [f"1.{n}E+11" for n in range(500)] + [str(10**n) for n in range(30)]
    evidence = observe(frame_of(Column("", rule, cells)), roles)

    seen = evidence.columns["customId"]

    assert all(len(sign.rows) <= MAX_ROWS for sign in seen.signs.values())
    assert len(seen.shapes) == 30


# -- strict columns ----------------------------------------------------------------


def refused_by_transform(column: Column) -> pl.DataFrame:
    cells = frame_of(column)
    rules = Mapping((column.rule,))
    plan = plan_transform(rules, {column.rule.column: pl.String()}, Job(), CHECKS)
    result = transform(Slice(cells, 0, 1, cells.height), plan)
    return pl.concat([result.blocked, result.omitted])


def strict_columns() -> list[Column]:
    return [
        column
        for column in corpus()
        if roles_of([column.rule])[column.rule.column].is_strict
    ]


def test_refused_cells_tell_as_much_as_all_cells() -> None:
    columns = strict_columns()
    assert len(columns) > 150
    for column in columns:
        roles = roles_of([column.rule])
        cells = frame_of(column)
        quick = observe(cells, roles, refused_by_transform(column))

        assert judge(quick, roles) == judge(observe(cells, roles), roles), title(column)


# -- what a rule declares is not told again ----------------------------------------

DATES = ["31.12.2020", "01.02.2020"] * 30
COMMAS = ["12,50", "1,5"] * 10


@pytest.mark.parametrize(
    ("code", "cells", "loud", "quiet"),
    [
        (
            "DAY_MONTH",
            DATES,
            rule_of("birthDate"),
            rule_of("birthDate", format="%d.%m.%Y"),
        ),
        (
            "DAY_MONTH",
            DATES,
            rule_of("attributes.x", type="date"),
            rule_of("attributes.x", type="date", format="%d.%m.%Y"),
        ),
        (
            "DECIMAL_COMMA",
            COMMAS,
            rule_of("attributes.x", type="number"),
            rule_of("attributes.x", type="number", decimal=","),
        ),
        (
            "DECIMAL_COMMA",
            COMMAS,
            rule_of("attributes.x"),
            rule_of("attributes.x", split=","),
        ),
        (
            "NULL_WORD",
            ["NULL", "a"],
            rule_of("firstName"),
            rule_of("sex", values={"NULL": "OTHER", "a": "MALE"}),
        ),
        (
            "E_NOTATION",
            ["1.5E+11"] * 9,
            rule_of("attributes.x", type="integer"),
            rule_of("attributes.x", type="number"),
        ),
        (
            "SERIAL_DATE",
            ["43831"] * 9,
            rule_of("birthDate", format="%d.%m.%Y"),
            rule_of("birthDate", format="%y%j"),
        ),
        (
            "NULL_WORD",
            ["NULL"] * 9,
            rule_of("attributes.x", type="boolean"),
            rule_of("attributes.x", type="json"),
        ),
    ],
)
def test_a_declared_rule_silences(
    code: str, cells: list[str], loud: FieldRule, quiet: FieldRule
) -> None:
    assert code in found(loud, cells)
    assert found(quiet, cells) == {}


def test_a_declared_null_token_is_no_finding() -> None:
    rule = rule_of("firstName")
    cells = frame("firstName", pl.Series(["NULL", "nan", "Anna"]))

    roles = roles_of([rule], null_tokens=["NULL"])
    (finding,) = judge(observe(cells, roles), roles)

    assert finding.rows == (2,)


# -- identifiers -------------------------------------------------------------------

SHORT = [f"{n}.23457E+11" for n in range(1, 9)]
LONG = [f"4{n}345678901234{zeros}" for n in range(10, 19) for zeros in ("0", "000")]


@pytest.mark.parametrize(
    ("rule", "cells", "code", "is_fatal"),
    [
        (rule_of("customId"), SHORT, "E_NOTATION", True),
        (rule_of("phone"), SHORT, "E_NOTATION", True),
        (rule_of("phone", on_invalid="omit"), SHORT, "E_NOTATION", False),
        (rule_of("customId", on_invalid="omit"), SHORT, "E_NOTATION", False),
        (rule_of("attributes.account"), SHORT, "E_NOTATION", False),
        (rule_of("customId"), [*SHORT[:3], *["C-1"] * 297], "E_NOTATION", True),
        (rule_of("customId"), [*SHORT[:3], *["C-1"] * 298], "E_NOTATION", False),
        (rule_of("customId"), SHORT[:2], "E_NOTATION", False),
        (rule_of("phone"), [*SHORT[:3], *["600100200"] * 999], "E_NOTATION", False),
        (rule_of("customId"), LONG, "ROUNDED_15", True),
        (rule_of("customId"), [*LONG[:9], *["C-1"] * 999], "ROUNDED_15", True),
        (rule_of("attributes.card"), LONG, "ROUNDED_15", False),
        (rule_of("customId"), ["600100200.0"] * 9, "FLOAT_ID", False),
    ],
)
def test_a_column_of_lost_identifiers_is_fatal(
    rule: FieldRule, cells: list[str], code: str, *, is_fatal: bool
) -> None:
    assert found(rule, cells)[code].is_fatal is is_fatal


def test_nothing_but_identifiers_is_fatal() -> None:
    fatal = [
        column for column, told in judged() if any(finding.is_fatal for finding in told)
    ]

    assert {column.kind for column in fatal} == {"E_NOTATION", "ROUNDED_15"}
    assert {column.rule.name for column in fatal} == {"customId", "phone"}


@pytest.mark.parametrize(
    "cells",
    [
        ["5000000000000000", "4000000000000000"] * 9,  # round numbers
        [str(10**15 + n * 7919) for n in range(90)],  # a tenth ends in a zero
        ["1234567890123450"] * 4,
    ],
)
def test_long_numbers_are_not_rounded_without_proof(cells: list[str]) -> None:
    assert found(rule_of("customId"), cells) == {}


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_floats_of_a_typed_file(dtype: type[pl.DataType]) -> None:
    cells = pl.Series(
        [600100200.0, None, float("nan"), 1e17, 2e17, 3e17, 0.5], dtype=dtype
    )
    roles = roles_of([rule_of("customId"), rule_of("attributes.x", "customId")])

    findings = judge(observe(frame("customId", cells), roles), roles)

    assert [(f.code, f.is_fatal) for f in findings] == [
        ("ROUNDED_15", True),
        ("FLOAT_ID", False),
    ]
    assert findings[0].n_cells == (3 if dtype == pl.Float64 else 4)
    assert findings[1].rows == (1, 4, 5, 6)


def test_a_few_floats_are_told_and_stop_nothing() -> None:
    """Each of them blocks its row."""
    cells = pl.Series([1e17, 2e17])
    roles = roles_of([rule_of("customId")])

    findings = judge(observe(frame("customId", cells), roles), roles)

    assert [(f.code, f.is_fatal) for f in findings] == [
        ("ROUNDED_15", False),
        ("FLOAT_ID", False),
    ]


def test_other_types_of_a_typed_file() -> None:
    whole = pl.Series([int(cell) for cell in LONG])
    words = pl.Series(["NULL", "a"], dtype=pl.Categorical)
    numbers = pl.Series([1.5, 2.5])
    mixed = pl.Series([{TEXT_FIELD: "NULL"}, {VALUE_FIELD: "5"}], dtype=JSON_CELL)

    def codes(rule: FieldRule, cells: pl.Series) -> list[str]:
        roles = roles_of([rule])
        told = judge(observe(frame(rule.column, cells), roles), roles)
        return [finding.code for finding in told]

    assert codes(rule_of("customId"), whole) == ["ROUNDED_15"]
    assert codes(rule_of("attributes.x"), words) == ["NULL_WORD"]
    assert codes(rule_of("attributes.x"), mixed) == ["NULL_WORD"]
    assert codes(rule_of("attributes.x"), numbers) == []
    assert codes(rule_of("attributes.x"), whole) == []


def json_cells(*cells: tuple[str | None, str | None] | None) -> pl.Series:
    return pl.Series(
        [cell and {TEXT_FIELD: cell[0], VALUE_FIELD: cell[1]} for cell in cells],
        dtype=JSON_CELL,
    )


def test_values_of_json_are_looked_at_as_the_text_they_become() -> None:
    ids = json_cells(("1.5E+11", None), (None, "1.6e+11"), None, ("C-1", None))
    roles = roles_of([rule_of("customId")])
    (finding,) = judge(observe(frame("customId", ids), roles), roles)
    assert (finding.code, finding.rows) == ("E_NOTATION", (1, 2))

    # What stays a number is no text that went through a spreadsheet.
    values = json_cells(("NULL", None), (None, "1.6e+11"), (None, "true"), None)
    roles = roles_of([rule_of("attributes.x")])
    evidence = observe(frame("x", values), roles)
    assert evidence.columns["x"].n_given == 3
    (finding,) = judge(evidence, roles)
    assert (finding.code, finding.rows) == ("NULL_WORD", (1,))


# -- zeros ---------------------------------------------------------------------------


def codes_of(width: int, n_codes: int, seed: int = 1) -> list[str]:
    rng = Random(seed)  # noqa: S311 - a corpus, not a secret
    return [str(rng.randrange(10**width)) for _ in range(n_codes)]


@pytest.mark.parametrize(
    ("rule", "cells", "is_told"),
    [
        (rule_of("zipCode"), codes_of(5, 100), True),
        (rule_of("zipCode"), codes_of(5, 40), False),  # too few
        (rule_of("zipCode"), [*codes_of(5, 100), "01067"], False),  # a zero was kept
        (rule_of("zipCode"), ["1010", "1020"] * 50, False),  # one length
        (rule_of("zipCode"), [*codes_of(5, 70), *["00-123"] * 200], False),
        (rule_of("zipCode"), [*["10115"] * 80, *["1010"] * 60], False),  # two countries
        (rule_of("attributes.x"), codes_of(8, 400), True),
        (rule_of("attributes.x"), codes_of(8, 200), False),  # too few
        (rule_of("attributes.x"), codes_of(3, 900), False),  # too short
        (rule_of("customId"), [*codes_of(8, 400), "123456789012"], True),  # one stray
        (rule_of("customId"), [*codes_of(8, 400), *["1234567890"] * 9], False),
        (rule_of("customId"), [str(n) for n in range(1, 100_000)], False),  # a count
        (rule_of("customId"), [str(n) for n in range(9000, 400_000, 9)], False),
        (rule_of("customId"), [str(n) for n in range(5, 999_999, 40)] * 2, True),
        (rule_of("customId"), [str(n) for n in range(70_000, 999_999, 90)], False),
        (rule_of("attributes.n", type="integer"), codes_of(8, 400), False),
        (rule_of("attributes.n", values={"1": "a"}), codes_of(8, 400), False),
    ],
)
def test_lost_zeros(rule: FieldRule, cells: list[str], *, is_told: bool) -> None:
    told = found(rule, cells)

    assert ("LEADING_ZEROS_LOST" in told) is is_told
    if is_told:
        finding = told["LEADING_ZEROS_LOST"]
        width = mode(map(len, cells))
        assert finding.n_cells == sum(len(cell) < width for cell in cells)
        assert all(len(cells[row - 1]) < width for row in finding.rows)


# -- dates and numbers ---------------------------------------------------------------

EARLY = [f"1980-{n % 12 + 1:02d}-{n % 11 + 2:02d}" for n in range(60)]
FIRSTS = [f"1980-{n % 12 + 1:02d}-01" for n in range(60)]


@pytest.mark.parametrize(
    ("rule", "cells", "code"),
    [
        (rule_of("birthDate"), EARLY, "DAY_MONTH"),
        (rule_of("birthDate"), [*EARLY[:9], "25/12/1980"], "DAY_MONTH"),
        (rule_of("birthDate"), EARLY[:30], None),
        (rule_of("birthDate"), [*EARLY, "1980-12-13"], None),
        (rule_of("birthDate"), [*EARLY * 9, "1980-12-13"], None),
        (rule_of("birthDate"), FIRSTS, None),
        (rule_of("birthDate"), ["03/04/85"], "DAY_MONTH"),
        (rule_of("birthDate"), ["12.31.1985"], "DAY_MONTH"),
        (rule_of("attributes.x"), EARLY, None),
        (rule_of("attributes.x"), ["03/04/2020"] * 40, "DAY_MONTH"),
        (rule_of("attributes.x"), ["03/04/2020"] * 39, None),
        (rule_of("attributes.x"), ["31/04/2020"] * 40, None),
        (rule_of("attributes.x"), ["31/04/2020", "04/31/2020"], "DAY_MONTH"),
        (rule_of("attributes.x"), ["1.10.12", "20.1.12"] * 40, None),
        (rule_of("attributes.x"), ["43831", "44000"] * 9, None),
        (rule_of("attributes.order_date"), ["43831", "44000"] * 9, "SERIAL_DATE"),
        (rule_of("attributes.order_date"), ["43831", "a"] * 9, None),
        (
            rule_of("attributes.x"),
            ["43831", *["31.12.2020"] * 9],
            "SERIAL_DATE",
        ),
        (rule_of("attributes.order_date"), ["31.12.2020"] * 9, None),
        (rule_of("birthDate"), ["1985"] * 9, None),
        (rule_of("attributes.x"), ["1,5"] * 4, None),
        (rule_of("attributes.x"), [*["1,5"] * 9, *["a"] * 10], None),
        (rule_of("attributes.x"), ["1,250"] * 90, None),
        (rule_of("attributes.x", type="number"), ["1,5", "2"], "DECIMAL_COMMA"),
    ],
)
def test_dates_and_commas(rule: FieldRule, cells: list[str], code: str | None) -> None:
    assert set(found(rule, cells)) == ({code} if code else set())


# -- text ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "codes"),
    [
        ("firstName", "Jan\u200b", {"INVISIBLE"}),
        ("firstName", "\u200bJan", {"INVISIBLE"}),
        ("firstName", "Jan\u00a0", set()),  # trimmed, as declared
        ("firstName", "\ufeffJan", {"BOM"}),
        ("firstName", "می\u200cخواهم", set()),
        ("firstName", "می\u200cخو\u00adاهم", {"INVISIBLE"}),
        ("attributes.note", "👩\u200d👧 ok", set()),
        ("attributes.note", "a\u200db", {"INVISIBLE"}),
        ("customId", "K\u00a01", {"INVISIBLE"}),
        ("email", "a\u200b@example.com", set()),  # repaired, as declared
        ("email", "\ufeffa@example.com", set()),
        ("email", "ï»¿a@example.com", {"BOM"}),
        ("email", "a\u00ad@example.com", {"INVISIBLE"}),
        ("lastName", "Wa³êsa", {"MOJIBAKE"}),
        ("lastName", "JosÃ©", {"MOJIBAKE"}),
        ("attributes.note", "ANDRÉ’S PÄ… m³", set()),
        ("lastName", "Null", set()),
        ("lastName", "\ufffd", {"MOJIBAKE"}),
    ],
)
def test_text(field: str, cell: str, codes: set[str]) -> None:
    assert set(found(rule_of(field), ["plain", cell, "Łódź"])) == codes


def test_a_header_with_a_mark() -> None:
    (finding,) = judge_header(["\ufeffe-mail", "name"])

    assert (finding.code, finding.rows, finding.is_fatal) == ("BOM", (), False)
    assert judge_header(["ï»¿e-mail"]) != ()
    assert judge_header(["e-mail"]) == ()


# -- what is told ----------------------------------------------------------------------


def test_no_value_is_told() -> None:
    told_words = {"NULL", "null", "#N/A", "N/A", "nan"}
    for column, told in judged():
        for finding in told:
            said = finding.message.removeprefix(f"column {column.rule.column}: ")
            cells = {cell.strip() for cell in column.cells} - told_words - {""}
            assert [c for c in cells if len(c) > 1 and c in said] == [], title(column)


def test_every_code_is_described_and_every_message_says_what_to_do() -> None:
    codes = set()
    for column, told in judged():
        for finding in told:
            codes.add(finding.code)
            start = f"column {finding.column}: {finding.n_cells:,} cell"
            assert finding.message.startswith(start)
            assert finding.field == column.rule.name
            assert 0 < len(finding.rows) <= MAX_ROWS

    assert codes == set(KINDS) == set(LINT_CODES)


def test_example_rows_show_what_is_told() -> None:
    cells = ["Anna", "NULL", "Jan", "", "NULL"]

    finding = found(rule_of("firstName"), cells)["NULL_WORD"]

    assert (finding.rows, finding.n_cells) == ((2, 5), 2)


def test_a_column_has_the_role_of_its_first_field() -> None:
    roles = roles_of([rule_of("customId", "no"), rule_of("attributes.no", "no")])

    assert {name: role.field for name, role in roles.items()} == {"no": "customId"}


def test_a_role_without_evidence_is_passed_over() -> None:
    roles: dict[str, Role] = roles_of([rule_of("customId")])

    assert judge(Evidence(), roles) == ()
