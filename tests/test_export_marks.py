"""Marks of JSON in bytes are counted as `bytes.count` does."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.export.marks import Marks, marks_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)
BODIES = st.one_of(
    VALUES.map(lambda value: json.dumps(value, separators=(",", ":")).encode()),
    st.text(alphabet='":ntf.0\\ ').map(str.encode),
    st.binary(max_size=40),
)


@given(BODIES)
@example(b"")
@example(b'"')
@example(b'":')
@example(b'":t')
@example(b"1.0")
@example(b'":n' * 50_000)
def test_marks_are_counted_as_bytes_count_does(body: bytes) -> None:
    assert marks_of(body) == Marks(
        quotes=body.count(b'"'),
        keys=body.count(b'":'),
        nulls=body.count(b'":n'),
        trues=body.count(b'":t'),
        falses=body.count(b'":f'),
        has_point_zero=b".0" in body,
    )
