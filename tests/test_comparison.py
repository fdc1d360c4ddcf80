"""What counts as held, and what as a difference."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.comparison import Difference, differences

SAME: list[tuple[str, Any, Any]] = [
    ("email", "ewa@example.com", "EWA@example.com "),
    ("uuid", "AB-1", "ab-1"),
    ("phone", "+48600100200", "48 600 100 200"),
    ("phone", "+48600100200", "0048600100200"),
    ("clientId", 7, "7"),
    ("firstName", "Ewa ", "Ewa"),
    ("firstName", "Zoe\u0308", "Zo\u00eb"),
    ("tags", ["a", "b"], ["b", "a", "a "]),
    ("agreements", {"email": 1, "sms": "false"}, {"email": True, "sms": False}),
    ("agreements", {"email": "True"}, {"email": True, "push": True}),
    ("attributes", {"n": 1}, {"n": 1.0, "more": 2}),
    ("attributes", {"n": [1, {"a": "x "}]}, {"n": [1.0, {"a": "x"}]}),
    ("attributes", {"n": None}, {}),
    ("attributes", {"n": None}, {"n": None}),
    ("firstName", None, ""),
    ("sex", None, "NOT_SPECIFIED"),
    ("tags", None, []),
    ("birthDate", None, None),
]
OTHER: list[tuple[str, Any, Any]] = [
    ("email", "ewa@example.com", "eva@example.com"),
    ("phone", "+48600100200", "+48600100201"),
    ("clientId", 7, 8),
    ("firstName", "Ewa", "ewa"),
    ("firstName", "Ewa", None),
    ("tags", ["a"], ["a", "b"]),
    ("tags", ["a"], "a"),
    ("firstName", None, "Ewa"),
    ("sex", None, 3),
]
PARTS: list[tuple[str, str, Any, Any]] = [
    ("attributes", "n", 1, 2),
    ("attributes", "n", 1, True),
    ("attributes", "n", True, 1),
    ("attributes", "n", "1", 1),
    ("attributes", "n", [1], [1, 2]),
    ("attributes", "n", {"a": 1}, {"b": 1}),
    ("attributes", "n", {"a": 1}, {"a": 2}),
    ("attributes", "n", [1, 2], [2, 1]),
    ("attributes", "n", None, 0.5),
    ("agreements", "email", True, False),
    ("agreements", "email", True, None),
]


@pytest.mark.parametrize(("field", "sent", "found"), SAME)
def test_liberties_are_no_differences(field: str, sent: Any, found: Any) -> None:
    assert differences({field: sent}, {field: found, "clientId": 7}) == ()


@pytest.mark.parametrize(("field", "sent", "found"), OTHER)
def test_everything_else_is_one(field: str, sent: Any, found: Any) -> None:
    told = differences({field: sent}, {field: found})

    assert told == (Difference(field, sent, found),)


@pytest.mark.parametrize(("field", "part", "sent", "found"), PARTS)
def test_a_part_is_named(field: str, part: str, sent: Any, found: Any) -> None:
    told = differences({field: {part: sent, "x": "1"}}, {field: {part: found, "x": 1}})

    named = [one for one in told if one.field == f"{field}.{part}"]
    assert named == [Difference(f"{field}.{part}", sent, found)]


@pytest.mark.parametrize("found", [{}, {"attributes": None}, {"attributes": "x"}])
def test_parts_of_nothing_are_missing(found: dict[str, Any]) -> None:
    assert differences({"attributes": {"n": 1}}, found) == (
        Difference("attributes.n", 1, None),
    )


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_what_comes_back_as_it_was_sent_is_held(attributes: dict[str, Any]) -> None:
    back = json.loads(json.dumps(attributes))

    assert differences({"attributes": attributes}, {"attributes": back}) == ()
