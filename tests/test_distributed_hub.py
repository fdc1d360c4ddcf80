"""Who has a partition, and who only believes so."""

from pipeline.distributed.hub import Hub, Orders, Told, Turn
from pipeline.distributed.pace import Lot, SharedPace


def test_who_begins_a_partition_takes_it_from_whoever_had_it() -> None:
    hub = Hub(SharedPace())
    first, other, second = hub.begin(1), hub.begin(2), hub.begin(1)

    assert (first, other, second) == (Turn(1, 1), Turn(2, 1), Turn(1, 2))
    assert hub.lease(0.0, first, 4) == Lot(0, 1.0)
    assert hub.lease(0.0, second, 4) == Lot(4)
    assert hub.tell(0.0, first, Told()) == Orders(is_over=True)
    assert hub.tell(0.0, second, Told()) == Orders()


def test_what_a_dead_worker_told_still_counts() -> None:
    hub = Hub(SharedPace())
    hub.tell(0.0, hub.begin(1), Told({"n_requests": 3}))
    hub.tell(0.0, hub.begin(1), Told({"n_requests": 4}))

    assert [told["n_requests"] for told in hub.counts.values()] == [3, 4]


def test_a_stop_reaches_everybody_and_ends_the_lots() -> None:
    hub = Hub(SharedPace())
    turn = hub.begin(1)
    hub.n_stops = 2

    assert hub.lease(0.0, turn, 4) == Lot(0, 1.0)
    assert hub.tell(0.0, turn, Told()) == Orders(2)


def test_what_a_worker_met_shifts_the_pace_of_all() -> None:
    hub = Hub(SharedPace())
    one, other = hub.begin(1), hub.begin(2)
    hub.tell(10.0, one, Told(n_good=1, is_throttled=True, shut_s=5.0))

    assert hub.lease(12.0, other, 4) == Lot(0, 3.0)
