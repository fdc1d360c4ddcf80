"""
Each station of the line alone, in a process of its own.

`stages.py STAGE FILE` makes what the station takes, then counts the CPU seconds of all
threads while it works, and prints them as JSON with the rows it gave; it ends with a
fault when they are not as many as they should be. FILE is one of `data.py`; the real
job stands beside it.

`stages.py rounds FILE N` goes N times through those that `check.py` guards, each time
after the yardstick, and prints their ratios to it.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from benchmarks import delta, pages
from benchmarks.contest import ONE_REPEATS, rows_in
from benchmarks.journal import ACCEPTED
from benchmarks.measure import answer, expect
from benchmarks.measure import sink as running_sink
from pipeline.chunker import BatchLimits, pack
from pipeline.config import read_job
from pipeline.connection import Connector, connected
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.delivery import Terms, deliver
from pipeline.delta.digests import digests_of
from pipeline.encoder import encode_slice
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.identity import decide, identifier_entries
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run
from pipeline.lint.evidence import observe
from pipeline.lint.signs import roles_of
from pipeline.mapping import resolve_mapping
from pipeline.reader import open_source
from pipeline.settings import SourceSettings
from pipeline.spill import SliceStore, Spill, by_digest
from pipeline.transform import plan_transform, transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from pipeline.reader import Source
    from pipeline.records import Batch, Encoded, Slice, Transformed
    from pipeline.transform import TransformPlan

IN_FLIGHT: Final = 16
SECRET: Final = "5e" * 32
RUN: Final = "20250101-000000-0000"


@dataclass(slots=True)
class Clock:
    """CPU seconds of this process, while it is told to count."""

    cpu_s: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside."""
        began_s = time.process_time()
        yield
        self.cpu_s += time.process_time() - began_s


@dataclass
class Bench:
    """The file, and what the stations before the measured one make of it."""

    path: Path
    clock: Clock = field(default_factory=Clock)

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return rows_in(self.path)

    def opened(self) -> tuple[Source, TransformPlan]:
        """Open the source as the tool does."""
        job = read_job(self.path.with_suffix(f"{self.path.suffix}.yaml")).job
        source = open_source(SourceSettings(path=str(self.path)))
        mapping = resolve_mapping(source.columns, job)
        checks = IdentifierChecks()
        return source, plan_transform(mapping, source.dtypes, job, checks, source.kind)

    @cached_property
    def plan(self) -> TransformPlan:
        """How values are made clean."""
        return self.opened()[1]

    @cached_property
    def slices(self) -> list[Slice]:
        """The whole file, read."""
        return list(self.opened()[0].slices())

    @cached_property
    def transformed(self) -> list[Transformed]:
        """The same, normalised."""
        return [transform(piece, self.plan) for piece in self.slices]

    @cached_property
    def encoded(self) -> list[Encoded]:
        """The same, encoded."""
        return [encode_slice(each, self.plan) for each in self.transformed]

    @cached_property
    def batches(self) -> list[Batch]:
        """The same, cut into bodies."""
        return list(pack(self.encoded, BatchLimits()))

    @cached_property
    def pages(self) -> list[bytes]:
        """As many profiles, as pages of a list."""
        return pages.pages(self.n_rows)


def read(bench: Bench) -> int:
    """Split a file into records, and prove that they are."""
    source, _ = bench.opened()
    with bench.clock.counting():
        return sum(piece.n_rows for piece in source.slices())


def normalise(bench: Bench) -> int:
    """Make clean values of cells."""
    pieces, plan = bench.slices, bench.plan
    with bench.clock.counting():
        return sum(transform(piece, plan).clean.height for piece in pieces)


def lint(bench: Bench) -> int:
    """Look for signs of damage in columns."""
    pieces, done, plan = bench.slices, bench.transformed, bench.plan
    roles = roles_of((reading.rule for reading in plan.readings), ())
    with bench.clock.counting():
        for piece, result in zip(pieces, done, strict=True):
            refused = pl.concat([result.blocked, result.omitted])
            observe(piece.frame, roles, refused)
    return sum(piece.n_rows for piece in pieces)


def encode(bench: Bench) -> int:
    """Write rows as JSON."""
    done, plan = bench.transformed, bench.plan
    with bench.clock.counting():
        return sum(encode_slice(each, plan).frame.height for each in done)


def fold(bench: Bench) -> int:
    """Find rows of one profile."""
    done, plan = bench.transformed, bench.plan
    with (
        tempfile.TemporaryDirectory() as folder,
        bench.clock.counting(),
        Spill(Path(folder) / "digests") as spill,
    ):
        for each in done:
            entries = identifier_entries(each.clean, plan.identifiers, SECRET)
            spill.add(by_digest(entries))
        fates, _ = decide(spill.buckets, "fold")
    n_folded = fates.filter(pl.col("state").is_not_null()).height
    return sum(each.clean.height for each in done) - n_folded


def store(bench: Bench) -> int:
    """Keep encoded rows on disk, and read them again."""
    encoded = bench.encoded
    with (
        tempfile.TemporaryDirectory() as folder,
        bench.clock.counting(),
        SliceStore(Path(folder) / "clean") as kept,
    ):
        for each in encoded:
            kept.add(each.frame)
        return sum(frame.height for frame in kept.frames())


def chunk(bench: Bench) -> int:
    """Cut rows into bodies with a SHA-256 of each."""
    encoded = bench.encoded
    with bench.clock.counting():
        return sum(batch.rows.height for batch in pack(encoded, BatchLimits()))


def journal(bench: Bench) -> int:
    """Commit an intent and a verdict of each batch, sixteen at a time."""
    batches = bench.batches
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def settle(kept: Journal, batch: Batch) -> None:
        async with turns:
            await kept.intend(RUN, batch, target_bytes=BatchLimits().max_bytes)
            await kept.record(RUN, batch.batch_no, 1, ACCEPTED)

    async def main(kept: Journal) -> None:
        await asyncio.gather(*(settle(kept, batch) for batch in batches))

    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.open(Path(folder) / JOURNAL_NAME) as kept,
    ):
        kept.begin_run(Run(RUN, "import", "customers", "guid"))
        with bench.clock.counting():
            asyncio.run(main(kept))
        told = kept.batches(RUN)
    return sum(batch.rows.height for batch in batches) if len(told) else 0


class NoJournal:
    """Keeps nothing, so that sending is measured without it."""

    async def intend(self, *_: object, **__: object) -> None:
        """Take an intent."""

    async def attempt(self, *_: object) -> None:
        """Take an attempt."""

    async def record(self, *_: object, **__: object) -> None:
        """Take a verdict."""

    def next_child_no(self, _run_id: str) -> int:
        """Number parts from here."""
        return 1_000_000_001


def anybody(base_url: str) -> RemoteSettings:
    """Return how to reach a server that checks no token."""
    return RemoteSettings(base_url, Credentials(token=Secret("benchmark")))


def send(bench: Bench, transport: httpx.AsyncBaseTransport | None = None) -> int:
    """Send bodies over real sockets to the null sink, by another transport if given."""
    batches, terms = bench.batches, Terms(concurrency=IN_FLIGHT)

    async def main(base_url: str) -> None:
        async with connected(Connector(anybody(base_url), transport)) as (client, _):
            with bench.clock.counting():
                await deliver(
                    batches, client=client, journal=NoJournal(), run_id=RUN, terms=terms
                )

    with running_sink("--keep") as sink:
        asyncio.run(main(sink.base_url))
        return int(sink.stats()["rows"])


def digest(bench: Bench) -> int:
    """Digest the names and fields of rows, for a comparison with the last state."""
    done, plan = bench.transformed, bench.plan
    with bench.clock.counting():
        return sum(
            digests_of(each.clean, tuple(plan.identifiers), SECRET, raw=plan.raw).height
            for each in done
        )


def compare(bench: Bench) -> int:
    """Compare as many digests of today with those of the state."""
    with tempfile.TemporaryDirectory() as folder:
        delta.make(Path(folder), bench.n_rows)
        with bench.clock.counting():
            told = delta.compare(Path(folder), bench.n_rows)
    n_here = sum(n for name, n in told.items() if name in ("new", "changed"))
    return bench.n_rows if n_here else 0


def decode(bench: Bench) -> int:
    """Make frames of the pages of a list."""
    bodies = bench.pages
    with bench.clock.counting():
        return sum(frame.height for frame in pages.ours(bodies))


def reconcile(bench: Bench) -> int:
    """Compare a source with an export: the whole command, its start included."""
    told = answer("reconcile.py", "--rows", bench.n_rows)
    bench.clock.cpu_s = told["cpu_s"]
    n_rows: int = told["compared"]
    return n_rows


STAGES: Final[dict[str, Callable[[Bench], int]]] = {
    "read": read,
    "transform": normalise,
    "lint": lint,
    "encode": encode,
    "fold": fold,
    "store": store,
    "chunk": chunk,
    "journal": journal,
    "deliver": send,
    "pages": decode,
    "digest": digest,
    "delta": compare,
    "reconcile": reconcile,
}
# Where a station does not give as many rows as the file has.
LOSING: Final = ("fold", "reconcile")
LEAST_S: Final = 0.04
GUARDED: Final = (
    "read",
    "transform",
    "lint",
    "encode",
    "fold",
    "store",
    "chunk",
    "deliver",
    "pages",
    "digest",
)


def loop(bench: Bench) -> int:
    """Do what the plain script does without sending: the yardstick."""
    with bench.clock.counting(), bench.path.open(encoding="utf-8", newline="") as file:
        records = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
        orjson.dumps(records)
    return len(records)


def wanted(stage: str, n_rows: int) -> int:
    """Return how many rows a station has to give."""
    return n_rows - n_rows // ONE_REPEATS if stage in LOSING else n_rows


def cost_of(bench: Bench, stage: str, *, least_s: float = 0.0) -> float:
    """
    Return the CPU seconds of one station.

    Args:
        least_s: It works again until it took that much, and the mean counts.

    Raises:
        WrongResultError: It gave too few rows, or too many.
    """
    bench.clock.cpu_s = 0.0
    n_times = 0
    while not n_times or bench.clock.cpu_s < least_s:
        n_given = STAGES[stage](bench)
        expect(f"rows of {stage}", n_given, wanted(stage, bench.n_rows))
        n_times += 1
    return bench.clock.cpu_s / n_times


def yardstick(bench: Bench) -> float:
    """Return the CPU seconds of the plain loop."""
    bench.clock.cpu_s = 0.0
    expect("rows of the yardstick", loop(bench), bench.n_rows)
    return bench.clock.cpu_s


def rounds(path: Path, n_rounds: int) -> list[dict[str, float]]:
    """
    Compare stations with the yardstick before and after; the first round warms up.

    A station of 50 ms is at the mercy of one interruption, so it works several times.
    """
    bench = Bench(path)
    found = []
    before_s = yardstick(bench)
    for _ in range(n_rounds + 1):
        costs = {name: cost_of(bench, name, least_s=LEAST_S) for name in GUARDED}
        after_s = yardstick(bench)
        unit_s = (before_s + after_s) / 2
        found.append({name: cost_s / unit_s for name, cost_s in costs.items()})
        before_s = after_s
    return found[1:]


def main() -> None:
    """Measure one station, or rounds of several."""
    stage, path = sys.argv[1], Path(sys.argv[2])
    if stage == "rounds":
        print(json.dumps(rounds(path, int(sys.argv[3]))))
        return
    bench = Bench(path)
    cpu_s = cost_of(bench, stage)
    n_rows = wanted(stage, bench.n_rows)
    print(json.dumps({"rows": n_rows, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
