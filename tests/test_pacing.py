"""Pacing is arithmetic: time and chance are arguments."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distributed.pace import LeasedPlaces, Lot
from pipeline.pacing import (
    FIRST_CONTACT,
    MAX_LIMIT,
    Mark,
    Pacer,
    Patience,
    Ticket,
    Tries,
    deadline_s,
    delay_s,
)
from pipeline.records import BatchState, Step, Verdict


def entered(pacer: Pacer, now_s: float, cost: int = 0) -> Ticket:
    found = pacer.enter(now_s, 1.0, cost=cost)
    assert isinstance(found, Ticket)
    return found


def over(
    pacer: Pacer,
    ticket: Ticket,
    now_s: float,
    mark: Mark = Mark.GOOD,
    *,
    overloaded: bool = False,
) -> None:
    pacer.observe(ticket, now_s, mark, overloaded=overloaded, chance=1.0)
    pacer.leave(ticket)


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
    tickets = [entered(pacer, start_s) for _ in range(n_open)]
    for k in range(n):
        is_last = k == n - 1
        end_s = start_s + (10.0 if is_last else 0.0)
        pacer.observe(
            Ticket(end_s - took_s),
            end_s,
            Mark.FAILED if k < n_failed else Mark.GOOD,
            overloaded=overloaded and is_last,
        )
    for ticket in tickets:
        pacer.leave(ticket)
    return start_s + 10.0


# -- the limit -----------------------------------------------------------------------


def test_a_calm_service_is_asked_twice_as_much_each_time_until_the_maximum() -> None:
    pacer, now = Pacer(), 0.0
    limits = []
    for _ in range(4):
        now = window(pacer, now)
        limits.append(pacer.limit)

    assert limits == [8, 16, 16, 16]
    assert limits[-1] == MAX_LIMIT == pacer.most


def test_after_the_first_cut_one_more_at_a_time() -> None:
    pacer = Pacer()
    now = window(pacer, 0.0, overloaded=True)
    assert pacer.limit == 2
    now = window(pacer, now)
    window(pacer, now)

    assert pacer.limit == 4


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
    ("n", "n_failed", "limit"), [(20, 3, 8), (20, 4, 2), (9, 4, 8), (3, 3, 4)]
)
def test_stray_errors_do_not_cut_but_a_fifth_of_ten_does(
    n: int, n_failed: int, limit: int
) -> None:
    pacer = Pacer()
    window(pacer, 0.0, n=n, n_failed=n_failed)

    assert pacer.limit == limit


def test_a_slower_service_is_asked_less_and_noise_is_not_slowness() -> None:
    pacer, now = Pacer(), 0.0
    for _ in range(2):
        now = window(pacer, now, took_s=0.1)
    assert pacer.limit == 16
    now = window(pacer, now, took_s=0.115)  # slower than calm, within the slack
    assert pacer.limit == 16
    now = window(pacer, now, took_s=1.0)
    assert pacer.limit == 11
    window(pacer, now, n=3, n_failed=3)

    assert pacer.limit == 11


def test_a_fixed_concurrency_is_kept_whatever_happens() -> None:
    pacer = Pacer(concurrency=10)
    assert (pacer.limit, pacer.most) == (10, 10)
    window(pacer, 0.0, overloaded=True)

    assert pacer.limit == 10


def test_what_nobody_entered_teaches_nothing() -> None:
    pacer = Pacer()
    pacer.observe(Ticket(0.0), 5.0, Mark.GOOD, overloaded=True)

    assert pacer.limit == 4


def test_a_window_lasts_as_long_as_a_request() -> None:
    pacer = Pacer()
    over(pacer, entered(pacer, 0.0), 0.5, overloaded=True)

    assert pacer.limit == 4


def test_there_is_room_up_to_the_limit() -> None:
    pacer = Pacer(concurrency=2)
    ticket = entered(pacer, 0.0)
    entered(pacer, 0.0)

    assert pacer.enter(0.0, 0.5) == math.inf
    pacer.leave(ticket)
    entered(pacer, 0.0)


# -- the gate ------------------------------------------------------------------------


def test_the_gate_is_shut_for_all_and_never_opened_early() -> None:
    pacer = Pacer()
    assert pacer.shut_s(0.0) == 0.0
    pacer.shut(10.0, 5.0)
    pacer.shut(10.0, 1.0)

    assert pacer.enter(12.0, 0.5) == 3.0
    entered(pacer, 16.0)


def test_the_time_of_a_shut_gate_is_counted_once() -> None:
    pacer = Pacer()
    assert pacer.shut_in_all_s(5.0) == 0.0
    pacer.shut(10.0, 5.0)
    pacer.shut(12.0, 8.0)
    assert [pacer.shut_in_all_s(t) for t in (10.0, 12.0, 20.0, 30.0)] == [0, 2, 10, 10]
    pacer.shut(40.0, 1.0)

    assert pacer.shut_in_all_s(50.0) == 11.0


def test_places_under_a_rate_are_evenly_spaced_and_a_pause_gives_no_credit() -> None:
    pacer = Pacer(concurrency=9, rate=4.0)
    entered(pacer, 0.0)

    assert pacer.enter(0.0, 0.5) == 0.25
    entered(pacer, 9.0)
    assert pacer.enter(9.0, 0.5) == 0.25


# -- the breaker and the budget --------------------------------------------------------


def failing(pacer: Pacer, now_s: float, n: int, mark: Mark = Mark.FAILED) -> None:
    for _ in range(n):
        over(pacer, entered(pacer, now_s), now_s, mark)


def test_five_failures_in_a_row_shut_the_gate_and_one_probe_opens_it() -> None:
    pacer, now = Pacer(), 0.0
    for _ in range(2):
        now = window(pacer, now)
    failing(pacer, now, 4)
    assert pacer.shut_s(now) == 0.0
    failing(pacer, now, 1)
    assert pacer.shut_s(now) == 2.0
    probe = entered(pacer, now + 2.0, cost=10**6)  # no budget asks a probe
    assert probe.is_probe
    assert pacer.enter(now + 2.0, 0.5) == math.inf
    over(pacer, probe, now + 3.0)

    assert not pacer.breaker.is_open
    assert pacer.limit == 8
    assert not entered(pacer, now + 3.0).is_probe


def test_a_fixed_concurrency_is_kept_after_an_outage() -> None:
    pacer = Pacer(concurrency=6)
    failing(pacer, 0.0, 5)
    over(pacer, entered(pacer, 2.0), 2.0)

    assert (pacer.limit, pacer.breaker.is_open) == (6, False)


def test_a_probe_that_fails_or_is_cancelled_is_followed_by_another() -> None:
    pacer = Pacer()
    failing(pacer, 0.0, 5)
    over(pacer, entered(pacer, 2.0), 2.0, Mark.FAILED)
    assert pacer.shut_s(2.0) == 4.0
    pacer.leave(entered(pacer, 6.0))

    assert entered(pacer, 6.0).is_probe


def test_what_was_in_flight_before_neither_opens_again_nor_closes() -> None:
    pacer = Pacer(concurrency=9)
    late = [entered(pacer, 0.0) for _ in range(2)]
    failing(pacer, 0.0, 5)
    over(pacer, late[0], 1.0, Mark.FAILED)
    over(pacer, late[1], 1.0)

    assert pacer.breaker.is_open
    assert pacer.shut_s(1.0) == 1.0


def test_the_last_probe_is_at_the_end_of_the_wait_and_then_there_is_no_hope() -> None:
    pacer, now, n_probes = Pacer(max_wait_s=900.0), 0.0, 0
    failing(pacer, 0.0, 5)
    while not pacer.is_hopeless:
        now += pacer.shut_s(now)
        over(pacer, entered(pacer, now), now, Mark.FAILED)
        n_probes += 1

    assert now == 900.0
    assert n_probes <= 20


def test_many_refusals_in_a_row_shut_the_gate_too() -> None:
    pacer = Pacer(concurrency=30)
    failing(pacer, 0.0, 19, Mark.THROTTLED)
    assert not pacer.breaker.is_open
    failing(pacer, 0.0, 1, Mark.THROTTLED)

    assert pacer.breaker.is_open


def test_a_suspect_body_says_nothing_of_the_service_unless_it_is_the_probe() -> None:
    pacer = Pacer()
    for _ in range(50):
        ticket = pacer.enter(0.0, 0.5, is_suspect=True)
        assert isinstance(ticket, Ticket)
        over(pacer, ticket, 0.0, Mark.FAILED)
    assert not pacer.breaker.is_open
    failing(pacer, 0.0, 5)
    probe = pacer.enter(2.0, 0.5, is_suspect=True)
    assert isinstance(probe, Ticket)
    over(pacer, probe, 2.0, Mark.FAILED)

    assert pacer.shut_s(2.0) == 4.0


def test_an_empty_budget_makes_wait_and_fails_nothing() -> None:
    pacer = Pacer()
    pacer.budget.take(500)

    assert pacer.enter(0.0, 0.0, cost=14) == 1.0
    assert entered(pacer, 1.0, cost=14).is_probe


def test_a_429_cuts_the_rate_of_all() -> None:
    pacer, now = Pacer(), 0.0
    for _ in range(40):
        over(pacer, entered(pacer, now), now + 0.05)
        now += 0.1
    over(pacer, entered(pacer, now), now + 0.01, Mark.THROTTLED, overloaded=True)
    now += 0.01
    entered(pacer, now)

    wait_s = pacer.enter(now, 0.5)
    assert isinstance(wait_s, float)
    assert 1 / 10 < wait_s < 1 / 6


# -- patience ------------------------------------------------------------------------


def verdict(code: str = "HTTP_503", max_tries: int | None = None) -> Verdict:
    return Verdict(Step.AGAIN, BatchState.UNKNOWN, code, max_tries=max_tries)


def test_patience_ends_by_attempts_that_count_or_by_time() -> None:
    tries, patience = Tries(), Patience(attempts=3, seconds=10.0)

    def is_over(spent_s: float = 0.0, wait_s: float = 0.0) -> bool:
        return tries.is_over(verdict(), patience, spent_s=spent_s, wait_s=wait_s)

    for counts in (True, False, True):
        tries.count(verdict(), counts=counts)
    assert (tries.n, tries.n_counted) == (3, 2)
    assert [is_over(), is_over(9.0, 1.0), is_over(9.0, 1.5)] == [False, False, True]
    tries.count(verdict())
    assert is_over()
    assert FIRST_CONTACT.attempts == 3


def test_a_code_with_a_number_of_tries_of_its_own_ends_sooner() -> None:
    tries, conflict = Tries(), verdict("HTTP_409", 2)
    for found in (conflict, verdict(), conflict):
        assert not tries.is_over(found, Patience(), spent_s=0.0, wait_s=0.0)
        tries.count(found, counts=False)

    assert tries.is_over(conflict, Patience(), spent_s=0.0, wait_s=0.0)
    assert not tries.is_over(verdict(), Patience(), spent_s=0.0, wait_s=0.0)


# -- the wait ------------------------------------------------------------------------


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


def test_places_that_others_share_take_the_place_of_a_rate() -> None:
    shared = LeasedPlaces()
    pacer = Pacer(concurrency=2, rate=1.0, leased=shared)
    assert pacer.enter(0.0, 0.5) == pytest.approx(0.02)  # none is held: look again
    shared.add(0.0, Lot(2))
    entered(pacer, 0.0)

    assert pacer.n_free(0.0) == 1
    entered(pacer, 0.0)
    assert (pacer.n_free(0.0), pacer.enter(0.0, 0.5)) == (0, math.inf)
    pacer.shut(0.0, 3.0)
    assert (pacer.n_free(1.0), pacer.enter(1.0, 0.5)) == (0, 2.0)
