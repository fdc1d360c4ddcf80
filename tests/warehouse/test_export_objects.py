"""`export` to a store that speaks S3: files appear whole, or not at all."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from warehouse_needs import needs

needs("obstore", "moto")

from pipeline import (  # noqa: E402 - behind the skip
    ExportReport,
    ExportRequest,
    destination_of,
    export_profiles,
)
from pipeline.errors import UnreachableError  # noqa: E402
from pipeline.objects import ObjectStore  # noqa: E402
from pipeline.sandbox.server import (  # noqa: E402
    RunningSandbox,
    SandboxOptions,
)
from sandbox_driver import served  # noqa: E402
from shell import Shell  # noqa: E402

N_PROFILES = 30
URL = "s3://lake/crm/2026/customers.parquet"
KEY = "crm/2026/customers.parquet"
CUT = "crm/2026/customers.incomplete.parquet"
SECRET = "s3cr3t-of-the-store"


@pytest.fixture
def lake(s3: Any) -> ObjectStore:
    s3.make_bucket("lake")
    return ObjectStore("s3://lake")


@pytest.fixture
def people(shell: Shell, sandbox: RunningSandbox) -> RunningSandbox:
    """A workspace with thirty profiles."""
    rows = [f"p{n},p{n}@example.com" for n in range(N_PROFILES)]
    source = shell.write("people.csv", "\n".join(["customId,email", *rows, ""]))
    assert shell.run("import", source, "--verify", "none").code == 0
    return sandbox


def files_left(work_dir: Path) -> set[str]:
    """Files that exports left, but for their locks."""
    found = [path for path in (work_dir / "exports").rglob("*") if path.is_file()]
    return {path.name for path in found if "lock" not in path.name}


def content_of(lake: ObjectStore, key: str) -> bytes:
    found = lake.get(key)
    assert found is not None
    return found[0]


@pytest.mark.usefixtures("people")
def test_an_export_is_uploaded_with_all_that_belongs_to_it(
    shell: Shell, lake: ObjectStore
) -> None:
    done = shell.run("export", URL, "--json")

    assert done.code == 0, done.err
    names = [info.key for info in lake.list("crm")]
    assert names == [KEY, f"{KEY}.certificate.json", f"{KEY}.report.html"]
    frame = pl.read_parquet(io.BytesIO(content_of(lake, KEY)))
    assert set(frame["customId"]) == {f"p{n}" for n in range(N_PROFILES)}
    told = json.loads(content_of(lake, f"{KEY}.certificate.json"))
    assert told["file"]["name"] == "customers.parquet"
    summary = json.loads(done.out)
    assert summary["file"] == URL
    assert summary["certificate"] == f"{URL}.certificate.json"
    assert summary["report"] == f"{URL}.report.html"
    assert files_left(shell.folder / ".crm-pipeline") == set()


@pytest.mark.usefixtures("people")
def test_what_is_not_complete_has_another_name_there_too(
    shell: Shell, lake: ObjectStore
) -> None:
    names = shell.write("names.csv", "customId,email\np1,\nshort\n")
    done = shell.run("export", URL, "--by-identifiers", names)

    assert done.code == 5, done.err
    assert f"s3://lake/{CUT}" in done.err
    assert lake.head(CUT) is not None
    assert lake.head(KEY) is None


def test_an_object_in_the_way_is_found_before_anything_is_asked(
    shell: Shell, lake: ObjectStore, people: RunningSandbox
) -> None:
    lake.put(KEY, b"of somebody")
    n_before = len(people.sandbox.store.requests())
    refused = shell.run("export", URL)

    assert refused.code == 73
    assert f"{URL} exists already; give another name, or --overwrite" in refused.err
    assert len(people.sandbox.store.requests()) == n_before
    assert content_of(lake, KEY) == b"of somebody"

    assert shell.run("export", URL, "--overwrite").code == 0
    assert content_of(lake, KEY) != b"of somebody"


@pytest.mark.anyio
async def test_a_store_that_goes_away_costs_no_second_reading(
    tmp_path: Path, lake: ObjectStore, s3: Any
) -> None:
    with served(SandboxOptions(seed_profiles=N_PROFILES)) as (sandbox, connector, _):
        told: list[int] = []

        async def exported(on_written: Callable[[ExportReport], Any]) -> ExportReport:
            path, objects = destination_of(URL)
            return await export_profiles(
                ExportRequest(
                    path,
                    tmp_path / "w",
                    detail="full",
                    road="windows",
                    objects=objects,
                    on_written=on_written,
                    on_continued=told.append,
                ),
                connector,
            )

        def vanish(_report: ExportReport) -> tuple[Path, ...]:
            s3.vanish()
            return ()

        with pytest.raises(UnreachableError, match="s3://lake"):
            await exported(vanish)
        assert "customers.parquet" in files_left(tmp_path / "w")
        n_asked = len(sandbox.store.requests())

        s3.appear()
        assert lake.head(KEY) is None
        report = await exported(lambda _report: ())

        assert told == [N_PROFILES]
        assert len(sandbox.store.requests()) - n_asked < N_PROFILES
        assert report.place_of(report.path) == URL
        assert lake.head(KEY) is not None
        assert files_left(tmp_path / "w") == set()


@pytest.mark.usefixtures("people")
def test_a_bucket_that_is_not_there_is_named(shell: Shell, s3: Any) -> None:
    s3.make_bucket("lake")
    done = shell.run("export", "s3://other/customers.csv")

    assert done.code == 78
    assert "there is no bucket s3://other" in done.err
    assert SECRET not in done.err


@pytest.mark.usefixtures("people", "lake")
def test_a_store_that_denies_ends_the_export_before_it_begins(
    shell: Shell, s3: Any
) -> None:
    s3.deny()
    done = shell.run("export", URL, "--overwrite")

    assert done.code == 77
    assert "s3://lake does not let us" in done.err
    assert SECRET not in done.err
