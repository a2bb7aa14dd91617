"""Tables that agents share: who sees what, in which order, and what a crash leaves of it."""

from collections.abc import Callable
from typing import Any

import millpond as mp
import msgspec
import pytest

pytestmark = pytest.mark.anyio

EVENTS = [
    ("a", 5, "a1"),
    ("a", 5, "a2"),
    ("b", 3, "b1"),
    ("b", 5, "b2"),
    ("b", 6, "b3"),
    ("a", 6, "a3"),
]
BY_TIME = ["b1", "a1", "a2", "b2", "a3", "b3"]


def numbering(fetch_bytes: int) -> tuple[mp.App, dict[str, mp.Topic], mp.Topic]:
    """Make an app of two agents on two topics, which number what they see in a shared table."""
    app = mp.App("shop", settings=mp.Settings(fetch_bytes=fetch_bytes))
    topics = {name: app.topic(name, value=str) for name in ("a", "b")}
    out = app.topic("out", value=str)
    seen = app.Table("seen", key=str, value=int, default=int)

    @app.agent(topics["a"])
    async def of_a(stream: mp.Stream[str]) -> None:
        async for event in stream:
            seen["all"] += 1
            await out.send(value=f"{seen['all']} {event}")

    @app.agent(topics["b"])
    async def of_b(stream: mp.Stream[str]) -> None:
        async for event in stream:
            seen["all"] += 1
            await out.send(value=f"{seen['all']} {event}")

    return app, topics, out


@pytest.mark.parametrize("fetch_bytes", [1, 100, 1 << 20])
async def test_two_sources_are_merged_by_time_however_much_is_fetched(fetch_bytes: int) -> None:
    app, topics, out = numbering(fetch_bytes)
    async with app.test() as t:
        for name, time, value in EVENTS:
            await topics[name].send(value=value, timestamp=time)
        await t.settle()
        written = [event.value for event in await t.records(out)]
    assert written == [f"{number} {value}" for number, value in enumerate(BY_TIME, start=1)]


class Total(mp.Record):
    count: int = 0
    last: list[int] = msgspec.field(default_factory=list)


class Shop:
    """An app with one agent, whose body is the test's own."""

    def __init__(self, **settings: Any) -> None:
        self.app = mp.App("shop", settings=mp.Settings(**settings))
        self.orders = self.app.topic("orders", key=str, value=int)

    def table(self, name: str, value: Any, default: Any = None) -> mp.Table:
        return self.app.Table(name, key=str, value=value, default=default)

    def on_each(self, handle: Callable[[mp.Event[int]], None], *tables: mp.Table) -> None:
        async def agent(stream: mp.Stream[int]) -> None:
            async for event in stream.events():
                handle(event)

        self.app.agent(self.orders, tables=tables)(agent)


@pytest.mark.parametrize("value", [Total, dict, list[int]], ids=repr)
@pytest.mark.parametrize("settled", [True, False], ids=["a commit each", "one commit"])
async def test_what_is_changed_in_place_is_kept(value: Any, settled: bool) -> None:
    shop = Shop()
    changed = shop.table("changed", value, value if value is not list[int] else list)

    def change(event: mp.Event[int]) -> None:
        found = changed[event.key]
        if value is Total:
            found.count += 1
            found.last.append(event.value)
        elif value is dict:
            found.setdefault("last", []).append(event.value)
        else:
            found.append(event.value)

    shop.on_each(change, changed)
    async with shop.app.test() as t:
        for order in range(4):
            await shop.orders.send(key="ann", value=order)
            if settled:
                await t.settle()
                await t.crash()
        await t.settle()
        await t.crash()
        expected: Any = [0, 1, 2, 3]
        if value is Total:
            expected = Total(4, [0, 1, 2, 3])
        elif value is dict:
            expected = {"last": [0, 1, 2, 3]}
        assert changed.view()["ann"] == expected


async def test_who_holds_on_to_a_value_changes_nothing_later() -> None:
    shop = Shop()
    lists = shop.table("lists", list[int], list)
    held: list[list[int]] = []

    def change(event: mp.Event[int]) -> None:
        if event.key == "meddle":
            held[0].append(99)
        else:
            lists[event.key].append(event.value)
            held.append(lists[event.key])

    shop.on_each(change, lists)
    async with shop.app.test() as t:
        await t.send(shop.orders, 1, key="ann")
        await t.settle()
        await t.send(shop.orders, 0, key="meddle")
        await t.settle()
        lists.view()["ann"].append(98)
        await t.send(shop.orders, 2, key="ann")
        await t.settle()
        assert held[0] == [1, 99]
        assert lists.view()["ann"] == [1, 2]


async def test_reading_a_default_keeps_nothing() -> None:
    shop = Shop()
    lists = shop.table("lists", list[int], list)
    counts = shop.table("counts", int, int)

    def look(event: mp.Event[int]) -> None:
        assert (lists[event.key], counts[event.key]) == ([], 0)

    shop.on_each(look, lists, counts)
    async with shop.app.test() as t:
        await t.send(shop.orders, 1, key="ann")
        await t.settle()
        assert list(lists.view().items()) == []
        assert list(counts.view().items()) == []
        assert (await t.records("shop-lists-changelog")) == []


async def test_a_table_reads_like_a_dict() -> None:
    shop = Shop()
    table = shop.table("table", int)
    seen: list[Any] = []

    def use(event: mp.Event[int]) -> None:
        assert event.key not in table
        assert table.get(event.key) is None
        assert table.get(event.key, 7) == 7
        with pytest.raises(KeyError):
            table[event.key]
        table[event.key] = event.value
        assert event.key in table
        seen.append(list(table.items()))
        if event.value == 3:
            del table["a"]
            del table["never was"]
            seen.append(list(table.items()))

    shop.on_each(use, table)
    async with shop.app.test() as t:
        for key, value in (("b", 1), ("a", 2), ("c", 3)):
            await t.send(shop.orders, value, key=key)
            await t.settle()
        view = table.view()
        assert dict(view.items()) == {"b": 1, "c": 3}
        assert list(view) == ["b", "c"]
        assert "a" not in view
        with pytest.raises(KeyError):
            view["a"]
    assert seen == [
        [("b", 1)],
        [("a", 2), ("b", 1)],
        [("a", 2), ("b", 1), ("c", 3)],
        [("b", 1), ("c", 3)],
    ]


async def test_a_view_shows_what_is_committed_and_nothing_else() -> None:
    shop = Shop()
    table = shop.table("table", int, int)
    seen: list[tuple[int, int | None]] = []

    def use(event: mp.Event[int]) -> None:
        table["n"] += 1
        seen.append((table["n"], table.view().get("n")))

    shop.on_each(use, table)
    async with shop.app.test() as t:
        for _ in range(2):
            for order in range(2):
                await shop.orders.send(value=order)
            await t.settle()
    assert seen == [(1, None), (2, None), (3, 2), (4, 2)]


async def test_each_partition_has_a_table_of_its_own() -> None:
    shop = Shop(partitions=3)
    counts = shop.table("counts", int, int)
    seen: set[tuple[int, int]] = set()

    def use(event: mp.Event[int]) -> None:
        counts[event.key] += 1
        seen.add((event.partition.partition, len(list(counts.items()))))

    shop.on_each(use, counts)
    async with shop.app.test() as t:
        for order in range(60):
            await shop.orders.send(key=str(order), value=order)
        await t.settle()
        assert dict(counts.view().items()) == {str(order): 1 for order in range(60)}
        assert all(counts.view()[str(order)] == 1 for order in range(60))
    assert sum(max(size for p, size in seen if p == partition) for partition in range(3)) == 60


async def test_a_table_comes_back_from_its_changelog_alone() -> None:
    shop = Shop(partitions=2)
    counts = shop.table("counts", int, int)

    def use(event: mp.Event[int]) -> None:
        counts[event.key] += event.value
        if counts[event.key] > 3:
            del counts[event.key]

    shop.on_each(use, counts)
    async with shop.app.test() as t:
        for order in range(30):
            await t.send(shop.orders, 1, key=str(order % 7))
        await t.settle()
        before = dict(counts.view().items())
        assert before
        t._backends.clear()
        await t.crash()
        assert dict(counts.view().items()) == before
