"""What runs beside the agents: timers, tasks, and sends from outside."""

from datetime import UTC, datetime, timedelta

import anyio
import millpond as mp
import pytest

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
START = datetime(2025, 1, 1, tzinfo=UTC)


async def test_a_timer_sends_and_reads_what_is_committed() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    reports = app.topic("reports", value=int)
    sums = app.Table("sums", key=str, value=int, default=int)

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream:
            sums["all"] += order

    @app.timer(10 * SECOND)
    async def report() -> None:
        await reports.send(value=sums.view().get("all", 0))

    async with app.test(start=START) as t:
        await t.advance(10 * SECOND)
        await t.send(orders, 5)
        await t.advance(9 * SECOND)
        await t.send(orders, 6)
        await t.advance(10 * SECOND)
        found = [(event.value, event.timestamp) for event in await t.records(reports)]
    begin = int(START.timestamp() * 1000)
    assert found == [(0, begin + 10_000), (11, begin + 20_000)]


async def test_timers_tick_apart() -> None:
    app = mp.App("shop")
    ticks: list[tuple[str, float]] = []

    def add(name: str, interval: timedelta) -> None:
        @app.timer(interval)
        async def tick() -> None:
            ticks.append((name, (t.now - START) / SECOND))

    add("slow", 3 * SECOND)
    add("fast", 2 * SECOND)
    async with app.test(start=START) as t:
        await t.advance(6 * SECOND)
    assert sorted(ticks, key=lambda tick: tick[1])[:3] == [("fast", 2), ("slow", 3), ("fast", 4)]
    assert sorted(ticks[3:]) == [("fast", 6), ("slow", 6)]


async def test_a_task_runs_once_after_the_start_and_until_the_end() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    sums = app.Table("sums", key=str, value=int, default=int)
    states: list[str] = []
    fed = anyio.Event()

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream:
            sums["all"] += order

    @app.task
    async def feed() -> None:
        for order in range(10):
            await orders.send(value=order)
        await app.flush()
        states.append("fed")
        fed.set()
        try:
            await anyio.sleep_forever()
        finally:
            states.append("stopped")

    async with app.test() as t:
        await t.settle()
        await fed.wait()
        await t.settle()
        assert sums.view()["all"] == 45
    assert states == ["fed", "stopped"]


@pytest.mark.parametrize("kind", ["timer", "task"])
async def test_what_fails_beside_the_agents_ends_the_app(kind: str) -> None:
    app = mp.App("shop")

    async def fail() -> None:
        raise RuntimeError("no such file")

    if kind == "timer":
        app.timer(SECOND)(fail)
    else:
        app.task(fail)

    async def run() -> None:
        async with app.test() as t:
            await t.advance(2 * SECOND)
            await t.settle()

    with pytest.raises(RuntimeError, match="no such file"):
        await run()


async def test_a_flush_returns_when_all_is_durable() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int, partitions=3)
    async with app.test() as t:
        for order in range(1000):
            await orders.send(key=str(order), value=order)
        await app.flush()
        await t.crash()
        assert sorted(event.value for event in await t.records(orders)) == list(range(1000))
