"""
One import, its journal and the service, in one virtual time, and what must be true.

A life is one process: it opens the journal, plans, delivers and ends, or is killed.
Everything it has in memory dies with it; the file of the journal and the service stay.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import polars as pl

from certificates import RIGHT
from pipeline.chunker import BatchLimits
from pipeline.client import Client
from pipeline.connection import Connector, patiently
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.delivery import Delivery
from pipeline.errors import InvariantError, JournalDamagedError, PipelineError
from pipeline.journal_tables import Run
from pipeline.rebatch import rebuild
from pipeline.records import Batch, Encoded
from pipeline.resuming import plan_resume
from pipeline.retrying import Clock
from pipeline.splitting import ByteTarget
from pipeline.stopping import StopSignal
from pipeline.tally import DeliveryReport
from pipeline.terms import Terms
from torture.ledger import Ledger, Reader, Row
from torture.service_model import GUID, WALL_S, Service, Tastes, Weather
from torture.virtual_journal import VirtualJournal

RUN_ID: Final = "r1"
VERSIONS: Final = {"model": "1"}
ADAPTIVE_MOST: Final = 16
# What no weather may cause: defects of the product.
DEFECTS: Final = (InvariantError, JournalDamagedError)
DRAIN_S: Final = 21.0
HURRY_S: Final = 1.0


@dataclass(frozen=True)
class Person:
    """A row that is to be sent."""

    lane: int
    row: Row
    text: str


@dataclass(frozen=True)
class Life:
    """
    How one process is run, and how it ends unless it finishes before.

    `kill_at` counts events; `kill_s`, `stop_s` and `cancel_s` are seconds since its
    beginning; a second request to stop comes `hurry_s` after the first. `pause_s`
    passes before the next life.
    """

    limits: BatchLimits = field(default_factory=BatchLimits)
    concurrency: int | None = None
    rate: float | None = None
    max_wait_s: float = 900.0
    kill_at: int | None = None
    kill_s: float | None = None
    stop_s: float | None = None
    hurry_s: float | None = None
    cancel_s: float | None = None
    pause_s: float = 0.0
    flush_s: float = 0.004
    replan: bool = False


@dataclass
class Figures:
    """What was counted over all lives of a job."""

    n_lives: int = 0
    n_kills: int = 0
    n_stops: int = 0
    n_requests: int = 0
    n_commits: int = 0
    most_open: int = 0
    most_resent: int = 0
    most_over: int = -ADAPTIVE_MOST
    most_attempts: int = 0


class Town:
    """Everything there is but the caller; made anew for each schedule."""

    def __init__(
        self,
        people: list[Person],
        tastes: Tastes,
        weather: Weather,
        *,
        folder: Path,
        seed: str,
    ) -> None:
        self.people = sorted(people, key=lambda one: (one.lane, one.row))
        self.service = Service(tastes, weather, _dice(f"{seed} service"), self.note)
        self.service.on_batch = self._on_batch
        self.service.is_cut_off = lambda: self._is_dead
        self.log: list[str] = []
        self.wrong: list[str] = []
        self.figures = Figures()
        self.ledger = Ledger()
        self.wall_jump_s = 0.0
        self.ended_s = 0.0
        self._chance = _dice(f"{seed} caller")
        self._path = folder / "journal.sqlite"
        self._bundle = folder / "ca.pem"  # small: the usual one takes 30 ms to load
        self._bundle.write_text(RIGHT[RIGHT.index("-----BEGIN CERT") :])
        lanes: dict[int, list[Row]] = {}
        for one in self.people:
            lanes.setdefault(one.lane, []).append(one.row)
        self._reader = Reader(RUN_ID, lanes)
        self.begin(Life())
        self.figures.n_lives = 0

    # -- what is told ------------------------------------------------------------------

    def wall_s(self) -> float:
        """What the clock on the wall of the caller says; it may jump."""
        return WALL_S + _now_s() + self.wall_jump_s

    def note(self, event: str) -> None:
        """Write an event down; the process may be killed by it."""
        if self._is_dead:
            return
        self.log.append(f"{_now_s():.6f} {event}")
        self._n_events += 1
        if self._n_events == self._life.kill_at:
            self.kill()

    def claim(self, words: str) -> None:
        """Write down that something is not as it must be."""
        self.wrong.append(f"at {_now_s():.3f} s, life {self.figures.n_lives}: {words}")

    # -- a life ------------------------------------------------------------------------

    async def live(self, life: Life) -> str:
        """Run one process to its end; return how it ended."""
        self.begin(life)
        self.task = asyncio.create_task(self.work())
        loop = asyncio.get_running_loop()
        acts: list[tuple[float | None, Callable[[], Any]]] = [
            (life.kill_s, self.kill),
            (life.stop_s, self.stop),
            (life.cancel_s, self.cancel),
        ]
        if life.stop_s is not None and life.hurry_s is not None:
            acts.append((life.stop_s + life.hurry_s, self.stop))
        timers = [loop.call_later(s, act) for s, act in acts if s is not None]
        await asyncio.wait([self.task])
        for timer in timers:
            timer.cancel()
        how = self.end()
        await asyncio.sleep(life.pause_s)
        return how

    def begin(self, life: Life) -> None:
        """Forget what the last process knew."""
        self._life = life
        self._stop = StopSignal()
        self._stops: list[float] = []
        self._out_at_stop: set[str] = set()
        self._is_dead = False
        self._n_events = 0
        self._n_after_stop = 0
        self._left: set[tuple[int, int]] = set()
        self._journal: VirtualJournal | None = None
        self._begun_with = self.ledger
        self.figures.n_lives += 1

    async def work(self) -> DeliveryReport:
        """Do what a process does, from opening the journal to its end."""
        life, loop = self._life, asyncio.get_running_loop()
        self._journal = journal = VirtualJournal(
            self._path,
            self.wall_s,
            lambda: life.flush_s * (0.5 + self._chance.random()),
            self._on_commit,
        )
        clock = Clock(loop.time, asyncio.sleep, self._chance.random)
        remote = RemoteSettings(
            "https://model.test",
            Credentials(api_key=Secret("model-key")),
            ca_bundle=str(self._bundle),
        )
        try:
            async with Client(
                remote, transport=self.service, now=self.wall_s, monotonic=loop.time
            ) as client:
                connector = Connector(remote, self.service, clock)
                await patiently(
                    connector,
                    client,
                    client.workspace,
                    what="the question",
                    stop=self._stop,
                )
                batches, terms = self._plan(journal, clock)
                delivery = Delivery(client, journal, RUN_ID, terms)
                return await delivery.run(Lazy(batches), self._show)
        finally:
            if not self._is_dead:
                journal.close()

    def _plan(
        self, journal: VirtualJournal, clock: Clock
    ) -> tuple[Iterator[Batch], Terms]:
        life = self._life
        if journal.run(RUN_ID):
            run = journal.resume_run(RUN_ID)
        else:
            run = Run(RUN_ID, "import", "people", GUID, versions=VERSIONS)
            journal.begin_run(run)
        known = journal.batches(RUN_ID)
        plan = plan_resume(run, known, now=VERSIONS, replan=life.replan)
        told = (plan.n_accepted, plan.n_rejected)
        truth = (len(self.ledger.accepted), len(self.ledger.rejected))
        if told != truth:
            self.claim(f"planned with {told} accepted and rejected rows, not {truth}")
        terms = Terms(
            life.concurrency,
            life.rate,
            life.max_wait_s,
            target=ByteTarget(life.limits.max_bytes),
            stop=self._stop,
            clock=clock,
            attempts=plan.attempts,
            suspects=plan.suspects,
            next_child_no=plan.next_child_no,
        )
        return rebuild(self._frames(), plan, life.limits), terms

    def _frames(self) -> Iterator[Encoded]:
        for lane in sorted({one.lane for one in self.people}):
            mine = [one for one in self.people if one.lane == lane]
            texts = [one.text for one in mine]
            frame = pl.DataFrame(
                {
                    "source_no": [one.row[0] for one in mine],
                    "row_no": [one.row[1] for one in mine],
                    "json": texts,
                    "n_bytes": [len(text.encode()) for text in texts],
                },
                schema={
                    "source_no": pl.UInt32,
                    "row_no": pl.UInt64,
                    "json": pl.String,
                    "n_bytes": pl.UInt32,
                },
            )
            cut = self._chance.randint(1, len(mine))
            for at in range(0, len(mine), cut):
                yield Encoded(frame[at : at + cut], lane)

    # -- how it may end ----------------------------------------------------------------

    def kill(self) -> None:
        """End the process at once; only what it had committed is left of it."""
        if self._is_dead or self.task.done():
            return
        self.log.append(f"{_now_s():.6f} killed")
        self._is_dead = True
        self.figures.n_kills += 1
        if self._journal is not None:
            self._journal.writer.kill(landed=self._chance.random() < 0.5)
        self.task.cancel()

    def stop(self) -> None:
        """Ask the process to stop."""
        self._out_at_stop |= set(self.service.truth.in_flight.keys())
        self._stops.append(_now_s())
        self.figures.n_stops += 1
        self._stop.request()

    def cancel(self) -> None:
        """Cancel the call, as a program that uses the library would."""
        self._stops += [_now_s(), _now_s()]
        self.task.cancel()

    def end(self) -> str:
        """Look at what a process left behind; return how it ended."""
        self.ended_s = _now_s()
        if self._path.exists():
            with sqlite3.connect(self._path) as connection:
                self._look(connection)
            connection.close()
        how = "killed"
        if not self._is_dead:
            how = self._how_it_ended()
        else:
            self.figures.most_resent = max(self.figures.most_resent, len(self._out()))
        self.log.append(f"{self.ended_s:.6f} {how}")
        return how

    def _how_it_ended(self) -> str:
        patience_s = DRAIN_S if len(self._stops) == 1 else HURRY_S
        if self._stops and self.ended_s - self._stops[-1] > patience_s:
            self.claim(f"a stop took {self.ended_s - self._stops[-1]:.1f} s")
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        if error is None:
            return "done"
        if isinstance(error, DEFECTS) or not isinstance(error, PipelineError):
            self.claim(f"{type(error).__name__}: {error}")
        return type(error).__name__

    # -- what must be true at every instant --------------------------------------------

    def _on_commit(self, connection: sqlite3.Connection) -> None:
        self.figures.n_commits += 1
        self._look(connection)
        self.note(f"commit {len(self.ledger.accepted)} {len(self.ledger.open)}")

    def _look(self, connection: sqlite3.Connection) -> None:
        try:
            ledger = self._reader.read(connection)
        except AssertionError as error:
            self.claim(str(error))
            return
        before, self.ledger = self.ledger, ledger
        truth, tastes = self.service.truth, self.service.tastes
        for words, rows in (
            ("no longer accepted", before.accepted - ledger.accepted),
            ("no longer rejected", before.rejected - ledger.rejected),
            ("accepted without an answer", ledger.accepted - truth.credited),
        ):
            if rows:
                self.claim(f"{words}: {sorted(rows)}")
        for row in ledger.rejected - before.rejected:
            self._check_rejection(row, ledger.codes[row], tastes)
        most = self._life.concurrency or ADAPTIVE_MOST
        since = self._out()
        figures = self.figures
        figures.most_open = max(figures.most_open, len(since))
        figures.most_over = max(figures.most_over, len(since) - most)
        if len(since) > most:
            self.claim(f"{len(since)} attempts are out, {most} may be in flight")

    def _out(self) -> frozenset[tuple[int, int]]:
        """Return the attempts of this life whose bytes left and are not answered."""
        return (self.ledger.open - self._begun_with.open) & self._left

    def _check_rejection(self, row: Row, code: str, tastes: Tastes) -> None:
        truth = self.service.truth
        if code == "QUARANTINED":
            failed = truth.failed_alone[row] or [0.0]
            is_proven = any(failed[0] < at_s <= failed[-1] for at_s in truth.passed)
            if row not in tastes.poison or not is_proven:
                self.claim(f"{row} is in quarantine; failed {failed}")
        elif code == "TOO_LARGE":
            if len(self._text_of(row)) + 2 <= tastes.max_bytes:
                self.claim(f"{row} is not too large")
        elif row not in truth.named:
            self.claim(f"{row} is rejected as {code}, nobody refused it")

    def _text_of(self, row: Row) -> bytes:
        return next(one.text for one in self.people if one.row == row).encode()

    def _on_batch(self, digest: str) -> None:
        self.figures.n_requests += 1
        ledger = self.ledger
        numbers = {no for no, _ in ledger.open if ledger.digests[no] == digest}
        if not numbers:
            self.claim(f"bytes left before the intent was on the disk: {digest[:8]}")
        begun = self._begun_with
        if any(begun.digests[no] == digest for no in begun.accepted_batches):
            self.claim(f"an accepted batch is sent again after a resume: {digest[:8]}")
        if self._stops and _now_s() > self._stops[0]:
            # One that had its place may have waited for a token.
            self._n_after_stop += digest not in self._out_at_stop
            n_places = self._life.concurrency or ADAPTIVE_MOST
            if self._n_after_stop > n_places or len(self._stops) > 1:
                self.claim(f"{digest[:8]} is sent after a stop")
        for no in numbers:
            n = ledger.n_attempts[no] - begun.n_attempts.get(no, 0)
            self.figures.most_attempts = max(self.figures.most_attempts, n)
        self._left |= {one for one in ledger.open if ledger.digests[one[0]] == digest}
        most = self._life.concurrency or ADAPTIVE_MOST
        if self.service.truth.in_flight.total() >= most:
            self.claim(f"more than {most} requests are in flight")

    def _show(self, report: DeliveryReport) -> None:
        """What is shown is never more than what is on the disk."""
        if self._is_dead:
            return
        shown = (report.rows_accepted, report.rows_rejected)
        ledger, begun = self.ledger, self._begun_with
        proven = (
            len(ledger.accepted) - len(begun.accepted),
            len(ledger.rejected) - len(begun.rejected),
        )
        if shown[0] > proven[0] or shown[1] > proven[1]:
            self.claim(f"shown {shown}, on the disk {proven}")

    # -- what must be true in the end --------------------------------------------------

    @property
    def pending(self) -> set[Row]:
        """Rows of which nothing is proven."""
        everyone = {one.row for one in self.people}
        return everyone - self.ledger.accepted - self.ledger.rejected

    @property
    def cannot_be_proven(self) -> bool:
        """
        Whether only poison is left, and nothing was accepted in this life.

        What has no other batch to be compared with stays pending; it is not proven
        that its content is at fault.
        """
        has_control = len(self.ledger.accepted) > len(self._begun_with.accepted)
        return self.pending <= self.service.tastes.poison and not has_control

    async def check_end(self, *, is_done: bool) -> None:
        """Wait until all is applied, then compare with the source."""
        service, tastes = self.service, self.service.tastes
        everyone = {one.row: one for one in self.people}
        refusable = tastes.poison | tastes.refused
        refusable |= {
            row
            for row, one in everyone.items()
            if len(one.text.encode()) + 2 > tastes.max_bytes
        }
        if is_done and self.pending:
            self.claim(f"finished with rows pending: {sorted(self.pending)}")
        if self.ledger.rejected != refusable - self.pending:
            self.claim(f"rejected {sorted(self.ledger.rejected)}, not {refusable}")
        await asyncio.sleep(max(0.0, service.settled_at_s - _now_s()) + 1.0)
        expected = {
            f"{row[0]}-{row[1]}": json.loads(one.text)
            for row, one in everyone.items()
            if row not in refusable
        }
        if service.profiles() != expected:
            odd = [
                key
                for key in expected.keys() | service.profiles().keys()
                if expected.get(key) != service.profiles().get(key)
            ]
            self.claim(f"the service holds other values of {sorted(odd)}")


class Lazy:
    """A feed without a thread: a batch is made when somebody wants one."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.error: BaseException | None = None
        self._batches = batches
        self._is_stopped = False

    async def take(self) -> Batch | None:
        """Make the next batch."""
        if self._is_stopped:
            return None
        try:
            return next(self._batches, None)
        except Exception as error:  # noqa: BLE001 - raised by the delivery
            self.error = error
            self._is_stopped = True
            return None

    def settle(self) -> None:
        """Wait for nobody: both lanes of an import may be open at once."""

    def stop(self) -> None:
        """Hand out nothing more."""
        self._is_stopped = True

    async def aclose(self, patience_s: float | None = None) -> None:
        """Hold nothing."""
        del patience_s
        self.stop()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _dice(seed: str) -> Random:
    return Random(seed)  # noqa: S311 - repeatable
