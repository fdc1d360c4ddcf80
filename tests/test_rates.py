"""A rate is kept evenly, cut by 429 to what was measured, and searched again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rates import CUT, FLOOR, RETURN_S, SEARCH_S, RateBucket


def measured_at(rate: float, seconds: float = 6.0) -> RateBucket:
    bucket = RateBucket()
    for n in range(int(rate * seconds)):
        bucket.succeed(n / rate)
    return bucket


def test_without_a_limit_nobody_waits() -> None:
    bucket = RateBucket()
    bucket.take(0.0)

    assert (bucket.wait_s(0.0), bucket.rate(0.0)) == (0.0, None)


def test_a_429_cuts_to_the_measure_comes_back_to_it_and_searches_slowly() -> None:
    bucket = measured_at(10.0)
    bucket.cut(6.0)

    assert bucket.peak == pytest.approx(10.0, rel=0.05)
    rates = [bucket.rate(6.0 + age_s) or 0.0 for age_s in (0, 1, RETURN_S, 20, 28, 90)]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(CUT * (bucket.peak or 0.0))
    assert rates[2] == bucket.peak
    assert rates[4] == pytest.approx(1.1 * (bucket.peak or 0.0))
    assert rates[5] > 1.5 * (bucket.peak or 0.0)
    assert RETURN_S + SEARCH_S == 28


def test_refusals_of_one_second_count_once() -> None:
    bucket = measured_at(10.0)
    bucket.cut(6.0)
    first = bucket.peak
    bucket.cut(6.5)
    assert bucket.peak == first
    bucket.cut(7.0)

    assert bucket.peak != first


def test_nothing_is_learnt_before_anything_was_measured() -> None:
    bucket = RateBucket()
    bucket.cut(1.0)
    assert bucket.rate(1.0) is None
    bucket.succeed(1.0)
    bucket.succeed(2.0)
    bucket.cut(2.0)
    assert bucket.peak == 1.0
    bucket.cut(100.0)

    assert bucket.peak == FLOOR  # nothing was let in for long: ask seldom


def test_the_smaller_of_two_limits_counts() -> None:
    bucket = measured_at(10.0)
    bucket.asked = 2.0
    bucket.cut(6.0)
    assert bucket.rate(6.0) == 2.0
    bucket.asked = 1000.0

    assert (bucket.rate(6.0) or 0.0) < 8.0


@given(
    st.floats(0.5, 100.0),
    st.lists(st.floats(0.0, 3.0), min_size=2, max_size=40),
)
def test_no_window_of_a_second_sees_more_than_the_rate(
    rate: float, pauses_s: list[float]
) -> None:
    bucket, now, taken = RateBucket(asked=rate), 0.0, []
    for pause_s in pauses_s:
        now += pause_s
        now += bucket.wait_s(now)
        bucket.take(now)
        taken.append(now)

    for moment in taken:
        in_window = sum(moment <= other < moment + 1.0 for other in taken)
        assert in_window <= rate + 1.0 + 1e-6
