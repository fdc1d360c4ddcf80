"""The policy repeats the verdict `again` and nothing else."""

import asyncio
from collections.abc import Callable

import pytest

from pipeline.pacing import FIRST_CONTACT, Patience
from pipeline.records import BatchState, Step, Verdict
from pipeline.retrying import Clock, persist

AGAIN = Verdict(Step.AGAIN, BatchState.UNKNOWN, "HTTP_503", 503)
DONE = Verdict(Step.DONE, BatchState.ACCEPTED, "HTTP_202", 202)


class Time:
    """A clock that moves only by sleeping."""

    def __init__(self, chance: float = 0.5) -> None:
        self.now_s = 0.0
        self.sleeps: list[float] = []
        self.clock = Clock(lambda: self.now_s, self.sleep, lambda: chance)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def ask(
    time: Time,
    verdicts: list[Verdict],
    patience: Callable[[Verdict], Patience] = lambda _: Patience(),
) -> tuple[Verdict, int]:
    asked = 0

    async def attempt() -> Verdict:
        nonlocal asked
        asked += 1
        return verdicts[min(asked, len(verdicts)) - 1]

    verdict = asyncio.run(persist(attempt, clock=time.clock, patience=patience))
    return verdict, asked


def test_a_first_answer_is_taken_without_waiting() -> None:
    time = Time()

    assert ask(time, [DONE]) == (DONE, 1)
    assert time.sleeps == []


def test_the_waits_double_with_full_jitter() -> None:
    time = Time(chance=0.5)

    assert ask(time, [AGAIN, AGAIN, AGAIN, DONE]) == (DONE, 4)
    assert time.sleeps == [0.25, 0.5, 1.0]


def test_retry_after_is_obeyed() -> None:
    time = Time(chance=0.0)
    throttled = Verdict(Step.AGAIN, BatchState.PENDING, "HTTP_429", 429, True, 30.0)
    ask(time, [throttled, DONE])

    assert time.sleeps == [30.0]


def test_eight_attempts_are_all() -> None:
    assert ask(Time(), [AGAIN]) == (AGAIN, 8)


def test_a_wait_beyond_the_patience_is_not_begun() -> None:
    time = Time()
    huge = Verdict(Step.AGAIN, BatchState.PENDING, "HTTP_429", 429, True, 901.0)

    assert ask(time, [huge]) == (huge, 1)
    assert time.sleeps == []


def test_a_wait_within_the_patience_is_honoured() -> None:
    time = Time(chance=0.0)
    long = Verdict(Step.AGAIN, BatchState.PENDING, "HTTP_429", 429, True, 899.0)

    assert ask(time, [long, DONE]) == (DONE, 2)


def test_a_first_contact_has_less_patience() -> None:
    assert ask(Time(), [AGAIN], lambda _: FIRST_CONTACT) == (AGAIN, 3)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError, OSError])
def test_no_exception_is_repeated(error: type[BaseException]) -> None:
    asked = 0

    async def attempt() -> Verdict:
        nonlocal asked
        asked += 1
        if asked == 1:
            return AGAIN
        raise error

    async def main() -> None:
        await persist(attempt, clock=Time().clock)

    with pytest.raises(error):
        asyncio.run(main())
    assert asked == 2
