"""docs/proof.md is made of chapters, each written by its own machine."""

import pytest

from prove import MACHINES, PAGE, all_of, chapters_of, page_of, section
from torture.proof import Chapter, Figure

CHAPTER = Chapter(
    "A soak", "Words.", (Figure("growth", "9 MB", "< 5 MB", is_met=False),)
)


def test_a_chapter_is_replaced_and_the_others_stay() -> None:
    before = chapters_of(PAGE.read_text(encoding="utf-8"))
    assert len(before) > 10
    assert set(before) <= set(MACHINES)

    page = page_of(before | {"soak": section("soak", CHAPTER, "today")})

    after = chapters_of(page)
    assert "| growth | 9 MB | < 5 MB | NO |" in after["soak"]
    assert "`python tests/prove.py soak`, today" in after["soak"]
    del before["soak"], after["soak"]
    assert {n: t.strip() for n, t in after.items()} == {
        n: t.strip() for n, t in before.items()
    }


def test_what_never_ran_is_said() -> None:
    page = page_of({"soak": section("soak", CHAPTER, "today")})

    missing = ", ".join(name for name in MACHINES if name != "soak")
    assert f"Never run for this page: {missing}.\n" in page


@pytest.mark.slow
def test_machines_beside_each_other_are_told_in_their_order() -> None:
    found = dict(all_of(["three-way", "guards"], 2))

    assert [*found] == ["three-way", "guards"]
    assert all(ran.is_met for ran in found.values())
    assert all(f"prove.py {name}`" in ran.chapter for name, ran in found.items())
    assert all(ran.chapter in ran.words for ran in found.values())
