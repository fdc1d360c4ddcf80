"""
Reading back at the end of an import, while what was sent is at hand.

A sample is drawn from the rows as they go out, so the source is not read for it; only
`verify: all` makes them again. An import waits a minute for rows that are not there,
and what is not seen by then is no failure: `verify` waits longer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.errors import InvariantError
from pipeline.line import encoded_slices
from pipeline.records import State
from pipeline.sent_rows import accepted_frames, ambiguous_phones, whole_waves
from pipeline.verify.drawing import Draw
from pipeline.verify.paced_reads import PacedReads
from pipeline.verify.report import Tally, report_of
from pipeline.verify.settling import UNREADABLE, Settler, SettleTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.client import Client
    from pipeline.journal import Journal
    from pipeline.line import Line
    from pipeline.records import Encoded
    from pipeline.retrying import Clock
    from pipeline.run_files import RunFiles
    from pipeline.sent_rows import Wave
    from pipeline.settings import Job
    from pipeline.spill import SliceStore
    from pipeline.stopping import StopSignal
    from pipeline.verify.report import VerifyReport

LONGEST_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Finished:
    """
    A run that sent everything.

    Attributes:
        job: Says what is read back, at which pace, and how long a row may take.
        folder: Of the run; it has its name.
        names: Of the files of the source.
        on_verify: Told how many rows are asked for.
        now: Seconds since 1970, by which answers are dated in the journal.
    """

    job: Job
    folder: Path
    names: Sequence[str]
    n_accepted: int
    journal: Journal
    stop: StopSignal
    on_verify: Callable[[int], None]
    now: Callable[[], float] = time.time

    async def read_back(
        self, waves: Iterable[Wave], client: Client, clock: Clock
    ) -> VerifyReport | None:
        """
        Ask for rows and compare; None when nothing is to be read back.

        Waits 60 s at most, and reads only. A stop ends it with what is known.

        Args:
            waves: Of a sample, or of all accepted rows, as the job says.

        Effects: as `report_of`.

        Raises:
            InvariantError: The rows that were made again are not those accepted.
            CannotWriteError: The disk refuses.
        """
        job, n_accepted = self.job, self.n_accepted
        if job.verify == "none" or not n_accepted:
            return None
        is_all = job.verify == "all"
        self.on_verify(n_accepted if is_all else min(n_accepted, job.verify_rows))
        began_s, wall_s = clock.now(), self.now()
        settle_time = SettleTime(
            self.journal.accepted_at(self.folder.name),
            job.settle,
            lambda: wall_s + clock.now() - began_s,
        )
        reads = PacedReads(job.delivery, clock, until_s=began_s + LONGEST_WAIT_S)
        settler = Settler(client, reads, settle_time, bearable=UNREADABLE)
        tally = Tally()
        with self.stop.listening(reads.stop):
            await tally.ask(waves, settler)
        n_made = tally.sizes.total() + tally.n_ambiguous
        if is_all and n_made != n_accepted:
            raise InvariantError(
                f"{n_accepted} rows are accepted, but {n_made} came out again to be "
                "read back; please report this"
            )
        return report_of(
            tally,
            settler,
            n_accepted=n_accepted,
            folder=self.folder,
            names=self.names,
            error=self.stop.error() if self.stop.n_requests else None,
        )


@dataclass(frozen=True, slots=True)
class ReadBack:
    """
    What is read back of one import.

    Attributes:
        draw: Takes the sample; None under `verify: all` and `none`.
    """

    line: Line
    check: CheckResult
    store: SliceStore
    journal: Journal
    draw: Draw | None

    def watched(self, encoded: Iterator[Encoded]) -> Iterator[Encoded]:
        """Give the rows that go out on as they are, and draw from them."""
        return encoded if self.draw is None else self.draw.watched(encoded)

    async def report(
        self, client: Client, clock: Clock, files: RunFiles
    ) -> VerifyReport | None:
        """Ask for rows and compare; as `Finished.read_back`."""
        request = self.line.request
        run = Finished(
            request.job,
            self.line.folder,
            [path.name for path in self.line.source.files],
            files.counts.accepted,
            self.journal,
            request.stop,
            request.on_verify,
        )
        return await run.read_back(self._waves(files), client, clock)

    def _waves(self, files: RunFiles) -> Iterator[Wave]:
        if self.draw is None:
            batches = self.journal.outcomes(self.line.run_id)
            frames = accepted_frames(self.line, self.check, self.store, batches)
            ambiguous = _ambiguous(self.line, self.check, self.store)
            yield from whole_waves(frames, ambiguous)
            return
        accepted = pl.col("state") == State.ACCEPTED.value
        outcomes = pl.scan_parquet(files.paths["outcomes"]).filter(accepted)
        yield self.draw.wave(outcomes.select("source_no", "row_no", "batch_no"))


def read_back_of(
    line: Line, check: CheckResult, store: SliceStore, journal: Journal
) -> ReadBack:
    """
    Make ready to read back what a run sends, before it sends.

    Cost: where rows have nothing but a phone that others have too, one more reading of
        the rows in *store*, or of the source if they are not there.
    """
    job = line.request.job
    draw = None
    if job.verify == "sample":
        run = journal.run(line.run_id)
        seed = 0 if run is None else run.generation
        draw = Draw(job.verify_rows, seed, _ambiguous(line, check, store))
    return ReadBack(line, check, store, journal, draw)


def _ambiguous(line: Line, check: CheckResult, store: SliceStore) -> pl.Series:
    shared = check.shared_phones
    return ambiguous_phones(encoded_slices(line, store) if len(shared) else (), shared)
