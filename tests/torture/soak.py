"""Eight virtual hours of sending: what is done is forgotten, and memory stays flat."""

import asyncio
import ctypes
import gc
import hashlib
import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, Final

import httpx
import polars as pl

from benchmarks.virtual_time import run_virtually
from pipeline.client import Client
from pipeline.delivery import Delivery, Terms
from pipeline.journal import JOURNAL_NAME
from pipeline.journal_tables import Run
from pipeline.records import Batch
from pipeline.retrying import Clock
from torture.proof import Chapter, Figure
from torture.virtual_journal import VirtualJournal
from wire import LOGIN, REMOTE, Service

HOURS: Final = 8
SAMPLES_AN_HOUR: Final = 6
LATENCY_S: Final = 1.0
CONCURRENCY: Final = 4
TOKEN_S: Final = 3000.0
OUTAGES_S: Final = ((4000.0, 4300.0), (19_000.0, 19_090.0))
MIB: Final = 2**20


class Weather(Service):
    """Slow, sometimes full, twice away, and with tokens that expire."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self._dice = random.Random(8)  # noqa: S311 - repeatable
        self._let_in_s = float("-inf")
        self.n = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == LOGIN:
            self._let_in_s = asyncio.get_running_loop().time()
        else:
            await asyncio.sleep(LATENCY_S * self._dice.uniform(0.7, 1.3))
        try:
            return await super().handle_async_request(request)
        finally:
            self.requests.clear()  # the model must not remember either

    def _answer(self, _: httpx.Request) -> Any:
        now_s = asyncio.get_running_loop().time()
        self.n += 1
        if now_s > self._let_in_s + TOKEN_S:
            return 401
        if any(first <= now_s < last for first, last in OUTAGES_S):
            return 503
        if self._dice.random() < 0.01:
            return 429, {"Retry-After": "2"}, b""
        return 503 if self._dice.random() < 0.01 else 202


class Endless:
    """Hands out small batches until the time is over."""

    error: BaseException | None = None

    def __init__(self, seconds: float) -> None:
        self._end_s = asyncio.get_running_loop().time() + seconds
        self._batches = batches()
        self._is_stopped = False

    async def take(self) -> Batch | None:
        is_over = asyncio.get_running_loop().time() >= self._end_s
        return None if is_over or self._is_stopped else next(self._batches)

    def settle(self) -> None:
        """Nothing is held."""

    def stop(self) -> None:
        self._is_stopped = True

    async def aclose(self, _patience_s: float | None = None) -> None:
        """Nothing is held."""


def batches() -> Iterator[Batch]:
    no = 0
    while True:
        no += 1
        body = json.dumps([{"customId": f"{no}"}]).encode()
        rows = pl.DataFrame(
            {"source_no": [0], "row_no": [no]},
            schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
        )
        yield Batch(no, 2, rows, body, hashlib.sha256(body).hexdigest())


def memory_bytes() -> int:
    """Return what this process holds, once what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def soak(hours: float, folder: Path) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    journal = VirtualJournal(
        folder / JOURNAL_NAME, loop.time, lambda: 0.004, lambda _: None
    )
    weather, samples, tasks, handles = Weather(), [], [], []
    clock = Clock(loop.time, asyncio.sleep, random.Random(1).random)  # noqa: S311
    journal.begin_run(Run("r1", "import", "soak"))

    async def watch() -> None:
        while True:
            await asyncio.sleep(3600 / SAMPLES_AN_HOUR)
            samples.append(memory_bytes())
            tasks.append(len(asyncio.all_tasks()))
            handles.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - a count

    async with Client(REMOTE, transport=weather, monotonic=loop.time) as client:
        client.statuses[200] += 1  # as after the question for the workspace
        watching = asyncio.create_task(watch())
        terms = Terms(concurrency=CONCURRENCY, clock=clock)
        feed = Endless(hours * 3600)
        report = await Delivery(client, journal, "r1", terms).run(feed, lambda _: None)
        watching.cancel()
    journal.close()
    return {
        "n_batches": report.n_batches,
        "n_requests": weather.n,
        "statuses": dict(report.statuses or {}),
        "samples": samples,
        "tasks": tasks,
        "handles": handles,
    }


def growth(samples: list[int]) -> float:
    """Return how much the second half grew: its last quarter over its first."""
    half = samples[len(samples) // 2 :]
    quarter = max(1, len(half) // 4)
    return mean(half[-quarter:]) - mean(half[:quarter])


def prove(n: int | None) -> Chapter:
    hours = HOURS if n is None else 0.5
    with tempfile.TemporaryDirectory() as name:
        found = run_virtually(soak(hours, Path(name)))
    grown = growth(found["samples"]) / MIB
    half = len(found["tasks"]) // 2
    early, late = found["tasks"][:half], found["tasks"][half:]
    told = ", ".join(f"{n:,} of {status}" for status, n in found["statuses"].items())
    return Chapter(
        "A soak",
        f"{hours:g} virtual hours, {found['n_batches']:,} batches, "
        f"{found['n_requests']:,} requests (answers: {told}): two outages, tokens that "
        "expire, stray 429 and 503. The journal is on a disk, delivery is the "
        "product's; service and time are modelled and remember nothing. Memory is "
        "looked at every ten virtual minutes, after a collection.",
        (
            Figure(
                "memory gained in the last half",
                f"{grown:.1f} MiB",
                "< 5 MB",
                grown < 5,
            ),
            Figure(
                "most tasks, in the first half and in the last",
                f"{max(early)}, {max(late)}",
                "not more",
                max(late) <= max(early),
            ),
            Figure(
                "open files, first and last look",
                f"{found['handles'][0]}, {found['handles'][-1]}",
                "equal",
                found["handles"][0] == found["handles"][-1],
            ),
        ),
    )
