"""
The power goes, at every point between two operations of the disk.

Two runs are recorded on the disk of `faulty_disk.c`: the small job whole, and a longer
delivery into a journal, so long that SQLite tidies its log meanwhile. From each record
states are made that the disk may legally be in (`disk_states`), the journal of each is
opened by the product's own code, and compared with what had been said by then: which
bodies had left, which were answered, which calls of the journal had returned.

Run as a script, this module records, or replays a share of the states; see `prove`.
"""

import asyncio
import hashlib
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import httpx
import polars as pl

from pipeline.client import Client
from pipeline.contract import BATCH_PATH
from pipeline.delivery import deliver
from pipeline.errors import PipelineError
from pipeline.files import make_private_dir
from pipeline.journal import JOURNAL_NAME, RESERVE_SUFFIX, Journal
from pipeline.journal_tables import Run
from pipeline.records import Batch, BatchState, RowRange, Verdict
from pipeline.sandbox.server import SandboxOptions
from pipeline.terms import Terms
from sandbox_driver import Driver
from torture.disk_states import Disk, Fate, Names, Op, What, read_log
from torture.faulty_disk import Disk as RealDisk
from torture.faulty_disk import build, told, under_it, worker, workshop
from torture.proof import Chapter, Figure
from torture.small_job import (
    Day,
    Left,
    Place,
    clutter_at,
    faults_of_end,
    faults_on_disk,
    finish,
    left_at,
    run,
)
from wire import REMOTE, Service

N_WORKERS: Final = 2
FULL_STATES: Final = 3000
LONG_BATCHES: Final = 1500
# It shares no factor with the number of ways a disk may be: each comes to its turn.
RESUMED_EVERY: Final = 9
IN_FLIGHT: Final = 4
# Rebuilt by SQLite, or space and no content.
HOLLOW: Final = ("-shm", RESERVE_SUFFIX)
JOBS: Final = ("import", "journal")


# -- recording ---------------------------------------------------------------------


class Marking(httpx.AsyncBaseTransport):
    """A wire that notes which bodies leave, and which are answered with 202."""

    def __init__(
        self, wire: httpx.AsyncBaseTransport, disk: RealDisk, bodies: Path
    ) -> None:
        self._wire = wire
        self._disk = disk
        self._bodies = bodies

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != BATCH_PATH:
            return await self._wire.handle_async_request(request)
        digest = hashlib.sha256(request.content).hexdigest()
        (self._bodies / digest).write_bytes(request.content)
        self._disk.mark(f"left {digest}")
        response = await self._wire.handle_async_request(request)
        self._disk.mark(f"answered {digest}")
        return response


class MarkedJournal:
    """A journal whose calls are noted as they begin and return."""

    def __init__(self, journal: Journal, disk: RealDisk) -> None:
        self._journal = journal
        self._disk = disk
        self._digests: dict[int, str] = {}

    async def intend(self, run_id: str, batch: Batch, *, target_bytes: int) -> None:
        self._digests[batch.batch_no] = batch.digest
        self._disk.mark(f"flushing {batch.batch_no}")
        await self._journal.intend(run_id, batch, target_bytes=target_bytes)
        self._disk.mark(f"flushed {batch.batch_no}")

    async def attempt(self, run_id: str, batch_no: int, n: int) -> None:
        await self._journal.attempt(run_id, batch_no, n)

    async def record(
        self,
        run_id: str,
        batch_no: int,
        n: int,
        verdict: Verdict,
        *,
        rejected: Sequence[RowRange] = (),
    ) -> None:
        await self._journal.record(run_id, batch_no, n, verdict, rejected=rejected)
        self._disk.mark(f"recorded {self._digests[batch_no]}")

    def next_child_no(self, run_id: str) -> int:
        return self._journal.next_child_no(run_id)


def record(job: str, folder: str) -> None:
    """Do a job on the disk below this process, and keep the log beside it."""
    place = Place(Path(folder))
    (place.folder / "bodies").mkdir()
    if job == "import":
        place.prepare()
    else:
        place.watched.mkdir()
    disk = RealDisk()
    disk.watch(place.watched)
    log = os.open(place.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    disk.record(log)
    if job == "import":
        bodies = place.folder / "bodies"
        ended = run(place, Day(wrap=lambda wire: Marking(wire, disk, bodies)))
        assert not ended.error, ended
    else:
        make_private_dir(place.work_dir)
        asyncio.run(_deliver(place, disk))
    disk.record(-1)


async def _deliver(place: Place, disk: RealDisk) -> None:
    wire = Marking(Service(lambda _: 202), disk, place.folder / "bodies")
    with Journal.open(place.work_dir / JOURNAL_NAME) as journal:
        journal.begin_run(Run("r1", "import", "d", "guid", "digest"))
        async with Client(REMOTE, transport=wire) as client:
            await deliver(
                map(_batch, range(1, LONG_BATCHES + 1)),
                client=client,
                journal=MarkedJournal(journal, disk),
                run_id="r1",
                terms=Terms(concurrency=IN_FLIGHT),
            )


def _batch(no: int) -> Batch:
    body = json.dumps([{"email": f"p{no}@example.com"}]).encode()
    rows = pl.DataFrame(
        {"source_no": [0], "row_no": [no]},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    return Batch(no, 2, rows, body, hashlib.sha256(body).hexdigest())


# -- replaying ---------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Where the power goes, and what the disk makes of it."""

    job: str
    at: int
    names: Names
    fate: Fate
    seed: int


@dataclass(frozen=True)
class Seen:
    """
    What became of one cut.

    Attributes:
        problems: Promises that were broken.
        n_lost_verdicts: Answers that the journal did not keep; they are repeated.
        is_resumed: Whether the job was finished from that state as well.
    """

    cut: Cut
    problems: list[str]
    n_lost_verdicts: int = 0
    is_resumed: bool = False


@dataclass
class Told:
    """What had been said when the power went, by the marks of the log."""

    left: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)
    certain: set[str] = field(default_factory=set)
    _flushing: dict[str, set[str]] = field(default_factory=dict)

    def hear(self, words: str) -> None:
        """Take in one mark."""
        kind, _, about = words.partition(" ")
        if kind == "left":
            self.left.append(about)
        elif kind == "answered":
            self.answered.add(about)
        elif kind == "recorded":
            self.recorded.add(about)
        elif kind == "flushing":
            # Whatever was recorded before is flushed with it.
            self._flushing[about] = set(self.recorded)
        else:
            self.certain |= self._flushing.pop(about)


def cuts(n_ops: int, job: str, n: int) -> list[Cut]:
    """
    Return *n* cuts, all points in all ways if they are enough; else spread over them.

    They are the same ones each time.
    """
    chance = random.Random(job)  # noqa: S311 - a choice of cases
    ways = [(names, fate) for names in Names for fate in Fate]
    n_a_way = -(-n // len(ways))
    found = []
    for k in range(n):
        round_no, way = divmod(k, len(ways))
        if n_a_way > n_ops:
            at = round_no % (n_ops + 1)
        else:
            at = int((round_no + chance.random()) * n_ops / n_a_way)
        found.append(Cut(job, at, *ways[way], k))
    return sorted(found, key=lambda cut: (cut.names, cut.at))


class Replay:
    """
    Replays one recorded job.

    Args:
        wanted: What an undisturbed job leaves.
    """

    def __init__(self, job: str, folder: Path, wanted: Left | None) -> None:
        self._job = job
        self._bodies = folder / "bodies"
        self._wanted = wanted
        self._root = folder / "job"
        log = (folder / "log").read_bytes()
        self.ops = read_log(log, str(self._root), HOLLOW)

    def check(self) -> None:
        """
        See that the log is complete: replayed, it gives the files that are there.

        Raises:
            RuntimeError: It does not, so what was replayed proves nothing.
        """
        disk = Disk(Names.STRICT)
        for op in self.ops:
            if op.what is not What.MARK:
                disk.do(op)
        for name, content in disk.now().items():
            path = self._root / name
            is_same = path.is_dir() if content is None else _reads(path, content)
            if not (name.endswith(HOLLOW) or is_same):
                raise RuntimeError(f"{name} is not what the log says")

    def all(self, cuts: Sequence[Cut], scratch: Path) -> Iterator[Seen]:
        """Go through the log once for each rule about names, and cut it."""
        for names in Names:
            disk, heard, at = Disk(names), Told(), 0
            for cut in cuts:
                if cut.names is not names:
                    continue
                for op in self.ops[at : cut.at]:
                    _do(op, disk, heard)
                at = max(at, cut.at)
                yield self._look(cut, disk, heard, scratch)

    def _look(self, cut: Cut, disk: Disk, heard: Told, scratch: Path) -> Seen:
        chance = random.Random(cut.seed)  # noqa: S311 - a disk's dice
        state = disk.lose_power(cut.fate, chance)
        place = Place(scratch)
        if self._job == "import":
            place.prepare()
        lay_out(state, place.watched)
        is_resumed = self._wanted is not None and cut.seed % RESUMED_EVERY == 0
        problems, n_lost = _faults_of_journal(place.work_dir / JOURNAL_NAME, heard)
        if self._wanted is not None and is_resumed:
            self._serve(place, heard, chance)
            problems += faults_on_disk(place, self._wanted, len(heard.left))
            ended = finish(place, by_name=chance.random() < 0.5)
            problems += faults_of_end(place, ended, self._wanted)
            problems += clutter_at(place) if ended else []
        shutil.rmtree(scratch)
        return Seen(cut, problems, n_lost, is_resumed)

    def _serve(self, place: Place, heard: Told, chance: random.Random) -> None:
        """Let the service have what had reached it; a body on its way may have."""
        driver = Driver(SandboxOptions(database=str(place.database), settle_s=0.0))
        driver.log_in()
        for digest in heard.left:
            if digest in heard.answered or chance.random() < 0.5:
                driver.send(
                    "POST", BATCH_PATH, content=(self._bodies / digest).read_bytes()
                )
        driver.close()


def _reads(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _do(op: Op, disk: Disk, heard: Told) -> None:
    if op.what is What.MARK:
        heard.hear(op.first)
    else:
        disk.do(op)


def lay_out(state: dict[str, bytes | None], root: Path) -> None:
    """Write a state to a real folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in state.items():
        path = root / name
        if content is None:
            path.mkdir(exist_ok=True)
        elif not name.endswith("-shm"):
            path.write_bytes(content)


def _faults_of_journal(path: Path, heard: Told) -> tuple[list[str], int]:
    """Return what a journal has lost or made up, and how many answers it forgot."""
    known: dict[str, BatchState] = {}
    if path.exists():
        try:
            with Journal.open(path) as journal:
                for each in journal.runs():
                    for batch in journal.batches(each.run_id):
                        known[batch.digest] = batch.state
        except PipelineError as error:
            return [f"the journal does not open: {type(error).__name__}: {error}"], 0
    accepted = {
        digest for digest, state in known.items() if state is BatchState.ACCEPTED
    }
    problems = []
    if lost := set(heard.left) - known.keys():
        problems.append(f"{len(lost)} batches left and are unknown")
    if lost := heard.certain - accepted:
        problems.append(f"{len(lost)} verdicts were flushed and are lost")
    if accepted - heard.answered:
        problems.append("a batch is accepted that was not answered")
    return problems, len(heard.recorded - accepted)


def replay(folder: str, share: str, n_shares: str, n: str) -> None:
    """Be one of the workers: a line of JSON for each state."""
    base = Path(folder)
    wanted = left_at(Place(base / "import"))
    for job in JOBS:
        replaying = Replay(job, base / job, wanted if job == "import" else None)
        replaying.check()
        n_long = int(n) // 3
        n_states = int(n) - n_long if job == "import" else n_long
        mine = cuts(len(replaying.ops), job, n_states)[int(share) :: int(n_shares)]
        for seen in replaying.all(mine, base / f"state-{share}"):
            sys.stdout.write(json.dumps(asdict(seen)) + "\n")


# -- all of it ---------------------------------------------------------------------


def recorded(folder: Path) -> None:
    """Record both jobs below *folder*."""
    library = build(folder)
    for job in JOBS:
        (folder / job).mkdir()
        given = ("record", job, str(folder / job))
        told(under_it(library, Path(__file__).name, *given))


def all_states(n: int) -> list[Seen]:
    """Record both jobs, and let the workers replay *n* states of them."""
    with workshop() as folder:
        recorded(folder)
        workers = []
        for i in range(N_WORKERS):
            given = ("replay", str(folder), str(i), str(N_WORKERS), str(n))
            workers.append(worker(Path(__file__).name, *given))
        texts = [told(each) for each in workers]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return [Seen(**{**line, "cut": Cut(**line["cut"])}) for line in lines]


WORDS: Final = """\
Two runs are recorded at the level of system calls, SQLite's own included: an import
with all its files, and a delivery so long that SQLite tidies its log meanwhile.
At a point between two operations the power goes: of what was not flushed, everything,
nothing, some pages or some sectors of 512 bytes are on the disk, and of names either
those whose folder was flushed, or (as ext4 does) those before any flush.
From each state the journal is opened by the product's own code; from every ninth
state of the import, the job is finished as well, and compared with an undisturbed one.
A missing flush, or one in the wrong order, would show as a batch that left and is
unknown, or as a verdict that is gone.
"""


def prove(n: int | None) -> Chapter:
    """Replay *n* states."""
    seen = all_states(n or FULL_STATES)
    wrong = Counter(problem for each in seen for problem in each.problems)
    n_resumed = sum(each.is_resumed for each in seen)
    n_forgotten = max(each.n_lost_verdicts for each in seen)
    damaged = sum(n for words, n in wrong.items() if "does not open" in words)
    lost = sum(wrong.values()) - damaged
    asked = min(n or FULL_STATES, 2000)
    figures = (
        Figure("states replayed", str(len(seen)), f"≥ {asked}", len(seen) >= asked),
        Figure("journals that do not open", str(damaged), "0", not damaged),
        Figure("promises broken", str(lost), "0", not lost),
        Figure("jobs finished from a state", str(n_resumed), "≥ 1", n_resumed > 0),
        Figure(
            f"answers forgotten by a state, at {IN_FLIGHT} in flight (sent again)",
            f"≤ {n_forgotten}",
            f"≤ {3 * IN_FLIGHT}",
            n_forgotten <= 3 * IN_FLIGHT,
        ),
    )
    ways = Counter(_way(each.cut) for each in seen)
    table = [("recorded run", "names", "unflushed writes", "states", "broken")]
    for way, n_states in sorted(ways.items()):
        bad = sum(bool(each.problems) for each in seen if _way(each.cut) == way)
        table.append((*way, str(n_states), str(bad)))
    table += [(words, "", "", str(n), "") for words, n in wrong.most_common(10)]
    return Chapter("The power goes", WORDS.strip(), figures, tuple(table))


def _way(cut: Cut) -> tuple[str, str, str]:
    return cut.job, str(cut.names), str(cut.fate)


if __name__ == "__main__":
    role, *given = sys.argv[1:]
    if role == "record":
        record(*given)
    else:
        replay(*given)
