"""Of all rows, those that are sent: in their lanes, whole or changed fields alone."""

import json
from typing import Any

import polars as pl

from pipeline.delta.digests import digests_of, field_columns
from pipeline.delta.selecting import (
    WITHDRAWAL_LANE,
    Counts,
    Selection,
    changed_columns,
    select_rows,
    selection,
)
from pipeline.encoder import encode
from pipeline.folding import picked_text
from pipeline.records import MAIN_LANE, Encoded

KEY = "5e" * 32
NEW, UNCHANGED, CHANGED = 1, 2, 3


def part_of(rows: list[dict[str, Any]]) -> Encoded:
    n = len(rows)
    keys = pl.DataFrame(
        {"source_no": [0] * n, "row_no": range(1, n + 1)},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    clean = keys.hstack(pl.DataFrame(rows, infer_schema_length=None))
    encoded = encode(clean)
    digests = digests_of(clean, ("customId",), KEY)
    return Encoded(encoded.frame.hstack(digests), encoded.lane)


ROWS: list[dict[str, Any]] = [
    {"customId": "C1", "city": "a", "agreements.email": False, "attributes.n": "1"},
    {"customId": "C2", "city": "b", "agreements.email": True, "attributes.n": "2"},
    {"customId": "C3", "city": "c", "agreements.email": False, "attributes.n": "3"},
    {"customId": "C4", "city": "d", "agreements.email": False, "attributes.n": "4"},
]


def how(codes: list[int], changed: str, *, only_changed: bool) -> Selection:
    columns = field_columns(part_of(ROWS).frame.columns)
    return selection(
        [pl.Series(codes, dtype=pl.UInt32)],
        {NEW: None, CHANGED: changed_columns(changed, columns)},
        columns,
        KEY,
        only_changed=only_changed,
    )


def test_unchanged_rows_stay_and_news_of_consents_go_first() -> None:
    counts = Counts()
    told = how([NEW, NEW, UNCHANGED, CHANGED], "1", only_changed=False)
    lanes = select_rows(part_of(ROWS), told, counts)

    rows = {int(f["lane"][0]): f["row_no"].to_list() for f in lanes}
    # The last row withdraws too, but the CRM knows it already.
    assert rows == {WITHDRAWAL_LANE: [1], MAIN_LANE: [2, 4]}
    assert counts.withdrawn == {"agreements.email": 1}
    assert counts.granted == {"agreements.email": 1}
    assert counts.n_rows == {WITHDRAWAL_LANE: 1, MAIN_LANE: 2}
    assert counts.n_bytes[MAIN_LANE] == sum(
        len(text) + 1 for f in lanes if f["lane"][0] == MAIN_LANE for text in f["json"]
    )


def test_changed_fields_alone_keep_their_digests_alone() -> None:
    told = how([UNCHANGED] * 3 + [CHANGED], "1,3", only_changed=True)
    (lane,) = select_rows(part_of(ROWS), told, Counts())

    assert json.loads(lane["json"][0]) == {
        "customId": "C4",
        "city": "d",
        "attributes": {"n": "4"},
    }
    assert lane["n_bytes"][0] == len(lane["json"][0])
    given = [n for n in field_columns(lane.columns) if lane[n][0] is not None]
    assert given == ["d:customId", "d:city", "d:attributes.n"]


def test_nothing_to_send_gives_no_frame() -> None:
    told = how([UNCHANGED] * 4, "1", only_changed=False)

    assert select_rows(part_of(ROWS), told, Counts()) == []
    empty = Encoded(part_of(ROWS).frame.clear())
    assert select_rows(empty, told, Counts()) == []


def test_members_are_picked_by_their_paths() -> None:
    text = '{"customId":"C1","agreements":{"email":true,"sms":false},"a.b":1}'

    assert picked_text(text, ["customId"]) == '{"customId":"C1"}'
    assert picked_text(text, ["agreements.sms", "a.b"]) == (
        '{"agreements":{"sms":false},"a.b":1}'
    )
    assert picked_text(text, ["agreements.push"]) == "{}"
