"""Places in small lots: no more than the rate, and a 429 of one holds all."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distributed.pace import (
    LATE_S,
    LOT_S,
    MOST_PLACES,
    LeasedPlaces,
    Lot,
    SharedPace,
)


@dataclass
class Worker:
    """Sends as soon as it may, with pauses of its own."""

    pace: SharedPace
    places: LeasedPlaces = field(default_factory=LeasedPlaces)
    sent: list[float] = field(default_factory=list)
    free_s: float = 0.0

    def step(self, now_s: float, n_free: int, pause_s: float) -> None:
        if now_s < self.free_s:
            return
        if not self.places.has_any(now_s):
            self.places.add(now_s, self.pace.lease(now_s, n_free))
        if self.places.has_any(now_s) and self.places.wait_s(now_s) == 0.0:
            self.places.take(now_s)
            self.sent.append(now_s)
            self.free_s = now_s + pause_s


def most_in_a_second(sent: list[float]) -> int:
    return max(
        (sum(at <= other < at + 1.0 for other in sent) for at in sent), default=0
    )


@given(
    rate=st.floats(0.5, 40.0),
    n_workers=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_no_second_sees_more_than_the_rate_of_all_workers_together(
    rate: float, n_workers: int, seed: int
) -> None:
    pace, chance = SharedPace(rate), Random(seed)  # noqa: S311 - a test's dice
    workers = [Worker(pace) for _ in range(n_workers)]
    for tick in range(1000):
        for worker in chance.sample(workers, n_workers):
            pause_s = chance.choice((0.0, 0.0, 0.05, 0.4))
            worker.step(tick * 0.005, chance.randint(1, 16), pause_s)
    sent = sorted(at for worker in workers for at in worker.sent)

    # A place may be used until the next one comes, so each worker may be late by one.
    assert most_in_a_second(sent) <= rate * (1 + LATE_S) + 2
    assert len(sent) > 0


def test_workers_that_are_quick_enough_use_the_whole_rate() -> None:
    pace = SharedPace(20.0)
    workers = [Worker(pace), Worker(pace)]
    for tick in range(2000):
        for worker in workers:
            worker.step(tick * 0.005, 4, 0.0)

    n_sent = [len(worker.sent) for worker in workers]
    assert sum(n_sent) == pytest.approx(200, abs=4)
    assert min(n_sent) > 0.3 * sum(n_sent)


def test_without_a_rate_a_lot_is_used_at_once_or_given_up() -> None:
    pace, places = SharedPace(), LeasedPlaces()
    lot = pace.lease(5.0, 100)
    assert lot == Lot(MOST_PLACES)
    places.add(5.0, lot)
    places.take(5.0)

    assert places.wait_s(5.0 + LOT_S - 0.01) == 0.0
    assert not places.has_any(5.0 + LOT_S)
    assert places.wait_s(5.0 + LOT_S) == LATE_S


def test_a_worker_asks_for_as_many_as_it_can_use() -> None:
    assert SharedPace().lease(0.0, 3) == Lot(3)
    assert SharedPace(100.0).lease(0.0, 3) == Lot(3, 0.0, 0.01)
    assert SharedPace(0.5).lease(0.0, 3) == Lot(1, 0.0, 2.0)


def test_a_place_that_is_far_away_is_not_given_yet() -> None:
    pace = SharedPace(0.5)
    pace.lease(0.0, 1)

    later, now = pace.lease(0.1, 1), pace.lease(1.6, 1)
    assert later.n_places == 0
    assert later.wait_s == pytest.approx(1.9 - LOT_S / 2)
    assert (now.n_places, now.step_s) == (1, 2.0)
    assert now.wait_s == pytest.approx(0.4)


def test_what_one_is_asked_to_wait_all_wait() -> None:
    pace = SharedPace()
    pace.learn(10.0, 0, is_throttled=True, shut_s=3.0)
    pace.learn(10.0, 0, is_throttled=False, shut_s=1.0)

    assert pace.lease(11.0, 5) == Lot(0, 2.0)
    assert pace.lease(13.0, 5).n_places == 5


def test_a_429_of_one_lowers_the_rate_of_all() -> None:
    pace = SharedPace()
    for tenth in range(60):
        pace.learn(tenth / 10, 2, is_throttled=False, shut_s=0.0)
    pace.learn(6.0, 0, is_throttled=True, shut_s=0.0)

    lot = pace.lease(6.0, 8)
    assert 1.0 / lot.step_s == pytest.approx(0.7 * 20.0, rel=0.1)


def test_what_is_held_is_given_up_at_a_429() -> None:
    places = LeasedPlaces()
    places.add(0.0, Lot(4))
    places.succeed(0.0)
    places.cut(0.1)

    assert not places.has_any(0.1)
    assert (places.n_good, places.is_throttled) == (1, True)
    places.take(0.1)  # a probe of a failing service needs no place
