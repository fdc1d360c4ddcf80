"""How many refusals a run bears."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.terms import most_rejects

ROWS = st.integers(0, 10**8)


@given(n_rows=ROWS, told=st.integers(0, 10**8))
def test_what_the_operator_says_counts(n_rows: int, told: int) -> None:
    assert most_rejects(told, n_rows) == told


@given(n_rows=ROWS)
def test_without_a_word_it_is_a_hundred_rows_or_one_percent(n_rows: int) -> None:
    most = most_rejects(None, n_rows)

    assert most >= 100
    assert most == 100 or 100 * most <= n_rows < 100 * (most + 1)


def test_the_step_is_at_ten_thousand_rows() -> None:
    assert [most_rejects(None, n) for n in (0, 10_099, 10_100)] == [100, 100, 101]
