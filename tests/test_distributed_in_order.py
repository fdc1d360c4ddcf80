"""Results in the order of their tasks, whoever is done first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.distributed.cluster import Answer
from pipeline.distributed.in_order import InOrder, Terms
from pipeline.errors import InterruptedRunError, PatienceEndedError, SettingsError
from pipeline.retrying import Clock
from pipeline.stopping import StopSignal
from sandbox_driver import FakeTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

pytestmark = pytest.mark.anyio


@dataclass
class Slow:
    """
    An engine whose tasks end when they are told to.

    Attributes:
        asked: Tasks that were handed out, in order.
    """

    places: int = 2
    asked: list[int] = field(default_factory=list)
    n_stops: int = 0
    ends: dict[int, asyncio.Future[Answer[str]]] = field(default_factory=dict)

    async def n_places(self) -> int:
        return self.places

    async def run(self, work: Any, task: Any) -> Answer[Any]:
        del work
        self.asked.append(task)
        return await self.end_of(task)

    async def counts(self) -> Iterable[Mapping[str, Any]]:
        return []

    async def stop(self, n_stops: int) -> None:
        self.n_stops = n_stops
        for end in self.ends.values():
            if not end.done():
                end.set_result(Answer("stopped"))

    def end_of(self, task: int) -> asyncio.Future[Answer[str]]:
        if task not in self.ends:
            self.ends[task] = asyncio.get_running_loop().create_future()
        return self.ends[task]

    def end(self, task: int, answer: Answer[str] | None = None) -> None:
        self.end_of(task).set_result(answer or Answer(f"of {task}"))


async def nothing(task: int, link: object) -> str:
    raise NotImplementedError(task, link)


def in_order(
    engine: Slow,
    n_tasks: int,
    *,
    most_ahead: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> InOrder[int, str]:
    time = FakeTime()
    clock = Clock(time.clock, time.sleep)
    terms: Terms[int] = Terms(
        clock, 60.0, lambda task: f"task {task}", "Again.", most_ahead, check
    )
    return InOrder(engine, nothing, range(1, n_tasks + 1), terms)


async def test_results_come_in_the_order_of_the_tasks() -> None:
    engine = Slow(places=3)
    parts = in_order(engine, 4)
    for task in (3, 2, 4, 1):
        engine.end(task)

    found = [await parts.next() for _ in range(5)]

    assert found == [*((n, f"of {n}") for n in (1, 2, 3, 4)), None]
    await parts.let_go()


async def test_no_more_is_handed_out_than_there_are_places() -> None:
    engine = Slow(places=2)
    parts = in_order(engine, 5)
    first = asyncio.create_task(parts.next())
    await asyncio.sleep(0.01)
    assert engine.asked == [1, 2]

    engine.end(2)
    await asyncio.sleep(0.01)
    assert engine.asked == [1, 2, 3]

    engine.end(1)
    assert await first == (1, "of 1")
    await parts.let_go()


async def test_what_waits_for_an_earlier_one_is_bounded() -> None:
    engine = Slow(places=2)
    parts = in_order(engine, 9, most_ahead=2)
    for task in (2, 3, 4):
        engine.end(task)
    first = asyncio.create_task(parts.next())
    await asyncio.sleep(0.01)
    assert engine.asked == [1, 2, 3, 4]

    engine.end(1)
    assert await first == (1, "of 1")
    await parts.let_go()


async def test_an_error_of_a_later_task_ends_it_behind_what_is_in_order() -> None:
    engine = Slow(places=3)
    parts = in_order(engine, 3)
    engine.end(3, Answer(error=SettingsError("it has no key."), host="green"))
    engine.end(1)

    assert await parts.next() == (1, "of 1")
    with pytest.raises(SettingsError) as caught:
        await parts.next()

    assert str(caught.value) == "task 3 (worker on green): it has no key."
    await parts.let_go()


async def test_a_task_of_which_every_worker_dies_is_told() -> None:
    engine = Slow()
    parts = in_order(engine, 1)
    engine.end(1, Answer(error=PatienceEndedError("every worker that had it died.")))

    with pytest.raises(PatienceEndedError) as caught:
        await parts.next()

    words = "every worker that had it died. Look at the logs of the workers. Again."
    assert str(caught.value) == f"task 1: {words}"
    await parts.let_go()


async def test_without_a_worker_patience_ends() -> None:
    parts = in_order(Slow(places=0), 1)

    with pytest.raises(PatienceEndedError, match=r"no worker .* is left\. Again"):
        await parts.next()

    await parts.let_go()


async def test_who_wants_nothing_any_more_is_obeyed() -> None:
    stop = StopSignal()
    parts = in_order(Slow(), 1, check=stop.check)
    stop.request()

    with pytest.raises(InterruptedRunError):
        await parts.next()

    await parts.let_go()


@pytest.mark.parametrize("last_words_s", [0.0, 5.0])
async def test_workers_are_told_to_stop_where_they_can(last_words_s: float) -> None:
    engine = Slow()
    parts = in_order(engine, 2)
    waiting = asyncio.create_task(parts.next())
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await parts.let_go(last_words_s=last_words_s)

    assert engine.n_stops == int(last_words_s > 0)
    assert all(end.done() for end in engine.ends.values())
