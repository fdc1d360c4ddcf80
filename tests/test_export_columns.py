"""Columns do not follow the profiles; what the platform makes is told apart."""

import hashlib
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from pipeline.errors import SettingsError
from pipeline.export.columns import Columns, check_fields, columns_of, finished
from pipeline.export.plain import frame_of_profiles
from pipeline.json_values import JSON_CELL

MAIL = "Ada@Example.com"
GRAVATAR = "https://www.gravatar.com/avatar/"
OWN = GRAVATAR + hashlib.md5(b"ada@example.com").hexdigest()  # noqa: S324 - no secret
FIRST = {"id": 1, "email": MAIL, "firstName": "ada", "avatarUrl": OWN,
         "attributes": {"n": 5, "t": "x", "eventCreateTime": "now"}}  # fmt: skip
SECOND = {"id": 2, "firstName": "Ada", "avatarUrl": OWN, "previousClients": [],
          "attributes": {"n": "5", "late": "y"}}  # fmt: skip


def pages(*profiles: dict[str, Any]) -> Callable[[], list[pl.DataFrame]]:
    return lambda: [frame_of_profiles([one]) for one in profiles]


def made(
    *profiles: dict[str, Any],
    kind: Any = "parquet",
    fields: tuple[str, ...] = (),
    is_full: bool = True,
) -> tuple[Columns, pl.DataFrame]:
    frames = pages(*profiles)
    columns = columns_of(frames, fields, is_full=is_full)
    frame = pl.concat(list(finished(frames(), columns, kind)))
    assert dict(frame.schema) == columns.schema(kind)
    return columns, frame


def test_columns_are_the_same_whatever_the_profiles_hold() -> None:
    empty, _ = made({"id": 1})
    full, frame = made(FIRST, SECOND)

    attributes = ["attributes.late", "attributes.n", "attributes.t"]
    assert [n for n in full.names if n not in empty.names] == attributes
    assert full.json == ("attributes.n",)
    assert frame["attributes.n"].to_list() == ["5", '"5"']
    assert frame["attributes.t"].to_list() == ["x", None]
    assert frame.schema["attributes.n"] == pl.String


def test_jsonl_keeps_every_value() -> None:
    _, frame = made(FIRST, SECOND, kind="jsonl")

    assert frame.schema["attributes.n"] == JSON_CELL
    assert [[*cell.values()] for cell in frame["attributes.n"]] == [
        [None, "5"], ["5", None],
    ]  # fmt: skip


def test_what_the_platform_makes_is_left_out_or_marked() -> None:
    columns, frame = made(FIRST, SECOND)

    assert frame["avatarUrl"].to_list() == [None, OWN]
    assert frame["_generated"].to_list() == ["firstName", None]
    assert "attributes.eventCreateTime" not in columns.names
    assert "previousClients" not in columns.names


def test_what_is_named_is_kept() -> None:
    fields = ("avatarUrl", "attributes.eventCreateTime", "agreements", "clientId")
    columns, frame = made(FIRST, SECOND, fields=fields)

    assert columns.names[:2] == fields[:2]
    assert len(columns.names) == 10
    assert frame["avatarUrl"].to_list() == [OWN, OWN]
    assert frame["attributes.eventCreateTime"].to_list() == ["now", None]


def test_a_list_has_no_attributes_to_name() -> None:
    check_fields(("email", "created", "_generated"), is_full=False)
    check_fields(("attributes", "attributes.x", "agreements.sms"), is_full=True)
    with pytest.raises(SettingsError, match="--detail full"):
        check_fields(("displayName",), is_full=False)
    with pytest.raises(SettingsError, match=r"names created, which no export has"):
        check_fields(("created",), is_full=True)
