"""Objects of a store that speaks S3: as sources, and written on a condition."""

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from warehouse_needs import needs

needs("obstore", "deltalake", "moto")

from pipeline import (  # noqa: E402 - behind the skip
    ImportRequest,
    Job,
    run_import,
)
from pipeline.continuing import job_of_run  # noqa: E402
from pipeline.errors import (  # noqa: E402
    PipelineError,
    SettingsError,
    SourceChangedError,
    SourceMissingError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.objects import ObjectStore  # noqa: E402
from pipeline.reader import open_source  # noqa: E402
from pipeline.sandbox.server import SandboxOptions  # noqa: E402
from pipeline.settings import SourceSettings  # noqa: E402
from pipeline.spool import spooled  # noqa: E402
from sandbox_driver import served  # noqa: E402
from shell import Shell  # noqa: E402

PEOPLE = b"email,firstName\nann@example.com,Ann\nbob@example.com,Bob\n"
SECRET = "s3cr3t-of-the-store"


@pytest.fixture
def store(s3: Any) -> ObjectStore:
    s3.make_bucket("lake")
    return ObjectStore("s3://lake/anything")


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def read(url: str, folder: Path) -> list[tuple[Any, ...]]:
    source = open_source(spooled(SourceSettings(path=url), folder).source)
    frames = [piece.frame for piece in source.slices()]
    return pl.concat(frames).drop("source_no", "row_no").rows()


# -- writing -----------------------------------------------------------------------


def test_an_object_is_written_once(store: ObjectStore) -> None:
    first = store.put_new("state/lock", b"mine")

    assert first is not None
    assert store.put_new("state/lock", b"yours") is None
    assert store.get("state/lock") == (b"mine", first)


def test_of_many_writers_one_is_first(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda n: store.put_new("lock", b"%d" % n), range(8)))

    (winner,) = [n for n, info in enumerate(told) if info is not None]
    found = store.get("lock")
    assert found is not None
    assert found[0] == b"%d" % winner


def test_an_object_is_replaced_by_who_knows_it(store: ObjectStore) -> None:
    first = store.put_new("state", b"1")
    assert first is not None
    second = store.put_over(first, b"22")

    assert second is not None
    assert store.put_over(first, b"3") is None
    assert store.get("state") == (b"22", second)
    assert store.head("state") == second


def test_objects_are_listed_and_removed(store: ObjectStore) -> None:
    for key in ("a/2", "a/1", "ab/1"):
        store.put(key, b"x")
    store.delete("a/2")
    store.delete("a/2")

    assert [info.key for info in store.list("a")] == ["a/1"]
    assert store.get("a/2") is None
    assert store.head("a/2") is None


def test_a_large_object_comes_in_parts(store: ObjectStore) -> None:
    content = bytes(range(256)) * 80_000  # 20 MB
    store.put("large", content)
    info = store.head("large")
    assert info is not None
    parts = list(store.parts(info))

    assert b"".join(parts) == content
    assert max(map(len, parts)) <= 8 << 20


def test_an_object_that_changes_under_way_is_not_mixed(store: ObjectStore) -> None:
    store.put("large", bytes(20_000_000))
    info = store.head("large")
    assert info is not None
    parts = store.parts(info)
    next(parts)
    store.put("large", b"1" * 20_000_000)

    with pytest.raises(SourceChangedError):
        next(parts)
    store.delete("large")
    with pytest.raises(SourceMissingError):
        next(store.parts(info))


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.get("a"),
        lambda store: store.head("a"),
        lambda store: list(store.list("a")),
        lambda store: store.put("a", b""),
        lambda store: store.put_new("a", b""),
        lambda store: store.delete("a"),
    ],
)
def test_doors_that_stay_shut(
    s3: Any, monkeypatch: pytest.MonkeyPatch, act: Callable[[ObjectStore], object]
) -> None:
    def failure(store: ObjectStore) -> PipelineError:
        with pytest.raises(PipelineError) as told:
            act(store)
        assert SECRET not in str(told.value)
        assert len(str(told.value)) < 200
        return told.value

    s3.make_bucket("lake")
    s3.deny()
    assert isinstance(failure(ObjectStore("s3://lake")), TokenRefusedError)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert isinstance(failure(ObjectStore("s3://lake")), UnreachableError)


def test_a_bucket_that_is_not_there(s3: Any, tmp_path: Path) -> None:
    del s3
    store = ObjectStore("s3://nowhere")

    with pytest.raises(SettingsError, match="there is no bucket s3://nowhere"):
        store.get("a")
    with pytest.raises(SettingsError, match="there is no bucket s3://nowhere"):
        store.put("a", b"")
    for url in ("s3://nowhere/a.csv", "s3://nowhere/a/", "s3://nowhere/*"):
        with pytest.raises(SettingsError, match="there is no bucket s3://nowhere"):
            read(url, tmp_path)


# -- sources -----------------------------------------------------------------------


def test_an_object_a_folder_and_a_pattern_are_sources(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put("in/b.csv", b"id\n2\n")
    store.put("in/a.csv", b"id\n1\n")
    store.put("in/old/c.csv", b"id\n3\n")
    store.put("in/_SUCCESS", b"")

    assert read("s3://lake/in/a.csv", tmp_path / "1") == [("1",)]
    assert read("s3://lake/in", tmp_path / "2") == [("1",), ("2",)]
    assert read("s3://lake/in/", tmp_path / "3") == [("1",), ("2",)]
    assert read("s3://lake/*/[bc].csv", tmp_path / "4") == [("2",)]
    assert read("s3://lake/in/*/*.csv", tmp_path / "5") == [("3",)]


def test_partitions_of_a_bucket_are_columns(store: ObjectStore, tmp_path: Path) -> None:
    store.put("t/day=1/a.parquet", parquet(id=[1]))
    store.put("t/day=2/a.parquet", parquet(id=[2]))

    assert read("s3://lake/t", tmp_path) == [(1, "1"), (2, "2")]


def test_every_kind_of_file_comes_as_it_is(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a.jsonl", b'{"id":"1"}\n')
    store.put("a.parquet", parquet(id=["1"]))
    store.put("a.csv", b"id\n1\n")

    for name in ("a.jsonl", "a.parquet", "a.csv"):
        assert read(f"s3://lake/{name}", tmp_path / name) == [("1",)]


@pytest.mark.parametrize("name", ["in/nothing.csv", "in/nothing/", "in/*.tsv"])
def test_a_name_without_an_object(
    store: ObjectStore, tmp_path: Path, name: str
) -> None:
    store.put("in/a.csv", PEOPLE)

    with pytest.raises(SourceMissingError, match="No object matches s3://lake/in"):
        read(f"s3://lake/{name}", tmp_path)


@pytest.mark.parametrize("url", ["ftp://host/a", "s3://", "az://container/a"])
def test_an_address_that_makes_no_sense(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        read(url, tmp_path)


def test_an_object_that_changes_between_the_passes_ends_the_run(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put("people.csv", PEOPLE)
    job = Job.model_validate({"source": {"path": "s3://lake/people.csv"}})

    def change(_: object) -> None:
        store.put("people.csv", PEOPLE.upper())

    request = ImportRequest(job, tmp_path, on_workspace=change)
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        with pytest.raises(SourceChangedError, match=r"s3://lake/people\.csv is not"):
            asyncio.run(run_import(request, connector))
        assert sandbox.store.ledger.batches() == []
    assert not list(tmp_path.rglob("spool"))


def test_a_resumption_reads_the_copy(store: ObjectStore, tmp_path: Path) -> None:
    store.put("people.csv", PEOPLE)
    job = Job.model_validate(
        {"source": {"path": "s3://lake/people.csv"}, "delivery": {"max_rows": 1}}
    )
    with served(SandboxOptions(settle_s=0.0)) as (_, connector, _time):
        request = ImportRequest(job, tmp_path)
        first = asyncio.run(run_import(request, connector))
        store.delete("people.csv")
        remembered = job_of_run(tmp_path, first.run_id)

    assert first.counts.accepted == 2
    assert [Path(path).read_bytes() for path in remembered.source.paths] == [PEOPLE]
    assert remembered.name == "s3://lake/people.csv"


def test_commands_take_an_object(shell: Shell, store: ObjectStore) -> None:
    store.put("in/people.csv", PEOPLE)
    url = "s3://lake/in/people.csv"
    ended = [
        shell.run("init", url),
        shell.run("check", "-c", "people.yaml"),
        shell.run("check", url),
    ]

    assert [end.code for end in ended] == [0, 0, 0], [end.err for end in ended]
    assert "path: s3://lake/in/people.csv" in (shell.folder / "people.yaml").read_text()
    assert "2 rows read = 2 planned" in ended[1].err


# -- Delta tables ------------------------------------------------------------------


@pytest.mark.parametrize("place", ["{folder}/table", "s3://lake/table"])
def test_a_delta_table_is_what_its_log_says(
    store: ObjectStore, tmp_path: Path, place: str
) -> None:
    del store
    table = place.format(folder=tmp_path)
    frame = pl.DataFrame({"id": [1, 2], "day": ["a", "b"]})
    options = {"partition_by": ["day"]}
    frame.write_delta(table, delta_write_options=options)
    frame.with_columns(id=pl.col("id") + 10).write_delta(table, mode="overwrite")

    assert sorted(read(table, tmp_path / "spool")) == [(11, "a"), (12, "b")]


def test_a_delta_table_that_cannot_be_read(tmp_path: Path) -> None:
    pl.DataFrame({"id": [b"x"]}).write_delta(str(tmp_path / "binary"))
    with pytest.raises(SettingsError, match="'id' of the query has the type Binary"):
        read(str(tmp_path / "binary"), tmp_path / "spool")

    (tmp_path / "broken" / "_delta_log").mkdir(parents=True)
    with pytest.raises(SourceMissingError, match="is no Delta table"):
        read(str(tmp_path / "broken"), tmp_path / "spool")

    pl.DataFrame({"id": ["x"]}).write_delta(str(tmp_path / "lost"))
    for path in (tmp_path / "lost").glob("*.parquet"):
        path.unlink()
    with pytest.raises(PipelineError, match="gone or damaged"):
        read(str(tmp_path / "lost"), tmp_path / "spool")
