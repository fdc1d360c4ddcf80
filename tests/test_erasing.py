"""Which cells erase: only what the job declares, never an identifier, all counted."""

import json
from typing import Any

import polars as pl
import pytest

from pipeline.contract import NATIVE_FIELDS, can_erase
from pipeline.encoder import encode_slice
from pipeline.erasing import (
    cell_states,
    check_budgets,
    count_erased,
    count_filled,
    count_folded,
    excess,
)
from pipeline.errors import LimitError, SettingsError
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.mapping import resolve_mapping
from pipeline.records import Slice, Transformed
from pipeline.settings import Job, RowSettings
from pipeline.transform import plan_transform, transform

CHECKS = IdentifierChecks()
NOBODY = pl.DataFrame(schema={"row_no": pl.UInt64})


def run(columns: dict[str, Any], kind: str = "csv", **job: Any) -> Transformed:
    """Transform one slice; every row has an e-mail of its own."""
    cells = pl.DataFrame(columns)
    if "email" not in cells.columns:
        emails = [f"r{n}@example.com" for n in range(cells.height)]
        cells = cells.with_columns(email=pl.Series(emails))
    frame = cells.select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        pl.int_range(1, pl.len() + 1, dtype=pl.UInt64).alias("row_no"),
        pl.all(),
    )
    told = Job.model_validate(job)
    mapping = resolve_mapping(cells.columns, told)
    plan = plan_transform(mapping, cells.schema, told, CHECKS, kind)  # type: ignore[arg-type]
    done = transform(Slice(frame, 0, 1, frame.height), plan)
    # What it says of itself is what goes out.
    for mark, text in zip(
        [] if done.erased is None else done.erased.to_dicts(),
        encode_slice(done, plan).frame["json"],
        strict=False,
    ):
        assert {name for name, is_set in mark.items() if is_set} == nulls(text)
    return done


def nulls(text: str) -> set[str]:
    found = set()
    for name, value in json.loads(text).items():
        inner = value if name in ("attributes", "agreements") else {}
        found |= {name} if value is None else set()
        found |= {f"{name}.{key}" for key, cell in inner.items() if cell is None}
    return found


def erased(done: Transformed) -> dict[str, list[bool]]:
    return {} if done.erased is None else done.erased.to_dict(as_series=False)


def codes(done: Transformed) -> list[tuple[int, str, str]]:
    return list(done.blocked.select("row_no", "field", "code").iter_rows())


def test_nothing_erases_without_a_word() -> None:
    done = run({"city": ["", None, "NULL"], "attributes.a": [None, " ", "x"]})

    assert done.erased is None
    assert done.clean["city"].to_list() == [None, None, "NULL"]


@pytest.mark.parametrize("blank", ["omit", "erase", "block"])
def test_the_token_erases_under_every_policy(blank: str) -> None:
    done = run(
        {"city": ["NULL", " NULL\u00a0", "null", "NULL."]},
        rows={"blank": blank, "null_token": "NULL"},
    )

    assert erased(done) == {"city": [True, True, False, False]}
    assert done.clean["city"].to_list() == [None, None, "null", "NULL."]
    assert codes(done) == []


def test_a_blank_cell_erases_where_it_is_told_to() -> None:
    done = run({"city": ["", " \t", None, "x"]}, rows={"blank": "erase"})

    assert erased(done) == {"city": [True, True, True, False]}


def test_untrimmed_text_is_compared_as_it_is() -> None:
    mapping = {"email": "email", "city": {"column": "city", "trim": False}}
    done = run(
        {"city": ["NULL", " NULL", " "]},
        mapping=mapping,
        rows={"null_token": "NULL", "blank": "erase"},
    )

    assert erased(done) == {"city": [True, False, False]}
    assert done.clean["city"].to_list() == [None, " NULL", " "]


TYPED: list[tuple[str, list[Any], dict[str, Any], list[bool]]] = [
    ("birthDate", ["NULL", "1990-01-01", ""], {}, [True, False, True]),
    ("sex", ["NULL", "MALE", ""], {"values": {"MALE": "MALE"}}, [True, False, True]),
    ("countryCode", ["NULL", "PL", ""], {}, [True, False, True]),
    ("attributes.a", ["NULL", "1.5", ""], {"type": "number"}, [True, False, True]),
    ("attributes.a", ["NULL", "[1]", ""], {"type": "json"}, [True, False, True]),
    ("attributes.a", ["NULL", "x|y", "|"], {"split": "|"}, [True, False, True]),
    ("attributes.a", [1, None, 0], {}, [False, True, False]),
    ("attributes.a", [1.5, None, 0.0], {}, [False, True, False]),
    ("attributes.a", [True, None, False], {}, [False, True, False]),
    ("attributes.a", [["x"], None, []], {}, [False, True, True]),
    ("attributes.a", [{"b": None}, None, {"b": 1}], {}, [False, True, False]),
]


@pytest.mark.parametrize(("field", "cells", "options", "expected"), TYPED)
def test_every_kind_of_field_can_be_erased(
    field: str, cells: list[Any], options: dict[str, Any], expected: list[bool]
) -> None:
    entry = {"column": "x", **options}
    parent, _, key = field.partition(".")
    mapping = {"email": "email", parent: {key: entry} if key else entry}
    done = run(
        {"x": pl.Series(cells)},
        "parquet",
        mapping=mapping,
        rows={"null_token": "NULL", "blank": "erase"},
    )

    assert codes(done) == []
    assert erased(done) == {field: expected}


@pytest.mark.parametrize("dtype", [pl.String, JSON_CELL])
def test_what_is_absent_from_jsonl_never_erases(dtype: pl.DataType) -> None:
    cells: list[Any] = [None, "", "x", "NULL"]
    if dtype == JSON_CELL:
        texts = [None if c is None else {TEXT_FIELD: c} for c in cells]
        cells = [*texts, {VALUE_FIELD: "null"}, {VALUE_FIELD: "5"}]
    column = pl.Series(cells, dtype=dtype)
    rows = {"blank": "erase", "null_token": "NULL"}

    done = run({"city": column, "attributes.a": column}, "jsonl", rows=rows)

    wanted = [False, True, False, True, True, False][: len(cells)]
    assert erased(done) == {"city": wanted, "attributes.a": wanted}
    assert codes(done) == []


def test_the_null_of_json_is_blank() -> None:
    column = pl.Series([{VALUE_FIELD: "null"}, {VALUE_FIELD: "5"}], dtype=JSON_CELL)

    kept = run({"city": column, "phone": column.head(2)}, "jsonl")
    blocked = run({"city": column}, "jsonl", rows={"blank": "block"})

    assert kept.erased is None
    assert (2, "phone", "PHONE_REGION") not in codes(kept)
    assert [row for row, _, _ in codes(kept)] == [2]  # 5 is no phone
    assert codes(blocked) == [(1, "city", "BLANK")]


FIXED = ["phone", "customId", "uuid", "tags", "agreements.sms"]


@pytest.mark.parametrize("field", FIXED)
def test_what_cannot_be_erased_blocks_its_row_at_the_token(field: str) -> None:
    rows = {"blank": "erase", "null_token": "NULL"}
    done = run({field: ["NULL", "", None]}, rows=rows)

    assert codes(done) == [(1, field, "NO_ERASE")]
    assert erased(done) == {}
    assert done.clean["row_no"].to_list() == [2, 3]


def test_the_last_identifier_is_no_more_erased_than_any() -> None:
    done = run({"email": ["NULL", ""]}, rows={"blank": "erase", "null_token": "NULL"})

    assert codes(done) == [(1, "email", "NO_ERASE"), (2, "", "NO_ID")]


def test_the_token_may_be_left_out_where_the_job_says_so() -> None:
    mapping = {"email": "email", "phone": {"column": "tel", "on_invalid": "omit"}}
    done = run({"tel": ["NULL"]}, mapping=mapping, rows={"null_token": "NULL"})

    assert codes(done) == []
    assert done.omitted["code"].to_list() == ["NO_ERASE"]
    assert done.clean["phone"].to_list() == [None]


def test_an_email_that_identifies_nobody_may_be_erased() -> None:
    done = run(
        {"email": ["NULL", "a@example.com"], "customId": ["1", "2"]},
        workspace={"unique_email": False, "email_attribute": "mail"},
        rows={"null_token": "NULL", "allow_erase": {"attributes.mail": 1}},
    )

    assert codes(done) == []
    assert erased(done) == {"attributes.mail": [True, False]}


def test_an_invalid_cell_does_not_erase_and_a_blocked_row_does_not_count() -> None:
    done = run(
        {"birthDate": ["x", "", ""], "city": ["", "", "a"], "sex": ["", "?", "MALE"]},
        mapping={
            "email": "email",
            "birthDate": {"column": "birthDate", "on_invalid": "omit"},
            "city": "city",
            "sex": "sex",
        },
        rows={"blank": "erase"},
    )

    assert codes(done) == [(2, "sex", "VALUE")]
    assert done.clean["row_no"].to_list() == [1, 3]
    assert erased(done) == {
        "birthDate": [False, True],
        "city": [True, False],
        "sex": [True, False],
    }
    assert count_erased(done, NOBODY) == {"birthDate": 1, "city": 1, "sex": 1}
    left_out = pl.DataFrame({"row_no": [3]}, schema=NOBODY.schema)
    assert count_erased(done, left_out) == {"city": 1, "sex": 1}


def test_without_a_mark_nothing_is_counted() -> None:
    done = run({"city": ["a", ""]})

    assert count_erased(done, NOBODY) == {}
    assert cell_states(done, ["city"])["city"].to_list() == [False, None]


def test_the_last_row_that_says_anything_decides() -> None:
    done = run(
        {
            "city": ["a", "NULL", "", "NULL", "b", "NULL", "NULL"],
            "company": ["NULL", "", "", "", "", "", "a"],
        },
        rows={"null_token": "NULL"},
    )
    states = cell_states(done, ["city", "company"]).with_columns(
        row=pl.Series([3, 2, 1, 4, 5, 6, 7], dtype=pl.UInt64),
        survivor=pl.Series([3, 3, 3, 5, 5, 7, 7], dtype=pl.UInt64),
    )

    assert count_folded(states, ["city", "company"]) == {"city": 1, "company": 1}


def test_the_budget_is_exact() -> None:
    found = {"city": 3, "attributes.it's": 1}

    assert excess({}, {}) is None
    assert excess(found, {"city": 3, "attributes.it's": 2}) is None
    error = excess(found, {"city": 2, "attributes.it's": 1})
    assert isinstance(error, LimitError)
    assert "city in 3 (allowed: 2)" in str(error)
    assert "add --allow-erase city=3," in str(error)
    assert "it's" not in str(error)
    assert "--allow-erase 'attributes.it'\"'\"'s=1'" in str(excess(found, {"city": 3}))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"allow_erase": {"email": 1, "city": 1}}, "email cannot be erased"),
        ({"allow_erase": {"tags": 1, "agreements.sms": 2}}, "tags, agreements.sms"),
        ({"allow_erase": {"City": 1}}, "names City, to which no column"),
        ({"null_token": "m"}, "mapping.sex.values"),
    ],
)
def test_what_cannot_mean_what_it_says_is_refused(
    rows: dict[str, Any], told: str
) -> None:
    mapping = {
        "email": "e",
        "city": "c",
        "sex": {"column": "s", "values": {"m": "MALE"}},
    }
    job = Job.model_validate({"mapping": mapping})
    rules = resolve_mapping(["e", "c", "s"], job).rules

    with pytest.raises(SettingsError, match=told):
        check_budgets(RowSettings.model_validate(rows), rules)


def test_most_fields_can_be_erased() -> None:
    fixed = {field.name for field in NATIVE_FIELDS if not can_erase(field.name)}

    assert fixed == {"email", "phone", "customId", "uuid", "clientId", "tags"}
    assert can_erase("attributes.email")
    assert not can_erase("agreements.email")


def test_given_cells_are_counted_by_field() -> None:
    done = run({"city": ["Opole", "", "Łódź"], "firstName": ["", "", ""]})

    assert count_filled(done) == {"email": 3, "firstName": 0, "city": 2}
