"""
Faults before a request: nothing was sent, and that is what is told.

The numbers are those of `test_faults_network`.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from certificates import EXPIRED, OF_ANOTHER_HOST, RIGHT, authority
from delivery_day import ACCEPTED, N_ROWS, PENDING, UNKNOWN, Day, serving
from fault_proxy import fault_proxy
from network_faults import (
    ClosedOnReuse,
    Raw,
    Tls,
    TlsReset,
    Unanswered,
)
from pipeline.errors import (
    ContractError,
    PatienceEndedError,
    SettingsError,
    UnreachableError,
)

EMPTY = b"Content-Length: 0\r\n\r\n"
Days = Callable[[Path], Day]


@pytest.fixture(scope="module")
def days() -> Iterator[Days]:
    with serving() as made:
        yield made


@pytest.fixture
def day(days: Days, tmp_path: Path) -> Day:
    return days(tmp_path)


def test_refused_until_somebody_listens(day: Day) -> None:
    """N1."""
    with fault_proxy(day.service.base_url) as proxy:
        proxy.refuse()
        day.on_pause = proxy.listen
        day.send(proxy.url())

    assert day.pauses[0] == {1: PENDING}
    assert day.n_received() == 1
    day.assert_all_arrived()


def test_nobody_there_means_nothing_sent(day: Day) -> None:
    """N1: no answer was ever heard."""
    with fault_proxy(day.service.base_url) as proxy:
        proxy.refuse()
        day.send(proxy.url())

    assert type(day.error) is UnreachableError
    assert day.states == {1: PENDING}
    assert day.n_received() == 0


def test_nobody_there_any_more_leaves_the_rest_pending(day: Day) -> None:
    """N1 behind an accepted batch: patience, then 75."""
    del day.batches[2:]
    with fault_proxy(day.service.base_url, ClosedOnReuse(forward=True)) as proxy:
        day.on_pause = proxy.refuse
        day.send(proxy.url())

    assert type(day.error) is PatienceEndedError
    assert day.states[1] is ACCEPTED
    assert day.states[2] in (PENDING, UNKNOWN)
    assert day.report.rows_accepted == N_ROWS
    assert len(proxy.met) == 1


@contextmanager
def full_backlog() -> Iterator[str]:
    """An address where packets vanish: nobody accepts, and the queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_that_swallows_packets_means_not_sent(day: Day) -> None:
    """N2, N15."""
    day.in_a_hurry = True
    with full_backlog() as url:
        day.send(url)

    assert type(day.error) is UnreachableError
    assert day.states == {1: PENDING}
    assert day.n_received() == 0


def test_a_name_nobody_knows_means_not_sent(day: Day) -> None:
    """N1."""
    day.send("https://nobody.invalid")

    assert type(day.error) is UnreachableError
    assert day.states == {1: PENDING}


# -- TLS and proxies -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pem", "known"),
    [(RIGHT, False), (OF_ANOTHER_HOST, True), (EXPIRED, True)],
    ids=["self-signed", "another host", "expired"],
)
def test_a_certificate_that_proves_nothing_is_never_tried_again(
    day: Day, pem: str, *, known: bool
) -> None:
    """N3."""
    if known:
        day.ca_bundle = _authority(day, pem)
    with fault_proxy(day.service.base_url, then=Tls(pem)) as proxy:
        day.send(proxy.url("https"))

    assert type(day.error) is ContractError
    assert day.states == {1: PENDING}
    assert len(proxy.met) == 1
    assert day.n_received() == 0


def _authority(day: Day, pem: str) -> str:
    path = day.folder / "authority.pem"
    path.write_text(authority(pem))
    return str(path)


def test_a_handshake_cut_short_is_tried_again(day: Day) -> None:
    """N4."""
    day.ca_bundle = _authority(day, RIGHT)
    script = [TlsReset(), Tls(RIGHT, Unanswered(forward=True)), Tls(RIGHT)]
    with fault_proxy(day.service.base_url, *script, then=Tls(RIGHT)) as proxy:
        day.send(proxy.url("https"))

    assert day.pauses[0] in ({1: PENDING}, {1: UNKNOWN})
    assert {1: UNKNOWN} in day.pauses
    assert day.n_received() == 2
    day.assert_all_arrived()


def test_handshakes_cut_short_for_ever_send_nothing(day: Day) -> None:
    """N4."""
    with fault_proxy(day.service.base_url, then=TlsReset()) as proxy:
        day.send(proxy.url("https"))

    assert isinstance(day.error, UnreachableError | PatienceEndedError)
    assert ACCEPTED not in day.states.values()
    assert len(proxy.met) < 20
    assert day.n_received() == 0


def test_a_proxy_that_refuses_is_a_setting(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N5."""
    refusal = Raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n" + EMPTY)
    with fault_proxy(day.service.base_url, then=refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url())
        day.env_proxy = True
        day.send("https://service.invalid")

    assert type(day.error) is SettingsError
    assert day.states == {1: PENDING}
    assert len(proxy.met) == 1
