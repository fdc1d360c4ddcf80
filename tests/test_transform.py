"""Rows in = clean rows + blocked rows; order kept; no cell value in any message."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contract import ROW_CODES
from pipeline.encoder import encode
from pipeline.errors import InvariantError
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.records import BLOCKED_SCHEMA, Slice, Transformed
from pipeline.settings import Job
from pipeline.transform import TransformPlan, plan_transform, transform

GUID = "00000000-0000-4000-8000-000000000000"
UUID = "8d8a0f4e-5b1f-4f7e-9d43-0e5a4b1b2c3d"
MAPPING: dict[str, Any] = {
    "birthDate": "dob",
    "email": "mail",
    "phone": {"column": "tel", "region": "PL", "on_invalid": "omit"},
    "customId": "no",
    "sex": {"column": "sex", "on_invalid": "omit"},
    "tags": {"column": "tags", "split": "|"},
    "attributes": {"n": {"column": "n", "type": "integer"}},
}
# One for all: what it has learned of numbering plans is dear.
CHECKS = IdentifierChecks()
COLUMNS = ("dob", "mail", "tel", "no", "sex", "tags", "n", "secret")


def frame_of(rows: list[dict[str, str | None]]) -> pl.DataFrame:
    """Return rows as a slice holds them; what is not given is empty."""
    return pl.DataFrame(
        [{name: row.get(name, "") for name in COLUMNS} for row in rows],
        schema=dict.fromkeys(COLUMNS, pl.String),
    ).select(
        pl.lit(3, dtype=pl.UInt32).alias("source_no"),
        pl.int_range(11, 11 + pl.len(), dtype=pl.UInt64).alias("row_no"),
        pl.all(),
    )


def plan_of(**job: Any) -> TransformPlan:
    job_read = Job.model_validate({"mapping": MAPPING, **job})
    mapping = resolve_mapping(COLUMNS, job_read)
    dtypes = dict.fromkeys(COLUMNS, pl.String())
    return plan_transform(mapping, dtypes, job_read, CHECKS)


def run(*rows: dict[str, str | None], **job: Any) -> Transformed:
    frame = frame_of(list(rows))
    return transform(Slice(frame, 3, 11, frame.height), plan_of(**job))


def faults_of(done: pl.DataFrame) -> list[tuple[int, str, str]]:
    assert done.schema == BLOCKED_SCHEMA
    return list(done.select("row_no", "field", "code").iter_rows())


# -- the equation --------------------------------------------------------------------

BLANKS = st.sampled_from([None, "", " ", "\t\u00a0", "\u200b"])


def cells(*texts: str) -> st.SearchStrategy[str | None]:
    return BLANKS | st.sampled_from(texts) | st.text(max_size=8)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "dob": cells("1990-05-01", "1900-01-01"),
            "mail": cells("a@example.com", "a@", " A@Example.COM "),
            "tel": cells("600100200", "+48 600 100 200", "12"),
            "no": cells("1", "0\ufe0f", "😀"),
            "sex": cells("MALE", "m"),
            "tags": cells("a|b", "|", "\0"),
            "n": cells("1", "1.5"),
            "secret": cells("hidden"),
        }
    ),
    max_size=12,
)


@settings(max_examples=settings().max_examples // 2)
@given(rows=ROWS, blank=st.sampled_from(["omit", "block"]))
def test_every_row_is_clean_or_blocked(
    rows: list[dict[str, str | None]], blank: str
) -> None:
    done = run(*rows, rows={"blank": blank})

    numbers = list(range(11, 11 + len(rows)))
    clean = done.clean["row_no"].to_list()
    blocked = done.blocked["row_no"].to_list()
    assert sorted(clean + list(set(blocked))) == numbers
    assert clean == sorted(clean)
    assert blocked == sorted(blocked)
    assert set(done.blocked["code"]) <= set(ROW_CODES)
    assert not done.blocked.select("row_no", "field").is_duplicated().any()
    assert set(done.omitted["field"]) <= {"phone", "sex"}
    assert set(done.clean["source_no"]) <= {3}
    names = [rule.rule.name for rule in plan_of().readings]
    assert done.clean.columns == ["source_no", "row_no", *names]


@settings(max_examples=settings().max_examples // 2)
@given(rows=ROWS)
def test_a_clean_row_has_an_identifier_and_no_empty_text(
    rows: list[dict[str, str | None]],
) -> None:
    clean = run(*rows).clean
    records = [json.loads(text) for text in encode(clean).frame["json"]]

    assert all({"email", "phone", "customId"} & set(record) for record in records)
    assert not any(value in ("", []) for r in records for value in r.values())


@settings(max_examples=settings().max_examples // 2)
@given(rows=ROWS, at=st.integers(0, 12))
def test_where_a_slice_is_cut_changes_nothing(
    rows: list[dict[str, str | None]], at: int
) -> None:
    plan, frame = plan_of(), frame_of(rows)

    whole = transform(Slice(frame, 3, 11, frame.height), plan)
    parts = [
        transform(Slice(part, 3, 11, part.height), plan)
        for part in (frame.head(at), frame.slice(at))
    ]

    assert pl.concat([part.clean for part in parts]).equals(whole.clean)
    assert pl.concat([part.blocked for part in parts]).equals(whole.blocked)


def test_a_row_that_stands_twice_is_a_defect_of_the_reader() -> None:
    frame = frame_of([{"dob": "x"}, {"dob": "x"}]).with_columns(
        pl.lit(1, dtype=pl.UInt64).alias("row_no")
    )

    with pytest.raises(InvariantError, match="2 rows went into the transform, and 0"):
        transform(Slice(frame, 3, 1, 2), plan_of())


# -- faults --------------------------------------------------------------------------


def test_faults_come_identifiers_first_then_in_the_order_of_the_mapping() -> None:
    done = run(
        {"mail": "a@", "no": "😀", "dob": "x", "tags": "\0", "n": "x"},
        {"no": "1", "n": "1"},
        {"no": "2", "n": "x", "dob": "31.02.2024"},
    )

    assert faults_of(done.blocked) == [
        (11, "email", "EMAIL"),
        (11, "customId", "CUSTOM_ID"),
        (11, "birthDate", "DATE"),
        (11, "tags", "TEXT"),
        (11, "attributes.n", "TYPE"),
        (13, "birthDate", "DATE"),
        (13, "attributes.n", "TYPE"),
    ]
    assert done.clean["row_no"].to_list() == [12]


def test_a_row_without_any_identifier_says_so_first() -> None:
    done = run({"dob": "x"}, {"dob": "1990-05-01"}, {"mail": "\u200b ", "no": "\u00a0"})

    assert faults_of(done.blocked) == [
        (11, "", "NO_ID"),
        (11, "birthDate", "DATE"),
        (12, "", "NO_ID"),
        (13, "", "NO_ID"),
    ]
    assert done.blocked["message"][0] == ROW_CODES["NO_ID"]


def test_a_row_whose_only_identifier_is_invalid_is_told_about_that() -> None:
    done = run({"mail": "a@"}, {"tel": "12"}, {"mail": "a@", "no": "1"})

    assert faults_of(done.blocked) == [
        (11, "email", "EMAIL"),
        (12, "phone", "PHONE"),
        (13, "email", "EMAIL"),
    ]


def test_an_invalid_cell_is_omitted_unless_it_is_the_last_identifier() -> None:
    done = run(
        {"tel": "12", "no": "1", "sex": "m"},
        {"tel": "12", "sex": "m"},
        {"tel": "12", "mail": "a@"},
        {"tel": "600100200", "sex": "m"},
    )

    assert sorted(faults_of(done.omitted)) == [
        (11, "phone", "PHONE"),
        (11, "sex", "VALUE"),
        (12, "sex", "VALUE"),
        (14, "sex", "VALUE"),
    ]
    assert faults_of(done.blocked) == [
        (12, "phone", "PHONE"),
        (13, "email", "EMAIL"),
        (13, "phone", "PHONE"),
    ]
    assert done.clean.select("row_no", "phone", "customId", "sex").rows() == [
        (11, None, "1", None),
        (14, "+48600100200", None, None),
    ]


def test_blank_cells_block_their_row_where_the_job_says_so() -> None:
    full: dict[str, str | None] = {
        "dob": "1990-05-01",
        "mail": "a@example.com",
        "tel": "600100200",
        "no": "1",
        "sex": "MALE",
        "tags": "a",
        "n": "1",
    }

    done = run(
        full,
        {**full, "tags": " | ", "n": None},
        {**full, "sex": "m", "dob": "x", "secret": ""},
        {**full, "tel": ""},
        rows={"blank": "block"},
    )

    assert done.clean["row_no"].to_list() == [11]
    assert faults_of(done.blocked) == [
        (12, "tags", "BLANK"),
        (12, "attributes.n", "BLANK"),
        (13, "birthDate", "DATE"),
        (14, "phone", "BLANK"),
    ]
    assert run(rows={"blank": "block"}).clean.is_empty()


def test_no_message_holds_a_cell_and_no_unmapped_column_gets_through() -> None:
    canary = "canary\0"
    done = run(
        dict.fromkeys(COLUMNS, canary),
        {**dict.fromkeys(COLUMNS, canary), "mail": "a@example.com"},
        {"no": "1", "secret": canary, "sex": canary},
    )

    told = [*done.blocked["message"], *done.omitted["message"]]
    assert len(told) > 10
    assert not any("canary" in message for message in told)
    assert "column mail: " + ROW_CODES["EMAIL"] in told
    assert "secret" not in done.clean.columns
    assert done.clean.rows() == [(3, 13, None, None, "1", None, None, None, None)]


# -- repairs, kinds of columns ---------------------------------------------------------


def test_repairs_are_counted_per_field() -> None:
    done = run(
        {"mail": " A@Example.com ", "no": "1"},
        {"mail": "b@example.com", "no": " 2"},
        {"mail": "C@example.com", "tel": "600 100 200", "no": "\u200b3"},
        {"mail": "bad@", "tel": "x", "no": "4"},
        {"mail": "", "no": "5", "tags": " x "},
    )

    assert done.repairs == {"email": 2, "phone": 1, "customId": 1}
    assert run({"no": "1"}).repairs == {}


def test_trimmed_text_is_a_repair_too() -> None:
    mapping = {"customId": "no", "city": "mail"}

    done = run(
        {"no": "1", "mail": " Łódź"}, {"no": "2", "mail": "Rzym"}, mapping=mapping
    )

    assert done.repairs == {"city": 1}
    assert done.clean["city"].to_list() == ["Łódź", "Rzym"]


def test_an_email_that_identifies_nobody_travels_as_an_attribute() -> None:
    done = run(
        {"mail": " A@Example.com", "no": "1"},
        {"mail": "b@example.com"},
        {"mail": "bad@", "no": "3"},
        workspace={"unique_email": False, "email_attribute": "contact"},
    )

    assert done.clean.select("attributes.contact", "customId").rows() == [
        ("a@example.com", "1")
    ]
    assert "email" not in done.clean.columns
    assert faults_of(done.blocked) == [
        (12, "", "NO_ID"),
        (13, "attributes.contact", "EMAIL"),
    ]


def test_letters_of_an_email_stay_when_told_so() -> None:
    mapping = {"email": {"column": "mail", "case": "keep"}}

    assert run({"mail": "A@Example.com"}, mapping=mapping).clean["email"].to_list() == [
        "A@Example.com"
    ]


def test_uuids_and_client_ids_identify() -> None:
    done = run(
        {"mail": UUID.upper(), "no": "2149203825"},
        {"mail": "x", "no": "1"},
        {"mail": UUID, "no": "-1"},
        {"no": " 7 "},
        mapping={"uuid": "mail", "clientId": "no"},
        workspace={"guid": GUID},
    )

    assert faults_of(done.blocked) == [
        (12, "uuid", "UUID"),
        (13, "clientId", "CLIENT_ID"),
    ]
    assert list(encode(done.clean).frame["json"]) == [
        f'{{"uuid":"{UUID}","clientId":2149203825}}',
        '{"clientId":7}',
    ]


def test_json_columns_are_named_raw() -> None:
    mapping = {"customId": "no", "attributes": {"j": {"column": "n", "type": "json"}}}
    plan = plan_of(mapping=mapping)

    done = run({"no": "1", "n": '{ "a": 1.50 }'}, mapping=mapping)

    assert plan.raw == {"attributes.j"}
    assert list(encode(done.clean, raw=plan.raw).frame["json"]) == [
        '{"customId":"1","attributes":{"j":{"a":1.50}}}'
    ]
