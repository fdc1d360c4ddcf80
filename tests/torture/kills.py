"""
`kill -9` at random instants of a real import, until a run ends by itself.

An episode is one file, one sandbox and one work folder. Processes of `import` and
`resume` follow one another and are hit, most of them to death; after each blow the
journal of the dead and the log of the sandbox are held side by side. The episode is
over when a run ends by itself; then its CRM must equal that of a run which nobody
disturbed. The same with SIGTERM and SIGINT, one or two of them, and a watch.
"""

import json
import random
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from pipeline.sandbox.records import TruthEvent, TruthKind
from pipeline.sandbox.weather import parse_weather
from torture.process import Blow, Crm, Ended, Place, Record, place, record_of
from torture.proof import Chapter, Figure

N_KILLS: Final = 1_000
KILLS_A_SIGNAL: Final = 10
N_WORKERS: Final = 3
BLOWS_A_TASK: Final = 20
# So few that one kind of weather has to do.
FEW: Final = 10
MOST_CONCURRENCY: Final = 8
BATCH_ROWS: Final = 5
N_SENT: Final = 240
N_REFUSED: Final = 6
N_FOLDED: Final = 8
N_BLOCKED: Final = 4
N_READ: Final = N_SENT + N_FOLDED + N_BLOCKED
# What the exit codes of a run without end are; the others are its end.
KILLED: Final = -signal.SIGKILL
PARTIAL: Final = 3
DRAIN_S: Final = 21.0
CANCEL_S: Final = 1.0
# Calm, and refusals that depend on the content alone, so that every run meets them.
SKIES: Final = (
    "slow=1,slow_s=0.03",
    "slow=1,slow_s=0.03",
    "slow=1,slow_s=0.02,refuse=REFUSED,refuse_status=400",
    "slow=1,slow_s=0.02,refuse=REFUSED,refuse_status=400,refuse_named=false",
    "slow=1,slow_s=0.02,refuse=REFUSED,refuse_status=207",
)
# Longer than a run may wait for what is in flight once it was asked to stop.
HANGS: Final = ",hang=0.03,hang_s=25"
ARGUMENTS: Final = ("--max-rows", "5")
STAGES: Final = (
    "starting up",
    "reading the source",
    "connecting",
    "sending",
    "writing the files of the run",
    "after the end of its run",
)
N_BATCHES: Final = N_SENT // BATCH_ROWS
# Where a blow falls: at any instant of a life, else while batches are out, else when
# the last ones are.
ANYWHERE: Final = 0.3
WHILE_SENDING: Final = 0.75
LAST_WORDS_S: Final = 0.3
SIGNALLED: Final = {128 + n for n in (2, 15)} | {-2, -15, 0, PARTIAL}
STATES: Final = ("empty", "blocked", "folded", "accepted", "rejected", "pending")
FILES: Final = {
    "job.json",
    "outcomes.parquet",
    "rejected.csv",
    "findings.csv",
    "summary.json",
    "report.html",
}


def source_text() -> str:
    """Write rows that are sent, refused by the service, folded and blocked."""
    head = "email,customId,uuid,firstName,attributes.tier\n"
    rows = []
    for n in range(N_SENT):
        name = "REFUSED" if n % (N_SENT // N_REFUSED) == 7 else f"Ewa {n}"
        uuid = f"11111111-1111-4111-8111-{n:012d}"
        rows.append(f"p{n}@example.com,c{n},{uuid},{name},gold {n}")
        if n % (N_SENT // N_FOLDED) == 3:
            rows.append(f"p{n}@example.com,,,,again {n}")
        if n % (N_SENT // N_BLOCKED) == 9:
            rows.append(f",,,Nobody {n},none")
    return head + "\n".join(rows) + "\n"


# -- what is seen ----------------------------------------------------------------------


@dataclass
class Seen:
    """
    What episodes came to.

    Attributes:
        n_doubts: Batches that arrived and have no verdict, by the process that died.
        again: Batches taken once more by the sandbox, charged likewise.
        faults: Whatever must not be; empty.
    """

    n_blows: int = 0
    n_episodes: int = 0
    n_processes: int = 0
    n_batches: int = 0
    n_rows_lost: int = 0
    n_tracebacks: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    n_doubts: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    drained_s: list[float] = field(default_factory=list)
    cancelled_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Seen") -> None:
        for each in fields(self):
            mine, others = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, mine + others)


@dataclass
class Episode:
    """
    One import, from its first process to the run that ends by itself.

    Attributes:
        came_from: Batch that was taken → the last process that it came from.
        again: Process → batches of it that came again from a later one.
    """

    place: Place
    dice: random.Random
    concurrency: int
    calm: "Calm"
    is_deadly: bool
    seen: Seen = field(default_factory=Seen)
    run_id: str = ""
    n_events: int = 0
    n_verdicts: int = 0
    came_from: dict[str, int] = field(default_factory=dict)
    again: Counter[int] = field(default_factory=Counter)

    def run(self, n_most: int) -> Seen:
        """Strike until a run ends by itself, *n_most* times at the most."""
        is_over = False
        while not is_over:
            word = self.dice.choice(("resume", "import"))
            command = (word, "--concurrency", self.concurrency)
            self.seen.n_processes += 1
            if self.seen.n_blows < n_most:
                ended, pid = self.place.struck(self._blow(), *command)
            else:
                ended, pid = self.place.run(*command), 0
            is_over = self._after(ended, pid)
        self.seen.n_episodes = 1
        self.seen.again = list(self.again.values())
        self._check_end(is_killed=ended.code < 0)
        return self.seen

    def _blow(self) -> Blow:
        dice = self.dice
        signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)
        if not self.is_deadly:
            word = dice.choice((signal.SIGTERM, signal.SIGINT))
            signals = (word,) * dice.choice((1, 2))
        gap_s = dice.uniform(0.0, 0.15)
        where = dice.random()
        if where < ANYWHERE:
            return Blow(signals, None, dice.uniform(0.0, self.calm.life_s), gap_s)
        n_left = max(1, N_BATCHES - len(self.came_from))
        if where < WHILE_SENDING:
            return Blow(signals, dice.randint(1, n_left), dice.uniform(0, 0.04), gap_s)
        return Blow(signals, n_left, dice.uniform(0.0, LAST_WORDS_S), gap_s)

    # -- after each process ------------------------------------------------------------

    def _after(self, ended: Ended, pid: int) -> bool:
        """Hold the journal beside the truth; return whether the run has ended."""
        copy = self.place.folder / "copy"
        record = record_of(self.place.work_dir, copy, N_SENT)
        events = self.place.truth()
        new, self.n_events = events[self.n_events :], len(events)
        n_doubts = self._compare(record, events, new)
        self._charge(new)
        self._check_files(is_end=False)
        if len(record.states) > 1:
            self._fault("a second run began")
        if ended.n_hits:
            self.seen.n_blows += 1
            self.seen.codes[ended.code] += 1
            self.seen.n_doubts.append(n_doubts)
            stage = stage_of(self.place, pid, record, new)
            self.seen.stages[stage] += 1
            self.seen.n_tracebacks += "Traceback" in ended.said
            if not self.is_deadly:
                self._time(ended, n_doubts, stage)
        if ended.out:
            self._check_summary(ended.summary["rows"])
        self.run_id = next(iter(record.states), "")
        is_over = "done" in record.states.values()
        self._check_code(ended, is_over=is_over)
        return is_over

    def _compare(
        self, record: Record, events: list[TruthEvent], new: list[TruthEvent]
    ) -> int:
        if record.accepted - {e.digest for e in of_batches(events, TruthKind.QUEUED)}:
            self._fault("accepted in the journal, and never taken by the sandbox")
        n_received = len(of_batches(new, TruthKind.RECEIVED))
        n_doubts = n_received - (record.n_verdicts - self.n_verdicts)
        self.n_verdicts = record.n_verdicts
        if not 0 <= n_doubts <= self.concurrency:
            self._fault(f"{n_doubts} batches in doubt, with {self.concurrency} places")
        return n_doubts

    def _charge(self, new: list[TruthEvent]) -> None:
        """Charge each batch that was taken once more to the process before."""
        now = self.seen.n_processes
        for event in of_batches(new, TruthKind.QUEUED):
            self.seen.n_batches += 1
            before = self.came_from.get(event.digest, now)
            self.came_from[event.digest] = now
            self.again[before] += before != now
            if self.again[before] > self.concurrency:
                self._fault(f"{self.again[before]} batches sent again for one kill")

    def _check_code(self, ended: Ended, *, is_over: bool) -> None:
        code = ended.code
        if ended.n_hits:
            wanted = {KILLED, 0, PARTIAL} if self.is_deadly else SIGNALLED
            if code not in wanted:
                self._fault(f"hit, it ended with {code}: {ended.said}")
        elif code == PARTIAL:
            if not is_over:
                self._fault("3, and the journal does not call the run done")
        elif code or ended.summary["run_id"] is not None:
            self._fault(f"left alone, it ended with {code}: {ended.said}")

    def _time(self, ended: Ended, n_doubts: int, stage: str) -> None:
        is_drained = ended.n_hits == 1
        times = self.seen.drained_s if is_drained else self.seen.cancelled_s
        times.append(ended.took_s)
        if ended.took_s > CANCEL_S:
            sys.stderr.write(f"{ended.n_hits} x, {stage}: {ended.took_s:.2f} s\n")
        had_time = ended.code > 0 and ended.took_s < DRAIN_S - 2
        if is_drained and had_time and n_doubts:
            self._fault(f"{n_doubts} batches in doubt although it drained")

    def _check_summary(self, rows: dict[str, int]) -> None:
        parts = sum(rows[state] for state in STATES)
        if rows["read"] != parts or rows["read"] not in (0, N_READ):
            self._fault(f"the equation does not hold: {rows}")

    # -- files -------------------------------------------------------------------------

    def _check_files(self, *, is_end: bool) -> None:
        """What bears its final name is whole, private, and there is nothing else."""
        for path in self.place.work_dir.glob("runs/**/*"):
            if path.is_dir():
                if stat.S_IMODE(path.stat().st_mode) != 0o700:
                    self._fault(f"{path.name} is open to others")
                continue
            if stat.S_IMODE(path.stat().st_mode) != 0o600:
                self._fault(f"{path.name} is open to others")
            if path.name.startswith(".") and not is_end:
                continue  # what a killed process was writing
            if path.name not in FILES:
                self._fault(f"{path.name} has no business here")
                continue
            try:
                n_rows = height_of(path)
            except (ValueError, pl.exceptions.PolarsError) as error:
                self._fault(f"{path.name} is not whole: {error}")
            else:
                if path.name == "outcomes.parquet" and n_rows != N_READ:
                    self._fault(f"{n_rows} rows in {path.name}")

    def _check_end(self, *, is_killed: bool) -> None:
        work_dir = self.place.work_dir
        if is_killed:  # what it left is removed by whoever comes next
            self.place.run("import", "--dry-run")
        crm = self.place.crm()
        lost = [key for key, told in self.calm.crm.items() if crm.get(key) != told]
        self.seen.n_rows_lost += len(lost)
        if lost or crm.keys() != self.calm.crm.keys():
            self._fault(f"{len(lost)} rows lost, {len(crm)} profiles")
        self._check_files(is_end=True)
        if states_of(work_dir / "runs" / self.run_id) != self.calm.states:
            self._fault("the outcomes differ from those of the undisturbed run")
        if (work_dir / "scratch").exists():
            self._fault("scratch is left")
        for path in (*work_dir.glob("journal*"), *work_dir.glob("lock*")):
            if b"example.com" in path.read_bytes():
                self._fault(f"personal data in {path.name}")

    def _fault(self, text: str) -> None:
        place = f"{self.place.folder.name}, process {self.seen.n_processes}"
        self.seen.faults.append(f"{place}: {text}")
        sys.stderr.write(f"{self.seen.faults[-1]}\n")


def of_batches(events: list[TruthEvent], kind: TruthKind) -> list[TruthEvent]:
    return [e for e in events if e.name == "batch" and e.kind is kind]


def stage_of(place: Place, pid: int, record: Record, new: list[TruthEvent]) -> str:
    """Say how far a process had come, by what it left."""
    lock = place.work_dir / "lock"
    if not lock.exists() or f"process {pid} " not in lock.read_text("utf-8"):
        return "starting up"
    if not any(event.name == "login" for event in new):
        return "reading the source"
    if "done" in record.states.values():
        return "after the end of its run"
    if record.is_sent:
        return "writing the files of the run"
    return "sending" if of_batches(new, TruthKind.RECEIVED) else "connecting"


def height_of(path: Path) -> int:
    """Read a file to its end; return its rows, 0 for what has none."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).height
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False).height
    if path.suffix == ".html":
        if not path.read_bytes().endswith(b"</html>\n"):
            raise ValueError("the page is not whole")
        return 0
    json.loads(path.read_bytes())
    return 0


def states_of(folder: Path) -> list[tuple[int, str]]:
    """Return the state of every row; those that come back must be those that failed."""
    outcomes = pl.read_parquet(folder / "outcomes.parquet")
    states = outcomes.select("row_no", "state").rows()
    rejected = pl.read_csv(folder / "rejected.csv", infer_schema=False)
    came_back = [(int(row_no), "came back") for row_no in rejected["_row_no"]]
    return [*states, *came_back]


# -- episodes --------------------------------------------------------------------------


@dataclass(frozen=True)
class Calm:
    """What a run that nobody disturbs leads to, and how long it lives."""

    crm: Crm
    states: list[tuple[int, str]]
    life_s: float


def calm_run(folder: Path, sky: str) -> Calm:
    with place(folder, parse_weather(sky), ARGUMENTS) as here:
        (folder / "people.csv").write_text(source_text())
        began_s = time.monotonic()
        ended = here.run("import", "--concurrency", 4)
        life_s = time.monotonic() - began_s
        rows = ended.summary["rows"]
        if (rows["read"], rows["accepted"] + rows["rejected"]) != (N_READ, N_SENT):
            raise AssertionError(f"the undisturbed run: {rows} {ended.said}")
        run_id = ended.summary["run_id"]
        return Calm(here.crm(), states_of(here.work_dir / "runs" / run_id), life_s)


@dataclass(frozen=True)
class Task:
    """So many blows, in as many episodes as they need."""

    name: str
    n_blows: int
    seed: int
    is_deadly: bool = True
    skies: tuple[str, ...] = SKIES
    n_most: int = 10**9


def worked_off(task: Task, folder: Path, calms: dict[str, Calm]) -> Seen:
    seen = Seen()
    while seen.n_blows < task.n_blows:
        name = f"{task.name}-{task.seed}-{seen.n_episodes}"
        dice = random.Random(name)  # noqa: S311 - repeatable
        sky = task.skies[seen.n_episodes % len(task.skies)]
        calm = calms[sky.removesuffix(HANGS)]
        weather = replace(parse_weather(sky), seed=task.seed + seen.n_episodes)
        with place(folder / name, weather, ARGUMENTS) as here:
            (here.folder / "people.csv").write_text(source_text())
            concurrency = dice.randint(1, MOST_CONCURRENCY)
            episode = Episode(here, dice, concurrency, calm, task.is_deadly)
            seen.add(episode.run(min(task.n_most, task.n_blows - seen.n_blows)))
        if not seen.faults:  # else somebody wants to look at it
            shutil.rmtree(folder / name)
    return seen


def kills(n: int | None = None) -> Chapter:
    """Strike *n* times with SIGKILL, and a tenth of it with other signals."""
    n_kills = N_KILLS if n is None else n
    n_signals = n_kills // KILLS_A_SIGNAL
    drawn = random.SystemRandom().randrange(10**6)
    sys.stderr.write(f"kills: seeds 1 and {drawn}\n")
    skies = SKIES if n_kills >= FEW else SKIES[:1]
    tasks = [
        *_tasks("kills", n_kills, drawn, skies, is_deadly=True),
        *_tasks("signals", n_signals, drawn, skies, is_deadly=False),
    ]
    if n is None:  # its time is that of the grace
        hangs = (SKIES[0] + HANGS,)
        tasks += [
            Task("hangs", 6, seed, is_deadly=False, skies=hangs, n_most=3)
            for seed in (1, drawn)
        ]
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    calms = {
        sky: calm_run(folder / f"calm-{n}", sky)
        for n, sky in enumerate(dict.fromkeys(skies))
    }
    with ThreadPoolExecutor(N_WORKERS) as pool:
        found = list(pool.map(lambda task: worked_off(task, folder, calms), tasks))
    deadly, signalled = Seen(), Seen()
    for task, seen in zip(tasks, found, strict=True):
        (deadly if task.is_deadly else signalled).add(seen)
    if not (deadly.faults or signalled.faults):
        shutil.rmtree(folder)
    return told(deadly, signalled, n_kills, drawn)


def _tasks(
    name: str, n_blows: int, drawn: int, skies: tuple[str, ...], *, is_deadly: bool
) -> list[Task]:
    """Cut blows into tasks, half of them with seeds that are always the same."""
    n_tasks = -(-n_blows // BLOWS_A_TASK)
    return [
        Task(
            name,
            min(BLOWS_A_TASK, n_blows - BLOWS_A_TASK * no),
            (drawn if no % 2 else 1) + 1_000_000 * no,
            is_deadly,
            skies,
        )
        for no in range(n_tasks)
    ]


def told(deadly: Seen, signalled: Seen, n_kills: int, drawn: int) -> Chapter:
    """Make figures of what was seen."""
    n_faults = len(deadly.faults) + len(signalled.faults)
    doubts, again = deadly.n_doubts, deadly.again
    figures = [
        _figure("kill -9", deadly.n_blows, n_kills),
        _figure("rows lost", deadly.n_rows_lost + signalled.n_rows_lost, 0),
        Figure(
            "batches in doubt after one kill",
            f"{max(doubts, default=0)} at most, {sum(doubts)} in all",
            "at most the places in flight, 1 to 8",
            all("in doubt" not in fault for fault in deadly.faults),
        ),
        Figure(
            "batches taken twice for one kill",
            f"{max(again, default=0)} at most, {sum(again)} of {deadly.n_batches}",
            "at most the places in flight, 1 to 8",
            all("sent again" not in fault for fault in deadly.faults),
        ),
        _figure("other faults", n_faults, 0),
    ]
    for name, times, most_s in (
        ("one SIGTERM or SIGINT: seconds to the end", signalled.drained_s, DRAIN_S),
        ("two: seconds from the second", signalled.cancelled_s, CANCEL_S),
    ):
        if times:
            words = (
                f"{max(times):.2f} at most, {median(times):.2f} in the middle, of "
                f"{len(times)}"
            )
            wanted = f"at most {most_s:g}"
            figures.append(Figure(name, words, wanted, max(times) <= most_s))
    stages = deadly.stages
    return Chapter(
        "kill -9 of the real process",
        f"Real processes of `import` and `resume`, drawn, on a file of {N_READ} rows "
        f"in batches of {BATCH_ROWS}, against a sandbox on a socket that answers in 20 "
        "to 30 ms; also with rows that it refuses, by name or not. Each process is hit "
        "at a random instant; after each blow the journal is compared with what the "
        "sandbox received. In the end the CRM and the state of every row must be those "
        f"of an undisturbed run. {deadly.n_episodes} imports, {deadly.n_processes} "
        f"processes, seeds 1 and {drawn}. A lost, doubled or wrongly reported batch "
        "would show as another CRM, as doubt, or as a digest that the sandbox never "
        "had.",
        tuple(figures),
        (
            ("the kill fell while the process was", "kills"),
            *((stage, str(stages[stage])) for stage in STAGES if stages[stage]),
        ),
    )


def _figure(name: str, n: int, wanted: int) -> Figure:
    return Figure(name, f"{n:,}", f"{wanted:,}", n == wanted)
