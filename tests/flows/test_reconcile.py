"""A repair file, fed to the same job, ends in agreement; nothing is ever guessed."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edits import JOB, world, write_source
from pipeline import (
    Connector,
    ImportRequest,
    Job,
    ReconcileReport,
    ReconcileRequest,
    StopSignal,
    Workspace,
    reconcile_source,
    run_import,
)
from pipeline.config import read_job
from pipeline.errors import (
    InterruptedRunError,
    LimitError,
    SettingsError,
    SourceChangedError,
    SourceMissingError,
    SourceUnusableError,
    WrongWorkspaceError,
)
from pipeline.files import make_private_dir
from pipeline.records import FieldClass, RowClass
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.switches import Switches
from sandbox_driver import served


@dataclass
class Desk:
    """A folder with a job, and a workspace to compare it with."""

    folder: Path
    sandbox: Sandbox
    connector: Connector

    def job(self, source: Path, told: str = JOB, rows: str = "") -> Job:
        path = self.folder / "job.yaml"
        path.write_text(f"version: 1\nname: people{told}{rows}")
        job = read_job(path).job
        return job.model_copy(
            update={"source": job.source.model_copy(update={"path": str(source)})}
        )

    async def imported(self, job: Job) -> str:
        report = await run_import(
            ImportRequest(job, self.folder / "work"), self.connector
        )
        assert report.error is None
        self.sandbox.settle()
        return report.run_id

    def dump(self) -> Path:
        """Write all profiles in full, as an export by id would."""
        return self.dump_of(list(self.sandbox.profiles()))

    def dump_of(self, profiles: Sequence[Mapping[str, Any]]) -> Path:
        path = self.folder / "full.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in profiles))
        return path

    async def compared(
        self, job: Job, against: Path | None = None, **more: Any
    ) -> ReconcileReport:
        request = ReconcileRequest(job, self.folder / "work", against=against, **more)
        return await reconcile_source(request, self.connector)


@asynccontextmanager
async def desk(folder: Path, **options: Any) -> AsyncIterator[Desk]:
    with served(SandboxOptions(settle_s=0.0, **options)) as (sandbox, connector, _):
        yield Desk(folder, sandbox, connector)


def lines_of(report: ReconcileReport) -> pl.DataFrame:
    return pl.read_parquet(report.files["differences_parquet"])


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def repair_of(report: ReconcileReport) -> str:
    return Path(report.files["repair"]).read_text()


def classes(report: ReconcileReport) -> dict[str, int]:
    return {found.value: n for found, n in report.rows.items() if n}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "kind",
    [
        "csv",
        pytest.param("parquet", marks=pytest.mark.slow),
        pytest.param("jsonl", marks=pytest.mark.slow),
    ],
)
async def test_a_repair_ends_in_agreement(tmp_path: Path, kind: str) -> None:
    made = world(5, 120)
    async with desk(tmp_path) as at:
        before = tmp_path / "before.csv"
        write_source(before, [row for row in made.crm if not row["customId"] > "S"])
        await at.imported(at.job(before))
        source = written(tmp_path, made.source, kind)
        job = at.job(source, JOB_OF.get(kind, JOB))
        first = await at.compared(job, at.dump())

        assert first.n_differing > 50
        assert first.rows[RowClass.ONLY_IN_SOURCE] == len(made.only_in_source)
        repair = Path(first.files["repair"])
        assert repair.name == f"repair.{kind}"
        assert mode_of(repair) == 0o600
        assert first.n_repairable == first.n_differing + len(made.only_in_source)
        await at.imported(at.job(repair, JOB_OF.get(kind, JOB)))
        second = await at.compared(job, at.dump())

        assert classes(second) == {"matched": 120}
        assert second.n_differing == 0
        assert "repair" not in second.files


JOB_OF = {
    "jsonl": JOB.replace('  tags: {column: tags, split: "|"}', "  tags: tags").replace(
        "type: integer", "type: json"
    ),
    "parquet": JOB.replace('  tags: {column: tags, split: "|"}', "  tags: tags")
    .replace("{column: attributes.points, type: integer}", "attributes.points")
    .replace("{column: attributes.price, type: number}", "attributes.price"),
}


def written(folder: Path, rows: list[dict[str, Any]], kind: str) -> Path:
    path = folder / f"people.{kind}"
    if kind == "csv":
        write_source(path, rows)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    return path


@pytest.mark.anyio
async def test_a_repair_sends_the_cells_that_differ_and_no_others(
    tmp_path: Path,
) -> None:
    header = "customId,firstName,city\n"
    async with desk(tmp_path) as at:
        before = tmp_path / "before.csv"
        before.write_text(header + "A,Ewa,Lodz\nB,Jan,Gdynia\nC,Ola,Sopot\n")
        await at.imported(at.job(before, ""))
        source = tmp_path / "people.csv"
        source.write_text(header + "A,Ewa,Lodz\nB,Jan,Gdansk\nD,Iga,Hel\n")
        report = await at.compared(at.job(source, ""), at.dump())

        assert repair_of(report) == (
            "customId,firstName,city,_row_no,_source\n"
            "B,,Gdansk,2,people.csv\n"
            "D,Iga,Hel,3,people.csv\n"
        )
        assert classes(report) == {
            "matched": 2,
            "only_in_source": 1,
            "only_in_crm": 1,
        }
        blocked = at.job(source, "", "\nrows: {blank: block}\n")
        whole = await at.compared(blocked, at.dump())
        assert "B,Jan,Gdansk,2" in repair_of(whole)


@pytest.mark.anyio
async def test_rows_of_one_profile_are_one_and_are_repaired_together(
    tmp_path: Path,
) -> None:
    source = tmp_path / "people.csv"
    source.write_text(
        "customId,email,firstName,city\n"
        "A,a@example.com,Ewa,\nB,b@example.com,Jan,Hel\nA,,,Lodz\n"
    )
    async with desk(tmp_path) as at:
        job = at.job(source, "")
        there = {"customId": "A", "firstName": None, "city": "Kutno"}
        first = await at.compared(job, at.dump_of([there]))

        assert first.n_folded == 1
        assert classes(first) == {"matched": 1, "only_in_source": 1}
        told = lines_of(first).filter(pl.col("field") == "city")
        assert told["source_value"].to_list() == ['"Lodz"']
        rows = repair_of(first).splitlines()[1:]
        assert rows == [
            "A,a@example.com,Ewa,,1,people.csv",
            "B,b@example.com,Jan,Hel,2,people.csv",
            "A,,,Lodz,3,people.csv",
        ]
        assert first.n_repairable == 3


@pytest.mark.anyio
async def test_what_is_erased_is_compared_and_repaired(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,city\nA,NIL\nB,NIL\n")
    rows = "\nrows: {null_token: NIL, allow_erase: {city: 2}}\n"
    async with desk(tmp_path) as at:
        job = at.job(source, "", rows)
        there: list[dict[str, Any]]
        there = [{"customId": "A", "city": "Lodz"}, {"customId": "B", "city": None}]
        report = await at.compared(job, at.dump_of(there))

        [city] = [field for field in report.fields if field.field == "city"]
        assert city.counts[FieldClass.DIFFERS] == 1
        assert city.counts[FieldClass.EQUAL] == 1
        assert (city.n_in_source, city.n_in_crm) == (0, 1)
        assert "A,NIL,1" in repair_of(report)
        few = at.job(source, "", "\nrows: {null_token: NIL, allow_erase: {city: 1}}\n")
        with pytest.raises(LimitError):
            await at.compared(few, at.dump())


@pytest.mark.anyio
async def test_nobody_is_guessed_where_two_could_be_meant(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text(
        "customId,email,phone,firstName\n"
        "A,a@example.com,,Torn\n"  # two profiles
        "B,,,One\n"  # the same profile as the next
        ",b@example.com,,Two\n"
        ",,+48600100200,Phone\n"  # two profiles have it
        ",,+48600100201,Alone\n"
        "C,c@example.com,+48600100202,Calm\n"  # its phone is nobody's key
        "D,,,Gone\n"
        "not,an address,,Blocked\n"
    )
    there = [
        {"customId": "A", "email": "other@example.com"},
        {"customId": "Z", "email": "A@EXAMPLE.com"},
        {"customId": "B", "email": "b@example.com"},
        {"customId": "P1", "phone": "600-100-200 ".replace("600", "+48 600")},
        {"customId": "P2", "phone": "0048600100200"},
        {"customId": "P3", "phone": "48600100201"},
        {"customId": "C", "email": "c@example.com", "phone": "+48600100202"},
        {"customId": "P4", "phone": "+48600100202"},
        {"customId": "P4", "email": "p5@example.com"},
    ]
    async with desk(tmp_path) as at:
        report = await at.compared(at.job(source, ""), at.dump_of(there))

        assert classes(report) == {
            "matched": 2,
            "only_in_source": 1,
            "several_profiles": 2,
            "several_rows": 2,
            "only_in_crm": 2,
        }
        assert (report.n_read, report.n_blocked, report.n_compared) == (8, 1, 7)
        assert report.crm.n_shared == 2
        assert report.n_disagreeing == 1 + 4
        torn = lines_of(report).filter(pl.col("class") == "several_profiles")
        assert torn.select("row_no", "profile").rows() == [
            (1, "customId=A"),
            (1, "customId=Z"),
            (4, "customId=P1"),
            (4, "customId=P2"),
        ]
        repair = repair_of(report)
        for name in ("Torn", "One", "Two", "Phone,"):
            assert name not in repair


@pytest.mark.anyio
async def test_the_workspace_itself_is_compared(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName,attributes.tier\nA,Ewa,gold\nB,Jan,silver\n")
    async with desk(tmp_path) as at:
        job = at.job(source, "")
        await at.imported(job)
        report = await at.compared(job)

        assert classes(report) == {"matched": 2}
        assert report.n_differing == 0
        if report.crm.lacking:  # the list has no attributes
            assert report.crm.lacking == ("attributes.tier",)
            assert not report.is_whole
            left = await at.compared(job, ignored=frozenset({"tier"}))
            assert left.is_whole
            assert left.ignored == ("attributes.tier",)
        assert report.crm.guid is not None
        assert report.crm.n_profiles == 2


@pytest.mark.anyio
async def test_what_an_incomplete_export_does_not_show_is_unknown(
    tmp_path: Path,
) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName\nNOBODY,Ewa\n")
    switches = Switches(list_shape="bare_array")
    async with desk(tmp_path, switches=switches, seed_profiles=5) as at:
        report = await at.compared(at.job(source, ""))

        assert classes(report) == {"unknown": 1, "only_in_crm": 5}
        assert report.crm.reasons
        assert not report.is_whole
        assert "repair" not in report.files
        assert report.n_disagreeing == 0


@pytest.mark.anyio
async def test_an_empty_workspace_lacks_everybody(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName\nA,Ewa\nB,Jan\n")
    async with desk(tmp_path) as at:
        report = await at.compared(at.job(source, ""))

        assert classes(report) == {"only_in_source": 2}
        assert report.n_repairable == 2


@pytest.mark.anyio
async def test_who_asks_to_stop_is_obeyed(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName\nA,Ewa\n")
    async with desk(tmp_path) as at:
        stop = StopSignal()

        def ask(_workspace: Workspace) -> None:
            stop.request()

        with pytest.raises(InterruptedRunError):
            await at.compared(at.job(source, ""), on_workspace=ask, stop=stop)
        assert not list((tmp_path / "work" / "runs").glob("*"))
        assert not (tmp_path / "work" / "scratch").exists()


@pytest.mark.anyio
async def test_what_a_killed_comparison_left_is_removed(tmp_path: Path) -> None:
    source, crm = tmp_path / "people.csv", tmp_path / "crm.csv"
    source.write_text("customId,firstName\nA,Ewa\n")
    crm.write_text("customId,firstName\nA,Ewa\n")
    run = make_private_dir(tmp_path / "work" / "runs" / "20261126-000000-abcd")
    draft = run / ".differences.parquet.k3x_9abz"
    draft.write_text("values of somebody")
    async with desk(tmp_path) as at:
        await at.compared(at.job(source, ""), against=crm)

    assert not draft.exists()


@pytest.mark.anyio
async def test_without_a_service_the_other_side_has_to_be_a_file(
    tmp_path: Path,
) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName\nA,Ewa\n")
    async with desk(tmp_path) as at:
        request = ReconcileRequest(at.job(source, ""), tmp_path / "work")
        with pytest.raises(SettingsError, match="has to be named"):
            await reconcile_source(request, None)


@pytest.mark.anyio
async def test_another_workspace_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("customId,firstName\nA,Ewa\n")
    async with desk(tmp_path) as at:
        told = "\nworkspace: {guid: 00000000-0000-4000-8000-00000000dead}\n"
        with pytest.raises(WrongWorkspaceError):
            await at.compared(at.job(source, told))


@pytest.mark.anyio
async def test_a_former_run_tells_who_changed(tmp_path: Path) -> None:
    header = "customId,firstName,city\n"
    before = tmp_path / "before.csv"
    before.write_text(header + "A,Ewa,Lodz\nB,Jan,Hel\nC,Ola,\nA,,Kutno\n")
    source = tmp_path / "people.csv"
    source.write_text(header + "A,Ewa,Pila\nB,Jan,Hel\nC,Ola,Sopot\n")
    async with desk(tmp_path) as at:
        run_id = await at.imported(at.job(before, ""))
        there: list[dict[str, Any]] = [
            {"customId": "A", "firstName": "Ewa", "city": "Kutno"},
            {"customId": "B", "firstName": "Joan", "city": ""},
            {"customId": "C", "firstName": "Ola", "city": None},
        ]
        report = await at.compared(
            at.job(source, ""), at.dump_of(there), baseline=run_id
        )

        assert lines_of(report)[
            "row_no", "field", "class", "baseline_value"
        ].rows() == [
            (1, "city", "source_newer", '"Kutno"'),
            (2, "firstName", "crm_edited", '"Jan"'),
            (2, "city", "erased", '"Hel"'),
            (3, "city", "missing", None),  # that run did not send it
        ]
        assert report.baseline == run_id
        before.write_text(header + "A,Ewa,Else\n")
        with pytest.raises(SourceChangedError, match="cannot be the baseline"):
            await at.compared(at.job(source, ""), at.dump(), baseline=run_id)
        with pytest.raises(SettingsError, match="there is no run"):
            await at.compared(at.job(source, ""), at.dump(), baseline="nobody")
        with pytest.raises(SourceMissingError, match="no such file"):
            await at.compared(at.job(source, ""), at.dump(), baseline="gone.csv")


@pytest.mark.anyio
async def test_numbers_may_differ_as_far_as_they_are_told_to(tmp_path: Path) -> None:
    source = tmp_path / "people.jsonl"
    rows = [{"customId": f"C{n}", "attributes": {"points": 10}} for n in range(4)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    points: tuple[Any, ...] = (11, 9.5, 12, "eleven")
    there: list[dict[str, Any]] = [
        {"customId": f"C{n}", "attributes": {"points": value}}
        for n, value in enumerate(points)
    ]
    async with desk(tmp_path) as at:
        report = await at.compared(
            at.job(source, ""), at.dump_of(there), tolerances={"points": 1.0}
        )

        told = lines_of(report)
        assert told["row_no"].to_list() == [3, 4]
        with pytest.raises(SettingsError, match="'nobody' is none of the fields"):
            await at.compared(
                at.job(source, ""), at.dump(), ignored=frozenset({"nobody"})
            )


BAD = {
    "other.csv": ("name,age\nEwa,7\n", "has no column with customId"),
    "empty.csv": ("", "is empty"),
    "broken.csv": ('customId,city\nA,"x"y"\nB,z\n', "record"),
    "cut.json": ('[{"customId": "A"}, {"customId"', "is cut short"),
    "text.json": ('["A", "B"]', "is no object"),
    "more.json": ('[{"customId": "A"}] tail', "comes behind the end"),
    "none.json": ("[", "is cut short"),
    "nobody.json": ("[ ]", "holds no object"),
    "long.json": ('[{"customId": "' + "A" * 17_000_000, "longer than 16 MiB"),
    "odd.jsonl": ('{"customId": "A"}\nnonsense\n', "record 2 cannot be read"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", BAD)
async def test_a_file_that_cannot_be_compared_is_refused(
    tmp_path: Path, name: str
) -> None:
    content, words = BAD[name]
    source, other = tmp_path / "people.csv", tmp_path / name
    source.write_text("customId,firstName\nA,Ewa\n")
    other.write_text(content)
    async with desk(tmp_path) as at:
        job = at.job(source, "")
        with pytest.raises(SourceUnusableError, match=words) as told:
            await at.compared(job, other)

    assert str(other) in str(told.value)


@pytest.mark.anyio
async def test_rows_that_are_too_large_together_are_blocked_and_counted(
    tmp_path: Path,
) -> None:
    source = tmp_path / "people.csv"
    halves = [f"A,{'x' * 600},\n", f"A,,{'y' * 600}\n"]
    source.write_text("customId,firstName,city\n" + "".join(halves) + "B,Ewa,\n\n")
    async with desk(tmp_path) as at:
        job = at.job(source, "", "\ndelivery: {max_bytes: 1000}\n")
        there = [{"customId": "B", "firstName": "Ewa", "city": "Hel"}]
        report = await at.compared(job, at.dump_of(there))

        assert classes(report) == {"matched": 1}
        assert (report.n_read, report.n_blocked, report.n_empty) == (4, 2, 1)
        assert [field.n_in_crm for field in report.fields] == [1, 1, 1]
        assert [field.n_in_source for field in report.fields] == [1, 1, 0]
