"""What cannot be read twice is copied once, privately, for as long as it is needed."""

import asyncio
import io
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pipeline import (
    Connector,
    Continuation,
    ImportRequest,
    Job,
    RunReport,
    StopSignal,
    remembered_job,
    run_import,
)
from pipeline.contract import BATCH_PATH
from pipeline.errors import InterruptedRunError, SettingsError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.settings import SourceSettings
from pipeline.spool import SPOOL_NAME, spooled, spools
from sandbox_driver import Wire, served
from shell import Shell

QUERY = "select id, mail from customers order by id;"
MAPPING = {"customId": "id", "email": "mail"}
N_ROWS = 60


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("create table customers (id, mail)")
        people = [(n, f"user{n}@example.com") for n in range(N_ROWS)]
        opened.executemany("insert into customers values (?, ?)", people)
    return path


def query(database: Path, text: str = QUERY) -> SourceSettings:
    return SourceSettings(query=text, connection=SecretStr(f"sqlite:///{database}"))


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_files_of_this_machine_are_read_in_place(tmp_path: Path) -> None:
    source = SourceSettings(path=("a.csv", str(tmp_path)))

    assert spooled(source, tmp_path / "spool").source is source
    assert not (tmp_path / "spool").exists()


def test_a_query_becomes_one_private_file(tmp_path: Path, database: Path) -> None:
    found = spooled(query(database), tmp_path / "spool").source

    assert found.query is None
    assert found.connection is None
    assert [Path(path).name for path in found.paths] == ["query.parquet"]
    assert modes(tmp_path / "spool") == {0o600, 0o700}
    assert len(list((tmp_path / "spool").rglob("*"))) == 2


def test_standard_input_is_copied_byte_by_byte(tmp_path: Path) -> None:
    content = b"email\r\n\xff\n" * 300_000
    found = spooled(
        SourceSettings(path="-"), tmp_path / "spool", stdin=io.BytesIO(content)
    ).source

    assert Path(found.paths[0]).read_bytes() == content


def test_a_terminal_holds_no_rows(tmp_path: Path) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SettingsError, match="is a terminal"):
        spooled(SourceSettings(path="-"), tmp_path, stdin=Terminal())


def test_a_stop_ends_the_copying_and_leaves_no_file(
    tmp_path: Path, database: Path
) -> None:
    def stop() -> None:
        raise InterruptedRunError("stopped")

    for source in (query(database), SourceSettings(path="-")):
        with pytest.raises(InterruptedRunError):
            spooled(source, tmp_path / "s", still_wanted=stop, stdin=io.BytesIO(b"a"))
    assert not [path for path in (tmp_path / "s").rglob("*") if path.is_file()]


def test_spools_without_a_run_are_removed(tmp_path: Path) -> None:
    runs = [tmp_path / "runs" / name for name in ("a", "b", "c", "d")]
    for folder in runs:
        (folder / SPOOL_NAME / "000001").mkdir(parents=True)
    kept, lost, _alone, planned = runs
    for folder in (kept, planned):
        (folder / "job.json").write_text("{}")
    (planned / "plan.json").write_text("{}")
    (lost / "summary.json").write_text("{}")

    with spools(tmp_path):
        assert not (lost / SPOOL_NAME).exists()
        (lost / SPOOL_NAME).mkdir()
    left = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert left == ["a", "b", "d"]
    assert (kept / SPOOL_NAME).exists()
    assert not (lost / SPOOL_NAME).exists()
    assert not (planned / SPOOL_NAME).exists()


# -- a run from a query ------------------------------------------------------------


class CutOff(Wire):
    """A service that asks the run to stop when the third batch arrives."""

    def __init__(self, sandbox: Sandbox, stop: Callable[[], None]) -> None:
        super().__init__(sandbox)
        self._stop = stop
        self._n_batches = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            self._n_batches += 1
            if self._n_batches == 3:
                self._stop()
        return await super().handle_async_request(request)


def job_of(database: Path, text: str = QUERY) -> Job:
    source = {"query": text, "connection": f"sqlite:///{database}"}
    pace = {"max_rows": 10, "concurrency": 1}
    return Job.model_validate({"source": source, "mapping": MAPPING, "delivery": pace})


def run(
    connector: Connector, job: Job, folder: Path, wire: Wire | None = None, **say: Any
) -> RunReport:
    request = ImportRequest(job, folder, **say)
    if wire is not None:
        connector = replace(connector, transport=wire)
    return asyncio.run(run_import(request, connector))


def interrupted(
    sandbox: Sandbox, connector: Connector, database: Path, folder: Path
) -> RunReport:
    stop = StopSignal()
    wire = CutOff(sandbox, stop.request)
    report = run(connector, job_of(database), folder, wire, stop=stop)
    assert isinstance(report.error, InterruptedRunError)
    assert report.counts.pending > 0
    return report


def test_a_resumption_reads_the_spool_and_never_the_database(
    tmp_path: Path, database: Path
) -> None:
    work = tmp_path / "work"
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        first = interrupted(sandbox, connector, database, work)
        remembered = (first.folder / "job.json").read_text()
        database.unlink()
        again = Continuation(first.run_id)
        job = remembered_job(work, first.run_id)
        last = run(connector, job, work, continuation=again)

    assert last.run_id == first.run_id
    assert last.counts.accepted == N_ROWS
    assert "sqlite" not in remembered
    assert "select" not in remembered
    assert len(json.loads(remembered)["source"]["spool_of"]) == 64


def test_the_same_query_goes_on_with_its_run_and_leaves_one_spool(
    tmp_path: Path, database: Path
) -> None:
    work = tmp_path / "work"
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        first = interrupted(sandbox, connector, database, work)
        last = run(connector, job_of(database), work)

    assert last.run_id == first.run_id
    assert last.counts.accepted == N_ROWS
    assert [path.parent for path in work.rglob(SPOOL_NAME)] == [first.folder]


def test_another_query_is_another_run(tmp_path: Path, database: Path) -> None:
    work = tmp_path / "work"
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        first = interrupted(sandbox, connector, database, work)
        last = run(connector, job_of(database, f"{QUERY} -- all"), work)

    assert last.run_id != first.run_id
    assert last.counts.accepted == N_ROWS


# -- from the command line ---------------------------------------------------------


def written(shell: Shell, source: str, rest: str = "") -> Path:
    return shell.write("job.yaml", f"version: 1\nname: shop\nsource: {source}\n{rest}")


def test_the_file_of_a_database_lies_beside_the_job(
    shell: Shell, database: Path
) -> None:
    folder = shell.folder / "jobs"
    folder.mkdir()
    database.rename(folder / database.name)
    query = "select id from customers"
    source = f"{{query: {query}, connection: 'sqlite:///{database.name}'}}"
    written(shell, source, "mapping: {customId: id}\n").rename(folder / "job.yaml")

    assert shell.run("check", "-c", "jobs/job.yaml").code == 0


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (("select id from customers where 0",), 0, "the source has no rows"),
        (
            ("select id from customers where 0", "--error-on-empty"),
            9,
            "the source has no rows",
        ),
        (
            ("select id from customers where 0", "--allow-empty"),
            0,
            "the source has no rows",
        ),
        (("select id from nobody",), 78, "no such table: nobody"),
        (("select nope from customers",), 78, "no such column: nope"),
        (("select id, id from customers",), 78, "'id' twice"),
        (("select x'00' as id",), 78, "'id' of the query has the type bytes"),
        (("delete from customers",), 78, "readonly"),
        (("select id from customers", "--delimiter", ";"), 78, "`delimiter` is for"),
    ],
)
def test_bad_queries_are_told_in_words(
    shell: Shell, database: Path, asked: tuple[str, ...], code: int, words: str
) -> None:
    text, *arguments = asked
    source = f'{{query: "{text}", connection: "sqlite:///{database}"}}'
    job = written(shell, source, "mapping: {customId: id}\n")
    ended = shell.run("check", "-c", job, *arguments)

    assert ended.code == code, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert not list((shell.folder / ".crm-pipeline").rglob(SPOOL_NAME))


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("{query: select 1}", 78, "`query` needs a `connection`"),
        ("{connection: 'sqlite:///a'}", 78, "`connection` needs a `query`"),
        ("{query: a, connection: 'sqlite:///a', path: b}", 78, "exclude each other"),
        ("{query: a, connection: 'sqlite:///a', format: csv}", 78, "is for files"),
        ("{query: a, connection: a}", 78, "is no URL"),
        ("{query: a, connection: 'sqlite:///a'}", 66, "no SQLite file"),
        ("{query: a, connection: 'postgresql://u:geheim@h/d'}", 78, "password"),
    ],
)
def test_bad_connections_are_told_in_words(
    shell: Shell, source: str, code: int, words: str
) -> None:
    ended = shell.run("check", "-c", written(shell, source))

    assert ended.code == code, ended.err
    assert words in ended.err
    assert "geheim" not in ended.err


def test_the_name_of_a_source_wins_over_the_query(shell: Shell) -> None:
    people = shell.write("people.csv", "id\nc1\n")
    job = written(
        shell,
        "{query: select 1, connection: 'sqlite:///nowhere'}",
        "mapping: {customId: id}\n",
    )

    assert shell.run("check", people, "-c", job).code == 0


def test_rows_may_come_through_a_pipe(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = io.TextIOWrapper(io.BytesIO(b"email\nann@example.com\nnot an address\n"))
    monkeypatch.setattr("sys.stdin", piped)
    ended = shell.run("check", "-")

    assert ended.code == 3
    assert "2 rows read = 1 blocked + 1 planned" in ended.err


def test_a_job_is_proposed_for_a_query(shell: Shell, database: Path) -> None:
    columns = "id as customId, mail as email, 1.5 as score"
    query = f"select {columns} from customers"  # noqa: S608 - as it is written here
    source = f"{{query: '{query}', connection: 'sqlite:///{database}'}}"
    job = written(shell, source)

    assert shell.run("init", "-c", job, "-o", "made.yaml").code == 0
    made = (shell.folder / "made.yaml").read_text()
    assert "connection: sqlite:///" in made
    assert "score: score" in made
    checked = shell.run("check", "-c", "made.yaml")
    assert checked.code == 0, checked.err
    assert f"{N_ROWS} rows read = {N_ROWS} planned" in checked.err


def test_init_needs_one_source(shell: Shell) -> None:
    files = written(shell, "{path: a.csv}")

    assert shell.run("init").code == 2
    assert shell.run("init", "a.csv", "-c", files).code == 2
    assert shell.run("init", "-c", files).code == 78
