"""Which column of an export is which field, and what its cells say."""

import datetime as dt
from typing import Any

import polars as pl
import pytest

from pipeline.errors import SourceUnusableError
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.reconcile.columns import SideColumns, plan_columns

FIELDS = (
    "customId",
    "email",
    "firstName",
    "birthDate",
    "sex",
    "tags",
    "agreements.webPush",
    "attributes.points",
)
IDENTIFIERS = ("email", "customId")


def planned(frame: pl.DataFrame, kind: Any = "csv", **more: Any) -> SideColumns:
    schema = dict(frame.schema)
    return plan_columns(schema, kind, FIELDS, IDENTIFIERS, name="crm.csv", **more)


def read(frame: pl.DataFrame, field: str, kind: Any = "csv") -> list[str | None]:
    columns = planned(frame, kind)
    return frame.with_columns(columns.cells[field].alias("cell"))["cell"].to_list()


def test_names_of_the_platform_are_known() -> None:
    frame = pl.DataFrame(
        {
            "id": ["7"],
            "custom_identify": ["C1"],
            "firstname": ["Ewa"],
            "birthdate": ["1990-01-02"],
            "sex": ["UNDEFINED"],
            "receive_webpush_messages": ["true"],
            "points": ["12"],
            "last_activity_date": [""],
            "anonymous": ["false"],
            "shoe size": ["40"],
        }
    )
    columns = planned(frame)
    told = frame.select(**columns.cells, profile=columns.profile).row(0, named=True)

    assert told == {
        "customId": '"C1"',
        "firstName": '"Ewa"',
        "birthDate": '"1990-01-02"',
        "sex": '"NOT_SPECIFIED"',
        "agreements.webPush": '"true"',
        "attributes.points": '"12"',
        "profile": "clientId=7",
    }
    assert columns.lacking == ("email", "tags")
    assert columns.unknown == ("shoe size",)
    assert columns.untyped == {"attributes.points"}


def test_the_surest_name_wins_and_the_other_is_told() -> None:
    frame = pl.DataFrame({"First Name": ["a"], "firstName": ["b"], "e-mail": ["c"]})
    columns = planned(frame)

    assert read(frame, "firstName") == ['"b"']
    assert read(frame, "email") == ['"c"']
    assert columns.unknown == ("First Name",)


def test_types_become_json() -> None:
    frame = pl.DataFrame(
        {
            "customId": [7, None],
            "firstName": ['a"b', ""],
            "birthDate": [dt.date(1990, 1, 2), None],
            "tags": [["a", "b"], None],
            "agreements.webpush": [True, None],
            "attributes.points": [1.5, float("nan")],
        }
    )

    assert read(frame, "customId", "parquet") == ['"7"', None]
    assert read(frame, "firstName", "parquet") == ['"a\\"b"', None]
    assert read(frame, "birthDate", "parquet") == ['"1990-01-02"', None]
    assert read(frame, "tags", "parquet") == ['["a","b"]', None]
    assert read(frame, "agreements.webPush", "parquet") == ["true", None]
    assert read(frame, "attributes.points", "parquet") == ["1.5", None]
    assert planned(frame, "parquet").untyped == frozenset()


def test_a_moment_is_told_in_full() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    frame = pl.DataFrame({"email": ["a"], "attributes.points": [moment]})

    [told] = read(frame, "attributes.points", "parquet")
    assert told is not None
    assert told.startswith('"2026-01-02T03:04:05')


def test_values_of_jsonl_keep_their_type() -> None:
    cells = pl.DataFrame(
        {
            "email": ["a", "b", "c"],
            "attributes.points": [
                {TEXT_FIELD: "12", VALUE_FIELD: None},
                {TEXT_FIELD: None, VALUE_FIELD: "12"},
                {TEXT_FIELD: None, VALUE_FIELD: "null"},
            ],
            "customId": [
                {TEXT_FIELD: "C1", VALUE_FIELD: None},
                {TEXT_FIELD: None, VALUE_FIELD: "12"},
                None,
            ],
        },
        schema_overrides={"attributes.points": JSON_CELL, "customId": JSON_CELL},
    )

    assert read(cells, "attributes.points", "jsonl") == ['"12"', "12", None]
    assert read(cells, "customId", "jsonl") == ['"C1"', '"12"', None]
    columns = planned(cells, "jsonl")
    assert columns.untyped == frozenset()
    assert columns.lacking == (
        "firstName",
        "birthDate",
        "sex",
        "tags",
        "agreements.webPush",
    )


def test_an_object_that_is_there_is_there_as_a_whole() -> None:
    frame = pl.DataFrame({"email": ["a"], "attributes.other": ["x"]})

    assert read(frame, "attributes.points", "jsonl") == [None]
    assert "attributes.points" in planned(frame, "parquet").lacking
    known = planned(frame, "parquet", whole=frozenset({"attributes"}))
    assert "attributes.points" not in known.lacking


def test_parts_are_taken_out_of_objects() -> None:
    frame = pl.DataFrame(
        {
            "email": ["a", "b"],
            "attributes": ['{"points": 12}', None],
            "agreements": [{"webPush": True}, {"webPush": None}],
        }
    )

    assert read(frame, "attributes.points") == ['"12"', None]
    assert read(frame, "agreements.webPush", "parquet") == ["true", None]
    other = frame.select("email", agreements=pl.struct(pl.lit(1).alias("sms")))
    assert read(other, "agreements.webPush", "parquet") == [None, None]


def test_a_name_with_a_quote_is_not_looked_for_in_a_text() -> None:
    columns = plan_columns(
        {"email": pl.String(), "attributes": pl.String()},
        "csv",
        ("email", "attributes.it's"),
        ("email",),
        name="x",
    )

    assert columns.lacking == ("attributes.it's",)


def test_tags_are_a_list_or_one_tag_or_columns() -> None:
    frame = pl.DataFrame({"email": ["a", "b", "c"], "tags": ['["x"]', "y", ""]})
    assert read(frame, "tags") == ['["x"]', '["y"]', None]
    flags = pl.DataFrame(
        {
            "email": ["a", "b"],
            "tags.x": ["true", "false"],
            "tags.\u00fc": ["TRUE", ""],
        }
    )
    assert read(flags, "tags") == ['["x","\u00fc"]', None]
    assert planned(flags).unknown == ()


@pytest.mark.parametrize("columns", [["firstName"], ["phone", "uuid"]])
def test_a_file_without_identifiers_is_refused(columns: list[str]) -> None:
    frame = pl.DataFrame({name: ["x"] for name in columns})

    with pytest.raises(SourceUnusableError) as told:
        planned(frame)
    assert "crm.csv has no column with email or customId" in str(told.value)
    assert all(name in str(told.value) for name in columns)
