"""Past its cap a list is asked in windows; only counting makes an export complete."""

import json
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline import (
    Connector,
    ExportReport,
    ExportRequest,
    export_profiles,
)
from pipeline.contract import LIST_PATH
from pipeline.export.windows import Meaning
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.switches import Switches
from sandbox_driver import Wire, served

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"
CAP = 100
N_PROFILES = 300
# Nothing that could be asked for shows what lies behind the cap.
HIDDEN: dict[str, Any] = {"sort_works": False, "autocomplete_works": False}


@dataclass
class Office:
    """A crowded workspace, and a folder to export it to."""

    folder: Path
    sandbox: Sandbox
    connector: Connector

    async def exported(
        self, wire: httpx.AsyncBaseTransport | None = None, **more: Any
    ) -> ExportReport:
        transport = wire or Wire(self.sandbox)
        connector = replace(self.connector, transport=transport)
        told: dict[str, Any] = {
            "destination": self.folder / "profiles.parquet",
            "work_dir": self.folder / "w",
            "road": "windows",
            "cap_rows": CAP,
        }
        return await export_profiles(ExportRequest(**told | more), connector)


@asynccontextmanager
async def office(
    folder: Path, n_profiles: int = N_PROFILES, **switches: Any
) -> AsyncIterator[Office]:
    options = SandboxOptions(
        switches=Switches(list_cap_rows=CAP, **switches), seed_profiles=n_profiles
    )
    with served(options) as (sandbox, connector, _):
        yield Office(folder, sandbox, connector)


@pytest.mark.anyio
@pytest.mark.parametrize("plain", ["contains", "prefix"])
@pytest.mark.parametrize("cap", ["error", "empty_page", "clamp", "result"])
async def test_windows_show_all_of_a_list_that_is_longer_than_its_cap(
    tmp_path: Path, plain: str, cap: str
) -> None:
    async with office(tmp_path, search_plain=plain, list_cap=cap) as at:
        report = await at.exported()

        done = report.certificate
        assert done.reasons() == ()
        assert done.searching is not None
        assert done.searching.meaning is Meaning(plain)
        assert (done.n_distinct, done.n_all_after) == (N_PROFILES, N_PROFILES)
        assert done.n_saturated > 1
        exported = pl.read_parquet(report.path)
        there = {profile["clientId"] for profile in at.sandbox.profiles()}
        assert set(exported["clientId"]) == there
        assert exported.height == N_PROFILES
        told = json.loads(report.certificate_path.read_bytes())
        assert (told["complete"], told["profiles"]) == (True, N_PROFILES)
        n_told = CAP if cap == "result" else N_PROFILES
        assert told["windows"][0]["matching"] == n_told
        assert sum(window["new"] for window in told["windows"]) == N_PROFILES
        assert len(told["windows"]) == len(done.windows)
        assert told.keys() == runpy.run_path(str(GENERATOR))["CERTIFICATE_KEYS"].keys()


@pytest.mark.anyio
async def test_below_the_cap_one_window_is_enough(tmp_path: Path) -> None:
    async with office(tmp_path, n_profiles=CAP - 1) as at:
        report = await at.exported()

        assert report.certificate.is_complete
        assert len(report.certificate.windows) == 1
        assert report.path.name == "profiles.parquet"
        assert report.certificate_path.name == "profiles.parquet.certificate.json"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"search_plain": "exact"} | HIDDEN, "of 300 were seen"),
        ({"search_works": False} | HIDDEN, "of 300 were seen"),
        ({"all_is": "halved"}, "says 150 in all, and 300 in the whole"),
        ({"all_is": "both_halved"}, "more rows than the service counts"),
        ({"all_is": "doubled"}, "says 600 in all, and 300 in the whole"),
        ({"list_shape": "bare_array"}, "does not say how many"),
    ],
    ids=["exact", "no-search", "lie", "two-lies", "doubled", "bare-array"],
)
async def test_what_cannot_be_counted_is_not_called_complete(
    tmp_path: Path, switches: dict[str, Any], reason: str
) -> None:
    async with office(tmp_path, **switches) as at:
        report = await at.exported()

        assert not report.certificate.is_complete
        assert any(reason in told for told in report.certificate.reasons())
        assert report.path.name == "profiles.incomplete.parquet"
        name = "profiles.incomplete.parquet.certificate.json"
        assert report.certificate_path.name == name
        told = json.loads(report.certificate_path.read_bytes())
        assert told["complete"] is False
        assert not (tmp_path / "profiles.parquet").exists()


@pytest.mark.anyio
async def test_the_name_is_kept_where_incomplete_is_allowed(tmp_path: Path) -> None:
    async with office(tmp_path, search_works=False, **HIDDEN) as at:
        report = await at.exported(allow_incomplete=True)

        assert not report.certificate.is_complete
        assert report.path.name == "profiles.parquet"


class Growing(Wire):
    """A workspace whose total grows by one with each page."""

    n_pages = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path != LIST_PATH or response.status_code != httpx.codes.OK:
            return response
        self.n_pages += 1
        told = json.loads(await response.aread())
        told["all"] += self.n_pages
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(told).encode()))


@pytest.mark.anyio
async def test_a_total_that_moves_is_no_evidence(tmp_path: Path) -> None:
    async with office(tmp_path, n_profiles=50) as at:
        report = await at.exported(Growing(at.sandbox))

        assert report.certificate.n_distinct == 50
        told = report.certificate.reasons()
        assert any("profiles before and" in reason for reason in told)
