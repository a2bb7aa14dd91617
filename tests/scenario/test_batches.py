"""A batch that can't be saved gives up no more of its events than it must."""

from datetime import timedelta
from typing import Any

import millpond as mp
import pytest

pytestmark = pytest.mark.anyio


async def test_only_the_events_that_fail_alone_are_dead_lettered() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int, partitions=1)
    stored = app.topic("stored", key=str, value=int)
    sizes = []

    @app.agent(orders, on_error=mp.Retry(2, backoff=(0.1, 0.2)).then(mp.DeadLetter("orders.dlq")))
    async def store(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(10, within=timedelta(seconds=1)):
            sizes.append(len(batch))
            for number in batch:
                if number in {3, 7}:
                    raise ValueError(number)
                await stored.send(key="k", value=number)

    async with app.test() as t:
        for number in range(10):
            await t.send(orders, number, key="k")
        await t.settle()

        assert await values(t, stored) == [0, 1, 2, 4, 5, 6, 8, 9]
        assert await values(t, "orders.dlq") == [b"3", b"7"]
        assert sizes[:3] == [10, 10, 10], "tried whole as often as the policy says"
        assert set(sizes[3:]) == {1}, "then one by one"

        for number in range(20, 30):
            await t.send(orders, number, key="k")
        await t.settle()
        assert sizes[-1] == 10, "the next batch is whole again"


async def values(t: Any, topic: Any) -> list[Any]:
    return [event.value for event in await t.records(topic)]
