"""What becomes of an event on which an agent fails, and of what it had done before it failed."""

from datetime import timedelta

import millpond as mp
import pytest

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def test_windows_in_a_batch_that_fails_are_given_up_one_by_one() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    counts = app.Table("counts", key=str, value=int, default=int)
    per_window = counts.tumbling(timedelta(seconds=10), grace=timedelta(0))

    @app.agent(orders)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            per_window[event.key] += 1

    policy = mp.Retry(2).then(mp.DeadLetter("refused"))

    @app.agent(per_window.closed, on_error=policy)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for batch in stream.take(5, within=HOUR):
            for window in batch:
                await out.send(key=window.key, value=window.start)
                if window.value == 2:
                    raise ValueError("two is too many")

    async with app.test() as t:
        for second in (0, 10, 10, 20, 30, 40, 50, 60):
            await orders.send(key="k", value=1, timestamp=timedelta(seconds=second))
        await t.settle()
        written = [event.value for event in await t.records(out)]
        [refused] = await t.records("refused")
    assert written == [0, 20_000, 30_000, 40_000, 50_000]
    assert (refused.key, refused.value, refused.timestamp) == (b"k", b"2", 19_999)
    headers = dict(refused.headers)
    assert headers["millpond.error"] == b"two is too many"
    assert headers["millpond.attempts"] == b"3"
