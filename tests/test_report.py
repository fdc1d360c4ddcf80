"""The model of a report: shares that hide nothing, equations that hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvariantError
from pipeline.report.document import EquationBar, Part, Role, percent, share


@pytest.mark.parametrize(
    ("n", "n_whole", "told"),
    [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (1, 8, "12.5 %"),
        (1, 2_500, "0.04 %"),
        (1, 1_000_000, "under 0.01 %"),
        (2_499, 2_500, "99.96 %"),
        (999_999, 1_000_000, "over 99.99 %"),
    ],
)
def test_a_share_hides_nothing(n: int, n_whole: int, told: str) -> None:
    assert share(n, n_whole) == told


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_only_nothing_is_0_and_no_part_is_100_percent(n: int, n_rest: int) -> None:
    assert (share(n, n + n_rest) == "0 %") == (n == 0)
    assert share(n, n + n_rest) != "100 %"


def test_a_measured_share_has_two_places() -> None:
    assert percent(0.0099) == "0.99 %"


def test_an_equation_that_does_not_hold_is_refused() -> None:
    parts = (Part("accepted", 3, Role.GOOD), Part("empty", 1, Role.NEUTRAL))

    assert EquationBar("rows read", 4, parts).parts == parts
    with pytest.raises(InvariantError, match="do not add up"):
        EquationBar("rows read", 5, parts)
