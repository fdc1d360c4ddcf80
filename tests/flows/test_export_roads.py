"""Other roads, in full, by name, cut off and continued: the file is right."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline import Connector, ExportReport, ExportRequest, export_profiles
from pipeline.contract import CLIENTS_PATH, LIST_PATH
from pipeline.errors import (
    CannotWriteError,
    ContractError,
    PatienceEndedError,
    SettingsError,
)
from pipeline.export.certificate import Evidence, Road
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.switches import Switches
from sandbox_driver import Wire, served

CAP = 40


@dataclass
class Office:
    """A workspace and a folder; `dies_after` requests of one path, nothing answers."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    continued: list[int] = field(default_factory=list)

    async def exported(self, name: str = "out.parquet", **more: Any) -> ExportReport:
        wire = more.pop("wire", None) or Wire(self.sandbox)
        told: dict[str, Any] = {
            "destination": self.folder / name,
            "work_dir": self.folder / "w",
            "cap_rows": CAP,
            "on_continued": self.continued.append,
        }
        request = ExportRequest(**told | more)
        return await export_profiles(request, replace(self.connector, transport=wire))

    def files(self, pattern: str) -> list[Path]:
        return list(self.folder.glob(pattern))

    def truth(self) -> dict[int, dict[str, Any]]:
        return {one["clientId"]: one for one in self.sandbox.profiles()}


@asynccontextmanager
async def office(
    folder: Path, n_profiles: int = 90, **switches: Any
) -> AsyncIterator[Office]:
    options = SandboxOptions(
        switches=Switches(**{"list_cap_rows": CAP} | switches),
        seed_profiles=n_profiles,
        settle_s=0.0,
    )
    with served(options) as (sandbox, connector, _):
        yield Office(folder, sandbox, connector)


class Dying(Wire):
    """After some requests of a path the service is gone for good."""

    def __init__(self, sandbox: Sandbox, path: str, n_left: int) -> None:
        super().__init__(sandbox)
        self._path, self._n_left = path, n_left
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(self._path):
            self.asked.append(str(request.url))
            self._n_left -= 1
            if self._n_left < 0:
                raise httpx.ConnectError("")
        return await super().handle_async_request(request)


@pytest.mark.anyio
@pytest.mark.parametrize("detail", ["list", "full"])
@pytest.mark.parametrize("page_rows", [1000, 25])
async def test_pages_show_all_profiles_beyond_the_cap(
    tmp_path: Path, detail: str, page_rows: int
) -> None:
    async with office(tmp_path, max_page_size=page_rows) as at:
        report = await at.exported(road="pages", detail=detail)

        done = report.certificate
        assert done.evidence is Evidence.COUNT
        assert done.roads == (Road.LIST, Road.PAGES)
        frame = pl.read_parquet(report.path)
        assert set(frame["clientId"]) == set(at.truth())
        assert frame.height == 90
        assert ("attributes.tier" in frame.columns) == (detail == "full")


class Closed(Wire):
    """The old list answers in a way of its own."""

    def __init__(self, sandbox: Sandbox, status: int, body: bytes = b"") -> None:
        super().__init__(sandbox)
        self._status, self._body = status, body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == CLIENTS_PATH:
            return httpx.Response(
                self._status, stream=httpx.ByteStream(self._body or b"{}")
            )
        return await super().handle_async_request(request)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"", "the key may not read it"),
        (404, b"", "page 1 is refused (404)"),
        (400, b"", "page 1 is refused (400)"),
        (200, b"<html>", "not JSON"),
        (200, b'[{"clientId":1}]', "one page again and again"),
    ],
)
async def test_a_road_that_does_not_behave_is_left_for_windows(
    tmp_path: Path, status: int, body: bytes, words: str
) -> None:
    async with office(tmp_path) as at:
        report = await at.exported(wire=Closed(at.sandbox, status, body))

        done = report.certificate
        [read] = done.pages
        assert words in read.refusal
        assert done.roads == (Road.LIST, Road.PAGES, Road.WINDOWS)
        lied = body.startswith(b"[")
        assert done.is_complete != lied
        assert {*at.truth()} <= {*pl.read_parquet(report.path)["clientId"]}


@pytest.mark.anyio
@pytest.mark.parametrize("road", ["auto", "windows"])
async def test_full_profiles_hold_attributes_and_agreements(
    tmp_path: Path, road: str
) -> None:
    async with office(tmp_path, 30) as at:
        report = await at.exported("out.jsonl", road=road, detail="full", rate=50.0)

        truth = at.truth()
        lines = report.path.read_text().splitlines()
        assert len(lines) == 30
        for line in lines:
            row = json.loads(line)
            profile = truth[row["clientId"]]
            for name, value in profile["attributes"].items():
                shown = row.get(f"attributes.{name}")
                is_system = name in ("correlationId", "eventCreateTime")
                assert shown == (None if is_system else value)
                assert type(shown) is (type(None) if is_system else type(value))
            for name, value in profile["agreements"].items():
                assert row[f"agreements.{name}"] is value


@pytest.mark.anyio
async def test_a_file_of_identifiers_exports_exactly_its_profiles(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        names = tmp_path / "who.csv"
        names.write_text(
            "email,customId\n,S0000003\nseed0000007@example.com,\n,S0000003\n,nobody\n"
        )
        report = await at.exported(names_path=names)

        done = report.certificate
        assert (done.evidence, report.absent_rows) == (Evidence.NAMED, (4,))
        frame = pl.read_parquet(report.path)
        assert sorted(frame["customId"]) == ["S0000003", "S0000007"]
        assert "attributes.tier" in frame.columns

        names.write_text("email\n\nx@example.com\n.\n")
        report = await at.exported("again.parquet", names_path=names)
        assert report.path.name == "again.incomplete.parquet"
        [reason] = report.certificate.reasons()
        assert reason.startswith("1 of 2 rows of the file name no profile")

        names.write_text("name\nx\n")
        with pytest.raises(SettingsError, match="no column of the file"):
            await at.exported("more.parquet", names_path=names)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "path", "n_before"),
    [
        ({"road": "windows"}, LIST_PATH, 12),
        ({"road": "pages"}, CLIENTS_PATH, 3),
        ({"road": "windows", "detail": "full"}, f"{CLIENTS_PATH}/", 30),
    ],
    ids=["windows", "pages", "details"],
)
async def test_an_export_that_was_cut_off_goes_on(
    tmp_path: Path, more: dict[str, Any], path: str, n_before: int
) -> None:
    async with office(tmp_path, max_page_size=25) as at:
        # A unit of details is 500 profiles: the list alone is kept there.
        with pytest.raises(PatienceEndedError):
            await at.exported(wire=Dying(at.sandbox, path, n_before), **more)
        assert at.files("out*") == []
        wire = Dying(at.sandbox, path, 10_000)

        report = await at.exported(wire=wire, **more)

        assert at.continued == [report.n_continued]
        assert report.n_continued > 20
        assert report.certificate.is_complete
        assert {*pl.read_parquet(report.path)["clientId"]} == {*at.truth()}
        assert at.files("w/exports/*/seen") == []
        n_asked = len(wire.asked)
        (tmp_path / "out.parquet").unlink()
        await at.exported(wire=(anew := Dying(at.sandbox, path, 10_000)), **more)
        assert n_asked <= len(anew.asked)


@pytest.mark.anyio
async def test_another_question_or_fresh_begins_anew(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        for more in ({"recognized": True}, {"is_fresh": True}, {"wall": lambda: 9e12}):
            wire = Dying(at.sandbox, LIST_PATH, 12)
            with pytest.raises(PatienceEndedError):
                await at.exported(wire=wire, road="windows", overwrite=True)
            told: dict[str, Any] = {"road": "windows", "overwrite": True} | more
            assert (await at.exported(**told)).n_continued == 0
        assert at.continued == []


@pytest.mark.anyio
async def test_drafts_of_this_file_are_removed_and_no_others(tmp_path: Path) -> None:
    async with office(tmp_path, 3) as at:
        ours = tmp_path / ".out.parquet.abcd1234"
        others = [tmp_path / ".other.parquet.abcd1234", tmp_path / ".out.parquet.x"]
        for path in (ours, *others):
            path.write_text("x")

        await at.exported()

        assert not ours.exists()
        assert all(path.exists() for path in others)


@pytest.mark.anyio
@pytest.mark.parametrize("recognized", [True, False])
async def test_filters_narrow_the_question(tmp_path: Path, *, recognized: bool) -> None:
    async with office(tmp_path) as at:
        for road in ("auto", "windows"):
            report = await at.exported(f"{road}.csv", recognized=recognized, road=road)

            wanted = {i for i, p in at.truth().items() if p["anonymous"] != recognized}
            frame = pl.read_csv(report.path)
            assert set(frame["clientId"]) == wanted
            assert report.certificate.is_complete


@pytest.mark.anyio
@pytest.mark.parametrize("detail", ["list", "full"])
async def test_a_search_is_a_question_of_its_own(tmp_path: Path, detail: str) -> None:
    async with office(tmp_path, 30) as at:
        report = await at.exported("out.csv", search="seed000000", detail=detail)

        assert report.certificate.is_complete
        frame = pl.read_csv(report.path)
        assert frame["email"].str.starts_with("seed000000").all()
        assert frame.height == sum(
            (one["email"] or "").startswith("seed000000") for one in at.truth().values()
        )


@pytest.mark.anyio
async def test_fields_are_written_in_the_order_they_are_named(tmp_path: Path) -> None:
    async with office(tmp_path, 5) as at:
        fields = ("email", "attributes", "agreements.sms", "attributes.none")
        report = await at.exported("out.csv", fields=fields, detail="full")

        assert pl.read_csv(report.path).columns == [
            "email",
            "attributes.correlationId",
            "attributes.eventCreateTime",
            "attributes.points",
            "attributes.tier",
            "agreements.sms",
            "attributes.none",
        ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"fields": ("attributes.tier",)}, "--detail full"),
        ({"fields": ("shoe",), "detail": "full"}, "and attributes.NAME"),
        ({"spreadsheet_safe": True}, "is for CSV"),
        ({"search": ""}, "--search is empty"),
        ({"search": "x", "road": "pages"}, "cannot search"),
        ({"names_path": Path("x"), "recognized": True}, "leave --recognized"),
    ],
)
async def test_what_contradicts_itself_is_refused_before_a_request(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    async with office(tmp_path, 1) as at:
        with pytest.raises(SettingsError, match=words):
            await at.exported(wire=Dying(at.sandbox, "/", 0), **more)


@pytest.mark.anyio
async def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    async with office(tmp_path, 1) as at:
        (tmp_path / "out.incomplete.parquet").write_text("x")
        with pytest.raises(CannotWriteError, match="--overwrite"):
            await at.exported(wire=Dying(at.sandbox, "/", 0))
        with pytest.raises(CannotWriteError, match="there is no folder"):
            await at.exported("none/out.csv", wire=Dying(at.sandbox, "/", 0))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"list_trouble": "repeats"}, "one page again and again"),
        ({"list_trouble": "twice"}, "one profile several times"),
        ({"all_is": "doubled"}, "180 in all, and 90 in the whole"),
        ({"all_is": "both_halved"}, "more rows than the service counts"),
    ],
)
async def test_a_list_that_contradicts_itself_is_no_evidence(
    tmp_path: Path, switches: dict[str, Any], words: str
) -> None:
    async with office(tmp_path, max_list_limit=25, **switches) as at:
        report = await at.exported(road="windows")

        assert not report.certificate.is_complete
        assert any(words in told for told in report.certificate.reasons())


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", ["html", "text_ids"])
async def test_a_list_that_is_none_is_told(tmp_path: Path, trouble: str) -> None:
    async with office(tmp_path, list_trouble=trouble) as at:
        with pytest.raises(ContractError, match="check the base URL"):
            await at.exported()
        assert at.files("out*") == []


@pytest.mark.anyio
@pytest.mark.parametrize("plain", ["contains", "prefix"])
async def test_a_workspace_that_changes_is_complete_by_its_partition(
    tmp_path: Path, plain: str
) -> None:
    async with office(tmp_path, churn_per_page=0.5, search_plain=plain) as at:
        before = set(at.truth())
        report = await at.exported(road="windows")

        done = report.certificate
        assert done.is_complete, done.reasons()
        stayed = before & set(at.truth())
        assert stayed <= set(pl.read_parquet(report.path)["clientId"])


@pytest.mark.anyio
async def test_a_total_at_the_cap_is_complete_only_by_a_partition(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, all_is="capped") as at:
        report = await at.exported(road="windows")

        assert report.certificate.evidence is Evidence.PARTITION
        assert set(pl.read_parquet(report.path)["clientId"]) == set(at.truth())
    async with office(tmp_path, all_is="capped", search_works=False) as at:
        report = await at.exported("other.parquet", road="windows")

        assert not report.certificate.is_complete


@pytest.mark.anyio
async def test_values_are_searched_where_uuids_cannot_be(tmp_path: Path) -> None:
    async with office(tmp_path, search_plain="exact", sort_works=False) as at:
        report = await at.exported(road="windows")

        searches = {read.window.search for read in report.certificate.windows}
        assert "city:Berlin" in searches
        known = set(pl.read_parquet(report.path.parent / report.path.name)["clientId"])
        assert report.certificate.is_complete == (known == set(at.truth()))
        assert len(known) > CAP + 10
