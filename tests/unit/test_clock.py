"""Virtual time: it stands still, moves when told, and wakes those who are due."""

import math

import anyio
import pytest
from millpond.streams.engine.clock import SystemClock, VirtualClock

pytestmark = pytest.mark.anyio


async def test_sleepers_wake_when_they_are_due() -> None:
    clock = VirtualClock(1000)
    woken: list[tuple[str, int]] = []

    async def sleep(name: str, delay_ms: float) -> None:
        await clock.sleep(delay_ms)
        woken.append((name, clock.now()))

    async with anyio.create_task_group() as tasks:
        for name, delay_ms in (("late", 20), ("early", 10), ("never", math.inf)):
            tasks.start_soon(sleep, name, delay_ms)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_due() == 1010
        clock.advance_to(1009)
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        for now in (1010, 1030):
            clock.advance_to(now)
            await anyio.wait_all_tasks_blocked()
        assert woken == [("early", 1010), ("late", 1030)]
        tasks.cancel_scope.cancel()
    assert clock.next_due() is None


async def test_a_fraction_of_a_millisecond_is_waited_for_to_its_end() -> None:
    clock = VirtualClock(1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.sleep, 7.3)
        await anyio.wait_all_tasks_blocked()
        assert clock.next_due() == 1008
        clock.advance_to(1008)


@pytest.mark.parametrize("delay_ms", [0, -5])
@pytest.mark.parametrize("clock", [VirtualClock(0), SystemClock()], ids=["virtual", "system"])
async def test_what_is_overdue_is_not_waited_for(
    clock: VirtualClock | SystemClock, delay_ms: int
) -> None:
    with clock.move_on_after(delay_ms) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    await clock.sleep(delay_ms)


async def test_a_block_that_ends_in_time_is_forgotten() -> None:
    clock = VirtualClock(0)
    with clock.move_on_after(5) as scope:
        await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught
    assert clock.next_due() is None


def test_time_does_not_run_backwards() -> None:
    clock = VirtualClock(10)
    with pytest.raises(AssertionError, match="backwards"):
        clock.advance_to(9)
