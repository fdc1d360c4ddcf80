"""
One delivery over real sockets, and what the server and the journal say of it.

The time of the client may run so fast that a deadline of a minute passes in a second.
"""

import asyncio
import hashlib
import json
import selectors
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import polars as pl

from fault_proxy import FaultProxy, fault_proxy
from network_faults import Fault
from pipeline.client import Client
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.delivery import DeliveryReport, deliver
from pipeline.journal import Journal
from pipeline.journal_tables import Run
from pipeline.records import Batch, BatchState
from pipeline.retrying import Clock
from pipeline.sandbox.records import TruthKind
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.terms import Terms

N_ROWS = 10
HURRY = 60
ACCEPTED, PENDING = BatchState.ACCEPTED, BatchState.PENDING
UNKNOWN, REJECTED = BatchState.UNKNOWN, BatchState.REJECTED


class _HurriedSelector(selectors.DefaultSelector):
    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / HURRY)


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop whose seconds are short: its timers come early, its sockets do not."""

    def __init__(self) -> None:
        super().__init__(_HurriedSelector())

    def time(self) -> float:
        return super().time() * HURRY


@dataclass
class Day:
    """
    One delivery through a proxy.

    Attributes:
        pauses: What the journal said of each batch whenever the delivery waited.
        in_a_hurry: Whether the client's seconds are short; only where it waits for
            nothing but a deadline, because its patience with handshakes shrinks too.
    """

    service: RunningSandbox
    folder: Path
    token: Secret
    batches: list[Batch] = field(init=False)
    report: DeliveryReport = field(default_factory=DeliveryReport)
    error: BaseException | None = None
    states: dict[int, BatchState] = field(default_factory=dict)
    pauses: list[dict[int, BatchState]] = field(default_factory=list)
    on_pause: Callable[[], None] = lambda: None
    in_a_hurry: bool = False
    env_proxy: bool = False
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        self.prefix = uuid.uuid4().hex[:8]
        self.batches = [self._batch(no) for no in (1, 2, 3)]

    def _batch(self, no: int, extra: str = "") -> Batch:
        numbers = range((no - 1) * N_ROWS + 1, no * N_ROWS + 1)
        people = [{"customId": f"{self.prefix}-{n}", "city": extra} for n in numbers]
        body = json.dumps(
            [{k: v for k, v in person.items() if v} for person in people]
        ).encode()
        rows = pl.DataFrame(
            {"source_no": [0] * N_ROWS, "row_no": list(numbers)},
            schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
        )
        return Batch(no, 2, rows, body, hashlib.sha256(body).hexdigest())

    def fatten(self, n_bytes: int) -> None:
        """Make each body about so long."""
        self.batches = [self._batch(no, "x" * (n_bytes // N_ROWS)) for no in (1, 2, 3)]

    def send(self, url: str) -> None:
        """Deliver; errors of the run are kept for the test to look at."""
        with Journal.open(self.folder / "journal.sqlite") as journal:
            journal.begin_run(Run("r1", "import", "customers"))
            loop_factory = HurriedLoop if self.in_a_hurry else None
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(self.deliver(url, journal))
            self.states = states(journal)
        self._prove()

    async def deliver(self, url: str, journal: Journal) -> None:
        now_s = 0.0

        async def sleep(seconds: float) -> None:
            nonlocal now_s
            now_s += seconds
            self.pauses.append(states(journal))
            self.on_pause()
            await asyncio.sleep(0)

        def show(report: DeliveryReport) -> None:
            self.report = report

        remote = RemoteSettings(
            url,
            Credentials(token=self.token),
            ca_bundle=self.ca_bundle,
            env_proxy=self.env_proxy,
        )
        try:
            async with Client(remote) as client:
                await deliver(
                    self.batches,
                    client=client,
                    journal=journal,
                    run_id="r1",
                    terms=Terms(
                        concurrency=1, clock=Clock(lambda: now_s, sleep, lambda: 0.5)
                    ),
                    on_progress=show,
                )
        except Exception as error:  # noqa: BLE001 - looked at by each test
            self.error = error

    # -- what is true ------------------------------------------------------------------

    def n_received(self, no: int = 1) -> int:
        """How often the whole body of a batch reached the server."""
        digest = self.batches[no - 1].digest
        events = self.service.sandbox.truth()
        return sum(e.kind is TruthKind.RECEIVED and e.digest == digest for e in events)

    def rows_stored(self) -> int:
        profiles = self.service.sandbox.profiles()
        return sum(p["customId"].startswith(self.prefix) for p in profiles)

    def _prove(self) -> None:
        """What is said to be accepted was received; nothing is said to be rejected."""
        for batch in self.batches:
            if self.states.get(batch.batch_no) is ACCEPTED:
                assert self.n_received(batch.batch_no) > 0
        assert REJECTED not in self.states.values()
        n_accepted = sum(state is ACCEPTED for state in self.states.values())
        assert self.report.rows_accepted == n_accepted * N_ROWS
        assert self.report.rows_rejected == 0
        assert self.rows_stored() >= self.report.rows_accepted

    def assert_all_arrived(self) -> None:
        assert self.error is None
        assert set(self.states.values()) == {ACCEPTED}
        assert self.report.rows_accepted == self.rows_stored()
        assert self.rows_stored() == len(self.batches) * N_ROWS


def states(journal: Journal) -> dict[int, BatchState]:
    return {one.batch_no: one.state for one in journal.outcomes("r1")}


@contextmanager
def serving() -> Iterator[Callable[[Path], Day]]:
    """Run a sandbox; the call makes a day with its files in a folder of its own."""
    with running_sandbox(SandboxOptions(settle_s=0.0)) as running:
        url = f"{running.base_url}/uauth/v2/auth/login/profile"
        with httpx.Client(trust_env=False) as client:
            reply = client.post(url, json={"apiKey": running.api_key})
        token = Secret(reply.json()["token"])
        yield lambda folder: Day(running, folder, token)


def through(day: Day, *script: Fault, then: Fault | None = None) -> FaultProxy:
    """Deliver through a proxy with this script."""
    with fault_proxy(day.service.base_url, *script, then=then) as proxy:
        day.send(proxy.url())
    return proxy
