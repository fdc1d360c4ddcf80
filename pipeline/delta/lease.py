"""
The lock of a state on object storage: a lease that its holder renews.

A store frees no lock when a process dies, so the lock is an object with a holder, and
it counts for `LEASE_S` after it was last written. It is made only where none is, and
replaced only as what it was, so of several processes exactly one is told that it holds
it. Whether it still counts is judged by the clock of the store alone: clocks of
machines differ.

A holder that could not renew its lease for half of that time stops, long before anybody
may take it over. What a lock cannot promise is left to the state itself: it is replaced
only as what it was, so whoever was overtaken changes nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import (
    LockedError,
    PatienceEndedError,
    PipelineError,
    RemoteError,
)
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.objects import ObjectInfo, ObjectStore

LEASE_S: Final = 600.0
RENEW_S: Final = 60.0
LOCK_NAME: Final = "lock.json"
_CLOCK_NAME: Final = "clock"
_MOST_WHO_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class LeaseTime:
    """
    The time that a holder goes by.

    Attributes:
        lease_s: How long a lock counts after it was written.
        clocks: In seconds; that which ran furthest counts. One of them may stand still
            while the machine sleeps, and one may be set.
        wait: Returns whether an event came within so many seconds.
    """

    lease_s: float = LEASE_S
    renew_s: float = RENEW_S
    clocks: tuple[Callable[[], float], ...] = (time.monotonic, time.time)
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait

    def read(self) -> tuple[float, ...]:
        """Return what the clocks say."""
        return tuple(clock() for clock in self.clocks)

    def since(self, then: tuple[float, ...]) -> float:
        """Return the seconds that went by since `read` said *then*."""
        now = self.read()
        return max(b - a for a, b in zip(then, now, strict=True))


USUAL_TIME: Final = LeaseTime()


@dataclass(slots=True)
class Lease:
    """
    A lock that is held.

    Attributes:
        home: Names this work folder on this machine since it started, where nobody but
            us can hold a lock any more; without it, a dead holder is waited for.
        lost: Why it does not count any more; None while it does.
    """

    objects: ObjectStore
    folder: str
    time: LeaseTime
    on_lost: Callable[[], None]
    about: str = ""
    home: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    lost: PipelineError | None = None
    _known: ObjectInfo | None = None
    _n_written: int = 0
    _since: str = ""
    _renewed: tuple[float, ...] = ()

    def take(self) -> None:
        """
        Take the lock.

        Raises:
            LockedError: Somebody holds it; the message names him.
            AccessError, RemoteError, SettingsError: As the store answers.
        """
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        began = self.time.read()
        found = self.objects.get(self._key)
        if found is None:
            written = self.objects.put_new(self._key, self._text())
        else:
            content, known = found
            is_ours = bool(self.home) and _told(content).get("home") == self.home
            if _is_owned(content) and not is_ours and not self._is_over(content, known):
                raise self._held(content)
            written = self.objects.put_over(known, self._text())
        if written is None:
            self._confirm()
        else:
            self._known = written
        self._renewed = began

    def renew(self) -> None:
        """
        Write the lock anew, or note that it is lost; for a thread of its own.

        A store that does not answer is asked again the next time, as long as the lease
        certainly counts.
        """
        began = self.time.read()
        try:
            self._write(self._text())
        except PipelineError as error:
            overdue = self.time.since(self._renewed) >= self.time.lease_s / 2
            if overdue or isinstance(error, LockedError):
                self.lost = self._lost(error)
                self.on_lost()
            return
        self._renewed = began

    def release(self) -> None:
        """
        Let others take the lock; one that was lost is left alone.

        The object stays: it could not be removed without a chance that it is another's.
        """
        if self.lost is None and self._known is not None:
            self.objects.put_over(self._known, self._text(is_free=True))

    @property
    def _key(self) -> str:
        return f"{self.folder}/{LOCK_NAME}"

    def _write(self, text: bytes) -> None:
        if self._known is None:
            raise LockedError("the lock is not held")
        written = self.objects.put_over(self._known, text)
        if written is None:
            self._confirm()
        else:
            self._known = written

    def _confirm(self) -> None:
        """Look whether a write that was not taken was ours, and its answer was lost."""
        found = self.objects.get(self._key)
        content, known = found or (b"", None)
        if known is None or _told(content).get("owner") != self.token:
            raise self._held(content)
        self._known = known

    def _is_over(self, content: bytes, known: ObjectInfo) -> bool:
        """Return whether a lock counts no more, by the clock of the store."""
        clock = f"{self.folder}/{_CLOCK_NAME}"
        self.objects.put(clock, self.token.encode())
        now = self.objects.head(clock)
        seen = self.objects.head(known.key)
        if now is None or seen is None or seen != known:
            return False
        if now.modified_s is None or seen.modified_s is None:
            return False
        lease_s = _told(content).get("lease_s")
        if not isinstance(lease_s, float | int):
            lease_s = self.time.lease_s
        return now.modified_s - seen.modified_s >= lease_s

    def _text(self, *, is_free: bool = False) -> bytes:
        """Return what the lock says; no two writes are equal, so no two tags are."""
        self._n_written += 1
        who = f"process {os.getpid()} on {socket.gethostname()}, since {self._since}"
        told = {
            "version": 1,
            "owner": None if is_free else self.token,
            "home": self.home,
            "who": f"{who}, {self.about}",
            "lease_s": self.time.lease_s,
            "n": f"{self.token}-{self._n_written}",
        }
        return json.dumps(told).encode()

    def _held(self, content: bytes) -> LockedError:
        who = str(_told(content).get("who", "it does not say who"))
        return LockedError(
            f"another run holds the state {self._place} "
            f"({printable(who[:_MOST_WHO_LETTERS])}). Wait for it; if it died, its "
            f"lock counts for {self.time.lease_s / 60:g} minutes more at most"
        )

    def _lost(self, error: PipelineError) -> PipelineError:
        if not isinstance(error, RemoteError):
            return type(error)(f"the lock of the state was lost: {error}")
        return PatienceEndedError(
            f"the lock of the state {self._place} could not be renewed for "
            f"{self.time.lease_s / 120:g} minutes, so sending stopped: {error}"
        )

    @property
    def _place(self) -> str:
        return printable(f"{self.objects.root}/{self.folder}")


@contextmanager
def held(lease: Lease) -> Iterator[Lease]:
    """
    Hold a lock for the block; a thread renews it.

    Raises:
        As `Lease.take`. What befalls the lock later is in `Lease.lost`.
    """
    lease.take()
    done = threading.Event()

    def keep() -> None:
        while lease.lost is None and not lease.time.wait(done, lease.time.renew_s):
            lease.renew()

    keeper = threading.Thread(target=keep, name="state-lock")
    keeper.start()
    try:
        yield lease
    finally:
        done.set()
        keeper.join()
        with suppress(PipelineError):  # then it ends by itself
            lease.release()


def _told(content: bytes) -> dict[str, Any]:
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _is_owned(content: bytes) -> bool:
    """Return whether a lock has a holder; one that nobody can read may have one."""
    told = _told(content)
    return "owner" not in told or told["owner"] is not None
