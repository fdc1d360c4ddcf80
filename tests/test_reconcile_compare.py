"""Who changed a field, and whether two sides hold the same."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.comparison import is_held
from pipeline.reconcile.compare import FieldRules, classify

UNKNOWN = object()
FIELDS = ("firstName", "email", "phone", "tags", "agreements.sms", "attributes.n")


def found(field: str, *sides: Any, **more: Any) -> str | None:
    """Classify one cell; None is JSON's null in the source, nothing elsewhere."""
    source, crm, baseline = (*sides, UNKNOWN)[:3]
    cells = pl.DataFrame(
        {
            "source": [json.dumps(source)],
            "crm": [None if crm is None else json.dumps(crm)],
            "baseline": [None if baseline in (None, UNKNOWN) else json.dumps(baseline)],
            "has_baseline": [baseline is not UNKNOWN],
        },
        schema_overrides={"crm": pl.String, "baseline": pl.String},
    )
    [told] = classify(cells, FieldRules(field, **more)).to_list()
    return None if told is None else str(told)


TWO_WAY: list[tuple[str, Any, Any, str]] = [
    ("firstName", "Ewa", " Ewa", "equal"),
    ("firstName", "Ewa", "Eva", "differs"),
    ("firstName", "Ewa", None, "missing"),
    ("firstName", "Ewa", "", "missing"),
    ("sex", "MALE", "NOT_SPECIFIED", "missing"),
    ("tags", ["a"], [], "missing"),
    ("agreements.sms", True, False, "differs"),
    ("agreements.sms", True, "1", "equal"),
    ("firstName", None, None, "equal"),
    ("firstName", None, "", "equal"),
    ("agreements.sms", None, False, "equal"),
    ("firstName", None, "Ewa", "differs"),
]
THREE_WAY: list[tuple[Any, Any, Any, str]] = [
    ("Ewa", "Ewa", "Jan", "equal"),
    ("Ewa", "Jan", "Jan", "source_newer"),
    ("Ewa", None, None, "source_newer"),
    ("Ewa", "", None, "source_newer"),
    ("Ewa", "Jan", "Ewa", "crm_edited"),
    ("Ewa", None, "Ewa", "erased"),
    ("Ewa", "Jan", "Ola", "both_changed"),
    ("Ewa", None, "Ola", "both_changed"),
    ("Ewa", "Jan", None, "both_changed"),
    (None, None, "Ewa", "equal"),
    (None, "Ewa", "Ewa", "source_newer"),
    (None, "Ewa", None, "crm_edited"),
    (None, "Ewa", "Ola", "both_changed"),
]


@pytest.mark.parametrize(("field", "source", "crm", "told"), TWO_WAY)
def test_without_a_baseline_it_is_there_or_not(
    field: str, source: Any, crm: Any, told: str
) -> None:
    assert found(field, source, crm) == told


@pytest.mark.parametrize(("source", "crm", "baseline", "told"), THREE_WAY)
def test_a_baseline_tells_who_changed(
    source: Any, crm: Any, baseline: Any, told: str
) -> None:
    assert found("firstName", source, crm, baseline) == told


@pytest.mark.parametrize(
    ("source", "crm", "told"),
    [
        (12, "12", "equal"),
        ("12", "12", "equal"),
        (12.5, "12.50", "equal"),
        (True, "TRUE", "equal"),
        ([1, 2], "[1, 2.0]", "equal"),
        ({"a": 1}, '{"a":1}', "equal"),
        (12, "13", "differs"),
        (12, "twelve", "differs"),
        (True, "1", "differs"),
        ("x", '"x"', "equal"),
        ("x", '"y"', "differs"),
        (["a\nb"], '["a\\nb"]', "equal"),
    ],
)
def test_a_text_without_a_type_means_either(source: Any, crm: Any, told: str) -> None:
    assert found("attributes.n", source, crm, untyped=frozenset({"crm"})) == told


def test_a_text_with_a_type_is_no_number() -> None:
    assert found("attributes.n", 12, "12") == "differs"


@pytest.mark.parametrize(
    ("source", "crm", "told"),
    [
        (10, 11, "equal"),
        (10, 9.0, "equal"),
        (1.1, 1.0, "differs"),
        (10, 11.5, "differs"),
        (10, "11", "differs"),
        (10, None, "missing"),
        ("x", "y", "differs"),
    ],
)
def test_numbers_may_differ_within_their_tolerance(
    source: Any, crm: Any, told: str
) -> None:
    tolerance = 0.05 if source == 1.1 else 1.0
    assert found("attributes.n", source, crm, tolerance=tolerance) == told


def test_a_tolerance_holds_for_its_very_end_and_for_texts_without_a_type() -> None:
    assert found("attributes.n", 1.1, 1.0, tolerance=0.1) == "equal"
    untyped = frozenset({"crm"})
    assert found("attributes.n", 10, "11", tolerance=1.0, untyped=untyped) == "equal"


def test_steps_within_a_tolerance_may_add_up_to_more() -> None:
    # Nobody changed by more than 1, and yet they are 2 apart.
    assert found("attributes.n", 10, 12, 11, tolerance=1.0) == "differs"


def test_what_the_source_does_not_give_is_not_compared() -> None:
    cells = pl.DataFrame(
        {"source": [None], "crm": ['"x"'], "baseline": [None], "has_baseline": [True]},
        schema_overrides={"source": pl.String, "baseline": pl.String},
    )

    assert classify(cells, FieldRules("firstName")).to_list() == [None]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.sampled_from(["", "a", " a", "A", "1", "true", "NOT_SPECIFIED", "00-1"]),
    st.lists(st.sampled_from(["a", "b", " a"]), max_size=3),
    st.just({}),
)


@given(field=st.sampled_from(FIELDS), source=VALUES, crm=VALUES)
def test_equal_is_what_a_verification_calls_held(
    field: str, source: Any, crm: Any
) -> None:
    held = is_held(field, source, crm)

    assert (found(field, source, crm) == "equal") is held
