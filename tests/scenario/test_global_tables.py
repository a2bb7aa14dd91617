"""Global tables: a whole topic in every worker, there before the first event, and up to date soon."""

from typing import Any

import millpond as mp
import pytest
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio


class User(mp.Record, frozen=True):
    name: str


class Shop:
    def __init__(self) -> None:
        self.app = mp.App("shop", settings=mp.Settings(partitions=3))
        self.orders = self.app.topic("orders", key=str, value=int)
        self.named = self.app.topic("named", key=str, value=str)
        users = self.app.topic("users", key=str, value=User, config={"cleanup.policy": "compact"})
        self.users_topic = users
        self.users = self.app.GlobalTable("users", topic=users)
        self.app.agent(self.orders)(self.name)

    async def name(self, stream: mp.Stream[int]) -> None:
        async for order in stream.events():
            user = self.users.get(order.key)
            name = "nobody" if user is None else user.name
            await self.named.send(key=order.key, value=f"{order.value} by {name}")


async def values(t: AppTest, topic: Any) -> list[Any]:
    return [event.value for event in await t.records(topic)]


async def test_what_was_there_is_known_before_the_first_event() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        for key in "abcdef":
            await shop.users_topic.send(key=key, value=User(key.upper()))
        await shop.app.flush()
        await t.crash()
        assert len(shop.users) == 6
        for key in "abcdefg":
            await shop.orders.send(key=key, value=1)
        await t.settle()
        expected = {f"1 by {key.upper()}" for key in "abcdef"} | {"1 by nobody"}
        assert set(await values(t, shop.named)) == expected


async def test_it_follows_its_topic() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        for name in ("Ann", "Anna", None):
            await t.send(shop.users_topic, name and User(name), key="a")
            await t.settle()
            await t.send(shop.orders, 1, key="a")
            await t.settle()
        assert await values(t, shop.named) == ["1 by Ann", "1 by Anna", "1 by nobody"]


async def test_it_reads_like_a_mapping() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        await t.send(shop.users_topic, User("Ann"), key="a")
        await t.settle()
        assert shop.users["a"] == User("Ann")
        assert "a" in shop.users
        assert dict(shop.users.items()) == {"a": User("Ann")}
        assert shop.users.get("b") is None
        assert "b" not in shop.users
        with pytest.raises(KeyError):
            shop.users["b"]


async def test_what_has_no_key_is_nobodys() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        await t.send(shop.users_topic, User("Ann"))
        await t.restart()
        assert len(shop.users) == 0


async def test_its_partitions_need_not_be_those_of_the_stream() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int, partitions=2)
    users = app.GlobalTable("users", topic=app.topic("users", key=str, value=str, partitions=5))
    totals = app.Table("totals", key=str, value=int, default=int)

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream.events():
            totals[users.get(order.key, "nobody")] += order.value

    async with app.test() as t:
        await t.send(users.topic, "Ann", key="a")
        await t.restart()
        await t.send(orders, 5, key="a")
        await t.settle()
        assert dict(totals.view().items()) == {"Ann": 5}
