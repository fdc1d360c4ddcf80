"""
`python benchmarks/pacing.py`: how the pace finds itself, against a model of a service.

Everything between the feed and the wire is the tool's own code: delivery, turnstile,
pacing, retries, client. Simulated are the service, the journal's flush (4 ms) and the
time, so a run of minutes takes a second and depends on its seed alone. What a model
cannot tell is said by `benchmarks/run.py`.
"""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any, Final

import httpx
import polars as pl

from benchmarks.virtual_time import run_virtually
from pipeline.client import Client
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.delivery import Delivery, Terms
from pipeline.errors import PipelineError
from pipeline.records import Batch
from pipeline.retrying import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS: Final = (1, 2, 3, 4, 5)
FLUSH_S: Final = 0.004
FAST_S: Final = 0.01  # an answer that is not an acceptance
LATENCY_S: Final = 0.32
SPREAD: Final = 0.2
WARM_UP_S: Final = 60.0
ROW: Final = pl.DataFrame(
    {"source_no": [0], "row_no": [1]},
    schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
)
BODY: Final = b'[{"customId":"%d"}]'


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A service, and what is asked of it.

    Attributes:
        places: Requests it works on at once; further ones queue.
        latency_s: Of one request that it works on; drawn from around it.
        limit: Requests a second it lets in, one second's worth in a burst.
        retry_after: What its 429 says; None without the header.
        outage: From when to when it answers 503.
        errors: Share of 503 by chance.
    """

    name: str
    n_batches: int = 2000
    places: int = 16
    latency_s: float = LATENCY_S
    limit: float | None = None
    retry_after: str | None = "1"
    outage: tuple[float, float] | None = None
    errors: float = 0.0
    concurrency: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run, seen from the service."""

    goodput: float
    wasted: float
    warm_goodput: float
    n_requests: int
    seconds: float
    error: str


class Model(httpx.AsyncBaseTransport):
    """The service: queues, limits, fails and recovers."""

    def __init__(self, scenario: Scenario, dice: random.Random) -> None:
        self._scenario = scenario
        self._dice = dice
        self._places = asyncio.Semaphore(scenario.places)
        self._loop = asyncio.get_running_loop()
        self._tokens = scenario.limit or 0.0
        self._at_s = 0.0
        self.accepted: dict[bytes, float] = {}
        self.n_requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer the login at once, a batch after its time."""
        if request.url.path != "/v4/clients/batch":
            return _response(200)
        self.n_requests += 1
        scenario = self._scenario
        now_s = self._loop.time()
        if scenario.outage and scenario.outage[0] <= now_s < scenario.outage[1]:
            return await self._answer(503)
        if not self._is_let_in(now_s):
            return await self._answer(429, scenario.retry_after)
        if self._dice.random() < scenario.errors:
            return await self._answer(503)
        async with self._places:
            spread = 1.0 + SPREAD * self._dice.gauss(0.0, 1.0)
            await asyncio.sleep(scenario.latency_s * max(0.2, spread))
        self.accepted[request.content] = self._loop.time()
        return _response(202)

    def _is_let_in(self, now_s: float) -> bool:
        limit = self._scenario.limit
        if limit is None:
            return True
        grown = self._tokens + (now_s - self._at_s) * limit
        self._tokens, self._at_s = min(max(1.0, limit), grown), now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    async def _answer(self, status: int, wait: str | None = None) -> httpx.Response:
        await asyncio.sleep(FAST_S)
        return _response(status, {"Retry-After": wait} if wait else {})


def _response(status: int, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(b""))


class Ready:
    """A feed of batches that are there already."""

    def __init__(self, n_batches: int) -> None:
        self.error: BaseException | None = None
        self._left = iter(range(1, n_batches + 1))

    async def take(self) -> Batch | None:
        """Return the next batch."""
        no = next(self._left, None)
        return None if no is None else Batch(no, 2, ROW, BODY % no, "")

    def settle(self) -> None:
        """Nothing waits for a batch to be through."""

    def stop(self) -> None:
        """Hand out nothing more."""
        self._left = iter(range(0))

    async def aclose(self, _patience_s: float | None = None) -> None:
        """Hold nothing."""


class Flushes:
    """A journal that takes its time and keeps nothing."""

    async def intend(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - unused
        """Commit."""
        await asyncio.sleep(FLUSH_S)

    attempt = intend
    record = intend

    def next_child_no(self, _run_id: str) -> int:
        """Number parts from here."""
        return 10**9


async def simulate(scenario: Scenario, seed: int) -> Result:
    """Run one scenario once."""
    dice = random.Random(f"{scenario.name} {seed}")  # noqa: S311 - repeatable
    loop = asyncio.get_running_loop()
    model = Model(scenario, dice)
    clock = Clock(loop.time, asyncio.sleep, random.Random(seed).random)  # noqa: S311
    remote = RemoteSettings(
        "https://model.test", Credentials(token=Secret("model-token"))
    )
    terms = Terms(scenario.concurrency, scenario.rate, clock=clock)
    error = ""
    async with Client(remote, transport=model, monotonic=loop.time) as client:
        client.statuses[200] += 1  # as after the question for the workspace
        try:
            delivery = Delivery(client, Flushes(), "r1", terms)
            await delivery.run(Ready(scenario.n_batches), lambda _: None)
        except PipelineError as stopped:
            error = type(stopped).__name__
    return _result(scenario, model, loop.time(), error)


def _result(scenario: Scenario, model: Model, ended_s: float, error: str) -> Result:
    done = sorted(model.accepted.values())
    end_s = done[-1] if done else ended_s
    warm = [moment for moment in done if moment > WARM_UP_S]
    warm_s = end_s - WARM_UP_S
    if not error and len(done) != scenario.n_batches:
        error = f"{len(done)} of {scenario.n_batches}"
    return Result(
        goodput=len(done) / end_s,
        wasted=1.0 - len(done) / model.n_requests,
        warm_goodput=len(warm) / warm_s if warm_s > 0 else 0.0,
        n_requests=model.n_requests,
        seconds=ended_s,
        error=error,
    )


SCENARIOS: Final = (
    Scenario("A: free, 16 at once"),
    Scenario("B: 10 a second, 429 with Retry-After", limit=10.0),
    Scenario("B2: 10 a second, bare 429", limit=10.0, retry_after=None),
    Scenario("C: slow, 3 at once", places=3, latency_s=0.526),
    Scenario("D: 60 s of 503", outage=(20.0, 80.0)),
    Scenario("E: 5 % of 503 by chance", errors=0.05),
    Scenario("1 % of 503 by chance", errors=0.01),
    Scenario("10 % of 503 by chance", errors=0.1),
    Scenario("2 a second", limit=2.0),
    Scenario("30 a second", limit=30.0),
    Scenario("free, 5,000 batches", n_batches=5000),
    Scenario("--concurrency 10, 1,000 batches", n_batches=1000, concurrency=10),
    Scenario("--rate 10, and 10 a second are let in", limit=10.0, rate=10.0),
    Scenario("--rate 30, and 30 a second are let in", limit=30.0, rate=30.0),
    Scenario("dead from the 20th second on", outage=(20.0, 1e9)),
)


def allowed(scenario: Scenario) -> float:
    """Return the batches a second that the service could take for ever."""
    places = min(scenario.places, scenario.concurrency or scenario.places)
    return min(scenario.limit or 1e9, places / scenario.latency_s)


def table(scenarios: Sequence[Scenario], seeds: Sequence[int]) -> list[str]:
    """Run all and return a table in Markdown, the means of all seeds."""
    head = "service | batches/s | of its best | after 60 s | wasted | requests a batch"
    lines = [f"| {head} | seconds |", "| --- |" + " ---: |" * 6]
    for scenario in scenarios:
        found = [run_virtually(simulate(scenario, seed)) for seed in seeds]
        goodput = mean(result.goodput for result in found)
        warm = mean(result.warm_goodput for result in found)
        wasted = mean(result.wasted for result in found)
        n_requests = max(result.n_requests for result in found)
        best = allowed(scenario)
        errors = {result.error for result in found} - {""}
        note = f" ({', '.join(sorted(errors))})" if errors else ""
        lines.append(
            f"| {scenario.name}{note} | {goodput:.1f} | {goodput / best:.1%} "
            f"| {f'{warm / best:.1%}' if warm else '–'} | {wasted:.1%} "
            f"| {n_requests / scenario.n_batches:.3f} "
            f"| {mean(result.seconds for result in found):.0f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Print the table."""
    print("\n".join(table(SCENARIOS, SEEDS)))


if __name__ == "__main__":
    main()
