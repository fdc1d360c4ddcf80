"""What waits on disk comes back whole, and leaves nothing behind."""

import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spill import Spill, by_digest, read_bucket


@given(
    parts=st.lists(st.lists(st.integers(0, 9), max_size=20), max_size=6),
    max_rows=st.integers(1, 200),
)
def test_every_row_comes_back_in_its_bucket(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], max_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("spill") / "entries"
    with Spill(folder, max_rows=max_rows) as spill:
        for part in parts:
            frame = pl.DataFrame({"value": part}, schema={"value": pl.Int64})
            spill.add(frame.with_columns((pl.col("value") % 3).alias("bucket")))
        once = [frame["value"].to_list() for frame in spill.buckets()]
        twice = [frame["value"].to_list() for frame in spill.buckets()]
        files = [read_bucket(paths)["value"].to_list() for paths in spill.groups()]
        on_disk = [frame["value"].to_list() for frame in spill.buckets()]

    everything = [value for part in parts for value in part]
    assert once == twice
    assert files == on_disk
    for found in (once, files):
        assert sorted(v for bucket in found for v in bucket) == sorted(everything)
        for residue in range(3):
            homes = [i for i, b in enumerate(found) if any(v % 3 == residue for v in b)]
            assert len(homes) <= 1
    assert not folder.exists()


@given(
    parts=st.lists(st.lists(st.integers(0, 2**20), max_size=60), max_size=6),
    max_rows=st.integers(1, 20),
)
def test_a_large_bucket_comes_in_parts_that_keep_equal_numbers_together(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]], max_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("spill") / "entries"
    with Spill(folder, max_rows=max_rows, cut_by="digest") as spill:
        for part in parts:
            frame = pl.DataFrame({"digest": part * 2}, schema={"digest": pl.UInt128})
            spill.add(by_digest(frame))
        found = [frame["digest"].to_list() for frame in spill.buckets()]

    everything = [number for part in parts for number in part * 2]
    assert sorted(n for part in found for n in part) == sorted(everything)
    homes = [number for part in found for number in set(part)]
    assert len(homes) == len(set(homes))


def test_parts_of_a_large_bucket_are_no_larger_than_what_is_held(
    tmp_path: Path,
) -> None:
    digests = pl.select(pl.int_range(3_200, dtype=pl.UInt128) * 64).to_series()
    frame = digests.alias("digest").to_frame()
    with Spill(tmp_path / "held", max_rows=100, cut_by="digest") as spill:
        for start in range(0, 3_200, 50):
            spill.add(by_digest(frame.slice(start, 50)))  # all in one bucket
        sizes = [part.height for part in spill.buckets()]
    with Spill(tmp_path / "whole", max_rows=100) as spill:
        spill.add(by_digest(frame))
        whole = [part.height for part in spill.buckets()]

    assert (sizes, whole) == ([100] * 32, [3_200])


def test_files_on_disk_are_private(tmp_path: Path) -> None:
    with Spill(tmp_path / "held", max_rows=1) as spill:
        spill.add(pl.DataFrame({"value": [1], "bucket": [0]}))

        assert stat.S_IMODE((tmp_path / "held").stat().st_mode) == 0o700
        files = (tmp_path / "held").iterdir()
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert [f["value"].to_list() for f in spill.buckets()] == [[1]]
