"""The short form of the machine that kills mirrors; `make torture` runs all of it."""

import pytest

from torture.killed_mirrors import prove


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_mirror_that_is_killed_deletes_whom_it_may_and_nobody_else() -> None:
    chapter = prove(2)

    assert chapter.is_met, chapter.figures
