"""People come, leave, come back and change, as many as is said."""

import random
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from torture.crowd import SEEN, Crowd, Size

SIZE = Size(1_000, changed=0.05, moved=0.02)
DAYS = [date(2027, 10, 10) + timedelta(days=n) for n in range(4)]


def crowd(seed: int, n_days: int) -> Crowd:
    found = Crowd(SIZE, DAYS[0], random.Random(seed))  # noqa: S311 - repeatable
    for day in DAYS[1 : n_days + 1]:
        found.pass_day(day)
    return found


def test_a_day_moves_as_many_as_is_said() -> None:
    before, after = crowd(1, 1), crowd(1, 2)

    assert after.rows.height == SIZE.n_people
    left = before.rows.join(after.rows, on="customId", how="anti")
    came = after.rows.join(before.rows, on="customId", how="anti")
    back = came.join(before.away, on="customId", how="semi")
    assert (left.height, came.height, back.height) == (20, 20, 10)
    touched = after.rows.filter(pl.col(SEEN) == "2027-10-12T12:00:00")
    assert touched.height == 50 + came.height


def test_everybody_stands_once_and_nobody_is_lost() -> None:
    found = crowd(1, 3)

    everybody = found.everybody()
    assert everybody["customId"].n_unique() == everybody.height == 1_000 + 20 + 2 * 10
    assert everybody.null_count().sum_horizontal().item() == 0


def test_who_does_not_change_stays_as_he_was() -> None:
    before, after = crowd(1, 0).rows, crowd(1, 1).rows

    same = after.join(before, on=before.columns, how="semi")
    assert same.height == 1_000 - 20 - 50


def test_the_same_seed_gives_the_same_people(tmp_path: Path) -> None:
    texts = []
    for seed in (1, 1, 2):
        crowd(seed, 2).write(tmp_path / "people.csv")
        texts.append((tmp_path / "people.csv").read_bytes())

    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("n_days", [0, 3])
def test_what_is_written_is_what_is_on_the_list(n_days: int, tmp_path: Path) -> None:
    found = crowd(3, n_days)
    found.write(tmp_path / "people.csv")

    told = pl.read_csv(tmp_path / "people.csv", infer_schema=False)
    assert told.equals(found.rows)
