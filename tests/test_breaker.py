"""The breaker opens on failures, not on noise; the budget always comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.breaker import BUDGET_TOKENS, Breaker, Budget, cost_of_retry


def opens_after(marks: str) -> int | None:
    """After which of the marks (+ success, - failure, t throttled) it is to open."""
    breaker = Breaker()
    for n, mark in enumerate(marks, 1):
        if mark == "+":
            breaker.succeed(is_probe=False)
        elif breaker.fail(is_throttled=mark == "t", is_probe=False):
            return n
    return None


@pytest.mark.parametrize(
    ("marks", "n"),
    [
        ("-----", 5),
        ("----+----+----", None),  # 14 of them: fewer than 20 say nothing as a share
        ("+-" * 30, 20),
        ("++-" * 30, None),
        ("t" * 19, None),
        ("t" * 20, 20),
        ("t-" * 8, 10),
        ("----tttt-", 9),
        ("--t" * 3, 7),
    ],
)
def test_when_it_opens(marks: str, n: int | None) -> None:
    assert opens_after(marks) == n


def test_each_opening_is_longer_up_to_a_minute_and_success_forgets() -> None:
    breaker = Breaker()
    longest = [breaker.open_s(0.0, 1.0) for _ in range(8)]
    assert longest == [2, 4, 8, 16, 32, 60, 60, 60]
    assert breaker.down_s(7.0) == 7.0
    assert breaker.succeed(is_probe=True)
    assert not breaker.succeed(is_probe=True)

    assert breaker.down_s(7.0) == 0.0
    assert breaker.open_s(5.0, 0.0) == 1.0


def test_an_outage_lasts_from_its_first_opening() -> None:
    breaker = Breaker()
    for at_s in (10.0, 20.0, 40.0):
        breaker.open_s(at_s, 0.5)

    assert breaker.down_s(50.0) == 40.0


def test_only_a_probe_closes_or_opens_it_again() -> None:
    breaker = Breaker()
    breaker.open_s(0.0, 0.5)

    assert not breaker.succeed(is_probe=False)
    assert not breaker.fail(is_throttled=False, is_probe=False)
    assert breaker.fail(is_throttled=False, is_probe=True)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_what_repetitions_cost_comes_back_with_their_success(
    batches: list[tuple[bool, int]],
) -> None:
    budget = Budget()
    for is_throttled, n_retries in batches:
        cost = cost_of_retry(is_throttled=is_throttled)
        before = budget.tokens
        spent = sum(cost for _ in range(n_retries) if budget.take(cost))
        assert 0 <= budget.tokens == before - spent
        budget.give(spent)
        assert before <= budget.tokens <= BUDGET_TOKENS


def test_an_empty_budget_gives_nothing() -> None:
    budget = Budget(tokens=13)

    assert not budget.take(cost_of_retry(is_throttled=False))
    assert budget.take(cost_of_retry(is_throttled=True))
    assert budget.tokens == 8
