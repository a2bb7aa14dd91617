"""Batches of events: done together, and waiting in the log until they are."""

from datetime import timedelta

import millpond as mp
import pytest
from millpond.log.model import NewRecord, TopicPartition

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


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
