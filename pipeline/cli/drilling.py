"""
An import in bad weather whose process is killed again and again, and what is left.

Two sandboxes: one has calm weather and a run that nobody disturbs, the other one the
storm and the kills. Each process is the real command. Nothing here touches the user's
CRM or work folder: the children get an environment and a folder of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline import list_runs
from pipeline.errors import (
    InterruptedRunError,
    InvariantError,
    PatienceEndedError,
    TerminatedRunError,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline import Run
    from pipeline.sandbox.records import Taken
    from pipeline.sandbox.server import RunningSandbox

LOOK_EVERY_S: Final = 0.02
MOST_DELAY_S: Final = 0.3
EARLY_SHARE: Final = 0.25
BATCHES_A_KILL: Final = 4
MOST_IN_VAIN: Final = 5
# Ends of a run that leave rows pending for a cause that may pass.
GAVE_UP: Final = (75, 77)
_DONE: Final = (0, 3)


class ChildError(Exception):
    """A child ended as no kill and no weather explains; it said why."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True, slots=True)
class Kill:
    """
    Where a kill struck.

    Attributes:
        after_s: Seconds since its process began.
        phase: What the process was about.
        n_rows: Rows that had arrived at the sandbox in all.
    """

    after_s: float
    phase: str
    n_rows: int


@dataclass(frozen=True, slots=True)
class Strike:
    """When to kill: when so many batches have arrived, None for at once; and then."""

    n_batches: int | None
    delay_s: float


@dataclass(frozen=True, slots=True)
class Course:
    """
    One import from its first process to the run that ends.

    Attributes:
        states: State → rows, of the files that the run wrote.
        first_batch_s: From the start of the first process to its first batch.
        n_gave_up: Processes that ended with rows pending.
    """

    run: Run
    states: dict[str, int]
    kills: tuple[Kill, ...] = ()
    n_starts: int = 1
    n_gave_up: int = 0
    first_batch_s: float = 0.0


@dataclass(slots=True)
class Ground:
    """
    Where an import is drilled.

    Attributes:
        sources: As the user named them.
        words: Flags for the import.
        pace: Flags for the import and its resumptions.
    """

    folder: Path
    sandbox: RunningSandbox
    sources: tuple[str, ...]
    words: tuple[str, ...]
    pace: tuple[str, ...]
    n_starts: int = field(default=0, init=False)

    @property
    def work_dir(self) -> Path:
        """Of the children; nobody else's."""
        return self.folder / "work"

    def taken(self) -> Taken:
        """Count what the sandbox accepted so far."""
        return self.sandbox.sandbox.store.ledger.taken()

    def ended_run(self) -> Run | None:
        """Return the run of which nothing is left to send."""
        runs = list_runs(self.work_dir)
        return next((run for run in runs if run.exit_code in _DONE), None)

    @contextmanager
    def child(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the import, or what is left of it; it never outlives the block."""
        has_begun = self.taken().n_batches > 0
        words = ["resume"] if has_begun else ["import", *self.words]
        words += [*self.pace, f"--work-dir={self.work_dir}", "--json", "--quiet"]
        words += ["--verify=none"]  # the sandbox itself is compared, row by row
        words += [] if has_begun else ["--", *self.sources]
        self.n_starts += 1
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "out").open("wb") as out, self._talk.open("wb") as err:
            process = subprocess.Popen(  # noqa: S603 - this very tool
                [sys.executable, "-P", "-m", "pipeline", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment(),
                start_new_session=True,  # a Ctrl-C is for us alone
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    @property
    def _talk(self) -> Path:
        return self.folder / "err"

    def said(self) -> str:
        """Return what the last child said to people."""
        return self._talk.read_text("utf-8", errors="replace").strip()

    def _environment(self) -> dict[str, str]:
        ours = ("SYNERISE_", "CRM_PIPELINE_LOG_FORMAT")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return kept | {
            "SYNERISE_BASE_URL": self.sandbox.base_url,
            "SYNERISE_API_KEY": self.sandbox.api_key,
            "SYNERISE_WORKSPACE_GUID": self.sandbox.workspace_guid,
            "XDG_STATE_HOME": str(self.folder / "state"),
            # Alerts and metrics of the job are for what is no drill.
            "CRM_PIPELINE_TELL": "no",
        }


def undisturbed(ground: Ground) -> Course:
    """
    Import once, to the end.

    Raises:
        ChildError: It did not get there.
    """
    began_s = time.monotonic()
    first_s = None
    with ground.child() as process:
        while not _ends_within(process, LOOK_EVERY_S):
            if first_s is None and ground.taken().n_batches:
                first_s = time.monotonic() - began_s
    run = ground.ended_run() if process.returncode in _DONE else None
    if run is None:
        raise ChildError(process.returncode, ground.said())
    first_s = time.monotonic() - began_s if first_s is None else first_s
    return Course(run, _states(ground, run), first_batch_s=first_s)


def through_the_storm(
    ground: Ground,
    strikes: Iterator[Strike],
    on_kill: Callable[[Kill], None],
) -> Course:
    """
    Import, be killed as often as there are strikes, go on, to the end.

    Raises:
        ChildError: A child ended as no weather explains.
        PatienceEndedError: It gave up again and again without a row getting through.
    """
    kills: list[Kill] = []
    strike = next(strikes, None)
    n_gave_up = n_in_vain = 0
    while True:
        n_before = ground.taken().n_batches
        with ground.child() as process:
            kill = None if strike is None else _struck(ground, process, strike)
            process.wait()
        code = process.returncode
        if kill is not None and code == -signal.SIGKILL:
            kills.append(kill)
            on_kill(kill)
            strike = next(strikes, None)
            continue
        if code in _DONE:
            run = ground.ended_run()
            if run is not None:
                states = _states(ground, run)
                return Course(run, states, tuple(kills), ground.n_starts, n_gave_up)
        elif code not in GAVE_UP:
            raise ChildError(code, ground.said())
        n_gave_up += code in GAVE_UP
        n_in_vain = 0 if ground.taken().n_batches > n_before else n_in_vain + 1
        if n_in_vain > MOST_IN_VAIN:
            raise PatienceEndedError(
                f"the run gave up {MOST_IN_VAIN} times in a row without getting a row "
                "through; its rows are pending, none is lost. Its last words: "
                f"{ground.said()}"
            )


def _struck(
    ground: Ground, process: subprocess.Popen[bytes], strike: Strike
) -> Kill | None:
    """Kill a process when its time has come; None when it ended before."""
    began_s = time.monotonic()
    n_before = ground.taken().n_batches
    if strike.n_batches is not None:
        wanted = max(strike.n_batches, n_before + 1)
        while ground.taken().n_batches < wanted:
            if _ends_within(process, LOOK_EVERY_S):
                return None
    if _ends_within(process, strike.delay_s):
        return None
    process.kill()
    after_s = time.monotonic() - began_s
    taken = ground.taken()
    phase = "while it sent" if taken.n_batches > n_before else "before it sent"
    return Kill(after_s, phase, taken.n_items)


def strikes_for(
    n_kills: int, n_batches: int, first_batch_s: float, dice: random.Random
) -> Iterator[Strike]:
    """Spread kills over an import; some fall before a process has sent anything."""
    for no in range(n_kills):
        if dice.random() < EARLY_SHARE:
            yield Strike(None, dice.uniform(0.0, first_batch_s))
        else:
            place = n_batches * (no + dice.random()) / (n_kills + 1)
            yield Strike(int(place), dice.uniform(0.0, MOST_DELAY_S))


@contextmanager
def torn_down_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the drill in order: no child and no file stays."""

    def stop(number: int, _frame: object) -> None:
        kind = TerminatedRunError if number == signal.SIGTERM else InterruptedRunError
        raise kind(
            "interrupted; the processes of the drill are ended, its files removed"
        )

    caught = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in caught]
    try:
        yield
    finally:
        for number, handler in zip(caught, before, strict=True):
            signal.signal(number, handler)


def rows_that_differ(one: Ground, other: Ground) -> list[int]:
    """Return the numbers of the rows whose states two ended runs tell differently."""
    key = ["source_no", "row_no"]
    first, second = (_outcomes(ground) for ground in (one, other))
    same = first.join(second, on=[*key, "state"], how="semi")
    return first.join(same, on=key, how="anti").sort(key)["row_no"].to_list()


def _outcomes(ground: Ground) -> pl.DataFrame:
    run = ground.ended_run()
    if run is None:
        raise InvariantError("a drill compares runs that have ended; please report")
    path = ground.work_dir / "runs" / run.run_id / "outcomes.parquet"
    return pl.read_parquet(path, columns=["source_no", "row_no", "state"])


def _states(ground: Ground, run: Run) -> dict[str, int]:
    path = ground.work_dir / "runs" / run.run_id / "outcomes.parquet"
    counted = pl.read_parquet(path, columns=["state"])["state"].value_counts(sort=True)
    return {str(state): int(n) for state, n in counted.iter_rows()}


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
