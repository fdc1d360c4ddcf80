"""The policy repeats the verdict `again` and nothing else."""

import asyncio

import pytest

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
    time: Time, verdicts: list[Verdict], most: int = 8
) -> tuple[Verdict, list[float]]:
    """Return the last verdict, and the waits that patience was asked about."""
    asked = 0
    waits: list[float] = []

    async def attempt() -> Verdict:
        nonlocal asked
        asked += 1
        return verdicts[min(asked, len(verdicts)) - 1]

    def is_over(verdict: Verdict, wait_s: float) -> bool:
        assert verdict.step is Step.AGAIN
        waits.append(wait_s)
        return len(waits) >= most

    verdict = asyncio.run(persist(attempt, clock=time.clock, is_over=is_over))
    assert asked == len(waits) + (verdict.step is not Step.AGAIN)
    return verdict, waits


def test_a_first_answer_is_taken_without_waiting() -> None:
    time = Time()

    assert ask(time, [DONE]) == (DONE, [])
    assert time.sleeps == []


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.AGAIN])
def test_nothing_but_again_is_repeated(step: Step) -> None:
    time = Time()
    last = Verdict(step, BatchState.PENDING, "HTTP_400", 400)

    assert ask(time, [last]) == (last, [])
    assert ask(time, [AGAIN, last]) == (last, [0.25])


def test_the_waits_double_with_full_jitter() -> None:
    time = Time(chance=0.5)

    assert ask(time, [AGAIN, AGAIN, AGAIN, DONE]) == (DONE, [0.25, 0.5, 1.0])
    assert time.sleeps == [0.25, 0.5, 1.0]


def test_retry_after_is_obeyed() -> None:
    time = Time(chance=0.0)
    throttled = Verdict(
        Step.AGAIN,
        BatchState.PENDING,
        "HTTP_429",
        429,
        is_throttled=True,
        retry_after_s=30.0,
    )
    ask(time, [throttled, DONE])

    assert time.sleeps == [30.0]


def test_when_patience_ends_no_further_wait_is_begun() -> None:
    time = Time()

    assert ask(time, [AGAIN], most=3) == (AGAIN, [0.25, 0.5, 1.0])
    assert time.sleeps == [0.25, 0.5]


@pytest.mark.parametrize("n_before", [0, 1, 2])
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError, OSError])
def test_no_exception_is_repeated(error: type[BaseException], n_before: int) -> None:
    asked = 0

    async def attempt() -> Verdict:
        nonlocal asked
        asked += 1
        if asked <= n_before:
            return AGAIN
        raise error

    async def main() -> None:
        await persist(attempt, clock=Time().clock, is_over=lambda *_: False)

    with pytest.raises(error):
        asyncio.run(main())
    assert asked == n_before + 1
