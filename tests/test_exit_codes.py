"""What a process ends with: every number, which goes first, and real runs to each."""

import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from import_day import imported, people, under
from pipeline import errors
from pipeline.cli.exit_codes import (
    EXIT_CODES,
    NOTHING_TO_DO,
    exit_code_of,
    exit_code_of_run,
)
from pipeline.contract import BATCH_PATH
from pipeline.endings import gravest
from pipeline.errors import PipelineError
from pipeline.journal import JOURNAL_NAME, list_runs
from pipeline.journal_tables import RunState
from pipeline.locks import lock_folder
from pipeline.outcomes import RowCounts
from pipeline.sandbox.server import RunningSandbox
from pipeline.stopping import StopSignal
from pipeline.terms import Terms
from sandbox_driver import Wire
from shell import Shell
from test_delivery import batches_of
from test_delivery_bad_days import Day, day, partly

DOCUMENTED = {
    "SettingsError": 78,
    "LimitError": 6,
    "SourceMissingError": 66,
    "SourceUnusableError": 65,
    "SourceReadError": 74,
    "SourceChangedError": 81,
    "UnreachableError": 69,
    "PatienceEndedError": 75,
    "TokenRefusedError": 77,
    "WrongWorkspaceError": 78,
    "ContractError": 76,
    "InterruptedRunError": 130,
    "TerminatedRunError": 143,
    "LockedError": 80,
    "StaleRunError": 82,
    "JournalDamagedError": 74,
    "CannotWriteError": 73,
    "InvariantError": 70,
}
# The order of precedence of what can end a run that has begun, the first counts.
PRECEDENCE = ({130, 143}, {70}, {73, 74}, {76}, {77}, {78}, {81}, {75}, {6})
# The workspace is looked at before a run begins.
IN_A_RUN = [
    kind
    for kind, code in EXIT_CODES.items()
    if any(code in same for same in PRECEDENCE)
    and kind is not errors.WrongWorkspaceError
]


def place_of(code: int) -> int:
    return next(n for n, same in enumerate(PRECEDENCE) if code in same)


# -- the table -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXIT_CODES)
def test_every_error_has_its_documented_number(kind: type[PipelineError]) -> None:
    assert exit_code_of(kind("x")) == DOCUMENTED[kind.__name__]


@pytest.mark.parametrize("first", IN_A_RUN)
@pytest.mark.parametrize("second", IN_A_RUN)
def test_of_two_errors_the_graver_one_ends_the_run(
    first: type[PipelineError], second: type[PipelineError]
) -> None:
    one, other = first("x"), second("x")
    told = gravest(one, other)

    assert told is not None
    codes = exit_code_of(one), exit_code_of(other)
    assert place_of(exit_code_of(told)) == min(map(place_of, codes))
    if place_of(codes[0]) == place_of(codes[1]):
        assert told is one


def test_an_unknown_exception_is_as_grave_as_a_defect() -> None:
    unknown, disk = ValueError("x"), errors.CannotWriteError("x")

    assert gravest(disk, unknown, None) is unknown
    assert gravest(errors.InterruptedRunError("x"), unknown) is not unknown
    assert gravest(None, None) is None
    assert gravest(None, later := PipelineError("x")) is later
    assert gravest(later, errors.LimitError("x")) is not later


ROWS = RowCounts(read=9, accepted=9)


@pytest.mark.parametrize(
    ("counts", "error", "code"),
    [
        (ROWS, None, 0),
        (replace(ROWS, accepted=8, blocked=1), None, 3),
        (replace(ROWS, accepted=8, rejected=1), None, 3),
        (replace(ROWS, accepted=8, folded=1), None, 0),
        (replace(ROWS, accepted=8, pending=1), None, 70),
        (replace(ROWS, accepted=7, rejected=1, pending=1), None, 70),
        (replace(ROWS, accepted=8, rejected=1), errors.LimitError("x"), 6),
        (replace(ROWS, accepted=8, pending=1), errors.PatienceEndedError("x"), 75),
        (RowCounts(), None, 0),
        (RowCounts(), errors.InterruptedRunError("x"), 130),
    ],
)
def test_what_stopped_a_run_goes_before_how_its_rows_ended(
    counts: RowCounts, error: PipelineError | None, code: int
) -> None:
    assert exit_code_of_run(counts, error) == code
    empty = not counts.read and error is None
    told = exit_code_of_run(counts, error, error_on_empty=True)
    assert told == (NOTHING_TO_DO if empty else code)


# -- two things at once ----------------------------------------------------------------


def twice(
    first: int,
    *,
    second: int = 202,
    stop_at_s: float | None = None,
    stop_no: int = signal.SIGINT,
    max_duration_s: float | None = None,
) -> Day:
    """
    Send two batches at 0 s and 5 s; each is answered after 10 s.

    A 207 refuses a row, which is one more than is allowed.
    """
    stop = StopSignal()
    refuse = partly(5)

    def handle(rows: list[int], at_s: float) -> object:
        status = first if 1 in rows else second
        return refuse(rows, at_s) if status == 207 else status

    return day(
        batches_of(2),
        handle,  # type: ignore[arg-type]
        Terms(2, 0.2, max_duration_s=max_duration_s, max_rejects=0, stop=stop),
        latency_s=10.0,
        events=[]
        if stop_at_s is None
        else [(stop_at_s, lambda: stop.request(stop_no))],
    )


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (lambda: twice(207), 6),
        (lambda: twice(207, stop_at_s=12), 130),
        (lambda: twice(207, stop_at_s=12, stop_no=signal.SIGTERM), 143),
        (lambda: twice(207, stop_at_s=8), 130),
        (lambda: twice(207, second=418), 76),
        (lambda: twice(207, second=404), 78),
        (lambda: twice(207, second=401), 77),
        (lambda: twice(207, max_duration_s=8), 75),
        (lambda: twice(202, max_duration_s=12), 75),
        (lambda: twice(418, max_duration_s=8), 76),
        (lambda: twice(202, second=418, max_duration_s=8), 76),
        (lambda: twice(418, stop_at_s=12), 130),
        (lambda: twice(418, second=401), 76),
        (lambda: twice(404, second=418), 76),
    ],
)
def test_the_graver_end_is_told_whichever_came_first(
    run: Callable[[], Day], code: int
) -> None:
    done = run()

    assert isinstance(done.error, PipelineError)
    assert exit_code_of(done.error) == code
    assert "So far" in str(done.error)


# -- whole runs ------------------------------------------------------------------------


class Answering(Wire):
    """A service that gives every batch the same answer."""

    status = 503

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            return httpx.Response(self.status, stream=httpx.ByteStream(b""))
        return await super().handle_async_request(request)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "code"), [(401, 77), (403, 77), (404, 78), (418, 76), (503, 75)]
)
async def test_an_answer_that_ends_a_run_goes_before_blocked_rows(
    tmp_path: Path, status: int, code: int
) -> None:
    async with under("calm") as (sandbox, connector, _):
        wire = Answering(sandbox)
        wire.status = status
        source = people(tmp_path / "people.csv", 30)
        source.write_text(source.read_text() + "nobody@,\n")
        report = await imported(source, replace(connector, transport=wire))

        assert (report.counts.blocked, report.counts.pending) == (1, 30)
        assert exit_code_of_run(report.counts, report.error) == code
        assert report.is_resumable
        (run,) = list_runs(tmp_path / "work")
        assert (run.exit_code, run.state) == (code, RunState.PENDING)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
async def test_a_signal_goes_before_everything_else(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    stop = StopSignal()
    async with under("calm,refuse=5@example.com") as (_, connector, _):
        source = people(tmp_path / "people.csv", 30)
        report = await imported(
            source,
            connector,
            stop=stop,
            on_workspace=lambda _: stop.request(number),
            max_rejects=0,
        )

    assert exit_code_of_run(report.counts, report.error) == code
    (run,) = list_runs(tmp_path / "work")
    assert (run.exit_code, run.state) == (code, RunState.PENDING)


@pytest.mark.anyio
async def test_a_source_that_changes_while_it_is_sent_ends_with_81(
    tmp_path: Path,
) -> None:
    source = people(tmp_path / "people.csv", 30)

    class Meddling(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == BATCH_PATH:
                source.write_text(source.read_text() + "late@example.com,\n")
            return await super().handle_async_request(request)

    async with under("calm") as (sandbox, connector, _):
        report = await imported(source, replace(connector, transport=Meddling(sandbox)))

    assert exit_code_of_run(report.counts, report.error) == 81
    assert not report.is_resumable


def test_a_folder_that_is_held_and_a_journal_that_is_none(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", "email\newa@example.com\n")
    work = shell.folder / "work"
    work.mkdir()
    arguments = ("import", "people.csv", "--work-dir", "work")

    with lock_folder(work):
        held = shell.run(*arguments)
    (work / JOURNAL_NAME).write_bytes(b"no journal" * 999)
    damaged = shell.run(*arguments)

    assert (held.code, damaged.code) == (80, 74)
    assert sandbox.sandbox.store.batches() == []


def test_nothing_to_do_is_recorded_as_such_and_a_refused_key_goes_first(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("header.csv", "email\n")
    arguments = ("import", "header.csv", "--error-on-empty", "--work-dir", "work")

    empty = shell.run(*arguments)
    (run,) = list_runs(shell.folder / "work")
    monkeypatch.setenv("SYNERISE_API_KEY", "99999999-9999-4999-8999-999999999999")
    refused = shell.run(*arguments)

    assert (empty.code, run.exit_code, run.state) == (9, 9, RunState.DONE)
    assert refused.code == 77
    assert sandbox.base_url


def test_each_step_of_the_precedence_has_an_error() -> None:
    codes = set(EXIT_CODES.values())

    assert all(same <= codes for same in PRECEDENCE)
    assert all(not one & other for one, other in pairwise(PRECEDENCE))
