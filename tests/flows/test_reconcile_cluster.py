"""A comparison by two worker processes: the same files as by one process."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import polars as pl
import pytest

if find_spec("distributed") is None:
    pytest.skip(
        "distributed not installed: pip install 'crm-pipeline[dask]'",
        allow_module_level=True,
    )

from cluster_day import TWO_WORKERS
from pipeline.sandbox.weather import parse_weather
from torture.process import place

if TYPE_CHECKING:
    from pathlib import Path

    from torture.process import Ended, Place

# Their short twins are in `test_reconcile_handing_out.py`, without processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
N_ROWS = 120_000  # with their profiles more than one group of buckets
DEADLY = '''"""A worker that dies of part 1 when it has compared it, but only once."""
import os
from pathlib import Path
from pipeline.reconcile import bucket_work

if bucket_work.compare_files.__name__ != "deadly":
    compare = bucket_work.compare_files
    mark = Path(os.environ["DEATHS"])

    async def deadly(task, link):
        answer = await compare(task, link)
        if task.number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return answer

    bucket_work.compare_files = deadly
'''


def write_sides(folder: Path) -> None:
    """Write a source, and an export in another order: edited, less, and more."""
    n = pl.int_range(N_ROWS, eager=True).alias("n")
    rows = pl.DataFrame(n).select(
        customId=pl.format("C{}", "n"), city=pl.format("Town {}", pl.col("n") % 977)
    )
    rows.write_csv(folder / "people.csv")
    moved = pl.when(n % 50 == 7).then(pl.lit("Elsewhere")).otherwise("city")
    there = rows.with_columns(city=moved).filter(n % 100 != 13).reverse()
    strangers = pl.DataFrame({"customId": ["X1", "X2"], "city": ["a", None]})
    pl.concat([there, strangers]).write_parquet(folder / "crm.parquet")


def compared(at: Place, *more: str) -> Ended:
    return at.run("reconcile", "people.csv", "--against=crm.parquet", *more)


def files_of(at: Place, ended: Ended) -> dict[str, bytes]:
    """The files that hold rows; a page tells when it was made."""
    paths = [at.folder / path for path in ended.summary["files"].values()]
    return {path.name: path.read_bytes() for path in paths if path.suffix != ".html"}


def test_workers_of_which_one_is_killed_leave_what_one_process_leaves(
    tmp_path: Path,
) -> None:
    with place(tmp_path, parse_weather("calm")) as at:
        write_sides(at.folder)
        one = compared(at)
        deadly, deaths = tmp_path / "deadly.py", tmp_path / "deaths"
        deadly.write_text(DEADLY)
        more = {"DASK_DISTRIBUTED__WORKER__PRELOAD": str(deadly), "DEATHS": str(deaths)}
        many = compared(replace(at, environment=at.environment | more), *TWO_WORKERS)
        left = {path.name for path in at.work_dir.iterdir()}

    assert (one.code, many.code, many.said) == (4, 4, "")
    assert deaths.exists()
    assert files_of(at, many) == files_of(at, one)
    assert set(files_of(at, many)) == {
        "differences.csv",
        "differences.parquet",
        "repair.csv",
    }
    for part in ("rows", "fields"):
        assert many.summary[part] == one.summary[part]
    assert "scratch" not in left
