"""The loop whose time jumps: order and length of waits are true, and cost nothing."""

import asyncio
import time

import pytest

from benchmarks.virtual_time import run_virtually


def test_eight_hours_pass_in_order_and_at_once() -> None:
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        async with asyncio.timeout(30_000):
            await asyncio.gather(wait("b", 28_800.0), wait("a", 0.5), wait("c", 28_800))

    began_s = time.monotonic()
    run_virtually(main())

    assert [name for name, _ in seen] == ["a", "b", "c"]
    assert [round(at_s, 3) for _, at_s in seen] == [0.5, 28_800, 28_800]
    assert time.monotonic() - began_s < 20


def test_a_deadline_comes_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(90)
        return asyncio.get_running_loop().time()

    assert run_virtually(main()) == pytest.approx(60)


def test_waiting_for_nothing_is_a_deadlock_and_said_so() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtually(main())
