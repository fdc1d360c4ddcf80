"""
Reading back: does the CRM hold what an import was told is accepted?

The rows are made again from the source, exactly as they were sent, and each of a sample
is asked for by its own identifier until it is there, or its time is over. `accepted =
settled + differs + absent + not_yet + unverified`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.connection import connected, unless_stopped
from pipeline.continuing import job_of_run, settings_digest
from pipeline.delta.confirming import PLANNED_COMMANDS
from pipeline.errors import SettingsError, SourceChangedError
from pipeline.files import make_private_dir, make_work_dir
from pipeline.history import find_run, source_obstacle
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import ImportRequest, check_line, open_line
from pipeline.locks import lock_folder
from pipeline.progress import NO_PROGRESS
from pipeline.records import VerifyState
from pipeline.resuming import has_same_content
from pipeline.sampling import Stratum, wrong_share_at_most
from pipeline.sent_rows import accepted_frames, ambiguous_phones, waves
from pipeline.settings import VERIFY_ROWS, VERIFY_SETTLE_S
from pipeline.settling import Settler, SettleTime
from pipeline.spill import SliceStore, fresh_scratch
from pipeline.stopping import StopSignal
from pipeline.writer import FileForm, write_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.connection import Connector, Workspace
    from pipeline.journal_tables import Run
    from pipeline.line import Line
    from pipeline.progress import ProgressView
    from pipeline.sampling import Shape
    from pipeline.settling import Answer

DIFFERENCES_NAME: Final = "verify-differences.csv"
_WRONG: Final = (VerifyState.DIFFERS, VerifyState.ABSENT)
_DIFFERENCES: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "row_no": pl.UInt64(),
    "state": pl.String(),
    "field": pl.String(),
    "sent": pl.String(),
    "found": pl.String(),
}


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """
    Which run to verify, and how thoroughly.

    Attributes:
        run_id: Its name, or how it begins if no other begins so.
        n_rows: Of the sample; None asks for every accepted row.
        settle_s: How long after its 202 a row may take to appear.
        stop: Asked to stop, nothing more is asked.
        wall: Seconds since 1970, by which answers are dated in the journal.
    """

    work_dir: Path
    run_id: str
    n_rows: int | None = VERIFY_ROWS
    settle_s: float = VERIFY_SETTLE_S
    progress: ProgressView = NO_PROGRESS
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    stop: StopSignal = field(default_factory=StopSignal)
    wall: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """
    What a reading back came to.

    Attributes:
        counts: State → accepted rows; they add up to *n_accepted*.
        n_asked: Rows asked for.
        n_ambiguous: Unverified for good: their phone is all that another row has, and
            whose profile it is depends on the API.
        wrong_share_at_most: Of all other accepted rows, at 95 % confidence.
        settled_after_s: From the last 202 to the first look at which a row, absent at
            an earlier look, was there; None when every row was there at once.
        refusal: Why nothing could be read; None when it could.
        fields: Field → rows that differ in it.
        path: Of the rows that differ or are absent; None when there are none.
    """

    run_id: str
    n_accepted: int
    n_asked: int
    counts: Mapping[VerifyState, int]
    n_ambiguous: int
    wrong_share_at_most: float
    settled_after_s: float | None
    refusal: str | None
    fields: Mapping[str, int]
    folder: Path
    path: Path | None

    @property
    def n_wrong(self) -> int:
        """Rows that are absent, or differ, after their time."""
        return sum(self.counts[state] for state in _WRONG)


async def verify_run(request: VerifyRequest, connector: Connector) -> VerifyReport:
    """
    Ask for accepted rows of a run and compare every field that was sent.

    Waits for rows that are not there yet, until `settle_s` after their 202. Reads only.

    Effects: `verify-differences.csv` in the folder of the run when a row differs or is
        absent, and none otherwise; it holds values.

    Raises:
        SourceChangedError: The source is gone, or not the one that was sent.
        SettingsError: There is no such run, or its job is gone.
        WrongWorkspaceError: The key opens another workspace than that of the run.
        AccessError, RemoteError, ContractError: As the service answers; a key that may
            log in and not read gives a report of unverified rows.
        LockedError: Another run holds the work folder.
        StoppedError: Somebody asked to stop.
    """
    make_work_dir(request.work_dir)
    with (
        lock_folder(request.work_dir),
        fresh_scratch(request.work_dir) as scratch,
        Journal.open(request.work_dir / JOURNAL_NAME) as journal,
        SliceStore(scratch / "clean") as store,
    ):
        run = find_run(request.work_dir, journal.runs(), request.run_id)
        line, check = _made_again(request, run, scratch, store)
        batches = journal.outcomes(run.run_id)

        def frames() -> Iterator[pl.DataFrame]:
            return accepted_frames(line, check, store, batches)

        shared = check.shared_phones
        ambiguous = ambiguous_phones(frames() if len(shared) else (), shared)
        settle_time = SettleTime(
            journal.accepted_at(run.run_id), request.settle_s, request.wall
        )
        tally = _Tally()
        async with connected(connector, run.workspace, stop=request.stop) as (
            client,
            workspace,
        ):
            request.on_workspace(workspace)
            delivery = line.request.job.delivery
            settler = Settler(
                connector,
                client,
                settle_time,
                concurrency=delivery.concurrency,
                rate=delivery.rate,
            )
            for wave in waves(frames(), ambiguous, request.n_rows, run.generation):
                tally.sizes.update(wave.sizes)
                tally.n_ambiguous += wave.n_ambiguous
                if settler.refusal is None:
                    asked = settler.answers(wave.rows)
                    tally.add(await unless_stopped(asked, request.stop))
        folder = make_private_dir(request.work_dir / "runs" / run.run_id)
        return _report(line, folder, tally, settler)


def _made_again(
    request: VerifyRequest, run: Run, scratch: Path, store: SliceStore
) -> tuple[Line, CheckResult]:
    """Read the source of a run as it was read then."""
    if run.command in PLANNED_COMMANDS:
        raise SettingsError(
            f"run {run.run_id} applied a plan, and runs of plans cannot be verified"
        )
    job = job_of_run(request.work_dir, run.run_id)
    again = ImportRequest(
        job, request.work_dir, progress=request.progress, stop=request.stop
    )
    obstacle = source_obstacle(run)
    if obstacle is None:
        line = open_line(again, scratch)
        check = check_line(line, store)
        if not has_same_content(run.fingerprints, check.fingerprints):
            where = ", ".join(known.path for known in run.fingerprints)
            obstacle = f"its source has changed: {where}"
    if obstacle is not None:
        raise SourceChangedError(
            f"run {run.run_id} cannot be verified: {obstacle}. What was sent can only "
            "be made again from the source as it was; bring it back"
        )
    if settings_digest(job, line.mapping) != run.settings_digest:
        raise SettingsError(
            f"run {run.run_id} cannot be verified: this version of crm-pipeline reads "
            "its job in another way. Use the version that imported it"
        )
    return line, check


class _Tally:
    """
    What was found so far.

    Attributes:
        sizes: Shape → accepted rows that can be asked for.
        n_ambiguous: Accepted rows that cannot.
        wrong: Answers of rows that are absent, or differ.
    """

    def __init__(self) -> None:
        self.sizes: Counter[Shape] = Counter()
        self.n_ambiguous = 0
        self.states: dict[Shape, Counter[VerifyState]] = {}
        self.wrong: list[Answer] = []

    def add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self.states.setdefault(answer.row.shape, Counter())[answer.state] += 1
            if answer.state in _WRONG:
                self.wrong.append(answer)

    def strata(self) -> list[Stratum]:
        """Return what is certain of each shape."""
        strata = []
        for shape, n_rows in self.sizes.items():
            found = self.states.get(shape, Counter())
            n_wrong = sum(found[state] for state in _WRONG)
            n_asked = n_wrong + found[VerifyState.SETTLED]
            strata.append(Stratum(n_rows, n_asked, n_wrong))
        return strata


def _report(line: Line, folder: Path, tally: _Tally, settler: Settler) -> VerifyReport:
    counts = sum(tally.states.values(), Counter())
    n_asked = counts.total()
    n_accepted = tally.sizes.total() + tally.n_ambiguous
    counts[VerifyState.UNVERIFIED] = n_accepted - n_asked
    path = folder / DIFFERENCES_NAME
    if tally.wrong:
        frame = _wrong_frame(line, tally.wrong)
        write_frames(path, FileForm("csv"), lambda: [frame], _DIFFERENCES)
    else:
        path.unlink(missing_ok=True)
    names = [part.field for answer in tally.wrong for part in answer.differences]
    return VerifyReport(
        run_id=folder.name,
        n_accepted=n_accepted,
        n_asked=n_asked,
        counts={state: counts[state] for state in VerifyState},
        n_ambiguous=tally.n_ambiguous,
        wrong_share_at_most=wrong_share_at_most(tally.strata()),
        settled_after_s=settler.settled_after_s,
        refusal=settler.refusal,
        fields=dict(Counter(names).most_common()),
        folder=folder,
        path=path if tally.wrong else None,
    )


def _wrong_frame(line: Line, wrong: Sequence[Answer]) -> pl.DataFrame:
    """Return a line for each field that differs, and one for each absent row."""
    names = [path.name for path in line.source.files]
    rows: list[tuple[object, ...]] = []
    for answer in sorted(wrong, key=lambda a: (a.row.source_no, a.row.row_no)):
        row = answer.row
        place = (names[row.source_no], row.row_no, answer.state.value)
        rows += [
            (*place, part.field, _json(part.sent), _json(part.found))
            for part in answer.differences
        ]
        if not answer.differences:
            rows.append((*place, None, None, None))
    return pl.DataFrame(rows, schema=_DIFFERENCES, orient="row")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
