"""What was exported is imported into an empty workspace, and is there again."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import (
    Connector,
    ExportRequest,
    ImportRequest,
    Job,
    export_profiles,
    propose_job,
)
from pipeline import run_import as imported
from pipeline.errors import SettingsError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.writes import Write, WriteKind
from pipeline.settings import SourceSettings
from sandbox_driver import served

SYSTEM = ("correlationId", "eventCreateTime")
WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Cf", "Co", "Cn", "Mn"])
    | st.sampled_from(list("=+-@'\",;{[0 \n")),
    min_size=1,
    max_size=6,
).filter(lambda text: text.strip() == text and text.strip("\ufeff\u200b\xa0") == text)
VALUES = st.recursive(
    WORDS
    | st.sampled_from(["5", "true", "null", "007", "1e5", "[1]", '{"a":1}', "5.0"])
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e15, 1e15).filter(lambda number: number != 0)
    | st.booleans(),
    lambda inner: (
        st.lists(inner | st.none(), min_size=1, max_size=3)
        | st.dictionaries(
            st.sampled_from("abc"), inner | st.none(), min_size=1, max_size=3
        )
    ),
    max_leaves=4,
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "firstName": WORDS,
        "lastName": WORDS,
        "company": WORDS,
        "city": WORDS,
        "zipCode": st.sampled_from(["00-950", "01234", "1"]),
        "phone": st.sampled_from(["+48600100200", "+447400123456"]),
        "birthDate": st.sampled_from(["1980-02-29", "2001-01-01"]),
        "sex": st.sampled_from(["FEMALE", "OTHER"]),
        "tags": st.lists(WORDS, unique=True, min_size=1, max_size=3),
        "agreements": st.dictionaries(st.sampled_from(["email", "sms"]), st.booleans()),
        "attributes": st.dictionaries(
            st.sampled_from(["tier", "points", "a.b", "ż"]), VALUES, max_size=3
        ),
    },
)


async def exported(connector: Connector, path: Path) -> None:
    request = ExportRequest(path, path.parent / "w", detail="full", overwrite=True)
    assert (await export_profiles(request, connector)).certificate.is_complete


def stored(sandbox: Sandbox) -> dict[str, str]:
    """Return customId → what is kept of the profile, as JSON text: 1 is not 1.0."""
    found = {}
    for profile in sandbox.profiles():
        kept = {
            k: v
            for k, v in profile.items()
            if k not in ("clientId", "lastActivityDate")
        }
        kept["attributes"] = {
            k: v for k, v in sorted(kept["attributes"].items()) if k not in SYSTEM
        }
        found[profile["customId"]] = json.dumps(kept, sort_keys=True)
    return found


async def round_trip(items: list[dict[str, Any]], kind: str, folder: Path) -> None:
    options = SandboxOptions(
        settle_s=0.0, switches=Switches(generated_first_name="never")
    )
    first, second = folder / f"first.{kind}", folder / f"second.{kind}"
    with (
        served(options) as (before, way_out, _),
        served(options) as (after, way_in, _),
    ):
        before.store.load(
            [
                Write(WriteKind.UPSERT, None, {"customId": f"C{number}", **item})
                for number, item in enumerate(items)
            ]
        )
        await exported(way_out, first)
        job = Job.model_validate({"source": {"path": str(first)}})
        report = await imported(ImportRequest(job, folder / "work"), way_in)
        counts = report.counts
        assert (counts.accepted, counts.read) == (len(items), len(items))
        after.settle()

        assert stored(after) == stored(before)
        await exported(way_in, second)
        again = await imported(ImportRequest(job_of(second), folder / "more"), way_in)
        assert again.counts.accepted == len(items)
        after.settle()
        assert stored(after) == stored(before)


def job_of(path: Path) -> Job:
    return Job.model_validate({"source": {"path": str(path)}})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_an_export_that_is_imported_changes_nothing(
    kind: str, items: list[dict[str, Any]]
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(round_trip(items, kind, Path(folder)))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
async def test_what_is_easily_bent_comes_back(tmp_path: Path, kind: str) -> None:
    bent = {"tier": "007", "points": 5.0, "a.b": ["1", 1, None], "ż": {"a": True}}
    items = [
        {"firstName": "'=1+1", "tags": ["a|b", ","], "attributes": bent},
        {"city": "true", "zipCode": "01234", "attributes": {"tier": 7}},
        {"agreements": {"sms": False}, "birthDate": "1980-02-29"},
    ]
    await round_trip(items, kind, tmp_path)


@pytest.mark.anyio
async def test_a_file_for_people_is_not_taken_back(tmp_path: Path) -> None:
    with served(SandboxOptions(seed_profiles=3)) as (_, connector, _):
        path = tmp_path / "people.csv"
        request = ExportRequest(path, tmp_path / "w", spreadsheet_safe=True)
        report = await export_profiles(request, connector)
        text = path.read_bytes()
        assert text.startswith(b"\xef\xbb\xbfclientId,")

        job = Job.model_validate({"source": {"path": str(path)}})
        with pytest.raises(SettingsError, match="--spreadsheet-safe"):
            await imported(ImportRequest(job, tmp_path / "work"), connector)

        path.write_bytes(text + b" ")  # another file now: nobody knows what it is
        report.certificate_path.write_text("[]")
        dry = ImportRequest(job, tmp_path / "work", is_dry_run=True)
        assert (await imported(dry, None)).counts.read == 4


@pytest.mark.anyio
async def test_a_proposed_job_reads_such_a_file_in_the_same_way(tmp_path: Path) -> None:
    with served(SandboxOptions(seed_profiles=3)) as (_, connector, _):
        path = tmp_path / "people.csv"
        await exported(connector, path)

        told = propose_job(SourceSettings(path=str(path)), None, "people")

        mapping = yaml.safe_load(told)["mapping"]
        assert mapping["attributes"] == {
            "points": {"column": "attributes.points", "type": "json"},
            "tier": "attributes.tier",
        }
