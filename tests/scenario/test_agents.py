"""Agents at work: what they see, what they send, how fast they go, and where they go on."""

from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import millpond as mp
import pytest
from millpond.log.model import CommittedOffset, TopicPartition
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def values(t: AppTest, topic: mp.Topic) -> list:
    return [event.value for event in await t.records(topic)]


async def test_one_instance_runs_for_each_partition() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int, partitions=3)
    out = app.topic("out", value=str)

    @app.agent(orders)
    async def say(stream: mp.Stream[int]) -> None:
        count = 0
        async for order in stream:
            count += 1
            await out.send(value=f"{stream.partition}: {order} is its {count}.")

    async with app.test() as t:
        for order in range(4):
            await orders.send(value=order, partition=order % 2)
        await t.settle()
        assert sorted(await values(t, out)) == [
            "0: 0 is its 1.",
            "0: 2 is its 2.",
            "1: 1 is its 1.",
            "1: 3 is its 2.",
        ]


async def test_an_event_comes_with_all_that_is_known_of_it() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    seen: list[mp.Event] = []

    @app.agent(orders)
    async def look(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            seen.append(event)

    async with app.test() as t:
        await orders.send(key="ann", value=5, timestamp=77, headers=[("trace", b"7")])
        await orders.send()
        await t.settle()
        now_ms = int(t.now.timestamp() * 1000)
    where = TopicPartition("orders", 0)
    assert [(e.key, e.value, e.timestamp, list(e.headers)) for e in seen] == [
        ("ann", 5, 77, [("trace", b"7")]),
        (None, None, now_ms, []),
    ]
    assert [(e.partition, e.offset) for e in seen] == [(where, 0), (where, 1)]


@pytest.mark.parametrize(
    ("options", "time"),
    [
        ({}, 5_000),
        ({"timestamp": 9}, 9),
        ({"timestamp": EPOCH + SECOND}, 1000),
    ],
    ids=["inherited", "in ms", "as a datetime"],
)
async def test_what_is_sent_has_the_time_of_its_event(options: dict, time: int) -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    plain = app.topic("plain", value=int)
    timed = app.topic("timed", value=int, timestamp=lambda value: timedelta(minutes=value))

    @app.agent(orders)
    async def forward(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await plain.send(value=order, **options)
            await timed.send(value=order, **options)

    async with app.test() as t:
        await orders.send(value=3, timestamp=5_000)
        await t.settle()
        assert [event.timestamp for event in await t.records(plain)] == [time]
        assert [event.timestamp for event in await t.records(timed)] == [
            time if options else 180_000
        ]


async def test_agents_of_one_topic_each_see_all_of_it() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    outs = [app.topic(f"out-{number}", value=int) for number in range(2)]

    @app.agent(orders)
    async def first(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await outs[0].send(value=order)

    @app.agent(orders)
    async def second(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await outs[1].send(value=-order)

    async with app.test() as t:
        for order in range(3):
            await orders.send(value=order)
        await t.settle()
        assert [await values(t, out) for out in outs] == [[0, 1, 2], [0, -1, -2]]


async def test_a_slow_agent_holds_up_nobody_else() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)
    gate = anyio.Event()

    @app.agent(orders)
    async def slow(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            await gate.wait()

    @app.agent(orders)
    async def fast(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await out.send(value=order)

    async with app.test() as t:
        for order in range(3):
            await orders.send(value=order)
        await app.flush()
        while len(await values(t, out)) < 3:
            t.engine.runners[1].commit_soon()
            await anyio.lowlevel.checkpoint()
        assert t.engine.lag() == {"slow": 3, "fast": 0}
        gate.set()
        await t.settle()
        assert t.engine.lag() == {"slow": 0, "fast": 0}


async def test_a_restarted_app_goes_on_where_it_was() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)

    @app.agent(orders)
    async def forward(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await out.send(value=order)

    async with app.test() as t:
        for order in range(6):
            await t.send(orders, order)
            if order % 2:
                await t.restart()
            if order % 3 == 2:
                await t.crash()
        await t.settle()
        assert await values(t, out) == list(range(6))


async def test_what_retention_has_deleted_is_not_waited_for() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)
    source = TopicPartition("orders", 0)

    @app.agent(orders)
    async def forward(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await out.send(value=order)

    async with app.test() as t:
        for order in range(5):
            await t.send(orders, order)
        await t.settle()
        # As if the app had stopped after the first, and come back after a long time.
        await t.engine.log.commit_offsets("shop.forward", {source: CommittedOffset(1)})
        await t.engine.log.delete_records({source: 3})
        await t.restart()
        await t.settle()
        assert await values(t, out) == [0, 1, 2, 3, 4, 3, 4]


# Rates, in virtual time.


async def test_a_rate_is_kept_and_the_rest_waits_in_the_log() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int, partitions=2)
    done: list[datetime] = []

    @app.agent(orders, flow=mp.Flow(rate=mp.Rate(10)))
    async def write(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            done.append(t.now)

    async with app.test() as t:
        begin = t.now
        for order in range(31):
            await orders.send(value=order, partition=order % 2)
        await t.settle()
        assert len(done) == 31
    for second in range(3):
        until = begin + (second + 1) * SECOND
        assert sum(time < until for time in done) == 10 * (second + 1)
    assert max(done) == begin + 3 * SECOND


async def test_a_rate_holds_back_nobody_elses_events() -> None:
    app = mp.App("shop")
    orders, clicks = app.topic("orders", value=int), app.topic("clicks", value=int)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(orders, flow=mp.Flow(rate=mp.Rate(1)))
    async def write(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            counts["orders"] += 1

    @app.agent(clicks)
    async def click(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            counts["clicks"] += 1

    async with app.test() as t:
        begin = t.now
        for click_number in range(100):
            await clicks.send(value=click_number)
        await t.settle()
        assert counts.view()["clicks"] == 100
        assert t.now == begin
        for order in range(3):
            await orders.send(value=order)
        await t.settle()
        assert t.now == begin + 2 * SECOND
