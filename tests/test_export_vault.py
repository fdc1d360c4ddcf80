"""What was seen is kept once, whatever instant a process dies at."""

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.ids import DistinctIds
from pipeline.export.plain import frame_of_profiles
from pipeline.export.vault import Vault, remove_forgotten

COLUMNS = st.lists(st.lists(st.integers(-3, 40) | st.integers(), max_size=8))


@given(COLUMNS, st.integers(1, 9))
def test_a_set_of_ids_is_a_set(columns: list[list[int]], most_recent: int) -> None:
    ids, known = DistinctIds(most_recent), set[int]()
    for numbers in columns:
        column = pl.Series([n for n in numbers if abs(n) < 2**63], dtype=pl.Int64)
        wanted = []
        for number in column:
            wanted.append(number not in known)
            known.add(number)
        assert ids.holds(column).to_list() == [
            number in known - {n for n, w in zip(column, wanted, strict=True) if w}
            for number in column
        ]

        assert ids.add(column).to_list() == wanted

    assert len(ids) == len(known)
    assert ids.sorted().to_list() == sorted(known)


QUESTION = {"what": "all"}


def opened(folder: Path, **more: float) -> Vault:
    told = {"now": 100.0, "oldest": 0.0} | more
    return Vault.open(folder, QUESTION, **told)


def page(*ids: int) -> pl.DataFrame:
    return frame_of_profiles([{"id": number} for number in ids])


def kept(vault: Vault) -> list[int]:
    return [n for frame in vault.frames("list") for n in frame["clientId"]]


def filled(folder: Path) -> Vault:
    vault = opened(folder)
    vault.keep("list", "one", page(1, 2, 2), {"matching": 3})
    vault.keep("list", "two", page(2, 3), {})
    vault.keep("full", "two", page(3, 4), {})
    vault.keep("list", "three", page(1), {})
    return vault


def test_a_profile_is_kept_once_of_each_kind(tmp_path: Path) -> None:
    vault = filled(tmp_path / "v")

    assert kept(vault) == [1, 2, 3]
    assert [n for f in vault.frames("full") for n in f["clientId"]] == [3, 4]
    assert len(vault.seen) == 4
    assert (tmp_path / "v").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "v").iterdir()} == {0o600}


def test_units_come_back(tmp_path: Path) -> None:
    filled(tmp_path / "v")
    vault = opened(tmp_path / "v", now=200.0)

    assert (vault.n_resumed, vault.began_at, kept(vault)) == (4, 100.0, [1, 2, 3])
    unit = vault.recorded("list", "one")
    assert unit is not None
    assert (unit.told, unit.ids.to_list(), unit.n_new) == (
        {"matching": 3},
        [1, 2, 2],
        2,
    )
    assert vault.recorded("list", "one") is None
    assert vault.recorded("list", "else") is None
    vault.keep("list", "four", page(9), {})
    assert kept(opened(tmp_path / "v")) == [1, 2, 3, 9]


@pytest.mark.parametrize("n_bytes", range(1, 400, 7))
def test_a_torn_journal_gives_whole_units(tmp_path: Path, n_bytes: int) -> None:
    filled(tmp_path / "v")
    journal = tmp_path / "v" / "units.jsonl"
    journal.write_bytes(journal.read_bytes()[:-n_bytes])

    vault = opened(tmp_path / "v")

    assert vault.n_resumed < 4
    assert len(vault.seen) == len(
        {
            n
            for f in ("list", "full")
            for n in pl.Series([i for x in vault.frames(f) for i in x["clientId"]])
        }
    )
    vault.keep("list", "again", page(1, 2, 3, 5), {})
    assert sorted(kept(opened(tmp_path / "v"))) == [1, 2, 3, 5]


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_damaged_part_ends_what_is_taken_over(tmp_path: Path, damage: str) -> None:
    filled(tmp_path / "v")
    part = tmp_path / "v" / "000001.ipc"
    content = part.read_bytes()
    if damage == "gone":
        part.unlink()
    else:
        cut = content[:-9] if damage == "cut" else content[:-9] + b"x" * 9
        part.write_bytes(cut)

    vault = opened(tmp_path / "v")

    assert (vault.n_resumed, kept(vault)) == (1, [1, 2])


def test_another_question_and_old_ones_begin_anew(tmp_path: Path) -> None:
    filled(tmp_path / "v")
    assert opened(tmp_path / "v", oldest=101.0).n_resumed == 0
    filled(tmp_path / "w")
    other = Vault.open(tmp_path / "w", {"what": "else"}, now=1.0, oldest=0.0)
    assert (other.n_resumed, len(other.seen)) == (0, 0)
    other.remove()
    assert not (tmp_path / "w").exists()


def test_what_nobody_goes_on_with_is_removed(tmp_path: Path) -> None:
    for name in ("old", "young"):
        (tmp_path / name).mkdir()
        filled(tmp_path / name / "seen")
    os.utime(tmp_path / "old" / "seen" / "units.jsonl", (50.0, 50.0))

    remove_forgotten(tmp_path, 60.0)

    assert [p.parent.name for p in tmp_path.glob("*/seen")] == ["young"]
