"""Short forms of the machines that kill; `make torture` runs the long ones."""

import pytest

from torture.kills import kills
from torture.worst_weather import worst_weather


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_few_kills_lose_nothing() -> None:
    chapter = kills(2)
    assert chapter.is_met, chapter.figures


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_and_signals_lose_nothing() -> None:
    chapter = kills(30)
    assert all(
        figure.is_met for figure in chapter.figures if "seconds" not in figure.name
    ), chapter.figures


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_worst_weather_and_ten_kills_end_as_a_calm_day() -> None:
    chapter = worst_weather(1)
    assert chapter.is_met, chapter.figures
