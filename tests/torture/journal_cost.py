"""What durability costs: the time of sending, and the time to pick a run up again."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.journal import build, repeated
from pipeline.client import Client
from pipeline.delivery import Terms, deliver
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run
from test_delivery import batches_of
from torture.proof import Chapter, Figure
from wire import LOGIN, REMOTE, Service

LATENCY_S = 0.1
CONCURRENCY = 10
BATCHES = 600
ROUNDS = 3
JOURNAL_BATCHES = 10_000


class Sink(Service):
    """Accepts everything after a tenth of a second."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != LOGIN:
            await asyncio.sleep(LATENCY_S)
        return await super().handle_async_request(request)


class NoJournal:
    """Keeps nothing: what sending costs without durability."""

    async def intend(self, *_: Any, **__: Any) -> None: ...

    async def attempt(self, *_: Any) -> None: ...

    async def record(self, *_: Any, **__: Any) -> None: ...

    def next_child_no(self, _run_id: str) -> int:
        return 1_000_000_001


def seconds(n: int, folder: Path | None) -> float:
    """Send *n* batches, with a journal in *folder* or without one."""

    async def send() -> float:
        opened = nullcontext(NoJournal())
        journal = opened if folder is None else Journal.open(folder / JOURNAL_NAME)
        with journal as kept:
            if isinstance(kept, Journal):
                kept.begin_run(Run("r1", "import", "d"))
            async with Client(REMOTE, transport=Sink(lambda _: 202)) as client:
                client.statuses[200] += 1  # as after the question for the workspace
                began_s = time.perf_counter()
                terms = Terms(concurrency=CONCURRENCY)
                report = await deliver(
                    batches_of(n),
                    client=client,
                    journal=kept,
                    run_id="r1",
                    terms=terms,
                )
                spent_s = time.perf_counter() - began_s
            assert report.n_batches == n
        return spent_s

    return asyncio.run(send())


def best(n: int, place: Callable[[], Path | None]) -> float:
    return min(seconds(n, place()) for _ in range(ROUNDS))


def prove(n: int | None) -> Chapter:
    n_kept = JOURNAL_BATCHES if n is None else max(n, 100)
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / str(i) for i in range(ROUNDS))

        def fresh() -> Path:
            folder = next(folders)
            folder.mkdir()
            return folder

        without_s, with_s = best(BATCHES, lambda: None), best(BATCHES, fresh)
        path = Path(name) / JOURNAL_NAME
        build(path, n_kept, 1)
        found = list(repeated(path))
    picked_up_s = median(each["all_s"] for each in found)
    overhead = with_s / without_s - 1
    ideal_s = BATCHES * LATENCY_S / CONCURRENCY
    return Chapter(
        "The cost of the journal",
        f"{BATCHES} batches to a sink that answers after {LATENCY_S * 1000:.0f} ms, "
        f"{CONCURRENCY} at once, with and without a journal; best of {ROUNDS} each, "
        f"real time. Then a journal of {n_kept:,} batches (1,000 rows each) that was "
        "cut off is opened, checked, read and planned by a process of its own.",
        (
            Figure(
                "what the journal adds", f"{overhead:.1%}", "≤ 3 %", overhead <= 0.03
            ),
            Figure(
                "of what the sink allows",
                f"{ideal_s / with_s:.1%}",
                "≥ 95 %",
                ideal_s / with_s >= 0.95,
            ),
            Figure(
                f"picking {n_kept * 1000:,} rows up again",
                f"{picked_up_s:.2f} s",
                "≤ 1 s",
                picked_up_s <= 1.0,
            ),
        ),
    )
