"""Windowed tables: values by event time, final values once, late events told apart."""

from datetime import timedelta

import millpond as mp
import pytest

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
NO_GRACE = timedelta(0)


async def test_a_window_that_comes_late_to_another_table_is_late_once() -> None:
    app = mp.App("shop")
    clicks = app.topic("clicks", key=str, value=int)
    late = app.topic("late", key=str, value=int)
    long = app.Table("long", key=str, value=int, default=int).tumbling(10 * SECOND, grace=NO_GRACE)
    short = app.Table("short", key=str, value=int, default=int)
    short = short.tumbling(SECOND, grace=NO_GRACE, late=late)

    @app.agent(clicks)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            long[event.key] += 1

    @app.agent(long.closed)
    async def count_again(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            short[window.key] += window.value

    async with app.test() as t:
        for key, second in (("ann", 0), ("bob", 5), ("ann", 7), ("ann", 20)):
            await clicks.send(key=key, value=1, timestamp=second * SECOND)
        await t.settle()
        found = [(event.key, event.value, event.timestamp) for event in await t.records(late)]
        assert found == [("ann", 2, 9_999), ("bob", 1, 9_999)]
        assert list(short.view().items()) == []


@pytest.mark.parametrize("followed", [False, True], ids=["not followed", "followed"])
@pytest.mark.parametrize("fetch_bytes", [1, 1 << 20])
async def test_which_windows_are_open_is_a_matter_of_time_alone(
    fetch_bytes: int, followed: bool
) -> None:
    app = mp.App("shop", settings=mp.Settings(fetch_bytes=fetch_bytes))
    clicks = app.topic("clicks", key=str, value=int)
    counts = app.Table("counts", key=str, value=int, default=int)
    counts = counts.tumbling(10 * SECOND, grace=NO_GRACE)
    seen: list[tuple[list[int], int | None]] = []

    @app.agent(clicks)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            counts[event.key] += 1
            seen.append(([start // 1000 for start, _, _ in counts.items()], counts.at("ann", 0)))

    if followed:

        @app.agent(counts.closed)
        async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
            async for _ in stream:
                pass

    async with app.test() as t:
        for second in (0, 9, 10, 5, 25):
            await clicks.send(key="ann", value=1, timestamp=second * SECOND)
        await t.settle()
    assert seen == [([0], 1), ([0], 2), ([10], None), ([10], None), ([20], None)]
