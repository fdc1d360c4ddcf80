"""Pacing is arithmetic: time and chance are arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pacing import MAX_LIMIT, Pacer, deadline_s, delay_s


def window(
    pacer: Pacer,
    start_s: float,
    *,
    took_s: float = 0.1,
    n: int = 20,
    n_failed: int = 0,
    overloaded: bool = False,
    full: bool = True,
) -> float:
    """Let requests begin and end within one window; return when it is over."""
    n_open = pacer.limit if full else max(1, pacer.limit - 1)
    for _ in range(n_open):
        assert pacer.enter(start_s)
    for k in range(n):
        last = k == n - 1
        pacer.observe(
            start_s + (10.0 if last else 0.0),
            took_s=took_s,
            failed=k < n_failed,
            overloaded=overloaded and last,
        )
    for _ in range(n_open):
        pacer.leave()
    return start_s + 10.0


def test_a_calm_service_is_asked_more_up_to_the_maximum() -> None:
    pacer, now = Pacer(), 0.0
    limits = []
    for _ in range(20):
        now = window(pacer, now)
        limits.append(pacer.limit)

    assert limits[:3] == [5, 6, 7]
    assert limits[-1] == MAX_LIMIT == pacer.most


def test_the_limit_stays_when_it_was_not_reached() -> None:
    pacer = Pacer()
    window(pacer, 0.0, full=False)

    assert pacer.limit == 4


def test_overload_cuts_once_a_window_and_never_below_one() -> None:
    pacer, now = Pacer(), 0.0
    limits = []
    for _ in range(5):
        now = window(pacer, now, overloaded=True)
        limits.append(pacer.limit)

    assert limits == [2, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("n", "n_failed", "limit"), [(20, 1, 5), (20, 2, 2), (9, 8, 5), (3, 3, 4)]
)
def test_stray_errors_do_not_cut_but_a_tenth_of_ten_does(
    n: int, n_failed: int, limit: int
) -> None:
    pacer = Pacer()
    window(pacer, 0.0, n=n, n_failed=n_failed)

    assert pacer.limit == limit


def test_a_slower_service_is_asked_less_and_noise_is_not_slowness() -> None:
    pacer, now = Pacer(), 0.0
    for _ in range(3):
        now = window(pacer, now, took_s=0.1)
    assert pacer.limit == 7
    now = window(pacer, now, took_s=0.115)  # slower than calm, within the slack
    assert pacer.limit == 7
    now = window(pacer, now, took_s=1.0)
    assert pacer.limit == 4
    window(pacer, now, n=3, n_failed=3)

    assert pacer.limit == 4


def test_a_fixed_concurrency_is_kept_whatever_happens() -> None:
    pacer = Pacer(concurrency=10)
    assert (pacer.limit, pacer.most) == (10, 10)
    window(pacer, 0.0, overloaded=True)

    assert pacer.limit == 10


def test_what_nobody_entered_teaches_nothing() -> None:
    pacer = Pacer()
    pacer.observe(5.0, took_s=1.0, failed=False, overloaded=True)

    assert pacer.limit == 4


def test_a_window_lasts_as_long_as_a_request() -> None:
    pacer = Pacer()
    assert pacer.enter(0.0)
    pacer.observe(0.5, took_s=0.5, failed=False, overloaded=True)

    assert pacer.limit == 4


def test_there_is_room_up_to_the_limit() -> None:
    pacer = Pacer(concurrency=2)

    assert [pacer.enter(0.0) for _ in range(3)] == [True, True, False]
    pacer.leave()
    assert pacer.enter(0.0)


def test_the_gate_is_shut_for_all_and_never_opened_early() -> None:
    pacer = Pacer()
    assert pacer.shut_s(0.0) == 0.0
    pacer.shut(10.0, 5.0)
    pacer.shut(10.0, 1.0)

    assert pacer.shut_s(12.0) == 3.0
    assert pacer.shut_s(16.0) == 0.0


def test_places_under_a_rate_are_evenly_spaced_and_a_pause_gives_no_credit() -> None:
    pacer = Pacer(rate=4.0)

    assert [pacer.book_s(0.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    assert [pacer.book_s(9.0) for _ in range(2)] == [0.0, 0.25]
    assert Pacer().book_s(1.0) == 0.0


@pytest.mark.parametrize(
    ("n", "throttled", "asked_s", "chance", "wait_s"),
    [
        (1, False, None, 0.0, 0.0),
        (1, False, None, 0.5, 0.25),
        (3, False, None, 0.5, 1.0),
        (1, True, None, 0.5, 1.0),
        (30, False, None, 0.5, 30.0),
        (1, True, 10.0, 0.0, 10.0),
        (1, True, 10.0, 0.5, 10.5),
        (1, True, 0.0, 0.5, 1.0),
    ],
)
def test_the_wait_before_a_repetition(
    n: int,
    throttled: bool,  # noqa: FBT001
    asked_s: float | None,
    chance: float,
    wait_s: float,
) -> None:
    found = delay_s(n, throttled=throttled, asked_s=asked_s, chance=chance)

    assert found == pytest.approx(wait_s)


@given(
    n=st.integers(1, 10**6),
    asked_s=st.none() | st.floats(0, 1e9),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_the_wait_is_never_shorter_than_asked_and_never_endless(
    n: int, asked_s: float | None, chance: float
) -> None:
    wait_s = delay_s(n, throttled=True, asked_s=asked_s, chance=chance)

    assert (asked_s or 0.0) <= wait_s <= max(60.0, 1.1 * (asked_s or 0.0))


def test_the_deadline_grows_with_the_body_up_to_three_minutes() -> None:
    assert [deadline_s(n) for n in (0, 1_000_000, 10**9)] == [60.0, 110.0, 180.0]
