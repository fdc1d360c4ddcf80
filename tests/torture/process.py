"""
A real `crm-pipeline` process, a sandbox on a socket, and blows at random instants.

What a process left is read from a copy of its journal, never by opening the journal
itself: the next process has to find the files exactly as the last one left them.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pipeline.sandbox.records import TruthEvent, TruthKind
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather

PATIENCE_S: Final = 120.0
LOOK_EVERY_S: Final = 0.006
REST_S: Final = 0.03
# Of a profile, what depends on when it came and on how many came before it.
_OF_THE_DAY: Final = ("clientId", "lastActivityDate", "avatarUrl")
_OF_THE_WRITE: Final = ("eventCreateTime", "correlationId")

_OF_A_CANARY: Final = ("batch", "get_by_identifier")
_READING_BACK: Final = ("import", "resume", "sync", "apply")

Crm = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Blow:
    """
    When a process is hit, and with what.

    Attributes:
        signals: Sent one after the other, `gap_s` apart.
        after_batches: So many batches of this process have to arrive first; None: it
            is hit by the time since its start alone.
        delay_s: After that.
    """

    signals: tuple[signal.Signals, ...]
    after_batches: int | None
    delay_s: float
    gap_s: float = 0.0


@dataclass(frozen=True)
class Ended:
    """
    How a process ended.

    Attributes:
        code: Its exit code; negative where a signal ended it.
        n_hits: Signals that it got while it ran.
        took_s: From the last of them to the end.
        out: What it wrote to stdout.
    """

    code: int
    n_hits: int
    took_s: float
    out: str
    said: str

    @property
    def summary(self) -> Any:
        return json.loads(self.out)


@dataclass
class Place:
    """A folder, a source in it, and a sandbox that outlives every process."""

    folder: Path
    sandbox: RunningSandbox
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def work_dir(self) -> Path:
        return self.folder / ".crm-pipeline"

    def start(self, command: str, *more: object) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "pipeline", command]
        words += ["people.csv", *self.arguments] if command == "import" else []
        # The sandbox itself is compared, row by row, at the end.
        words += ["--verify=none"] if command in _READING_BACK else []
        return subprocess.Popen(
            [*words, "--json", "--quiet", *map(str, more)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )

    def run(self, command: str, *more: object) -> Ended:
        """Run a command that nobody disturbs."""
        process = self.start(command, *more)
        out, said = process.communicate(timeout=PATIENCE_S)
        return Ended(process.returncode, n_hits=0, took_s=0.0, out=out, said=said)

    def struck(self, blow: Blow, command: str, *more: object) -> tuple[Ended, int]:
        """Run a command and hit it, unless it ends first; return its pid, too."""
        n_before = self.n_batches()
        process = self.start(command, *more)
        try:
            n_hits = self._hit(process, blow, n_before)
            hit_s = time.monotonic()
            out, said = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.wait()
        took_s = time.monotonic() - hit_s
        return Ended(process.returncode, n_hits, took_s, out, said), process.pid

    def _hit(self, process: subprocess.Popen[str], blow: Blow, n_before: int) -> int:
        began_s = time.monotonic()
        wanted = blow.after_batches
        while wanted is not None and self.n_batches() < n_before + wanted:
            if process.poll() is not None:
                return 0
            if time.monotonic() - began_s > PATIENCE_S:
                raise TimeoutError("the process sends nothing and does not end")
            time.sleep(LOOK_EVERY_S)
        if _ends_within(process, blow.delay_s):
            return 0
        for n, number in enumerate(blow.signals):
            if n and _ends_within(process, blow.gap_s):
                return n
            process.send_signal(number)
        return len(blow.signals)

    # -- what the sandbox knows --------------------------------------------------------

    def truth(self) -> list[TruthEvent]:
        """Return what happened, once all that arrived is answered and no more comes."""
        end_s = time.monotonic() + PATIENCE_S
        n_events = -1
        while time.monotonic() < end_s:
            events = self.sandbox.sandbox.truth()
            received = {e.request_no for e in events if e.kind is TruthKind.RECEIVED}
            decided = {r.request_no for r in self.sandbox.sandbox.store.requests()}
            if received <= decided and len(events) == n_events:
                return events
            n_events = len(events)
            time.sleep(REST_S)
        raise TimeoutError("the sandbox does not come to rest")

    def n_batches(self) -> int:
        return sum(
            record.name == "batch" for record in self.sandbox.sandbox.store.requests()
        )

    def n_canaries(self) -> int:
        """Return how often batches followed questions for profiles."""
        names = [record.name for record in self.sandbox.sandbox.store.requests()]
        told = [name == "batch" for name in names if name in _OF_A_CANARY]
        return sum(now and not was for was, now in pairwise(told))

    def n_reads(self) -> int:
        return sum(
            record.name in _OF_A_CANARY[1:]
            for record in self.sandbox.sandbox.store.requests()
        )

    def crm(self) -> Crm:
        self.sandbox.sandbox.settle()
        return {p["customId"]: _lasting(p) for p in self.sandbox.sandbox.profiles()}


@contextmanager
def place(
    folder: Path,
    weather: Weather,
    arguments: tuple[str, ...] = (),
    *,
    settle_s: float = 0.0,
) -> Iterator[Place]:
    """Open a sandbox, and a folder whose processes talk to it and to nobody else."""
    folder.mkdir(parents=True, exist_ok=True)
    options = SandboxOptions(settle_s=settle_s, weather=weather)
    with running_sandbox(options) as sandbox:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SYNERISE_")}
        environment = kept | {
            "SYNERISE_BASE_URL": sandbox.base_url,
            "SYNERISE_API_KEY": sandbox.api_key,
            "XDG_STATE_HOME": str(folder / "state"),
        }
        yield Place(folder, sandbox, arguments, environment)


def _lasting(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile without what no import decides."""
    kept = {name: value for name, value in profile.items() if name not in _OF_THE_DAY}
    attributes = profile["attributes"].items()
    kept["attributes"] = {k: v for k, v in attributes if k not in _OF_THE_WRITE}
    return kept


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# -- what the journal knows ------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """
    A journal, as it was when its process died.

    Attributes:
        states: run_id → state.
        accepted: Digests of the batches that have an accepted verdict.
        n_verdicts: Verdicts on an answer, of all attempts.
        is_sent: Whether every row that can be sent has its answer.
    """

    states: dict[str, str]
    accepted: frozenset[str]
    n_verdicts: int
    is_sent: bool


_EMPTY: Final = Record({}, frozenset(), 0, is_sent=False)


def record_of(work_dir: Path, folder: Path, n_sendable: int) -> Record:
    """Read a copy of a journal, its log of late writes included."""
    path = work_dir / "journal.sqlite"
    if not path.exists():
        return _EMPTY
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in work_dir.glob("journal.sqlite*"):
        if not part.name.endswith("-shm"):
            shutil.copy(part, folder)
    with closing(sqlite3.connect(folder / path.name)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'run'").fetchall():
            return _EMPTY  # it died while it made the tables
        states = dict(db.execute("SELECT run_id, state FROM run"))
        accepted = db.execute(
            "SELECT digest FROM batch JOIN verdict v USING (run_id, batch_no) "
            "WHERE v.state = 'accepted'"
        )
        digests = frozenset(digest for (digest,) in accepted)
        counted = db.execute("SELECT count(*) FROM verdict WHERE status IS NOT NULL")
        (n_verdicts,) = counted.fetchone()
        # Each row lies in exactly one batch that was answered for good.
        (n_proven,) = db.execute(
            "SELECT coalesce(sum(n_rows), 0) FROM batch b WHERE EXISTS (SELECT 1 "
            "FROM verdict v WHERE (v.run_id, v.batch_no) = (b.run_id, b.batch_no) "
            "AND v.state IN ('accepted', 'rejected'))"
        ).fetchone()
        named = db.execute(
            "SELECT v.rejected FROM verdict v WHERE v.rejected IS NOT NULL "
            "AND v.state NOT IN ('accepted', 'rejected')"
        ).fetchall()
    n_named = sum(
        last - first + 1 for (text,) in named for _, first, last in json.loads(text)
    )
    return Record(states, digests, n_verdicts, n_proven + n_named >= n_sendable)
