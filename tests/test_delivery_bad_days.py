"""
Bad days in virtual time: outages, poison, conflicts, sizes, and requests to stop.

The journal is a list here; that a real one survives is tested elsewhere.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.virtual_time import run_virtually
from pipeline.client import Client
from pipeline.delivery import Delivery, DeliveryReport, Terms
from pipeline.errors import (
    ContractError,
    InterruptedRunError,
    LimitError,
    PatienceEndedError,
    SettingsError,
    TerminatedRunError,
    UnreachableError,
)
from pipeline.journal_tables import FIRST_CHILD_NO, ranges_of
from pipeline.records import Batch, BatchState, RowRange, Verdict
from pipeline.retrying import Clock
from pipeline.splitting import ByteTarget
from pipeline.stopping import StopSignal
from test_delivery import batch_of, batches_of, rows_in
from wire import LOGIN, REMOTE, Answer, Step, token

ACCEPTED, REJECTED = BatchState.ACCEPTED, BatchState.REJECTED
PENDING, UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN
TEN = Terms(concurrency=4)


class Ready:
    """A feed of batches that are there already."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.error: BaseException | None = None
        self._left = list(batches)

    async def take(self) -> Batch | None:
        return self._left.pop(0) if self._left else None

    def settle(self) -> None:
        pass

    def stop(self) -> None:
        self._left.clear()

    async def aclose(self, patience_s: float | None = None) -> None:
        del patience_s


@dataclass
class Notes:
    """
    A journal that holds a delivery to the protocol.

    Attributes:
        n_accepted: Rows whose acceptance is committed.
    """

    batches: dict[int, Batch] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)
    verdicts: dict[tuple[int, int], tuple[Verdict, tuple[RowRange, ...]]] = field(
        default_factory=dict
    )
    begun: set[bytes] = field(default_factory=set)
    n_accepted: int = 0

    async def intend(self, run_id: str, batch: Batch, *, target_bytes: int) -> None:
        assert (run_id, batch.batch_no in self.batches) == ("r1", False)
        assert target_bytes > 0
        self.batches[batch.batch_no] = batch
        await self.attempt(run_id, batch.batch_no, 1)
        self.begun.add(batch.body)

    async def attempt(self, run_id: str, batch_no: int, n: int) -> None:
        assert (run_id, n) == ("r1", self.attempts[batch_no] + 1)
        self.attempts[batch_no] = n
        await asyncio.sleep(0.004)

    async def record(
        self,
        run_id: str,
        batch_no: int,
        n: int,
        verdict: Verdict,
        *,
        rejected: Sequence[RowRange] = (),
    ) -> None:
        assert (run_id, (batch_no, n) in self.verdicts) == ("r1", False)
        self.verdicts[batch_no, n] = verdict, tuple(rejected)
        await asyncio.sleep(0.004)
        if verdict.state is ACCEPTED:
            n_rejected = sum(r.last_row_no - r.first_row_no + 1 for r in rejected)
            self.n_accepted += self.batches[batch_no].n_rows - n_rejected

    def next_child_no(self, run_id: str) -> int:
        assert run_id == "r1"
        return FIRST_CHILD_NO

    def rows(self) -> dict[int, tuple[BatchState, str]]:
        """State and code of every row, read as `outcomes` does."""
        found: dict[int, tuple[BatchState, str]] = {}
        for no, batch in sorted(self.batches.items()):
            told = [
                self.verdicts.get((no, n), (None, ()))
                for n in range(1, self.attempts[no] + 1)
            ]
            states = [verdict.state if verdict else UNKNOWN for verdict, _ in told]
            best = next(
                (s for s in (ACCEPTED, REJECTED, UNKNOWN) if s in states), PENDING
            )
            code = next(
                (v.code for v, _ in reversed(told) if v and v.state is best), ""
            )
            found |= dict.fromkeys(batch.rows["row_no"].to_list(), (best, code))
            for _, ranges in told:
                for part in ranges:
                    numbers = range(part.first_row_no, part.last_row_no + 1)
                    found |= dict.fromkeys(numbers, (REJECTED, "REFUSED"))
        return found


@dataclass
class Day:
    """What a delivery left behind."""

    notes: Notes
    report: DeliveryReport
    error: BaseException | None
    requests: list[tuple[float, list[int]]]
    stored: set[int]
    ended_s: float

    def rows(self, state: BatchState, code: str = "") -> list[int]:
        return sorted(
            row
            for row, (found, why) in self.notes.rows().items()
            if found is state and code in ("", why)
        )


Handler = Callable[[list[int], float], Step]


def day(
    batches: Sequence[Batch],
    handle: Handler,
    terms: Terms = TEN,
    *,
    latency_s: float = 0.1,
    login: Step | None = None,
    events: Sequence[tuple[float, Callable[[], None]]] = (),
) -> Day:
    notes = Notes(attempts=Counter(terms.attempts))
    requests: list[tuple[float, list[int]]] = []
    stored: set[int] = set()
    shown: list[DeliveryReport] = []
    ahead: list[int] = []

    def show(report: DeliveryReport) -> None:
        shown.append(report)
        ahead.append(report.rows_accepted - notes.n_accepted)

    class Wire(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            loop = asyncio.get_running_loop()
            if request.url.path == LOGIN:
                return _response(login or token("t"))
            assert request.content in notes.begun or terms.attempts
            rows = rows_in(request)
            requests.append((loop.time(), rows))
            step = handle(rows, loop.time())
            await asyncio.sleep(latency_s)
            response = _response(step)
            if response.status_code == 202:
                stored.update(rows)
            return response

    async def main() -> tuple[BaseException | None, float]:
        loop = asyncio.get_running_loop()
        for at_s, event in events:
            loop.call_at(at_s, event)
        clock = Clock(loop.time, asyncio.sleep, lambda: 0.5)
        async with Client(REMOTE, transport=Wire(), monotonic=loop.time) as client:
            if login is None:
                client.statuses[200] += 1  # as after the question for the workspace
            delivery = Delivery(client, notes, "r1", replace(terms, clock=clock))
            try:
                show(await delivery.run(Ready(batches), show))
            except Exception as error:  # noqa: BLE001 - looked at by each test
                return error, loop.time()
            return None, loop.time()

    error, ended_s = run_virtually(main())
    assert max(ahead) <= 0, "more is shown than the journal holds"
    return Day(notes, shown[-1], error, requests, stored, ended_s)


def _response(step: Step) -> httpx.Response:
    if isinstance(step, BaseException):
        raise step
    status, headers, body = (step, {}, b"") if isinstance(step, int) else step
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def body_of(content: object) -> bytes:
    return json.dumps(content).encode()


def partly(*rows: int) -> Handler:
    """Answer 207 for these rows, by index; all others are applied."""

    def handle(found: list[int], _: float) -> Step:
        bad = [n for n, row in enumerate(found) if row in rows]
        if not bad:
            return 202
        return 207, {}, body_of([{"field": f"list[{n}].email"} for n in bad])

    return handle


# -- answers that speak of rows --------------------------------------------------------


def test_a_207_rejects_the_named_rows_and_accepts_the_others() -> None:
    done = day(batches_of(3), partly(2, 25))

    assert done.error is None
    assert (done.rows(REJECTED), len(done.rows(ACCEPTED))) == ([2, 25], 28)
    assert len(done.requests) == 3
    assert (done.report.rows_accepted, done.report.rows_rejected) == (28, 2)


def test_a_207_of_all_rows_rejects_the_batch() -> None:
    done = day(batches_of(1, 3), partly(1, 2, 3))

    assert (done.rows(REJECTED, "REFUSED"), done.report.rows_accepted) == ([1, 2, 3], 0)


def test_a_207_that_names_not_all_is_searched_until_each_row_is_known() -> None:
    def handle(rows: list[int], _: float) -> Step:
        bad = [n for n, row in enumerate(rows) if row in (3, 7)]
        if not bad:
            return 202
        named = [{"field": f"list[{bad[0]}].email"}] + [{"message": "x"}] * len(bad[1:])
        return 207, {}, body_of(named)

    done = day(batches_of(1), handle)

    assert done.error is None
    assert done.rows(REJECTED) == [3, 7]
    assert len(done.rows(ACCEPTED)) == 8


def test_a_207_nobody_can_read_is_sent_again_and_then_stops_the_run() -> None:
    done = day(batches_of(1), lambda *_: (207, {}, b"[]"))

    assert isinstance(done.error, ContractError)
    assert len(done.requests) == 3
    assert len(done.rows(UNKNOWN)) == 10


def test_a_202_that_speaks_of_errors_is_accepted_and_counted() -> None:
    answer: Answer = (202, {}, body_of([{"field": "list[0].email"}]))
    done = day(batches_of(3), lambda *_: answer)

    assert done.error is None
    assert len(done.rows(ACCEPTED, "ACCEPTED_BODY")) == 30
    assert (done.report.n_anomalies, done.report.rows_rejected) == (3, 0)


def test_a_batch_in_conflict_is_left_and_the_others_go_on() -> None:
    done = day(batches_of(9), lambda rows, _: 423 if 11 in rows else 202)

    assert isinstance(done.error, PatienceEndedError)
    assert "status 423" in str(done.error)
    assert done.rows(PENDING) == list(range(11, 21))
    assert len(done.rows(ACCEPTED)) == 80
    assert sum(11 in rows for _, rows in done.requests) == 3


def test_a_wrong_address_is_a_setting() -> None:
    done = day(batches_of(9), lambda *_: 404)

    assert isinstance(done.error, SettingsError)
    assert len(done.requests) <= 4


# -- too big ---------------------------------------------------------------------------


def test_what_is_too_big_is_halved_and_later_batches_shall_be_smaller() -> None:
    terms = Terms(concurrency=1, target=ByteTarget(950_000))
    batches = batches_of(3, 100)
    size = len(batches[0].body)
    done = day(
        batches, lambda rows, _: 413 if len(rows) > 50 or 7 in rows else 202, terms
    )

    assert done.error is None
    assert done.rows(REJECTED, "TOO_LARGE") == [7]
    assert len(done.rows(ACCEPTED)) == 299
    assert 1000 <= terms.target.n_bytes < 0.8 * size
    assert done.report.rows_rejected == 1


# -- the service is down ---------------------------------------------------------------


def test_a_dead_service_is_asked_seldom_and_every_row_stays_pending() -> None:
    done = day(batches_of(900), lambda _, now: 202 if now < 3.0 else 503, Terms())

    assert isinstance(done.error, PatienceEndedError)
    # 16 were in flight; then one at a time asks whether the service is back.
    n_dead = sum(at_s >= 3.0 for at_s, _ in done.requests)
    assert 10 < n_dead <= 40
    assert 900 <= done.ended_s - 3.0 <= 905
    assert not done.rows(REJECTED)
    assert set(done.rows(ACCEPTED)) == done.stored


@pytest.mark.parametrize("fault", [503, 408, 429, httpx.ReadError(""), 409])
def test_an_outage_costs_no_row_and_few_requests(fault: Step) -> None:
    n = 200
    done = day(batches_of(n), lambda _, now: fault if 2 < now < 62 else 202)

    assert done.error is None
    assert done.stored == set(range(1, n * 10 + 1))
    assert len(done.rows(ACCEPTED)) == n * 10
    assert len(done.requests) <= n + (60 if fault == 429 else 25)


def test_patience_is_a_setting() -> None:
    done = day(batches_of(9), lambda *_: 503, Terms(concurrency=2, max_wait_s=60.0))

    assert isinstance(done.error, PatienceEndedError)
    assert 60 <= done.ended_s <= 65


def test_a_wait_longer_than_the_patience_ends_the_run_and_is_told() -> None:
    done = day(batches_of(9), lambda *_: (429, {"Retry-After": "901"}, b""))

    assert isinstance(done.error, PatienceEndedError)
    assert "901 s" in str(done.error)
    assert done.ended_s < 1


@pytest.mark.parametrize("status", [429, 503])
def test_one_that_is_told_to_wait_holds_all_others_back(status: int) -> None:
    told: list[float] = []

    def handle(_: list[int], now_s: float) -> Step:
        if told:
            return 202
        told.append(now_s + 0.1)
        return status, {"Retry-After": "7"}, b""

    done = day(batches_of(40), handle)

    waits = [at_s - told[0] for at_s, _ in done.requests if at_s > told[0]]
    assert done.error is None
    assert len(done.requests) == 41
    assert len(waits) > 30
    assert min(waits) >= 7.0


def test_a_dead_service_that_was_never_heard() -> None:
    done = day(batches_of(9), lambda *_: 202, login=httpx.ConnectError(""))

    assert isinstance(done.error, UnreachableError)
    assert not done.requests


def test_stray_errors_cost_a_request_each() -> None:
    calls = Counter[int]()

    def handle(rows: list[int], _: float) -> Step:
        calls[rows[0]] += 1
        is_bad = rows[0] % 100 == 1 and calls[rows[0]] == 1
        return 500 if is_bad else 202

    done = day(batches_of(300), handle, Terms())

    assert done.error is None
    assert len(done.requests) == 300 + 30


# -- poison ----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_no", [1, 7, 20], ids=["first", "middle", "last"])
@pytest.mark.parametrize("n_rows", [1, 2, 100])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_row_that_kills_its_batch_is_found_and_quarantined(
    batch_no: int, n_rows: int, concurrency: int
) -> None:
    poison = (batch_no - 1) * n_rows + (n_rows + 1) // 2
    done = day(
        batches_of(20, n_rows),
        lambda rows, _: 500 if poison in rows else 202,
        Terms(concurrency=concurrency),
    )

    assert done.error is None
    assert done.rows(REJECTED) == done.rows(REJECTED, "QUARANTINED") == [poison]
    assert done.stored == set(range(1, 20 * n_rows + 1)) - {poison}
    assert len(done.requests) <= 20 + 50
    assert done.ended_s < 300


@pytest.mark.parametrize(
    ("answer", "error"), [(415, ContractError), (404, SettingsError)]
)
def test_a_control_that_ends_the_run_says_so(
    answer: int, error: type[Exception]
) -> None:
    seen: Counter[int] = Counter()

    def handle(rows: list[int], _: float) -> Step:
        seen[rows[0]] += 1
        if 15 in rows:
            return 500
        return 202 if seen[rows[0]] == 1 else answer

    done = day(batches_of(2), handle, Terms(concurrency=1))

    assert isinstance(done.error, error)
    assert (len(done.rows(ACCEPTED)), done.rows(REJECTED)) == (10, [])
    assert done.report.rows_pending == 10


def test_several_poisoned_batches_at_the_end_do_not_look_like_an_outage() -> None:
    poison = {171, 185, 199, 200}
    done = day(batches_of(20), lambda rows, _: 500 if poison & set(rows) else 202)

    assert done.error is None
    assert done.rows(REJECTED, "QUARANTINED") == sorted(poison)
    assert len(done.rows(ACCEPTED)) == 200 - 4


def test_a_row_that_kills_the_connection_is_left_pending_not_rejected() -> None:
    done = day(
        batches_of(20),
        lambda rows, _: httpx.ReadError("") if 55 in rows else 202,
    )

    assert isinstance(done.error, PatienceEndedError)
    assert not done.rows(REJECTED)
    assert done.rows(UNKNOWN) == [55]
    assert len(done.rows(ACCEPTED)) == 199


@pytest.mark.parametrize(
    "kinds", ["bbbbbbbe", "eeeeeeeb"], ids=["one error", "a break at last"]
)
def test_errors_and_breaks_together_condemn_no_row(kinds: str) -> None:
    """Eight failures are enough to condemn, but these may have been applied."""
    faults: list[Step] = [500 if k == "e" else httpx.ReadError("") for k in kinds]
    done = day(batches_of(20, 1), lambda rows, _: faults.pop(0) if 11 in rows else 202)

    assert not faults
    assert not done.rows(REJECTED)
    assert done.rows(UNKNOWN) == [11]


def test_a_control_that_fails_condemns_nobody() -> None:
    """The service dies while a batch is suspected."""
    done = day(
        batches_of(8),
        lambda rows, now: 500 if 75 in rows or now > 1.0 else 202,
        Terms(concurrency=1),
    )

    assert isinstance(done.error, PatienceEndedError)
    assert not done.rows(REJECTED)
    assert done.stored <= set(done.rows(ACCEPTED))


def test_a_single_row_that_only_ever_met_an_outage_is_not_condemned() -> None:
    done = day(batches_of(1, 1), lambda *_: 500)

    assert isinstance(done.error, PatienceEndedError)
    assert len(done.requests) >= 8
    assert done.rows(UNKNOWN) == [1]


def test_a_storm_of_errors_quarantines_nobody() -> None:
    state = 7

    def handle(_: list[int], __: float) -> Step:
        nonlocal state
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        return 500 if state >> 16 & 3 == 0 else 202

    done = day(batches_of(300, 1), handle)

    assert not done.rows(REJECTED)
    assert set(done.rows(ACCEPTED)) == done.stored == set(range(1, 301))


# -- limits of the search --------------------------------------------------------------


def test_refusals_of_nearly_everything_stop_the_run_soon() -> None:
    done = day(batches_of(50), lambda rows, _: 202 if rows == [1] else 400)

    assert isinstance(done.error, LimitError)
    assert "systematic" in str(done.error)
    assert done.report.n_batches < 20


def test_more_rejects_than_allowed_stop_the_run() -> None:
    terms = Terms(concurrency=1, max_rejects=3)
    done = day(batches_of(50), partly(5, 15, 25, 35, 45), terms)

    assert isinstance(done.error, LimitError)
    assert "--max-rejects" in str(done.error)
    assert done.rows(REJECTED)[:4] == [5, 15, 25, 35]
    assert len(done.requests) <= 6


# -- what was interrupted --------------------------------------------------------------


def test_a_batch_from_before_goes_on_with_its_numbers() -> None:
    terms = Terms(concurrency=1, attempts={1: 2})
    notes = day(batches_of(2), lambda *_: 202, terms).notes

    assert notes.attempts == {1: 3, 2: 1}
    assert set(notes.verdicts) == {(1, 3), (2, 1)}


def test_a_suspect_from_before_is_sent_in_halves() -> None:
    terms = Terms(concurrency=1, suspects=frozenset({2}), next_child_no=5_000_000_000)
    done = day(batches_of(3, 4), lambda *_: 202, terms)

    sent = sorted(rows for _, rows in done.requests)
    assert sent == [[1, 2, 3, 4], [5, 6], [7, 8], [9, 10, 11, 12]]
    assert [no for no in done.notes.batches if no > 3] == [
        5_000_000_000,
        5_000_000_001,
    ]
    assert done.report.rows_accepted == 12


# -- somebody asks to stop -------------------------------------------------------------


def stopping(
    *at_s: float, signal_no: int = signal.SIGINT, latency_s: float = 5.0
) -> Day:
    stop = StopSignal()
    events = [(moment, lambda: stop.request(signal_no)) for moment in at_s]
    terms = Terms(concurrency=4, stop=stop)
    return day(
        batches_of(100), lambda *_: 202, terms, latency_s=latency_s, events=events
    )


def test_the_first_request_drains() -> None:
    done = stopping(12.0)

    assert type(done.error) is InterruptedRunError
    assert "120 rows accepted" in str(done.error)
    assert len(done.requests) == 12
    assert set(done.rows(ACCEPTED)) == done.stored
    assert not done.rows(UNKNOWN)
    assert 15.0 <= done.ended_s <= 15.1


def test_a_drain_is_over_after_twenty_seconds_whatever_hangs() -> None:
    done = stopping(1.0, latency_s=50.0, signal_no=signal.SIGTERM)

    assert type(done.error) is TerminatedRunError
    assert 21.0 <= done.ended_s <= 22.0
    assert len(done.rows(UNKNOWN)) == 40
    assert not done.rows(ACCEPTED)


def test_the_second_request_cancels_what_is_in_flight() -> None:
    done = stopping(1.0, 3.0, latency_s=50.0)

    assert type(done.error) is InterruptedRunError
    assert done.ended_s < 4.0
    assert len(done.rows(UNKNOWN)) == 40


def test_a_stop_asked_before_sends_nothing() -> None:
    stop = StopSignal()
    stop.request()
    done = day(batches_of(9), lambda *_: 202, Terms(concurrency=4, stop=stop))

    assert type(done.error) is InterruptedRunError
    assert len(done.requests) <= 4
    assert set(done.rows(ACCEPTED)) == done.stored


def test_waits_end_at_once_when_somebody_asks() -> None:
    stop = StopSignal()
    done = day(
        batches_of(9),
        lambda *_: (503, {"Retry-After": "600"}, b""),
        Terms(concurrency=4, stop=stop),
        events=[(100.0, stop.request)],
    )

    assert type(done.error) is InterruptedRunError
    assert done.ended_s < 101.0
    assert not done.rows(ACCEPTED)


def test_the_duration_is_bounded() -> None:
    terms = Terms(concurrency=1, max_duration_s=10.0)
    done = day(batches_of(100), lambda *_: 202, terms, latency_s=1.0)

    assert isinstance(done.error, PatienceEndedError)
    assert "--max-duration" in str(done.error)
    assert 10.0 <= done.ended_s <= 11.1
    assert set(done.rows(ACCEPTED)) == done.stored


# -- any day ---------------------------------------------------------------------------

FATES: list[Any] = [
    202,
    202,
    202,
    500,
    503,
    429,
    (429, {"Retry-After": "2"}, b""),
    (503, {"Retry-After": "-3"}, b""),
    408,
    409,
    425,
    401,
    httpx.ReadError(""),
    httpx.ConnectError(""),
    httpx.RemoteProtocolError(""),
    TimeoutError(),
    (207, {}, b"[]"),
]


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(st.sampled_from(FATES), max_size=80),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 1.0, 7.0]),
)
def test_on_any_day_every_row_has_one_state_and_no_state_lies(
    fates: list[Any], concurrency: int | None, stop_s: float | None
) -> None:
    left = list(fates)
    stop = StopSignal()
    done = day(
        [batch_of(no, range(no * 3 - 2, no * 3 + 1)) for no in range(1, 13)],
        lambda *_: left.pop(0) if left else 202,
        Terms(concurrency, stop=stop),
        events=[] if stop_s is None else [(stop_s, stop.request)],
    )
    report = done.report

    assert set(done.rows(ACCEPTED)) <= done.stored
    assert not done.rows(REJECTED)
    assert report.rows_accepted == len(done.rows(ACCEPTED))
    assert report.rows_accepted + report.rows_pending <= 36
    if done.error is None:
        assert len(done.rows(ACCEPTED)) == 36
    for no, batch in done.notes.batches.items():
        assert ranges_of(batch.rows) == (RowRange(0, no * 3 - 2, no * 3),) or (
            batch.parent_no is not None
        )
