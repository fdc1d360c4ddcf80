"""A small form of the exports past the cap, and every seed that once found a bug."""

import pytest

from marks import slow
from torture import roads


@pytest.mark.parametrize("seed", [1, 3, *slow(0, 2, 4, 5)])
def test_an_export_is_complete_where_it_can_be_and_never_by_mistake(seed: int) -> None:
    end = roads.exported_small(seed)

    assert not (end.is_complete and end.n_missing)
    assert end.is_complete == end.drawn.is_possible


@pytest.mark.slow
def test_ten_workspaces_meet_the_figures() -> None:
    assert [one.name for one in roads.prove(10).figures if not one.is_met] == []
