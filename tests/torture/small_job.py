"""
An import so small that every operation of it can be made to fail, and what it leaves.

Three full batches and one of folded rows; a blocked row, a folded pair, a cell that is
left out and a line that cannot be split, so that every file of a run is written. The
service lives in the same process; its store lies outside the job's folder and outlives
the process.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import polars as pl

from pipeline import (
    Connector,
    Continuation,
    Credentials,
    ImportRequest,
    Job,
    RemoteSettings,
    RunReport,
    Secret,
    StopSignal,
    list_runs,
    remembered_job,
    run_import,
)
from pipeline.cli.exit_codes import exit_code_of, exit_code_of_run
from pipeline.cli.render import run_summary
from pipeline.errors import PipelineError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import RunState
from pipeline.records import BatchState
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, Sandbox, SandboxOptions, build_sandbox
from pipeline.writer import write_json
from sandbox_driver import FakeTime, Wire

CLEAN_ROWS: Final = 8
FOLDED_INTO: Final = CLEAN_ROWS + 1
BATCH_ROWS: Final = 3
N_ROWS: Final = CLEAN_ROWS + 4
DONE_CODE: Final = 3  # finished, with a blocked row
TEXT_FILES: Final = ("rejected.csv", "findings.csv", "unreadable.txt")
PARTITION: Final = (
    "empty",
    "blocked",
    "folded",
    "unchanged",
    "accepted",
    "rejected",
    "pending",
)
GENERATED: Final = ("eventCreateTime", "correlationId")
TEMPORARY: Final = ("scratch", f"{JOURNAL_NAME}.reserve")


@dataclass(frozen=True)
class Place:
    """A folder for the job, and beside it the store of the service."""

    folder: Path

    @property
    def watched(self) -> Path:
        """What the job reads and writes."""
        return self.folder / "job"

    @property
    def work_dir(self) -> Path:
        return self.watched / "work"

    @property
    def database(self) -> Path:
        return self.folder / "crm.sqlite"

    def prepare(self) -> None:
        """Lay out the source."""
        self.watched.mkdir(parents=True)
        rows = [f"c{n},p{n}@example.com,,Ewa {n}" for n in range(CLEAN_ROWS)]
        rows[1] = "c1,p1@example.com,abc,Ewa 1"
        rows += [
            "c2,,,Anna",
            ",,,nobody",
            "c9,not an address,,Ewa",
            "one,cell,too,many,here",
        ]
        text = "customId,email,phone,firstName\n" + "\n".join(rows) + "\n"
        (self.watched / "people.csv").write_text(text)

    def job(self, concurrency: int = 1) -> Job:
        phone = {"column": "phone", "region": "PL", "on_invalid": "omit"}
        return Job.model_validate(
            {
                # Named, for else a job is the same only in the same folder.
                "name": "customers",
                "verify": "none",
                "source": {"path": str(self.watched / "people.csv")},
                "mapping": {
                    "customId": "customId",
                    "email": "email",
                    "phone": phone,
                    "firstName": "firstName",
                },
                "delivery": {"max_rows": BATCH_ROWS, "concurrency": concurrency},
            }
        )

    @contextmanager
    def service(self) -> Iterator[tuple[Sandbox, Clock]]:
        """Give the service as its store left it, and a time that nobody waits for."""
        time = FakeTime()

        async def sleep(seconds: float) -> None:
            time.now_s += seconds
            await asyncio.sleep(0)

        sandbox = build_sandbox(
            SandboxOptions(database=str(self.database), settle_s=0.0),
            clock=time.clock,
            wall_clock=time.wall,
            sleep=sleep,
        )
        try:
            yield sandbox, Clock(time.clock, sleep, lambda: 0.5)
        finally:
            sandbox.close()


@dataclass(frozen=True)
class Ended:
    """
    How a run ended, as the shell would tell it.

    Attributes:
        error: The class of what ended it; empty when it came to its end.
        stray: What is not an error of this tool, and where it came from.
    """

    code: int
    error: str = ""
    stray: str = ""


Wrap = Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]
Drive = Callable[[Coroutine[Any, Any, RunReport], StopSignal], Awaitable[RunReport]]


@dataclass(frozen=True)
class Day:
    """What is special about a run: who is on its wire, and who drives it."""

    wrap: Wrap = lambda wire: wire
    drive: Drive | None = None
    concurrency: int = 1


CALM: Final = Day()


def run(place: Place, day: Day = CALM, resume: str | None = None) -> Ended:
    """Import, or resume a run by its name, and end as the command line would."""
    return asyncio.run(_run(place, day, resume))


async def _run(place: Place, day: Day, resume: str | None) -> Ended:
    with place.service() as (sandbox, clock):
        remote = RemoteSettings(
            "http://127.0.0.1:1", Credentials(api_key=Secret(API_KEY))
        )
        connector = Connector(remote, day.wrap(Wire(sandbox)), clock)
        try:
            request = ImportRequest(
                place.job(day.concurrency),
                place.work_dir,
                exit_code=exit_code_of_run,
            )
            if resume is not None:
                request = replace(
                    request,
                    job=remembered_job(place.work_dir, resume),
                    continuation=Continuation(resume),
                    command="resume",
                )
            work = run_import(request, connector)
            report = await (day.drive(work, request.stop) if day.drive else work)
            counts, error = report.counts, report.error
            code = exit_code_of_run(counts, error)
            write_json(report.folder / "summary.json", run_summary(report, code, 1.0))
        except PipelineError as ended:
            return Ended(exit_code_of(ended), type(ended).__name__)
        except asyncio.CancelledError:
            return Ended(130, "CancelledError")
        except BaseException as ended:  # noqa: BLE001 - this is what is looked for
            return Ended(70, type(ended).__name__, _place_of(ended))
        return Ended(code, type(error).__name__ if error else "")


def _place_of(error: BaseException) -> str:
    trace, places = error.__traceback__, ["?"]
    while trace is not None:
        name = Path(trace.tb_frame.f_code.co_filename)
        if "pipeline" in name.parts:
            places.append(f"{name.name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-3:])}: {error}"[:300]


def finish(place: Place, *, by_name: bool) -> Ended | None:
    """
    Finish an interrupted job as its operator would: resume it, or import again.

    None when there is nothing to finish: the run was cut off after its last record.
    """
    try:
        runs = list_runs(place.work_dir)
    except PipelineError as error:
        return Ended(exit_code_of(error), type(error).__name__)
    if runs and runs[-1].state is RunState.DONE:
        return None
    return run(place, resume=runs[-1].run_id if runs and by_name else None)


# -- what is left behind -----------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What a job that came to its end leaves, without what differs between runs."""

    crm: dict[str, Any]
    outcomes: list[list[Any]]
    texts: dict[str, str]
    n_runs: int


def crm_of(sandbox: Sandbox) -> dict[str, Any]:
    """Return customId → what the service holds, without what it made up itself."""
    sandbox.settle()
    found = {}
    for profile in sandbox.profiles():
        kept = {
            name: value
            for name, value in profile.items()
            if name not in {"id", "clientId", "uuid", "lastActivityDate"}
        }
        kept["attributes"] = {
            name: value
            for name, value in profile["attributes"].items()
            if name not in GENERATED
        }
        found[str(profile["customId"])] = kept
    return found


def outcomes_in(folder: Path) -> list[list[Any]]:
    frame = pl.read_parquet(folder / "outcomes.parquet")
    columns = ("row_no", "state", "code", "folded_into")
    return [list(row) for row in frame.select(columns).iter_rows()]


def left_at(place: Place) -> Left:
    """Look at a job that has ended, with the newest of its runs."""
    with place.service() as (sandbox, _):
        crm = crm_of(sandbox)
    runs = list_runs(place.work_dir)
    folder = place.work_dir / "runs" / runs[-1].run_id
    return Left(
        crm,
        outcomes_in(folder),
        {name: (folder / name).read_text() for name in TEXT_FILES},
        len(runs),
    )


def clutter_at(place: Place) -> list[str]:
    """Return what a run that nobody disturbed should have cleared away."""
    found = [name for name in TEMPORARY if (place.work_dir / name).exists()]
    return [f"{name} was left behind" for name in found]


def faults_of_end(place: Place, ended: Ended | None, wanted: Left) -> list[str]:
    """
    Return what is wrong with a job that was finished; nothing, it is hoped.

    Args:
        ended: The finishing run; None when there was nothing to finish.
    """
    if ended is not None and (ended.code != DONE_CODE or ended.error):
        return [f"the finishing run ended with {ended.code} {ended.error}{ended.stray}"]
    left = left_at(place)
    found = [
        f"{name} differs from an undisturbed run"
        for name in ("crm", "outcomes", "texts")
        if getattr(left, name) != getattr(wanted, name)
    ]
    if left.n_runs != 1:
        found.append(f"{left.n_runs} runs, so something was not continued")
    return found


def faults_on_disk(place: Place, wanted: Left, concurrency: int = 1) -> list[str]:
    """Return what is wrong with the files of a run that was disturbed."""
    found = []
    with place.service() as (sandbox, _):
        crm = crm_of(sandbox)
        received = Counter(
            batch.digest for batch in sandbox.store.batches() if batch.status == 202
        )
    if any(profile != wanted.crm.get(name) for name, profile in crm.items()):
        found.append("the CRM holds what no row says")
    n_again = sum(received.values()) - len(received)
    if n_again > concurrency:
        found.append(f"{n_again} batches were sent again")
    for folder in sorted(place.work_dir.glob("runs/*")):
        found += _faults_of_files(folder, wanted, set(crm))
    if (place.work_dir / JOURNAL_NAME).exists():
        found += _faults_of_journal(place.work_dir, set(received))
    return found


def _faults_of_journal(work_dir: Path, received: set[str]) -> list[str]:
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        claims = [
            batch.digest
            for run in journal.runs()
            for batch in journal.batches(run.run_id)
            if batch.state is BatchState.ACCEPTED
        ]
    lies = set(claims) - received
    return [f"{len(lies)} batches are accepted that never arrived"] if lies else []


def _faults_of_files(folder: Path, wanted: Left, arrived: set[str]) -> list[str]:
    """Every file under its final name is whole, and claims nothing that is not so."""
    found = [
        f"{name} is not whole"
        for name in TEXT_FILES
        if (folder / name).exists()
        and (folder / name).read_text() != wanted.texts[name]
    ]
    if (folder / "job.json").exists():
        Job.model_validate(json.loads((folder / "job.json").read_bytes()))
    if (folder / "summary.json").exists():
        rows = json.loads((folder / "summary.json").read_bytes())["rows"]
        if rows["read"] != sum(rows[part] for part in PARTITION):
            found.append("the equation of summary.json does not hold")
    if (folder / "outcomes.parquet").exists():
        found += _faults_of_outcomes(outcomes_in(folder), wanted, arrived)
    return found


def _faults_of_outcomes(
    outcomes: list[list[Any]], wanted: Left, arrived: set[str]
) -> list[str]:
    found = []
    if len(outcomes) != len(wanted.outcomes):
        found.append("outcomes.parquet is not whole")
    for row, want in zip(outcomes, wanted.outcomes, strict=False):
        row_no, state = row[:2]
        if row != want and (want[1], state) != ("accepted", "pending"):
            found.append(f"row {row_no} is {state}, not {want[1]}")
        if state == "accepted" and _custom_id(row_no) not in arrived:
            found.append(f"row {row_no} is accepted and never arrived")
    return found


def _custom_id(row_no: int) -> str:
    return "c2" if row_no == FOLDED_INTO else f"c{row_no - 1}"


def dumped(value: Ended | Left | list[str]) -> bytes:
    """Return what a process tells another."""
    told = value if isinstance(value, list) else asdict(value)
    return json.dumps(told).encode()
