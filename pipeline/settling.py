"""
Asking for rows until they are there: what was accepted is applied later (API 5.2).

A few rows are asked for first, with growing pauses, until some are there; the others
follow then, so that a slow queue is not asked for everything again and again. A row
that is not there, or holds something else, is *not_yet* until its time is over.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.comparison import differences
from pipeline.connection import patiently
from pipeline.errors import ContractError, TokenRefusedError
from pipeline.records import VerifyState
from pipeline.sent_rows import FINDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.client import Client
    from pipeline.comparison import Difference
    from pipeline.connection import Connector
    from pipeline.sent_rows import SentRow

N_PROBES: Final = 8
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
CONCURRENCY: Final = 4
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

    def is_over(self, row: SentRow) -> bool:
        """Return whether it should be there by now; of an unknown batch, it should."""
        then = self.accepted_at.get(row.batch_no, 0.0)
        return self.wall() - then >= self.settle_s


class Settler:
    """
    Asks for rows.

    Attributes:
        refusal: Why nothing can be read; None as long as it can.
        settled_after_s: The longest time after its 202 at which a row, absent at an
            earlier look, was seen; None while every row was there at once.
    """

    def __init__(
        self,
        connector: Connector,
        client: Client,
        settle_time: SettleTime,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._connector = connector
        self._client = client
        self._settle_time = settle_time
        self._concurrency = concurrency or CONCURRENCY
        self._spacing_s = 0.0 if rate is None else 1.0 / rate
        self._next_s = 0.0
        self.refusal: str | None = None
        self.settled_after_s: float | None = None

    async def answers(self, rows: Sequence[SentRow]) -> list[Answer]:
        """
        Return what is known of each row; of none that could not be read.

        Raises:
            RemoteError, ContractError: As the service answers.
        """
        young = [row for row in rows if not self._settle_time.is_over(row)]
        probes = young[:N_PROBES]
        found = await self._until(probes, len(probes) // 2)
        known = {id(answer.row) for answer in found}
        others = [row for row in rows if id(row) not in known]
        left = [answer.row for answer in found if answer.state is VerifyState.NOT_YET]
        settled = [a for a in found if a.state is not VerifyState.NOT_YET]
        return settled + await self._until([*left, *others], 0)

    async def _until(self, rows: Sequence[SentRow], n_left: int) -> list[Answer]:
        """Ask until at most *n_left* rows are not there yet."""
        done: list[Answer] = []
        pause_s = FIRST_PAUSE_S
        is_first = True
        while True:
            answers = await self._ask_all(rows)
            self._learn(answers, is_first=is_first)
            waiting = [a for a in answers if a.state is VerifyState.NOT_YET]
            done += [a for a in answers if a.state is not VerifyState.NOT_YET]
            if len(waiting) <= n_left or self.refusal is not None:
                return done + waiting
            rows = [answer.row for answer in waiting]
            await self._connector.clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            is_first = False

    def _learn(self, answers: Sequence[Answer], *, is_first: bool) -> None:
        if is_first:
            return
        for answer in answers:
            then = self._settle_time.accepted_at.get(answer.row.batch_no)
            if answer.state is VerifyState.SETTLED and then is not None:
                after_s = self._settle_time.wall() - then
                self.settled_after_s = max(self.settled_after_s or 0.0, after_s)

    async def _ask_all(self, rows: Sequence[SentRow]) -> list[Answer]:
        """Ask with several workers; what one refusal leaves is not asked any more."""
        answers: list[Answer] = []
        left: Iterator[SentRow] = iter(rows)

        async def work() -> None:
            for row in left:
                answers.append(await self._ask(row))  # noqa: PERF401 - shared by all

        n_workers = min(self._concurrency, len(rows))
        tasks = [asyncio.create_task(work()) for _ in range(n_workers)]
        try:
            await asyncio.gather(*tasks)
        except TokenRefusedError as refusal:
            self.refusal = str(refusal)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return answers

    async def _ask(self, row: SentRow) -> Answer:
        field = next(name for name in FINDERS if name in row.shape)
        await self._turn()
        reply = await patiently(
            self._connector,
            self._client,
            partial(self._client.get_profile, field, str(row.content[field])),
            what="the question for a profile",
            answers={_OK, _NOBODY},
        )
        late = self._settle_time.is_over(row)
        if reply.status == _NOBODY:
            return Answer(row, VerifyState.ABSENT if late else VerifyState.NOT_YET)
        found = differences(row.content, _profile(reply.body))
        if not found:
            return Answer(row, VerifyState.SETTLED)
        return Answer(row, VerifyState.DIFFERS if late else VerifyState.NOT_YET, found)

    async def _turn(self) -> None:
        """Wait until the rate allows another request."""
        now_s = self._connector.clock.now()
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._spacing_s
        if turn_s > now_s:
            await self._connector.clock.sleep(turn_s - now_s)


def _profile(body: bytes) -> dict[str, object]:
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
