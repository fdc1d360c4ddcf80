"""A row is named by its place or by a value of its own; nothing is guessed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.naming import Naming, read_naming

ROWS = [
    {"email": "a@b.pl", "city": "Łódź", "attributes": {"tier": "gold", "points": 7}},
    {"email": "bad", "city": "Łódź", "tags": ["x", "y"]},
    {"email": "c@d.pl", "phone": "+48 1", "attributes": {"points": 1.5, "vip": True}},
    {"customId": "C4", "email": "d@d.pl"},
]
SENT = json.dumps(ROWS, ensure_ascii=False).encode()


def named(*entries: Any, sent: bytes = SENT, wrapped: bool = True) -> Naming | None:
    content: object = {"errors": entries, "status": 400} if wrapped else entries
    return read_naming(json.dumps(content).encode(), len(ROWS), sent)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    ("entries", "positions", "n_unplaced"),
    [
        ([{"field": "list[3].email"}], (3,), 0),
        ([{"path": "list[3].email", "errorCode": "X", "status": 400}], (3,), 0),
        ([{"field": "[0].email"}, {"field": "$[2]"}, {"field": "list[2]"}], (0, 2), 0),
        ([{"field": "list[4].email"}], (), 1),
        ([{"field": "tags[3]"}, {"field": "attributes[1].x"}], (), 2),
        ([{"field": "email"}, {"field": None}, {"field": 3}], (), 3),
        ([{"message": "list[1].email"}], (), 1),
        # by the refused value
        ([{"field": "email", "rejectedValue": "bad"}], (1,), 0),
        ([{"field": "city", "rejectedValue": "Łódź"}], (), 1),
        ([{"field": "phone", "rejectedValue": "bad"}], (), 1),
        ([{"message": "bad value", "rejectedValue": "bad"}], (1,), 0),
        ([{"message": "bad value", "rejectedValue": "y"}], (1,), 0),
        ([{"message": "bad value", "rejectedValue": "nowhere"}], (), 1),
        (
            [{"path": "email", "rejectedValue": v} for v in ("bad", "a@b.pl")],
            (0, 1),
            0,
        ),
        ([{"field": "attributes.points", "rejectedValue": "1.5"}], (2,), 0),
        ([{"field": "attributes.points", "rejectedValue": 7}], (0,), 0),
        ([{"field": "attributes.vip", "rejectedValue": "true"}], (2,), 0),
        ([{"field": "attributes.vip.x", "rejectedValue": "true"}], (), 1),
        ([{"field": "email", "rejectedValue": ""}], (), 1),
        # place and value together
        ([{"field": "list[1].email", "rejectedValue": "bad"}], (1,), 0),
        ([{"field": "list[2].email", "rejectedValue": "bad"}], (), 1),
        ([{"field": "list[2].email", "rejectedValue": "gone"}], (2,), 0),
        ([{"field": "list[2]", "rejectedValue": "bad"}], (), 1),
    ],
)
def test_rows_are_named(
    entries: list[Any],
    positions: tuple[int, ...],
    n_unplaced: int,
    *,
    wrapped: bool,
) -> None:
    assert named(*entries, wrapped=wrapped) == Naming(positions, n_unplaced)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<html>",
        b"3",
        b"[]",
        b"[" * 60_000,
        b'{"errors": {}}',
        b'{"errors": []}',
        b'{"error": "x", "message": "list[1]"}',
        b'["list[1]"]',
        b'[{"field": "[1]"}, null]',
        b'[{"ok": true}]',
        b'[{"path": "[1]", "status": 202}]',
    ],
)
def test_what_is_no_list_of_errors_names_nobody(body: bytes) -> None:
    assert read_naming(body, 10, SENT) is None
    assert read_naming(body, 1, SENT) is None


def test_every_error_about_a_single_row_is_about_that_row() -> None:
    assert read_naming(b'[{"message": "no"}]', 1) == Naming((0,), 0)


def test_without_the_rows_a_value_names_nobody() -> None:
    entry = {"field": "email", "rejectedValue": "bad"}

    assert named(entry, sent=b"") == Naming((), 1)
    assert named(entry, sent=b"{}") == Naming((), 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["errors", "field", "path", "status", "rejectedValue", "message"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.integers(1, 4))
def test_whatever_a_service_writes_no_row_outside_is_named(
    content: object, n_rows: int
) -> None:
    sent = json.dumps(ROWS[:n_rows]).encode()
    found = read_naming(json.dumps(content).encode(), n_rows, sent)

    if found is not None:
        assert all(0 <= n < n_rows for n in found.positions)
        assert found.positions == tuple(sorted(set(found.positions)))
