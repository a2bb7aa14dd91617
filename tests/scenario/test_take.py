"""Batches of events: done together, and waiting in the log until they are."""

from datetime import timedelta

import millpond as mp
import pytest
from millpond.log.model import NewRecord, TopicPartition

pytestmark = pytest.mark.anyio

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


async def test_another_agents_work_on_the_events_of_a_batch_is_not_repeated() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    out = app.topic("out", value=int)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(orders)
    async def count(stream: mp.Stream[int]) -> None:
        async for order in stream:
            counts["seen"] += 1
            await out.send(value=order)

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(10, within=HOUR):
            counts["collected"] += len(batch)

    async with app.test() as t:
        for order in range(7):
            await t.send(orders, order)
        await t.settle()
        await t.crash()
        await t.settle()
        await t.advance(HOUR)
        assert dict(counts.view().items()) == {"seen": 7, "collected": 7}
        assert [event.value for event in await t.records(out)] == list(range(7))


@pytest.mark.parametrize("policy", [mp.DeadLetter("refused"), mp.Skip()], ids=repr)
async def test_a_batch_does_not_wait_across_a_record_that_was_passed_over(
    policy: mp.DeadLetter | mp.Skip,
) -> None:
    app = mp.App("shop")
    refused = app.topic("refused")
    orders = app.topic("orders", value=int, on_decode_error=policy)
    sums = app.Table("sums", key=str, value=int, default=int)

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(10, within=HOUR):
            sums["all"] += sum(batch.values)

    async with app.test() as t:
        producer = await t.engine.log.producer()
        values = [b"1", b"2", b"three", b"4"]
        records = [NewRecord(None, value, 1000) for value in values]
        await producer.append({TopicPartition("orders", 0): records})
        await t.settle()
        await t.crash()
        await t.settle()
        await t.advance(HOUR)
        assert sums.view()["all"] == 7
        found = [event.value for event in await t.records(refused)]
        assert found == ([b"three"] if isinstance(policy, mp.DeadLetter) else [])


async def test_a_batch_is_handed_out_when_it_is_full_or_its_time_has_come() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    batches: list[tuple[float, list[int]]] = []

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(3, within=10 * SECOND):
            batches.append(((t.now - begin) / SECOND, list(batch.values)))

    async with app.test() as t:
        begin = t.now
        for order in range(7):
            await orders.send(value=order)
        await t.settle()
        assert batches == [(0, [0, 1, 2]), (0, [3, 4, 5])]
        await t.advance(9 * SECOND)
        assert len(batches) == 2
        await t.send(orders, 7)
        await t.advance(SECOND)
        assert batches[2:] == [(10, [6, 7])]
        await t.advance(60 * SECOND)
        assert len(batches) == 3, "there are no empty batches"


async def test_what_a_batch_holds_is_not_committed() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    source = TopicPartition("orders", 0)

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for _ in stream.take(3, within=HOUR):
            pass

    async with app.test() as t:
        for order in range(5):
            await t.send(orders, order)
        await t.settle()
        committed = await t.engine.log.committed_offsets("shop.collect")
        assert committed[source].offset == 3
        assert t.engine.runners[0].held() == 2


async def test_in_a_batch_each_event_has_its_own_time_and_the_batch_the_latest() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", value=str)
    counts = app.Table("counts", key=str, value=int, default=int)
    counts = counts.tumbling(SECOND, grace=HOUR)

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(3, within=HOUR):
            await out.send(value=f"{len(batch)} begin")
            for event in batch.events():
                counts[event.key] += 1
                await out.send(value=f"{event.key} {event.value}")
            await out.send(value="end")

    async with app.test() as t:
        for key, time in (("a", 1000), ("b", 5000), ("a", 3000)):
            await orders.send(key=key, value=time, timestamp=time)
        await t.settle()
        sent = [(event.value, event.timestamp) for event in await t.records(out)]
        assert sent == [
            ("3 begin", 5000),
            ("a 1000", 1000),
            ("b 5000", 5000),
            ("a 3000", 3000),
            ("end", 5000),
        ]
        assert list(counts.view().items()) == [(1000, "a", 1), (3000, "a", 1), (5000, "b", 1)]


async def test_a_batch_may_write_plain_tables_as_a_whole() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    sums = app.Table("sums", key=str, value=int, default=int)

    @app.agent(orders)
    async def collect(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(4, within=SECOND):
            sums["all"] += sum(batch.values)

    async with app.test() as t:
        for order in range(10):
            await orders.send(value=order)
        await t.advance(SECOND)
        assert sums.view()["all"] == 45


@pytest.mark.parametrize(
    ("size", "within", "message"),
    [(0, SECOND, "a batch has at least 1 event"), (5, timedelta(0), "must be more than zero")],
)
async def test_senseless_batches_are_refused(size: int, within: timedelta, message: str) -> None:
    app = mp.App("shop")

    @app.agent(app.topic("orders", value=int))
    async def collect(stream: mp.Stream[int]) -> None:
        async for _ in stream.take(size, within=within):
            pass

    with pytest.raises(mp.AgentFailed, match=message):
        async with app.test():
            pytest.fail("it started")
