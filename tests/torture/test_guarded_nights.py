"""The short form of the machine of guards; `make torture` runs the long one."""

import pytest

from torture.guarded_nights import BAD, prove


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bad_sources_are_stopped_and_good_ones_are_not() -> None:
    chapter = prove(len(BAD))

    assert chapter.figures[1].is_met, chapter.figures
    assert sum(row[1] == row[2] for row in chapter.table) >= len(BAD) - 1
