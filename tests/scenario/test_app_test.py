"""`app.test()`, as users have it for tests of their own."""

from datetime import UTC, datetime, timedelta

import anyio
import millpond as mp
import pytest
from millpond.log.model import TopicPartition

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Order(mp.Record):
    id: str
    user: str
    amount: float
    at: datetime


def shop() -> tuple[mp.App, mp.Topic, mp.Table]:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=Order, timestamp=lambda order: order.at)
    totals = app.Table("totals", key=str, value=float, default=float)

    @app.agent(orders)
    async def total(stream: mp.Stream[Order]) -> None:
        async for order in stream:
            totals[order.user] += order.amount

    return app, orders, totals


async def test_what_the_documentation_shows() -> None:
    app, orders, totals = shop()
    async with app.test() as t:
        await t.send(orders, Order("1", "ann", 5.0, at=t.now))
        await t.settle()
        assert totals.view()["ann"] == 5.0
        await t.crash()
        assert totals.view()["ann"] == 5.0
        await t.send(orders, Order("2", "ann", 2.0, at=t.now))
        await t.settle()
        assert totals.view()["ann"] == 7.0


async def test_records_are_shown_with_all_that_is_known_of_them() -> None:
    app, orders, _ = shop()
    async with app.test(start=datetime(2030, 5, 1, tzinfo=UTC)) as t:
        order = Order("1", "ann", 5.0, at=t.now)
        await t.send(orders, order, key="k", headers=[("trace", b"7")])
        [event] = await t.records(orders)
        [raw] = await t.records("orders")
    assert (event.key, event.value, event.headers) == ("k", order, [("trace", b"7")])
    assert event.timestamp == datetime(2030, 5, 1, tzinfo=UTC).timestamp() * 1000
    assert (event.partition, event.offset) == (TopicPartition("orders", 0), 0)
    assert raw.key == b"k"
    assert b'"ann"' in raw.value


async def test_time_passes_only_when_told() -> None:
    app = mp.App("shop")
    rung: list[datetime] = []

    @app.timer(timedelta(seconds=30))
    async def ring() -> None:
        rung.append(t.now)

    async with app.test() as t:
        begin = t.now
        await anyio.sleep(0.01)
        assert (t.now, rung) == (begin, [])
        await t.advance(timedelta(minutes=1, seconds=1))
        assert rung == [begin + timedelta(seconds=30), begin + timedelta(seconds=60)]
        assert t.now == begin + timedelta(seconds=61)


async def test_an_app_that_can_not_start_says_why() -> None:
    app, _, totals = shop()

    @app.agent(app.topic("refunds", value=Order, partitions=3))
    async def refund(stream: mp.Stream[Order]) -> None:
        async for order in stream:
            totals[order.user] -= order.amount

    with pytest.raises(mp.TopologyError, match=r"'orders'.*'refunds'"):
        async with app.test():
            pytest.fail("it started")


async def test_what_ends_the_app_ends_the_test() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)

    @app.agent(orders)
    async def divide(stream: mp.Stream[int]) -> None:
        async for order in stream:
            1 // order

    async def run() -> None:
        async with app.test() as t:
            await t.send(orders, 1)
            await t.send(orders, 0)
            await t.settle()
            pytest.fail("it went on")

    with pytest.raises(mp.AgentFailed, match="'divide' failed on orders-0 at offset 1: ZeroDiv"):
        await run()


async def test_an_error_of_the_test_itself_is_not_hidden() -> None:
    app, orders, _ = shop()

    async def run() -> None:
        async with app.test() as t:
            await t.send(orders, Order("1", "ann", 5.0, at=t.now))
            raise ValueError("as the test says")

    with pytest.raises(ValueError, match="as the test says"):
        await run()


async def test_an_app_is_tested_again_from_nothing() -> None:
    app, orders, totals = shop()
    for _ in range(2):
        async with app.test() as t:
            await t.send(orders, Order("1", "ann", 5.0, at=t.now))
            await t.settle()
            assert totals.view()["ann"] == 5.0


@pytest.mark.parametrize("lose_unsynced", [True, False])
async def test_a_crash_takes_what_was_not_durable_and_nothing_else(lose_unsynced: bool) -> None:
    app, orders, totals = shop()
    async with app.test() as t:
        for number in range(5):
            await t.send(orders, Order(str(number), "ann", 1.0, at=t.now))
            await t.crash(lose_unsynced=lose_unsynced)
        await t.settle()
        assert totals.view()["ann"] == 5.0
        assert [event.value.id for event in await t.records(orders)] == list("01234")


async def test_restart_is_orderly() -> None:
    app, orders, totals = shop()
    async with app.test() as t:
        await t.send(orders, Order("1", "ann", 5.0, at=t.now))
        await t.restart()
        await t.settle()
        assert totals.view()["ann"] == 5.0


async def test_one_app_runs_once_at_a_time() -> None:
    app, _, _ = shop()
    async with app.test():
        with pytest.raises(mp.StreamError, match="'shop' is running already"):
            async with app.test():
                pytest.fail("it started twice")


async def test_an_app_that_does_not_run_says_how_to_run_it() -> None:
    app, orders, totals = shop()
    for use in (lambda: totals.view(), lambda: app.running, lambda: orders.send(value=None)):
        with pytest.raises(mp.StreamError, match=r"not running: use `async with app.run\(\)"):
            use()
