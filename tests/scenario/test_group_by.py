"""Re-keying: equal keys meet in one partition, with the values and times they had."""

from typing import Any

import millpond as mp
import pytest
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio


class Order(mp.Record, frozen=True):
    id: int
    user: str | None
    amount: int = 1


class Shop:
    def __init__(self, partitions: int = 3, **options: Any) -> None:
        self.app = mp.App("shop")
        self.orders = self.app.topic("orders", key=int, value=Order, partitions=partitions)
        self.by_user = self.orders.group_by(lambda order: order.user, name="by-user", **options)
        self.totals = self.app.Table("totals", key=str, value=int, default=int)
        self.seen: list[mp.Event[Order]] = []
        self.app.agent(self.by_user)(self.add)

    async def add(self, stream: mp.Stream[Order]) -> None:
        async for event in stream.events():
            self.seen.append(event)
            self.totals[event.key] += event.value.amount


async def partitions_used(t: AppTest, topic: Any) -> set[int]:
    return {event.partition.partition for event in await t.records(topic)}


async def test_equal_keys_meet() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        for number in range(60):
            await shop.orders.send(key=number, value=Order(number, "abc"[number % 3]))
        await t.settle()
        assert await partitions_used(t, shop.orders) == {0, 1, 2}
        assert dict(shop.totals.view().items()) == {"a": 20, "b": 20, "c": 20}
        assert len({(event.key, event.partition) for event in shop.seen}) == 3
        await t.crash()
        await t.settle()
        assert dict(shop.totals.view().items()) == {"a": 20, "b": 20, "c": 20}


async def test_values_times_and_headers_stay_as_they_were() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        order = Order(1, "ann", 5)
        await shop.orders.send(key=1, value=order, timestamp=77, headers=[("trace", b"7")])
        await t.settle()
    [event] = shop.seen
    assert (event.key, event.value, event.timestamp) == ("ann", order, 77)
    assert list(event.headers) == [("trace", b"7")]
    assert event.partition.topic == "shop-by-user-repartition"


async def test_what_belongs_to_no_group_is_left_out() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        await shop.orders.send(key=1, value=Order(1, None))
        await shop.orders.send(key=1)
        await shop.orders.send(key=1, value=Order(1, "ann"))
        await t.settle()
    assert [event.key for event in shop.seen] == ["ann"]


async def test_a_group_may_have_another_type_and_another_number_of_partitions() -> None:
    shop = Shop(partitions=2)
    by_id = shop.orders.group_by(lambda o: o.id % 7, name="by-id", key_type=int, partitions=5)
    counts = shop.app.Table("counts", key=int, value=int, default=int)

    @shop.app.agent(by_id)
    async def count(stream: mp.Stream[Order]) -> None:
        async for event in stream.events():
            counts[event.key] += 1

    async with shop.app.test() as t:
        for number in range(70):
            await shop.orders.send(key=number, value=Order(number, "ann"))
        await t.settle()
        assert dict(counts.view().items()) == dict.fromkeys(range(7), 10)
        described = await t.engine.log.describe_topics([by_id.name])
        assert described[by_id.name].partitions == 5


async def test_a_group_may_be_grouped_again() -> None:
    shop = Shop()
    again = shop.by_user.group_by(lambda order: order.user[0], name="by-initial")
    counts = shop.app.Table("counts", key=str, value=int, default=int)

    @shop.app.agent(again)
    async def count(stream: mp.Stream[Order]) -> None:
        async for event in stream.events():
            counts[event.key] += 1

    async with shop.app.test() as t:
        for number, user in enumerate(["ann", "alf", "bob"]):
            await shop.orders.send(key=number, value=Order(number, user))
        await t.settle()
        assert dict(counts.view().items()) == {"a": 2, "b": 1}


async def test_a_key_that_can_not_be_computed_is_told_with_its_record() -> None:
    shop = Shop()
    broken = shop.orders.group_by(lambda order: order.no_such_field, name="broken")

    @shop.app.agent(broken)
    async def use(stream: mp.Stream[Order]) -> None:
        async for _ in stream:
            pass

    async def run() -> None:
        async with shop.app.test() as t:
            await shop.orders.send(key=1, value=Order(1, "ann"), partition=2)
            await t.settle()

    with pytest.raises(mp.AgentFailed, match="'broken' failed on orders-2 at offset 0: Attrib"):
        await run()


async def test_what_was_consumed_is_deleted_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.streams.engine.commits.PURGE_EVERY", 10)
    shop = Shop(partitions=1)
    async with shop.app.test() as t:
        for number in range(50):
            await t.send(shop.orders, Order(number, "ann"), key=number)
            await t.settle()
        assert len(await t.records(shop.by_user)) < 10
        assert len(await t.records(shop.orders)) == 50
        await t.crash()
        await t.settle()
        assert shop.totals.view()["ann"] == 50
