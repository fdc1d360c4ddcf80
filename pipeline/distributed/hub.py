"""
What a scheduler knows of a run: the pace of all, who has which partition, when to stop.

Who begins a partition anew takes it from whoever had it: the older one gets no place
any more and is told so, also if it was only asleep. So nothing leaves beside the
successor but what had left, or had a place, already. Pure: it is told the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.distributed.pace import Lot, SharedPace

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Turn:
    """
    One worker's work on a partition.

    Attributes:
        n: How often the partition was begun, this time included.
    """

    number: int
    n: int


@dataclass(frozen=True, slots=True)
class Told:
    """
    What a worker tells several times a second.

    Attributes:
        counts: Of its delivery so far, for progress.
        n_good: Requests that were let in since it last said so; the next two likewise.
        is_throttled: Whether it met a 429.
        shut_s: For how long the service asked to be left alone; 0 when it did not.
    """

    counts: Mapping[str, Any] = field(default_factory=dict)
    n_good: int = 0
    is_throttled: bool = False
    shut_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Orders:
    """
    What a worker is told in return.

    Attributes:
        n_stops: How often somebody asked the run to stop.
        is_over: Another one has the partition.
    """

    n_stops: int = 0
    is_over: bool = False


@dataclass(slots=True)
class Hub:
    """
    One for a run.

    Attributes:
        counts: Of every turn that was begun, as it last told them.
        n_stops: See `Orders`.
    """

    pace: SharedPace
    counts: dict[Turn, Mapping[str, Any]] = field(default_factory=dict)
    n_stops: int = 0
    _turns: dict[int, Turn] = field(default_factory=dict)

    def begin(self, number: int) -> Turn:
        """Give a partition to whoever asks, and take it from whoever had it."""
        before = self._turns.get(number, Turn(number, 0))
        turn = self._turns[number] = Turn(number, before.n + 1)
        self.counts[turn] = {}
        return turn

    def lease(self, now_s: float, turn: Turn, n_wanted: int) -> Lot:
        """Give places to whoever has the partition; see `SharedPace.lease`."""
        if self.n_stops or turn != self._turns.get(turn.number):
            return Lot(0, 1.0)
        return self.pace.lease(now_s, n_wanted)

    def tell(self, now_s: float, turn: Turn, told: Told) -> Orders:
        """Take what a worker tells; return what it is to do."""
        self.counts[turn] = told.counts
        self.pace.learn(
            now_s, told.n_good, is_throttled=told.is_throttled, shut_s=told.shut_s
        )
        return Orders(self.n_stops, turn != self._turns.get(turn.number))
