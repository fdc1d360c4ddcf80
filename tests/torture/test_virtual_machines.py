"""Short forms of the machines in virtual time, and every seed that once found a bug."""

import pytest

from marks import slow
from torture import altered, pace, schedules, soak


# 611: a batch that served as control was put into quarantine after it was accepted.
@pytest.mark.parametrize(
    "seed",
    [
        50,
        163,
        611,
        1077,
        1826,
        *slow(*range(3000, 3020)),
    ],
)
def test_a_schedule_ends_as_it_should(seed: int) -> None:
    assert schedules.played(seed).wrong == ()


def test_the_same_seed_gives_the_same_events() -> None:
    assert schedules.played(7).digest == schedules.played(7).digest
    assert schedules.played(7).digest != schedules.played(8).digest


@pytest.mark.slow
def test_altered_rows_are_found() -> None:
    chapter = altered.prove(2)

    assert [one.name for one in chapter.figures if not one.is_met] == []


@pytest.mark.slow
def test_the_pace_keeps_its_bounds_on_one_seed() -> None:
    assert [one.name for one in pace.prove(1).figures if not one.is_met] == []


@pytest.mark.slow
def test_memory_stays_flat_for_half_an_hour() -> None:
    assert [one.name for one in soak.prove(1).figures if not one.is_met] == []


def test_growth_is_seen() -> None:
    assert soak.growth([5, 5, 5, 5, 5, 5, 5, 5]) == 0
    assert soak.growth([0, 0, 0, 0, 10, 20, 30, 40]) == 30
