"""The short forms of the months; `make torture` lives all of them."""

from datetime import date

import anyio
import pytest

from torture import large_nights, thirty_nights
from torture.crowd import Size
from torture.thirty_nights import CLOCK_CHANGES, STILL_DAY, beginning, days, instants


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_morning_the_crm_is_the_source() -> None:
    chapter = thirty_nights.prove(4)

    assert chapter.is_met, chapter.figures


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_so_it_is_with_many_people() -> None:
    chapter = large_nights.prove(2)

    assert chapter.is_met, chapter.figures


def test_a_few_nights_are_those_in_which_something_is_odd() -> None:
    assert days(1) == [CLOCK_CHANGES]
    assert days(2) == [CLOCK_CHANGES, STILL_DAY]
    assert {CLOCK_CHANGES, STILL_DAY} < set(days(30))
    assert (len(days(30)), days(30)[0]) == (30, date(2027, 10, 10))
    assert len([*instants(CLOCK_CHANGES)]) == 2
    assert len([*instants(STILL_DAY)]) == 1


def test_a_night_that_sends_nothing_is_seen_in_the_morning() -> None:
    day = date(2027, 10, 10)
    with beginning(Size(30, changed=0.1, moved=0.1), 5, day) as month:
        anyio.run(month.night, day)
        assert month.look().is_equal

        month.crowd.pass_day(date(2027, 10, 11))

        assert month.look().n_wrong == 3 + 3
