"""
Tasks that workers do in any order, and whose results are taken in theirs.

So what is made of the results is what one process makes. Of a run that ends early, what
was taken is a beginning without gaps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pipeline.distributed.cluster import told_by
from pipeline.endings import gravest
from pipeline.errors import InvariantError, PatienceEndedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from pipeline.distributed.cluster import Engine
    from pipeline.distributed.limiting import Link
    from pipeline.retrying import Clock

LOOK_S: Final = 0.25
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Terms(Generic[_Task]):
    """
    How tasks are handed out.

    Attributes:
        max_wait_s: How long no worker may be there.
        most_ahead: Tasks a place that are out, or whose results wait for an earlier
            one; None is no bound.
        name_of: What a message calls a task, its number in it.
        advice: Behind an error of the cluster itself: what to do.
        check: Raises when nothing is wanted any more.
    """

    clock: Clock
    max_wait_s: float
    name_of: Callable[[_Task], str]
    advice: str
    most_ahead: int | None = None
    check: Callable[[], None] = lambda: None


class InOrder(Generic[_Task, _Result]):
    """
    Has tasks done; `next` gives what came of them, one after the other.

    Args:
        work: As `Engine.run` takes it.
        tasks: Made when a place is free for it.
    """

    def __init__(
        self,
        engine: Engine,
        work: Callable[[_Task, Link], Coroutine[Any, Any, _Result]],
        tasks: Iterable[_Task],
        terms: Terms[_Task],
    ) -> None:
        self._engine = engine
        self._work = work
        self._left = iter(tasks)
        self._terms = terms
        self._has_more = True
        self._out: deque[tuple[_Task, asyncio.Task[_Result]]] = deque()
        self._worked_s = terms.clock.now()

    async def next(self) -> tuple[_Task, _Result] | None:
        """
        Return the next task, and what came of it; None behind the last.

        Raises:
            PatienceEndedError: No worker is left, or worker after worker dies of a
                task.
            OSError: The scheduler is gone.
            PipelineError: What a task ended with, also one that is not the next.
        """
        while self._has_more or self._out:
            self._terms.check()
            await self._hand_out()
            if self._out and _is_good(self._out[0][1]):
                task, ended = self._out.popleft()
                return task, ended.result()
            self._raise_gravest()
            await self._wait()
        return None

    async def let_go(self, *, last_words_s: float = 0.0) -> None:
        """
        End what is still at work here; a worker ends by itself.

        Args:
            last_words_s: Tell the workers to stop, and wait so long for them.
        """
        tasks = [at_work for _, at_work in self._out]
        try:
            if last_words_s and self._at_work():
                with suppress(OSError):
                    await self._engine.stop(1)
                    await asyncio.wait(tasks, timeout=last_words_s)
        finally:  # also when somebody asks a second time
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hand_out(self) -> None:
        """Give every place of the cluster a task, as long as there are any."""
        n_places, now_s = await self._engine.n_places(), self._terms.clock.now()
        if n_places:
            self._worked_s = now_s
        elif now_s - self._worked_s > self._terms.max_wait_s:
            advice = self._terms.advice
            raise PatienceEndedError(f"no worker of the cluster is left. {advice}")
        ahead = self._terms.most_ahead
        while len(self._at_work()) < n_places:
            if ahead is not None and len(self._out) >= ahead * n_places:
                return
            task = next(self._left, None)
            if task is None:
                self._has_more = False
                return
            self._out.append((task, asyncio.create_task(self._done(task))))

    async def _done(self, task: _Task) -> _Result:
        answer = await self._engine.run(self._work, task)
        if answer.result is not None:
            return answer.result
        error = answer.error or InvariantError("it ended without a word")
        told = told_by(self._terms.name_of(task), error, answer.host)
        if isinstance(error, PatienceEndedError) and not answer.host:
            look = "Look at the logs of the workers."
            told = PatienceEndedError(f"{told} {look} {self._terms.advice}")
        raise told

    def _at_work(self) -> list[asyncio.Task[_Result]]:
        return [at_work for _, at_work in self._out if not at_work.done()]

    def _raise_gravest(self) -> None:
        """An error of a later task need not wait for the earlier ones."""
        ended = [each for _, each in self._out if each.done()]
        error = gravest(*(each.exception() for each in ended))
        if error is not None:
            raise error

    async def _wait(self) -> None:
        """Wait for whatever ends next, but not for long."""
        at_work = self._at_work()
        if at_work:
            await asyncio.wait(
                at_work, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
        elif self._has_more:
            await self._terms.clock.sleep(LOOK_S)


def _is_good(task: asyncio.Task[Any]) -> bool:
    return task.done() and task.exception() is None
