"""The state: whole generations, one that counts, and words for what is damaged."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from delta_states import FIRST, told
from pipeline.delta.digest_set import SPAN_ROWS, DigestSet, spans
from pipeline.delta.digests import KEY_COLUMNS, N_BUCKETS, bucket_of
from pipeline.delta.plan import Night
from pipeline.delta.state import (
    NIGHTS,
    StateStore,
    with_night,
)
from pipeline.delta.state_objects import STATE_NAME
from pipeline.errors import JournalDamagedError, SettingsError


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path, "guid", "people")


def test_there_is_no_state_before_the_first(store: StateStore) -> None:
    assert store.record() is None


def test_a_generation_replaces_the_one_before(store: StateStore) -> None:
    first = store.change(FIRST, told)
    second = store.change(first, told)

    assert (first.generation, second.generation) == (1, 2)
    assert second.n_persons == N_BUCKETS
    assert store.record() == second
    assert [path.name for path in store.folder.glob("g*")] == ["g000002"]
    read = store.digests(second).read(range(63, 64))
    assert read is not None
    assert read["d:a"].to_list() == [5]


def test_files_are_private(store: StateStore) -> None:
    store.change(FIRST, told)

    modes = {path.stat().st_mode & 0o777 for path in store.folder.rglob("*.*")}
    assert modes == {0o600}
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_what_a_crash_left_of_a_generation_does_not_count(store: StateStore) -> None:
    first = store.change(FIRST, told)
    half = store.folder / "g000002"
    half.mkdir()
    (half / "00-63.parquet").write_bytes(b"half")
    (half / "99.parquet").write_bytes(b"of another time")

    assert store.record() == first
    second = store.change(first, told)
    assert not (half / "99.parquet").exists()
    assert store.digests(second).read(range(1)) is not None


def test_beginning_anew_forgets_everybody(store: StateStore) -> None:
    first = store.change(FIRST, told)
    second = store.change(first, lambda _buckets: None, is_anew=True)

    assert second.n_persons == 0
    found = store.digests(second).read(range(1))
    assert found is not None
    assert found.is_empty()


def test_who_is_not_told_of_stays(store: StateStore) -> None:
    first = store.change(FIRST, told)
    second = store.change(first, lambda _buckets: None)

    assert second.n_persons == first.n_persons


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": "x"}'])
def test_a_damaged_record_is_told_and_nothing_is_lost(
    store: StateStore, text: str
) -> None:
    store.change(FIRST, told)
    (store.folder / STATE_NAME).write_text(text)

    with pytest.raises(JournalDamagedError, match="next plan then sends every row"):
        store.record()


def test_a_damaged_bucket_is_told(store: StateStore) -> None:
    first = store.change(FIRST, told)
    next(store.folder.glob("g*/*.parquet")).write_bytes(b"PAR1")

    with pytest.raises(JournalDamagedError, match="state is damaged"):
        store.digests(first).read(range(1))


def test_a_newer_state_is_left_alone(store: StateStore) -> None:
    store.change(FIRST, told)
    path = store.folder / STATE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))

    with pytest.raises(SettingsError, match="newer version"):
        store.record()


def test_two_datasets_have_states_of_their_own(tmp_path: Path) -> None:
    one, other = StateStore(tmp_path, "g", "a"), StateStore(tmp_path, "g", "b")
    one.change(replace(FIRST, dataset="a"), told)

    assert other.record() is None


def test_the_last_nights_are_kept_once_each() -> None:
    nights: tuple[Night, ...] = ()
    for n in range(NIGHTS + 5):
        night = Night(f"run {n}", n, n, n, {})
        nights = with_night(with_night(nights, night), night)

    assert [night.n_read for night in nights] == list(range(5, NIGHTS + 5))


def test_a_set_gives_back_what_was_added_in_any_portions(tmp_path: Path) -> None:
    rows = pl.select(
        (pl.int_range(1_000, dtype=pl.UInt64) * (2**64 // 1_000)).alias("key_hi"),
        pl.int_range(1_000, dtype=pl.UInt64).alias("key_lo"),
    )
    with DigestSet(tmp_path / "set", held_rows=300) as found:
        for part in rows.iter_slices(130):
            found.add(part)

    read = [found.read(range(n, n + 1), ["key_lo", "key_hi"]) for n in range(N_BUCKETS)]
    frames = [frame.select(*KEY_COLUMNS) for frame in read if frame is not None]
    assert pl.concat(frames).sort("key_lo").equals(rows)
    for n, frame in enumerate(frames):
        assert frame.select(bucket_of())["bucket"].unique().to_list() == [n]
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "set").iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("held_rows", [300, 10_000])
def test_spans_show_all_rows_in_an_order_of_their_own(
    tmp_path: Path, held_rows: int
) -> None:
    rows = pl.select(
        (pl.int_range(1_000, dtype=pl.UInt64) * (2**64 // 1_000)).alias("key_hi"),
        pl.int_range(1_000, dtype=pl.UInt64).alias("key_lo"),
    )
    with DigestSet(tmp_path / "set", held_rows=held_rows) as found:
        for part in rows.iter_slices(130):
            found.add(part)
    again = DigestSet(tmp_path / "set")

    assert found.n_rows() == again.n_rows() == rows.height
    for n_rows in (0, 1_000, 10 * SPAN_ROWS, 10**9):
        parts = spans(n_rows)
        assert [n for part in parts for n in part] == list(range(N_BUCKETS))
        read = [again.read(part) for part in parts]
        keys = [again.read(part, ["key_hi", "key_lo"]) for part in parts]
        frames = [frame for frame in read if frame is not None]
        assert pl.concat(frames).sort("key_lo").select(rows.columns).equals(rows)
        for whole, some in zip(read, keys, strict=True):
            assert whole is not None
            assert some is not None
            assert whole.select(some.columns).equals(some)
    assert len(spans(SPAN_ROWS)) == 1
    assert len(spans(10**9)) == N_BUCKETS


def test_a_set_that_ended_in_an_error_writes_nothing(tmp_path: Path) -> None:
    found = DigestSet(tmp_path / "set")
    found.add(told(range(3, 4))[0])
    found.__exit__(KeyError)

    assert not (tmp_path / "set").exists()


def test_a_set_of_nobody_makes_no_folder(tmp_path: Path) -> None:
    with DigestSet(tmp_path / "set"):
        pass
    assert not (tmp_path / "set").exists()
