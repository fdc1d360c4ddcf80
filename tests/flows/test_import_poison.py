"""A row that the service fails on comes back marked for another try, and takes it."""

from pathlib import Path

import polars as pl
import pytest

from import_day import imported, people, under
from pipeline.contract import ROW_CODES, TOOL_COLUMNS

N_ROWS = 200
POISON = "p0015@example.com"


def rewritten(source: Path, kind: str) -> Path:
    """Write the source again in another kind."""
    path = source.with_suffix(f".{kind}")
    frame = pl.read_csv(source)
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        frame.write_ndjson(path)
    return path


def read(path: Path) -> pl.DataFrame:
    readers = {
        ".csv": pl.read_csv,
        ".jsonl": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    frame: pl.DataFrame = readers[path.suffix](path)  # type: ignore[operator]
    return frame


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
async def test_only_the_poisoned_row_is_quarantined_and_told_to_retry(
    tmp_path: Path, kind: str
) -> None:
    source = rewritten(people(tmp_path / "people.csv", N_ROWS), kind)
    weather = f"calm,poison={POISON},refuse=p0040@example.com,refuse_status=207"
    async with under(weather) as (_, connector, _):
        report = await imported(source, connector)

    assert report.error is None
    assert (report.counts.rejected, report.counts.pending) == (2, 0)
    back = read(report.files.paths["rejected"])
    assert back.columns == ["email", "customId", *TOOL_COLUMNS]
    assert back["_row_no"].to_list() == [15, 40]
    assert back["_state"].to_list() == ["rejected", "rejected"]
    assert back["_code"].to_list() == ["QUARANTINED", "REFUSED"]
    assert back["_message"].to_list() == [
        ROW_CODES["QUARANTINED"],
        ROW_CODES["REFUSED"],
    ]
    retried = back["_message"].str.contains("retry: true", literal=True)
    assert retried.to_list() == [True, False]
    outcomes = pl.read_parquet(report.files.paths["outcomes"])
    coded = outcomes.filter(pl.col("code").is_not_null())
    assert coded.select("row_no", "state", "code").rows() == [
        (15, "rejected", "QUARANTINED"),
        (40, "rejected", "REFUSED"),
    ]


@pytest.mark.anyio
async def test_fed_back_on_a_better_day_it_arrives(tmp_path: Path) -> None:
    source = people(tmp_path / "people.csv", N_ROWS)
    async with under(f"calm,poison={POISON}") as (sandbox, connector, _):
        first = await imported(source, connector)
        assert sandbox.store.count_profiles() == N_ROWS - 1
    async with under("calm") as (sandbox, connector, _):
        second = await imported(first.files.paths["rejected"], connector)
        sandbox.settle()
        stored = [profile["email"] for profile in sandbox.profiles()]

    assert second.error is None
    assert set(second.mapping.ignored) == set(TOOL_COLUMNS)
    assert (second.counts.accepted, stored) == (1, [POISON])
