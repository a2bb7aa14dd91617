"""Stopping: the event in hand is finished, the rest waits in the log, and the next start goes on."""

from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import millpond as mp
import pytest
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SECOND = timedelta(seconds=1)


class Busy:
    """An app whose agent stays with each order until it is let go."""

    def __init__(self, **settings: Any) -> None:
        self.app = mp.App("shop", settings=mp.Settings(**settings))
        self.orders = self.app.topic("orders", value=int)
        self.out = self.app.topic("out", value=int)
        self.begun: list[int] = []
        self.gate = anyio.Event()
        self.app.agent(self.orders)(self.work)

    async def work(self, stream: mp.Stream[int]) -> None:
        async for order in stream:
            self.begun.append(order)
            await self.gate.wait()
            await self.out.send(value=order)

    async def until_busy(self, count: int) -> None:
        while len(self.begun) < count:
            await anyio.lowlevel.checkpoint()


async def values(t: AppTest, topic: Any) -> list[Any]:
    return [event.value for event in await t.records(topic)]


async def test_the_event_in_hand_is_finished_and_the_rest_is_left() -> None:
    busy = Busy()
    async with busy.app.test() as t:
        for order in range(3):
            await busy.orders.send(value=order)
        await busy.until_busy(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(t.restart)
            await anyio.wait_all_tasks_blocked()
            assert busy.begun == [0]
            busy.gate.set()
        await t.settle()
        assert busy.begun == [0, 1, 2]
        assert await values(t, busy.out) == [0, 1, 2]


async def test_who_takes_too_long_is_cut_off_and_does_it_again() -> None:
    busy = Busy(shutdown_timeout=timedelta(milliseconds=20))
    async with busy.app.test() as t:
        for order in range(3):
            await busy.orders.send(value=order)
        await busy.until_busy(1)
        await t.restart()
        await busy.until_busy(2)
        assert busy.begun == [0, 0]
        busy.gate.set()
        await t.settle()
        assert await values(t, busy.out) == [0, 1, 2]


async def test_a_slow_agent_does_not_keep_what_it_has_done_from_being_committed() -> None:
    busy = Busy(commit_interval=SECOND)
    busy.gate.set()
    async with busy.app.test() as t:
        await busy.orders.send(value=1)
        await busy.until_busy(1)
        busy.gate = anyio.Event()
        for order in (2, 3, 4):
            await busy.orders.send(value=order)
        await busy.until_busy(2)
        t._clock.advance_to(t._clock.now() + 1000)  # not `t.advance`, which waits until all is done
        await anyio.wait_all_tasks_blocked()
        let_go, busy.gate = busy.gate, anyio.Event()
        let_go.set()
        await busy.until_busy(3)
        assert await values(t, busy.out) == [1, 2], "3 is in hand"
        busy.gate.set()


async def test_a_rate_is_not_waited_for() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)

    @app.agent(orders, flow=mp.Flow(rate=mp.Rate(1, per=timedelta(hours=1))))
    async def work(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await out.send(value=order)

    async with app.test() as t:
        begin = t.now
        for order in range(3):
            await orders.send(value=order)
        await app.flush()
        await anyio.wait_all_tasks_blocked()
        await t.restart()
        assert t.now == begin
        assert await values(t, out) == [0]
        await t.settle()
        assert await values(t, out) == [0, 1, 2]


async def test_a_batch_that_is_not_full_waits_for_the_next_start() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)

    @app.agent(orders)
    async def work(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(5, within=timedelta(hours=1)):
            await out.send(value=sum(batch.values))

    async with app.test() as t:
        for _ in range(4):
            await t.send(orders, 1)
            await t.restart()
        assert await values(t, out) == []
        await t.send(orders, 1)
        await t.settle()
        assert await values(t, out) == [5]


async def test_what_was_sent_outside_is_durable_when_the_app_has_stopped() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)

    async with app.test() as t:
        for order in range(100):
            await orders.send(value=order)
        await t.restart()
        await t.crash()
        assert await values(t, orders) == list(range(100))


async def test_an_agent_may_clean_up_when_it_is_stopped() -> None:
    app = mp.App("shop")
    cleaned: list[str] = []

    @app.agent(app.topic("orders", value=int))
    async def work(stream: mp.Stream[int]) -> None:
        try:
            async for _ in stream:
                pass
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.append("closed the connection")

    async with app.test():
        pass
    assert cleaned == ["closed the connection"]
