"""The short form of the month; `make torture` lives all of it."""

import pytest

from torture.thirty_nights import prove


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_morning_the_crm_is_the_source() -> None:
    chapter = prove(4)

    assert chapter.is_met, chapter.figures
