"""Records: frozen, with defaults of their own, and one vocabulary."""

import dataclasses
import inspect
import pickle

import polars as pl
import pytest

from pipeline import records
from pipeline.contract import ROW_CODES
from pipeline.outcomes import RowCounts
from pipeline.records import (
    BLOCKED_SCHEMA,
    FOLDED_LANE,
    MAIN_LANE,
    ROW_KEY,
    UNREADABLE_SCHEMA,
    Batch,
    BatchState,
    Encoded,
    Reply,
    RowRange,
    RowRef,
    Slice,
    State,
    Verdict,
)

KINDS = [
    kind
    for _, kind in inspect.getmembers(records, dataclasses.is_dataclass)
    if isinstance(kind, type) and kind.__module__ == records.__name__
]
KEYS = pl.DataFrame(
    {"source_no": [0, 0], "row_no": [1, 2]},
    schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
)


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_frozen_small_and_described(kind: type) -> None:
    parameters = kind.__dataclass_params__  # type: ignore[attr-defined]

    assert parameters.frozen
    assert "__dict__" not in dir(kind)
    assert "(" not in (kind.__doc__ or "(").splitlines()[0]


def test_a_record_cannot_be_changed() -> None:
    ref = RowRef(0, 1)

    with pytest.raises(dataclasses.FrozenInstanceError):
        ref.row_no = 2  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(ref)) == ref  # noqa: S301
    assert {ref, RowRef(0, 1)} == {ref}


def test_every_slice_has_empty_parts_of_its_own() -> None:
    one, two = (Slice(KEYS, 0, 1, 2) for _ in range(2))

    assert one.empty is not two.empty
    assert one.empty.dtype == pl.UInt64
    assert one.unreadable.schema == UNREADABLE_SCHEMA
    assert one.unreadable is not two.unreadable
    assert one.line_nos is None


def test_the_small_defaults() -> None:
    batch = Batch(1, MAIN_LANE, KEYS, b"[{},{}]", "00")

    assert batch.n_rows == 2
    assert batch.parent_no is None
    assert Encoded(KEYS).lane == MAIN_LANE
    assert Reply(202, {}, b"").is_complete
    assert Verdict(records.Step.DONE, BatchState.ACCEPTED, "ACCEPTED").named == ()
    assert RowRange(0, 1, 1) == RowRange(0, 1, 1)


def test_lanes_are_sent_in_the_order_of_their_numbers() -> None:
    assert MAIN_LANE < FOLDED_LANE


def test_rows_are_named_by_the_same_two_columns_everywhere() -> None:
    assert ROW_KEY == ("source_no", "row_no")
    assert list(BLOCKED_SCHEMA)[:2] == list(ROW_KEY)
    assert BLOCKED_SCHEMA["row_no"] == UNREADABLE_SCHEMA["row_no"] == pl.UInt64


def test_every_state_is_counted_and_nothing_else() -> None:
    counted = {field.name for field in dataclasses.fields(RowCounts)}

    assert counted == {state.value for state in State} | {"read", "unknown"}
    assert {state.value for state in BatchState} <= counted
    assert "success" not in counted
    assert all(
        code.isupper() and text.endswith(".") for code, text in ROW_CODES.items()
    )
