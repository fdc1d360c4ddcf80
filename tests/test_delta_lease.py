"""The lock of a shared state: one holder, and none for ever."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from memory_objects import MemoryObjects
from pipeline.delta.lease import LEASE_S, Lease, LeaseTime, held
from pipeline.errors import (
    LockedError,
    PatienceEndedError,
    PipelineError,
    TokenRefusedError,
    UnreachableError,
)

LOCK = "state/people/lock.json"


class Watch:
    """A clock of this machine."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def watch() -> Watch:
    return Watch()


def lease(
    objects: MemoryObjects,
    watch: Watch,
    *,
    on_lost: Callable[[], None] = lambda: None,
    about: str = "sync r1",
    home: str = "",
) -> Lease:
    time = LeaseTime(clocks=(watch,))
    return Lease(cast("Any", objects), "state/people", time, on_lost, about, home)


def test_a_lock_is_made_where_there_is_none(
    objects: MemoryObjects, watch: Watch
) -> None:
    lease(objects, watch).take()

    told = json.loads(objects.held[LOCK][0])
    assert told["lease_s"] == LEASE_S
    assert "process " in told["who"]
    assert told["who"].endswith("sync r1")


def test_a_second_holder_is_refused_and_told_of_the_first(
    objects: MemoryObjects, watch: Watch
) -> None:
    lease(objects, watch).take()
    objects.now_s += LEASE_S - 1

    with pytest.raises(LockedError, match=r"s3://lake/state/people .*sync r1.*10 min"):
        lease(objects, watch, about="sync r2").take()


def test_a_lock_that_nobody_renews_is_taken_over_by_the_clock_of_the_store(
    objects: MemoryObjects, watch: Watch
) -> None:
    first = lease(objects, watch)
    first.take()
    watch.now_s += 10 * LEASE_S  # what a machine takes for the time tells nothing
    with pytest.raises(LockedError):
        lease(objects, watch).take()
    objects.now_s += LEASE_S
    second = lease(objects, watch)
    second.take()

    first.renew()
    assert isinstance(first.lost, LockedError)
    first.release()
    assert json.loads(objects.held[LOCK][0])["owner"] == second.token


def test_of_many_that_find_a_dead_lock_one_takes_it(
    objects: MemoryObjects, watch: Watch
) -> None:
    lease(objects, watch).take()
    objects.now_s += LEASE_S

    def try_it(_: int) -> bool:
        try:
            lease(objects, watch).take()
        except LockedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(8))) == 1


def test_a_holder_that_renews_in_the_same_moment_is_not_robbed(
    objects: MemoryObjects, watch: Watch
) -> None:
    first = lease(objects, watch)
    first.take()
    objects.now_s += LEASE_S
    objects.before_write = first.renew

    with pytest.raises(LockedError):
        lease(objects, watch).take()
    assert first.lost is None


def test_a_lock_that_is_left_can_be_taken_at_once(
    objects: MemoryObjects, watch: Watch
) -> None:
    first = lease(objects, watch)
    first.take()
    first.release()

    second = lease(objects, watch)
    second.take()
    second.renew()
    assert second.lost is None


def test_what_a_dead_process_of_our_own_folder_held_is_ours(
    objects: MemoryObjects, watch: Watch
) -> None:
    lease(objects, watch, home="one").take()
    for other in ("two", ""):
        with pytest.raises(LockedError):
            lease(objects, watch, home=other).take()

    lease(objects, watch, home="one").take()


def test_folders_without_a_name_are_not_one_folder(
    objects: MemoryObjects, watch: Watch
) -> None:
    lease(objects, watch).take()

    with pytest.raises(LockedError):
        lease(objects, watch).take()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"lease_s": "x", "who": 5}'])
def test_a_lock_that_cannot_be_read_counts_like_another(
    objects: MemoryObjects, watch: Watch, text: bytes
) -> None:
    objects.put(LOCK, text)
    with pytest.raises(LockedError):
        lease(objects, watch).take()
    objects.now_s += LEASE_S

    lease(objects, watch).take()


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_write_whose_answer_was_lost_is_ours(
    objects: MemoryObjects, watch: Watch, *, is_taken: bool
) -> None:
    one = lease(objects, watch)
    if is_taken:
        one.take()
    objects.deaf = True
    if is_taken:
        one.renew()
    else:
        one.take()

    assert one.lost is None
    one.renew()
    assert one.lost is None


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (UnreachableError("no answer"), PatienceEndedError),
        (TokenRefusedError("no rights"), TokenRefusedError),
    ],
)
def test_a_store_that_vanishes_is_waited_for_half_a_lease(
    objects: MemoryObjects,
    watch: Watch,
    failure: PipelineError,
    kind: type[PipelineError],
) -> None:
    told: list[str] = []
    one = lease(objects, watch, on_lost=lambda: told.append("lost"))
    one.take()
    objects.failure = failure
    watch.now_s += LEASE_S / 2 - 1
    one.renew()
    assert (one.lost, told) == (None, [])
    watch.now_s += 1
    one.renew()

    assert isinstance(one.lost, kind)
    assert str(failure) in str(one.lost)
    assert told == ["lost"]


def test_a_renewal_begins_the_time_anew(objects: MemoryObjects, watch: Watch) -> None:
    one = lease(objects, watch)
    one.take()
    for _ in range(3):
        watch.now_s += LEASE_S / 2 - 1
        one.renew()
    objects.failure = UnreachableError("")
    one.renew()

    assert one.lost is None


def test_of_several_clocks_the_fastest_counts(objects: MemoryObjects) -> None:
    asleep, set_on = Watch(), Watch()
    time = LeaseTime(clocks=(asleep, set_on))
    one = Lease(cast("Any", objects), "state/people", time, lambda: None)
    one.take()
    set_on.now_s += LEASE_S
    objects.failure = UnreachableError("")
    one.renew()

    assert one.lost is not None


def test_a_thread_renews_until_the_block_ends(objects: MemoryObjects) -> None:
    watch, n_waits = Watch(), 0
    renewed = threading.Event()

    def wait(done: threading.Event, seconds: float) -> bool:
        nonlocal n_waits
        n_waits += 1
        assert seconds == 60.0
        if n_waits > 3:
            renewed.set()
            done.wait()
        return done.is_set()

    time = LeaseTime(clocks=(watch,), wait=wait)
    one = Lease(cast("Any", objects), "state/people", time, lambda: None)
    with held(one):
        assert renewed.wait(10.0)
        assert objects.n_written == 4
    assert json.loads(objects.held[LOCK][0])["owner"] is None


def test_a_store_that_vanishes_at_the_end_spoils_nothing(
    objects: MemoryObjects, watch: Watch
) -> None:
    with held(lease(objects, watch)):
        objects.failure = UnreachableError("")
