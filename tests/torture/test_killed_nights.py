"""The short form of the machine that kills nights; `make torture` runs the long one."""

import pytest

from torture.killed_nights import PHASES, prove


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_night_that_is_killed_in_any_phase_loses_nothing() -> None:
    chapter = prove(len(PHASES))

    assert chapter.is_met, chapter.figures
