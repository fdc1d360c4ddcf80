"""
Each fault of a network, on real sockets: what is told of a batch, and what is true.

The numbers N1 to N15 name classes of faults: N1 no way there, N2 no connection in time,
N3 a certificate that proves nothing, N4 a handshake cut short, N5 a proxy that refuses,
N6 resets, N7 an end without a reply, N8 silence, N9 a drip without end, N10 a complete
head and a torn body, N11 noise in place of HTTP, N12 packed noise, N13 a portal or a
redirect, N14 little bandwidth, N15 an address that swallows packets. Those of a request
that was certainly not sent (N1 to N5, N15) stand in `test_faults_unsent`.

A fault is made by the proxy between the client and the sandbox. Where a deadline of a
minute has to pass, the time of the client runs so fast that it passes in a second.
"""

import asyncio
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from delivery_day import (
    ACCEPTED,
    N_ROWS,
    PENDING,
    UNKNOWN,
    Day,
    serving,
    states,
    through,
)
from fault_proxy import fault_proxy
from network_faults import (
    Bandwidth,
    Blackhole,
    Clear,
    ClosedOnReuse,
    CutReply,
    Drip,
    EndlessInterim,
    Fault,
    Held,
    Latency,
    Raw,
    ResetInUpload,
    ResetOnAccept,
    Sliced,
    SlowClose,
    Unanswered,
)
from pipeline.errors import (
    ContractError,
    PatienceEndedError,
)
from pipeline.journal import Journal
from pipeline.journal_tables import Run

SHORT_202 = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nshort"
CHUNKED_202 = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b" " * 2_000_000)
EMPTY = b"Content-Length: 0\r\n\r\n"

Days = Callable[[Path], Day]


@pytest.fixture(scope="module")
def days() -> Iterator[Days]:
    with serving() as made:
        yield made


@pytest.fixture
def day(days: Days, tmp_path: Path) -> Day:
    return days(tmp_path)


# -- one fault, then a clear day -----------------------------------------------------

# Each with how often the server receives the first batch in all.
AMBIGUOUS: dict[str, tuple[Fault, int]] = {
    "N6 reset in the head": (ResetInUpload(20), 1),
    "N6 reset in the body": (ResetInUpload(1000), 1),
    "N6 reset behind the request": (Unanswered(reset=True), 1),
    "N6 reset, applied": (Unanswered(forward=True, reset=True), 2),
    "N6 reset in the status line": (CutReply(after_bytes=12), 2),
    "N6 reset in the headers": (CutReply(after_bytes=40), 2),
    "N7 no reply": (Unanswered(), 1),
    "N7 no reply, applied": (Unanswered(forward=True), 2),
    "N11 half a status line": (Raw(b"HTTP/1.1 20"), 1),
    "N11 half a head": (Raw(b"HTTP/1.1 202 Accepted\r\nDate: Mon", forward=True), 2),
    "N11 no HTTP": (Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), 1),
    "N11 bytes": (Raw(bytes(range(256)) * 4), 1),
    "N11 a head of 300 kB": (
        Raw(b"HTTP/1.1 202 Accepted\r\nX: " + b"y" * 300_000 + b"\r\n" + EMPTY),
        1,
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_no_complete_head_means_unknown_until_it_is_sent_again(
    day: Day, name: str
) -> None:
    fault, n_received = AMBIGUOUS[name]
    if name == "N6 reset in the body":
        day.fatten(5000)
    proxy = through(day, fault)

    assert day.pauses[0] == {1: UNKNOWN}
    assert proxy.met[:2] == [fault, Clear()]
    assert day.n_received() == n_received
    assert day.report.n_retried == 1
    day.assert_all_arrived()


def test_a_reset_on_accept_proves_nothing_either_way(day: Day) -> None:
    """N6: whether the client notices before or after it sent is a matter of luck."""
    through(day, ResetOnAccept())

    assert day.pauses[0] in ({1: PENDING}, {1: UNKNOWN})
    assert day.n_received() == 1
    day.assert_all_arrived()


SILENT: dict[str, tuple[Fault, int]] = {
    "N8 silence": (Blackhole(), 1),
    "N8 silence, applied": (Blackhole(forward=True), 2),
    "N9 a head byte by byte": (Drip(0.025), 2),
    "N9 interim answers": (EndlessInterim(0.05), 1),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_reply_that_takes_too_long_means_unknown(day: Day, name: str) -> None:
    fault, n_received = SILENT[name]
    day.in_a_hurry = True
    through(day, fault)

    assert day.pauses[0] == {1: UNKNOWN}
    assert day.n_received() == n_received
    assert day.report.n_retried == 1
    day.assert_all_arrived()


# The head is complete, so the batch is accepted and never sent again.
ACCEPTED_AT_ONCE: dict[str, Fault] = {
    "N10 reset behind the head": CutReply(),
    "N10 a short body": Raw(SHORT_202, forward=True),
    "N10 a short body, reset": Raw(SHORT_202, forward=True, reset=True),
    "N10 a chunk too short": Raw(CHUNKED_202 + b"5\r\nsho", forward=True),
    "N10 a chunk of noise": Raw(CHUNKED_202 + b"noise\r\n", forward=True),
    "N10 a body without end": Raw(CHUNKED_202, forward=True, reset=True),
    "N12 gzip that is none": Raw(
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 5\r\n\r\nnoise",
        forward=True,
    ),
    "N12 a torn bomb": Raw(
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 1000000\r\n\r\n" + BOMB,
        forward=True,
    ),
    "N12 a body of 2 MB": Raw(
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
        forward=True,
    ),
    "N14 slices": Sliced(7),
    "N14 little bandwidth": Bandwidth(20_000),
    "latency": Latency(0.2),
    "an end that comes late": SlowClose(0.2),
}


@pytest.mark.parametrize("name", ACCEPTED_AT_ONCE)
def test_a_complete_202_is_accepted_whatever_follows(day: Day, name: str) -> None:
    through(day, ACCEPTED_AT_ONCE[name])

    assert day.report.n_retried == 0
    assert [day.n_received(no) for no in (1, 2, 3)] == [1, 1, 1]
    day.assert_all_arrived()


def test_a_bomb_hides_no_202(day: Day) -> None:
    """N12."""
    head = (
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: %d\r\n\r\n" % len(BOMB)
    )
    through(day, Raw(head + BOMB, forward=True))

    day.assert_all_arrived()


@pytest.mark.parametrize("pause_s", [0.001, 0.5])
def test_a_body_that_drips_behind_a_202_is_not_waited_for_for_ever(
    day: Day, pause_s: float
) -> None:
    """N9: the deadline, here after two slow bytes, ends the body, not the verdict."""
    reply = SHORT_202.replace(b"short", b"." * 100)
    day.in_a_hurry = True
    through(day, Drip(pause_s, body_only=True, instead=reply))

    assert day.report.n_retried == 0
    assert day.n_received() == 1
    day.assert_all_arrived()


def test_a_slow_upload_that_moves_is_not_cut_off(day: Day) -> None:
    """N14: 300 kB at four seconds of a client's minute each."""
    day.fatten(300_000)
    day.in_a_hurry = True
    through(day, then=Bandwidth(1_500_000))

    assert day.report.n_retried == 0
    day.assert_all_arrived()


@pytest.mark.parametrize("forward", [False, True])
def test_an_idle_connection_that_ended_is_unknown_again(
    day: Day, *, forward: bool
) -> None:
    """N7: the second batch meets the end of the connection of the first."""
    del day.batches[2:]
    fault = ClosedOnReuse(forward=forward)
    through(day, fault)

    assert day.pauses[0] == {1: ACCEPTED, 2: UNKNOWN}
    assert [day.n_received(no) for no in (1, 2)] == [1, 1 + forward]
    day.assert_all_arrived()


def test_credit_comes_with_the_last_byte_of_the_head_and_not_before(day: Day) -> None:
    held = Held()

    async def main() -> None:
        with Journal.open(day.folder / "journal.sqlite") as journal:
            journal.begin_run(Run("r1", "import", "customers"))
            with fault_proxy(day.service.base_url, held) as proxy:
                task = asyncio.create_task(day.deliver(proxy.url(), journal))
                assert await asyncio.to_thread(held.reached.wait, 30)
                applied = await asyncio.to_thread(day.rows_stored)
                before = states(journal)
                shown = day.report.rows_accepted
                held.release.set()
                await task
            day.states = states(journal)
        assert applied == N_ROWS  # the server knows, we do not
        assert before == {1: UNKNOWN}
        assert shown == 0

    asyncio.run(main())
    assert day.report.n_retried == 0
    day.assert_all_arrived()


# -- answers that are none -------------------------------------------------------------


def test_a_portal_is_no_acceptance(day: Day) -> None:
    """N13."""
    page = b"<html>Welcome, guest</html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    proxy = through(day, then=Raw(head % len(page) + page))

    assert type(day.error) is ContractError
    assert day.report.rows_accepted == 0
    assert day.states.keys() == {1}
    assert day.states[1] in (PENDING, UNKNOWN)
    assert len(proxy.met) == 1
    assert day.n_received() == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere(day: Day, status: int) -> None:
    """N13: neither body nor token reaches the other host."""
    with fault_proxy(day.service.base_url) as elsewhere:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url()}/\r\n".encode()
        proxy = through(day, then=Raw(head + EMPTY))

    assert type(day.error) is ContractError
    assert elsewhere.met == []
    assert len(proxy.met) == 1
    assert day.states.keys() == {1}
    assert day.report.rows_accepted == 0


# -- for ever --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "n_most"),
    [
        (Unanswered(forward=True, reset=True), 40),
        (Unanswered(), 40),
        (Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), 40),
    ],
    ids=["N6 applied each time", "N6 never received", "N11"],
)
def test_a_fault_for_ever_ends_the_run_and_rejects_nobody(
    day: Day, fault: Fault, n_most: int
) -> None:
    proxy = through(day, then=fault)

    assert isinstance(day.error, PatienceEndedError | ContractError)
    assert 1 < len(proxy.met) <= n_most
    assert day.states == {1: UNKNOWN}
    assert day.report.rows_accepted == 0
    if fault == Unanswered(forward=True, reset=True):
        assert day.n_received() == len(proxy.met)
