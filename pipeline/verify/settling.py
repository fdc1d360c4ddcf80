"""
Asking for rows until they are there: what was accepted is applied later (API 5.2).

The rows that were accepted last are asked for first, a few of them, with growing
pauses, until some are there; the others follow then, so that a slow queue is not asked
for everything again and again. A row that is not there, or holds something else, is
*not_yet* until its time is over.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.comparison import differences
from pipeline.errors import AccessError, ContractError, RemoteError, TokenRefusedError
from pipeline.records import VerifyState
from pipeline.sent_rows import FINDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.client import Client
    from pipeline.comparison import Difference
    from pipeline.errors import PipelineError
    from pipeline.sent_rows import SentRow
    from pipeline.verify.paced_reads import PacedReads

N_PROBES: Final = 8
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
LEAST_PAUSE_S: Final = 0.1
# Rows are just unread after these: where reading is what was asked for, and where it is
# only the end of an import that is done.
KEY_REFUSED: Final = (TokenRefusedError,)
UNREADABLE: Final = (AccessError, RemoteError, ContractError)
_OK: Final = 200
_NOBODY: Final = 404


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a row in the CRM; *differences* when it is there and differs."""

    row: SentRow
    state: VerifyState
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class SettleTime:
    """
    How long rows may take.

    Attributes:
        accepted_at: Batch → when it was answered, in seconds since 1970.
        settle_s: From there on.
        wall: The time now, in the same seconds.
    """

    accepted_at: Mapping[int, float]
    settle_s: float
    wall: Callable[[], float]

    def left_s(self, row: SentRow) -> float:
        """Return how long it may still take; of an unknown batch, no longer."""
        then = self.accepted_at.get(row.batch_no, 0.0)
        return then + self.settle_s - self.wall()

    def is_over(self, row: SentRow) -> bool:
        """Return whether it should be there by now."""
        return self.left_s(row) <= 0


class Settler:
    """
    Asks for rows.

    Args:
        reads: How they are asked for; once it is stopped, nothing more is.
        bearable: Errors after which rows are just unread; others are raised.

    Attributes:
        refusal: Why nothing more can be read; None as long as it can.
        settled_after_s: The longest time after its 202 at which a row, absent at an
            earlier look, was seen; None while every row was there at once.
    """

    def __init__(
        self,
        client: Client,
        reads: PacedReads,
        settle_time: SettleTime,
        *,
        bearable: tuple[type[PipelineError], ...] = KEY_REFUSED,
    ) -> None:
        self._client = client
        self._reads = reads
        self._settle_time = settle_time
        self._bearable = bearable
        self.refusal: str | None = None
        self.settled_after_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked."""
        return self.refusal is not None or self._reads.stopped.is_set()

    async def answers(self, rows: Sequence[SentRow]) -> list[Answer]:
        """
        Return what is known of each row; of none that could not be read.

        Raises:
            RemoteError, ContractError: As the service answers.
        """
        young = [row for row in rows if not self._settle_time.is_over(row)]
        young.sort(key=self._settle_time.left_s, reverse=True)
        probes = young[:N_PROBES]
        found = await self._until(probes, len(probes) // 2)
        known = {id(answer.row) for answer in found}
        others = [row for row in rows if id(row) not in known]
        left = [answer for answer in found if answer.state is VerifyState.NOT_YET]
        settled = [a for a in found if a.state is not VerifyState.NOT_YET]
        if self.is_over:
            return found
        return settled + await self._until([*_rows_of(left), *others], 0)

    async def _until(self, rows: Sequence[SentRow], n_left: int) -> list[Answer]:
        """Ask until at most *n_left* rows are not there yet, or nobody waits longer."""
        done: list[Answer] = []
        pause_s = FIRST_PAUSE_S
        waiting: list[Answer] = []
        while True:
            answers = await self._ask_all(rows)
            self._learn(answers, is_first=not waiting)
            seen = {id(answer.row) for answer in answers}
            # One that was not asked again is what it was.
            waiting = [a for a in waiting if id(a.row) not in seen]
            waiting += [a for a in answers if a.state is VerifyState.NOT_YET]
            done += [a for a in answers if a.state is not VerifyState.NOT_YET]
            left_s = self._reads.left_s()
            if len(waiting) <= n_left or self.is_over or left_s <= 0:
                return done + waiting
            rows = _rows_of(waiting)
            soon_s = max(LEAST_PAUSE_S, *map(self._settle_time.left_s, rows))
            await self._reads.pause(min(pause_s, soon_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _learn(self, answers: Sequence[Answer], *, is_first: bool) -> None:
        if is_first:
            return
        for answer in answers:
            then = self._settle_time.accepted_at.get(answer.row.batch_no)
            if answer.state is VerifyState.SETTLED and then is not None:
                after_s = self._settle_time.wall() - then
                self.settled_after_s = max(self.settled_after_s or 0.0, after_s)

    async def _ask_all(self, rows: Sequence[SentRow]) -> list[Answer]:
        """Ask with several readers; what a refusal or a stop leaves is not asked."""
        answers: list[Answer] = []
        left: Iterator[SentRow] = iter(rows)

        async def work() -> None:
            for row in left:
                answer = await self._ask(row)
                if answer is None:
                    return
                answers.append(answer)

        n_readers = min(self._reads.most_in_flight, len(rows))
        tasks = [asyncio.create_task(work()) for _ in range(n_readers)]
        everyone = asyncio.gather(*tasks)
        stopped = asyncio.create_task(self._reads.stopped.wait())
        try:
            await asyncio.wait((everyone, stopped), return_when="FIRST_COMPLETED")
            if everyone.done():
                everyone.result()
        except self._bearable as refusal:
            self.refusal = str(refusal)
        finally:
            everyone.cancel()
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(everyone, stopped, *tasks, return_exceptions=True)
        return answers

    async def _ask(self, row: SentRow) -> Answer | None:
        field = next(name for name in FINDERS if name in row.shape)
        reply = await self._reads.ask(
            partial(self._client.get_profile, field, str(row.content[field])),
            what="the question for a profile",
            answers={_OK, _NOBODY},
        )
        if reply is None:
            return None
        late = self._settle_time.is_over(row)
        if reply.status == _NOBODY:
            return Answer(row, VerifyState.ABSENT if late else VerifyState.NOT_YET)
        found = differences(row.content, profile_in(reply.body))
        if not found:
            return Answer(row, VerifyState.SETTLED)
        return Answer(row, VerifyState.DIFFERS if late else VerifyState.NOT_YET, found)


def _rows_of(answers: Sequence[Answer]) -> list[SentRow]:
    return [answer.row for answer in answers]


def profile_in(body: bytes) -> dict[str, object]:
    """
    Return the profile that an answer holds.

    Raises:
        ContractError: It holds none.
    """
    try:
        profile = json.loads(body)
    except (ValueError, RecursionError):
        profile = None
    if not isinstance(profile, dict):
        raise ContractError(
            "the question for a profile was answered with something that is no "
            "profile; check the base URL and proxies on the way"
        )
    return profile
