"""Every row ends in one state, whatever the service does; the journal knew first."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline.client import Client
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.delivery import DeliveryReport, deliver
from pipeline.errors import (
    ContractError,
    LimitError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    SourceChangedError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.journal import Journal
from pipeline.journal_tables import Run
from pipeline.records import Batch, BatchOutcome, BatchState
from pipeline.retrying import Clock
from pipeline.sandbox.server import SandboxOptions, build_sandbox, running_sandbox
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import Weather
from pipeline.terms import Terms
from wire import KEY, REMOTE, Service, Step

FIXED = Terms(concurrency=4)


def batches_of(
    n: int, n_rows: int = 10, *, lane: int = 2, first_no: int = 1
) -> list[Batch]:
    return [
        batch_of(no, range((no - 1) * n_rows + 1, no * n_rows + 1), lane)
        for no in range(first_no, first_no + n)
    ]


def batch_of(no: int, row_nos: range, lane: int = 2) -> Batch:
    people = [{"email": f"canary{k}@example.com"} for k in row_nos]
    body = json.dumps(people, separators=(",", ":")).encode()
    rows = pl.DataFrame(
        {"source_no": [0] * len(row_nos), "row_no": list(row_nos)},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    return Batch(no, lane, rows, body, hashlib.sha256(body).hexdigest())


def rows_in(request: httpx.Request) -> list[int]:
    """Which row numbers a body holds."""
    return [
        int(person["email"].removeprefix("canary").partition("@")[0])
        for person in json.loads(request.content)
    ]


class Time:
    """A clock that jumps to the earliest sleeper once everybody sleeps."""

    def __init__(self, chance: float = 0.5) -> None:
        self.now_s = 0.0
        self.sleeps: list[float] = []
        self._until: list[float] = []
        self.clock = Clock(self.now, self.sleep, lambda: chance)

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        self.sleeps.append(seconds)
        self._until.append(until_s)
        try:
            while self.now_s < until_s:
                await asyncio.sleep(0.004)  # the journal's thread may still be writing
                if until_s == min(self._until):
                    self.now_s = max(self.now_s, until_s)
        finally:
            self._until.remove(until_s)


@dataclass
class Outcome:
    """What a delivery left behind."""

    report: DeliveryReport
    error: BaseException | None
    outcomes: list[BatchOutcome]
    time: Time
    shown: list[DeliveryReport] = field(default_factory=list)

    def row_states(self) -> dict[int, BatchState]:
        """Read the journal as `outcomes` will: later batches override earlier ones."""
        found: dict[int, BatchState] = {}
        for batch in self.outcomes:
            rows = set(range(batch.first.row_no, batch.last.row_no + 1))
            for spans, state in (
                (batch.members, batch.state),
                (batch.rejected, BatchState.REJECTED),
            ):
                for span in spans:
                    numbers = range(span.first_row_no, span.last_row_no + 1)
                    found |= dict.fromkeys(numbers, state)
                if not batch.members and spans is batch.members:
                    found |= dict.fromkeys(rows, batch.state)
        return found

    def rows(self, state: BatchState) -> list[int]:
        return sorted(n for n, found in self.row_states().items() if found is state)


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.begin_run(Run("r1", "import", "customers"))

        def run(
            batches: list[Batch] | Iterator[Batch],
            transport: httpx.AsyncBaseTransport | None,
            terms: Terms = FIXED,
            remote: RemoteSettings = REMOTE,
            chance: float = 0.5,
        ) -> Outcome:
            time = Time(chance)
            shown: list[DeliveryReport] = []

            async def main() -> None:
                async with Client(
                    remote, transport=transport, monotonic=time.now
                ) as client:
                    await deliver(
                        batches,
                        client=client,
                        journal=journal,
                        run_id="r1",
                        terms=replace(terms, clock=time.clock),
                        on_progress=shown.append,
                    )

            error: BaseException | None = None
            try:
                asyncio.run(main())
            except Exception as caught:  # noqa: BLE001 - looked at by each test
                error = caught
            return Outcome(shown[-1], error, journal.outcomes("r1"), time, shown)

        yield run


Send = Callable[..., Outcome]


def test_accepted_batches_are_counted_and_journalled(send: Send) -> None:
    service = Service(lambda _: 202)
    done = send(batches_of(50), service)
    report = done.report

    assert done.error is None
    assert (report.n_batches, report.rows_accepted) == (50, 500)
    assert (report.rows_rejected, report.rows_pending, report.n_retried) == (0, 0, 0)
    assert (report.n_requests, report.statuses) == (51, {200: 1, 202: 50})
    bodies = sum(len(batch.body) for batch in batches_of(50))
    assert report.bytes_sent == bodies + len(json.dumps({"apiKey": KEY}))
    assert done.rows(BatchState.ACCEPTED) == list(range(1, 501))
    assert [shown.n_batches for shown in done.shown] != []
    assert service.most_in_flight == 4


def test_nothing_to_send_is_fine(send: Send) -> None:
    done = send([], Service(lambda _: 202))

    assert (done.error, done.report.n_batches, done.outcomes) == (None, 0, [])


def test_the_intent_is_on_the_disk_before_bytes_leave(
    send: Send, tmp_path: Path
) -> None:
    seen: list[BatchState] = []

    def handle(_: httpx.Request) -> Step:
        with Journal.open(tmp_path / "journal.sqlite") as reader:
            seen.append(reader.outcomes("r1")[0].state)
        return 202

    send(batches_of(1), Service(handle))
    assert seen == [BatchState.UNKNOWN]


def flaky(
    faults: list[Step], before: Callable[[int], bool] = lambda _: True
) -> tuple[Service, list[list[int]]]:
    """Answer with each fault once, then 202; tell what the service has stored."""
    stored: list[list[int]] = []
    left = list(faults)

    def handle(request: httpx.Request) -> Step:
        if left:
            fault = left.pop(0)
            if not before(len(left)):
                stored.append(rows_in(request))
            return fault
        stored.append(rows_in(request))
        return 202

    return Service(handle), stored


@pytest.mark.parametrize("torn_before", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadError(""),
        httpx.WriteError(""),
        httpx.RemoteProtocolError(""),
        httpx.ReadTimeout(""),
        TimeoutError(),
        500,
        502,
        503,
        504,
        520,
        408,
    ],
    ids=str,
)
def test_an_unknown_outcome_is_sent_again_with_the_same_bytes(
    send: Send, fault: Step, *, torn_before: bool
) -> None:
    service, stored = flaky([fault] * 3, lambda _: torn_before)
    done = send(batches_of(1), service)

    assert done.error is None
    assert done.rows(BatchState.ACCEPTED) == list(range(1, 11))
    assert len({request.content for request in service.requests}) == 1
    assert len(service.requests) == 4
    assert stored == [list(range(1, 11))] * (1 if torn_before else 4)
    assert done.report.n_retried == 3
    assert done.time.sleeps == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [409, 423, 425, 429, 503])
@pytest.mark.parametrize("retry_after", ["7", "0", "-1", "soon", None])
def test_retry_after_shuts_the_gate_for_all(
    send: Send, status: int, retry_after: str | None
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    service, _ = flaky([(status, headers, b"")])
    done = send(batches_of(20), service, chance=0.0)

    assert done.error is None
    assert len(done.rows(BatchState.ACCEPTED)) == 200
    if retry_after == "7":
        assert done.time.now_s >= 7.0
        assert max(done.time.sleeps) == 7.0
    else:
        assert done.time.now_s == 0.0


def test_a_wait_beyond_the_patience_ends_the_run(send: Send) -> None:
    service = Service(lambda _: (429, {"Retry-After": "3600"}, b""))
    done = send(batches_of(50), service)

    assert isinstance(done.error, PatienceEndedError)
    assert "3600 s" in str(done.error)
    assert "0 rows accepted" in str(done.error)
    assert len(service.requests) <= 4
    assert set(done.row_states().values()) == {BatchState.PENDING}
    assert done.time.now_s == 0.0


def test_nobody_there_is_told_soon(send: Send) -> None:
    service = Service(lambda _: 202, login=lambda _: httpx.ConnectError("canary"))
    done = send(batches_of(30), service)

    assert isinstance(done.error, UnreachableError)
    assert service.n_logins == 3
    assert done.time.now_s <= 30.0
    assert service.requests == []
    assert "canary" not in str(done.error)
    assert set(done.row_states().values()) == {BatchState.PENDING}


@pytest.mark.parametrize("status", [200, 204, 207, 301, 405, 415, 501])
def test_an_answer_out_of_contract_stops_with_rows_pending(
    send: Send, status: int
) -> None:
    service = Service(lambda _: status)
    done = send(batches_of(100), service)

    assert isinstance(done.error, ContractError)
    assert f"status {status}" in str(done.error)
    n_tries = 3 if status == 207 else 1
    assert len(service.requests) <= 12 * n_tries
    assert not done.rows(BatchState.ACCEPTED)
    assert not done.rows(BatchState.REJECTED)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_stops_with_rows_pending(send: Send, status: int) -> None:
    done = send(batches_of(40), Service(lambda _: status))

    assert isinstance(done.error, TokenRefusedError)
    assert set(done.row_states().values()) == {BatchState.PENDING}
    assert done.report.rows_accepted == 0


def test_a_token_that_expires_midway_loses_nothing(send: Send) -> None:
    n_asked = 0

    def handle(request: httpx.Request) -> Step:
        nonlocal n_asked
        n_asked += 1
        number = int(request.headers["authorization"].rpartition("-")[2])
        return 202 if n_asked <= number * 25 else 401

    service = Service(handle)
    done = send(batches_of(100), service)

    assert done.error is None
    assert len(done.rows(BatchState.ACCEPTED)) == 1000
    assert 4 <= service.n_logins <= 6


# -- refusals ------------------------------------------------------------------------


def refusing(bad: set[int], *, naming: bool) -> Service:
    """Refuse any body that holds a bad row, telling which or not."""

    def handle(request: httpx.Request) -> Step:
        rows = rows_in(request)
        found = [k for k, row in enumerate(rows) if row in bad]
        if not found:
            return 202
        fields = [f"list[{k}].email" if naming else "email" for k in found]
        errors = [{"field": name, "message": "canary@example.com"} for name in fields]
        return 400, {}, json.dumps({"errors": errors}).encode()

    return Service(handle)


@pytest.mark.parametrize("naming", [True, False])
@pytest.mark.parametrize("bad", [{1}, {10}, {4, 5, 17}, set(range(1, 11))])
def test_refused_rows_are_found_and_all_others_accepted(
    send: Send, bad: set[int], *, naming: bool
) -> None:
    service = refusing(bad, naming=naming)
    done = send(batches_of(2), service)

    assert done.error is None
    assert done.rows(BatchState.REJECTED) == sorted(bad)
    assert done.rows(BatchState.ACCEPTED) == sorted(set(range(1, 21)) - bad)
    assert (done.report.rows_rejected, done.report.rows_pending) == (len(bad), 0)
    assert done.report.n_batches == 2
    if naming:
        assert len(service.requests) <= 4


def test_one_bad_row_of_a_thousand_takes_21_requests(send: Send) -> None:
    service = refusing({777}, naming=False)
    done = send(batches_of(1, 1000), service)

    assert done.rows(BatchState.REJECTED) == [777]
    assert len(service.requests) <= 21


def test_a_service_that_names_the_wrong_rows_is_believed_once(send: Send) -> None:
    body = json.dumps({"errors": [{"field": "[0].email"}]}).encode()

    def handle(request: httpx.Request) -> Step:
        return (400, {}, body) if 7 in rows_in(request) else 202

    done = send(batches_of(1), Service(handle))

    assert 7 in done.rows(BatchState.REJECTED)
    assert len(done.rows(BatchState.REJECTED)) <= 4
    assert done.report.rows_pending == 0


def test_what_is_not_isolated_within_the_cap_stays_pending(send: Send) -> None:
    bad = set(range(1, 1001, 2))
    service = refusing(bad, naming=False)
    done = send(batches_of(1, 1000), service)

    assert isinstance(done.error, LimitError)
    assert len(service.requests) == 151
    rejected, pending = done.rows(BatchState.REJECTED), done.rows(BatchState.PENDING)
    assert set(rejected) <= bad
    assert done.report.rows_pending == len(pending) > 0
    assert len(rejected) + len(pending) + len(done.rows(BatchState.ACCEPTED)) == 1000


def test_the_search_is_capped_for_the_run_too(send: Send) -> None:
    """A quarter is bad, so that it does not look systematic."""
    service = refusing(set(range(1, 4000, 4)), naming=False)
    done = send(batches_of(20, 199), service)

    assert isinstance(done.error, LimitError)
    assert len(service.requests) == 20 + 1000
    assert len(done.row_states()) == 20 * 199


# -- order, pace, ends ---------------------------------------------------------------


def test_a_lane_is_sent_when_the_one_before_is_out_of_flight(send: Send) -> None:
    open_lanes: list[set[int]] = []
    n_open = {0: 0, 1: 0, 2: 0}
    lanes = [0] * 3 + [1] * 7 + [2] * 10
    batches = [
        batch_of(no, range(no, no + 1), lane) for no, lane in enumerate(lanes, 1)
    ]
    failed: set[int] = set()

    class Watching(Service):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            if "batch" not in request.url.path:
                return await super().handle_async_request(request)
            lane = lanes[rows_in(request)[0] - 1]
            n_open[lane] += 1
            open_lanes.append({lane for lane, n in n_open.items() if n})
            try:
                return await super().handle_async_request(request)
            finally:
                n_open[lane] -= 1

    def handle(request: httpx.Request) -> Step:
        (row,) = rows_in(request)
        first = row not in failed
        failed.add(row)
        return 503 if first and row % 2 else 202

    done = send(batches, Watching(handle))

    assert done.report.rows_accepted == 20
    assert all(len(lanes) == 1 for lanes in open_lanes)
    assert [min(lanes) for lanes in open_lanes] == sorted(
        min(lanes) for lanes in open_lanes
    )


def test_the_rate_is_kept(send: Send) -> None:
    done = send(batches_of(41), Service(lambda _: 202), Terms(rate=4.0))

    assert done.error is None
    assert done.time.now_s >= 10.0


def test_the_limit_is_found_without_a_setting(send: Send) -> None:
    service = Service(lambda _: 202)
    send(batches_of(400, 1), service, Terms())

    assert 4 <= service.most_in_flight <= 16


def test_the_iterators_error_is_raised_after_what_is_in_flight(send: Send) -> None:
    def batches() -> Iterator[Batch]:
        yield from batches_of(6)
        raise SourceChangedError("the file changed; start anew")

    done = send(batches(), Service(lambda _: 202))

    assert isinstance(done.error, SourceChangedError)
    assert set(done.row_states().values()) <= {BatchState.ACCEPTED}


def test_a_proxy_that_refuses_is_a_setting(send: Send) -> None:
    done = send(batches_of(3), Service(lambda _: httpx.ProxyError("canary")))

    assert isinstance(done.error, SettingsError)
    assert "canary" not in str(done.error)


def test_a_defect_is_raised_as_it_is(send: Send) -> None:
    done = send(batches_of(3), Service(lambda _: KeyError("x")))

    assert isinstance(done.error, KeyError)
    assert BatchState.UNKNOWN in done.row_states().values()


def test_a_cancelled_delivery_leaves_a_true_journal(tmp_path: Path) -> None:
    arrived = asyncio.Event()
    n_asked = 0

    class Stuck(Service):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal n_asked
            if "batch" in request.url.path:
                n_asked += 1
                if n_asked > 5:
                    arrived.set()
                    await asyncio.Event().wait()
            return await super().handle_async_request(request)

    async def main(journal: Journal) -> None:
        async with Client(REMOTE, transport=Stuck(lambda _: 202)) as client:
            task = asyncio.create_task(
                deliver(
                    iter(batches_of(30)),
                    client=client,
                    journal=journal,
                    run_id="r1",
                    terms=FIXED,
                )
            )
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.begin_run(Run("r1", "import", "customers"))
        asyncio.run(main(journal))
        states = [outcome.state for outcome in journal.outcomes("r1")]

    assert states.count(BatchState.ACCEPTED) == 5
    assert set(states) == {BatchState.ACCEPTED, BatchState.UNKNOWN}
    assert len(states) <= 5 + 12


def test_no_value_and_no_secret_is_left_anywhere(
    send: Send, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    errors: list[str] = []
    for service in (
        refusing({3, 5}, naming=True),
        Service(lambda _: (418, {"X-Echo": "canary"}, b"canary@example.com")),
    ):
        first_no = 1 if not errors else 100
        done = send(batches_of(5, first_no=first_no), service)
        errors.append(repr(done.error) + repr(done.report))

    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert b"canary" not in content
        assert KEY.encode() not in content
    assert "canary" not in "".join(errors)
    assert KEY not in caplog.text
    assert "canary-token" not in caplog.text


# -- against the sandbox -------------------------------------------------------------

STORM = Weather(
    seed=7,
    throttle=0.03,
    throttle_bare=0.03,
    error=0.05,
    unavailable=0.05,
    torn_before=0.05,
    torn_after=0.05,
    expire=0.02,
    retry_after_s=1,
)


def test_a_storm_loses_and_mangles_nothing(send: Send) -> None:
    options = SandboxOptions(weather=STORM)
    with running_sandbox(options) as running:
        remote = RemoteSettings(
            running.base_url, Credentials(api_key=Secret(running.api_key))
        )
        done = send(batches_of(120, 5), None, remote=remote)
        running.sandbox.settle()
        stored = sorted(person["email"] for person in running.sandbox.profiles())

    assert done.error is None
    assert done.report.rows_accepted == 600
    assert done.report.n_retried > 0
    assert stored == sorted(f"canary{n}@example.com" for n in range(1, 601))


@pytest.mark.parametrize("detail_shape", ["field", "error_code"])
@pytest.mark.parametrize("invalid_item", ["reject_batch", "partial_207"])
def test_the_sandbox_refuses_one_item_in_every_way_it_knows(
    send: Send, invalid_item: Any, detail_shape: Any
) -> None:
    switches = Switches(invalid_item=invalid_item, detail_shape=detail_shape)
    sandbox = build_sandbox(SandboxOptions(switches=switches))
    bad = batch_of(1, range(1, 9))
    body = bad.body.replace(b"canary5@example.com", b"canary5")
    batch = Batch(1, 2, bad.rows, body, hashlib.sha256(body).hexdigest())
    remote = RemoteSettings(
        "https://service.test",
        Credentials(api_key=Secret("5a6d0c1e-0000-4000-8000-5a4db0c5a4db")),
    )
    done = send([batch], httpx.ASGITransport(sandbox.app), remote=remote)
    sandbox.settle()
    stored = {person["email"] for person in sandbox.profiles()}
    sandbox.close()

    assert done.error is None
    assert done.rows(BatchState.REJECTED) == [5]
    assert done.report.rows_accepted == 7
    assert stored == {f"canary{n}@example.com" for n in (1, 2, 3, 4, 6, 7, 8)}


def test_errors_are_of_the_tree(send: Send) -> None:
    done = send(batches_of(1), Service(lambda _: 418))

    assert isinstance(done.error, PipelineError)
    assert "So far 0 rows accepted, 0 rejected." in str(done.error)
