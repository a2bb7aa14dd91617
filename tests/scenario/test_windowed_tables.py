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


def counting(*, grace: timedelta = NO_GRACE, step: timedelta | None = None) -> tuple:
    """Make an app that counts clicks by key, in windows of 10 seconds."""
    app = mp.App("shop")
    clicks = app.topic("clicks", key=str, value=int)
    counts = app.Table("counts", key=str, value=int, default=int)
    windowed = (
        counts.tumbling(10 * SECOND, grace=grace)
        if step is None
        else counts.hopping(10 * SECOND, step, grace=grace)
    )

    @app.agent(clicks)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            windowed[event.key] += 1

    return app, clicks, windowed


async def click(topic: mp.Topic, *seconds: float, key: str = "ann") -> None:
    for second in seconds:
        await topic.send(key=key, value=1, timestamp=second * SECOND)


async def test_an_event_counts_in_the_window_of_its_own_time() -> None:
    app, clicks, counts = counting(grace=60 * SECOND)
    async with app.test() as t:
        await click(clicks, 0, 9.999, 10, 25, 3)
        await t.settle()
        view = counts.view()
        assert list(view.items()) == [(0, "ann", 3), (10_000, "ann", 1), (20_000, "ann", 1)]
        assert view.get("ann", timedelta(seconds=9)) == 3
        assert view.windows("ann") == [(0, 3), (10_000, 1), (20_000, 1)]
        assert view.get("bob", timedelta(seconds=9)) is None


async def test_overlapping_windows_each_count_the_event() -> None:
    app, clicks, counts = counting(grace=60 * SECOND, step=5 * SECOND)
    async with app.test() as t:
        await click(clicks, 12, 17)
        await t.settle()
        assert list(counts.view().items()) == [
            (5000, "ann", 1),
            (10000, "ann", 2),
            (15000, "ann", 1),
        ]


async def test_grace_decides_what_is_late_to_the_millisecond() -> None:
    app, clicks, counts = counting(grace=5 * SECOND)
    async with app.test() as t:
        await click(clicks, 1, 14.999, 2)  # the window up to 10 is open until 15
        await t.settle()
        assert list(counts.view().items()) == [(0, "ann", 2), (10_000, "ann", 1)]
        await click(clicks, 15, 3)
        await t.settle()
        assert list(counts.view().items()) == [(10_000, "ann", 2)]
        [late] = await t.records(counts.late)
    assert (late.key, late.timestamp) == (b"ann", 3000)
    headers = dict(late.headers)
    assert headers["millpond.late.table"] == b"counts"
    assert headers["millpond.late.window-start"] == b"0"
    assert headers["millpond.late.by-ms"] == b"0"


async def test_each_window_is_closed_once_and_the_wall_clock_has_no_say() -> None:
    app, clicks, counts = counting()
    out = app.topic("out", key=str, value=int)

    @app.agent(counts.closed)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream.events():
            assert window.key == window.value.key
            assert window.timestamp == window.value.end - 1
            await out.send(key=window.key, value=window.value.value)

    async with app.test() as t:
        await click(clicks, 1, 2)
        await click(clicks, 3, key="bob")
        await t.settle()
        await t.advance(timedelta(days=1))
        assert await t.records(out) == [], "no event has come that says the window is over"
        for second in (10, 11, 35):
            await click(clicks, second)
            await t.settle()
            await t.crash()
        await t.settle()
        found = [(event.key, event.value, event.timestamp) for event in await t.records(out)]
    assert found == [("ann", 2, 9_999), ("bob", 1, 9_999), ("ann", 2, 19_999)]


async def test_updates_follow_each_write_in_order() -> None:
    app, clicks, counts = counting(grace=60 * SECOND, step=5 * SECOND)
    out = app.topic("out", value=str)
    total = app.Table("total", key=str, value=int, default=int)

    @app.agent(counts.updates)
    async def follow(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            total["updates"] += 1
            await out.send(value=f"{window.key} {window.start // 1000} {window.value}")

    async with app.test() as t:
        await click(clicks, 12)
        await click(clicks, 17, key="bob")
        await click(clicks, 13)
        await t.settle()
        await t.crash()
        await t.settle()
        assert [event.value for event in await t.records(out)] == [
            "ann 5 1",
            "ann 10 1",
            "bob 10 1",
            "bob 15 1",
            "ann 5 2",
            "ann 10 2",
        ]
        assert total.view()["updates"] == 6


async def test_closed_windows_feed_longer_ones() -> None:
    app, clicks, counts = counting()
    by_minute = app.Table("by-minute", key=str, value=list[int], default=list)
    by_minute = by_minute.tumbling(60 * SECOND, grace=30 * SECOND)
    out = app.topic("out", key=str, value=list[int])

    @app.agent(counts.closed)
    async def add_up(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            by_minute[window.key].append(window.value)

    @app.agent(by_minute.closed)
    async def publish(stream: mp.Stream[mp.Window[str, list[int]]]) -> None:
        async for window in stream:
            await out.send(key=window.key, value=window.value)

    async with app.test() as t:
        for second in (1, 2, 15, 59, 61, 130, 200):
            await click(clicks, second)
            await t.settle()
            await t.crash()
        await t.settle()
        assert [event.value for event in await t.records(out)] == [[2, 1, 1], [1]]


async def test_values_that_are_changed_in_place_are_kept() -> None:
    app = mp.App("shop")
    clicks = app.topic("clicks", key=str, value=int)
    lists = app.Table("lists", key=str, value=list[int], default=list)
    tumbling = lists.tumbling(10 * SECOND, grace=60 * SECOND)
    more = app.Table("more", key=str, value=list[int], default=list)
    hopping = more.hopping(10 * SECOND, 5 * SECOND, grace=60 * SECOND)

    @app.agent(clicks)
    async def collect(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            tumbling[event.key].append(event.value)
            for each in hopping[event.key].values:
                each.append(event.value)

    async with app.test() as t:
        for number, second in enumerate((1, 12, 3, 16)):
            await clicks.send(key="ann", value=number, timestamp=second * SECOND)
            await t.settle()
            await t.crash()
        await t.settle()
        assert list(tumbling.view().items()) == [(0, "ann", [0, 2]), (10_000, "ann", [1, 3])]
        in_hopping = {start // 1000: value for start, _, value in hopping.view().items()}
        assert in_hopping == {-5: [0, 2], 0: [0, 2], 5: [1], 10: [1, 3], 15: [3]}


async def test_other_ways_to_read_and_write_a_window() -> None:
    app = mp.App("shop")
    clicks = app.topic("clicks", key=str, value=int)
    peaks = app.Table("peaks", key=str, value=int).tumbling(10 * SECOND, grace=60 * SECOND)
    seen: list = []

    @app.agent(clicks)
    async def keep(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            if event.value == 0:
                del peaks[event.key]
            elif event.key not in peaks:
                with pytest.raises(KeyError):
                    peaks[event.key]
                peaks[event.key] = event.value
            else:
                peaks.update(event.key, lambda peak, value=event.value: max(peak, value))
            seen.append((peaks.get(event.key), peaks.at(event.key, 0), peaks.get(event.key, -1)))

    async with app.test() as t:
        for value, second in ((3, 1), (5, 2), (4, 3), (7, 11), (0, 4)):
            await clicks.send(key="ann", value=value, timestamp=second * SECOND)
        await t.settle()
        assert list(peaks.view().items()) == [(10_000, "ann", 7)]
    assert seen == [(3, 3, 3), (5, 5, 5), (5, 5, 5), (7, 5, 7), (None, None, -1)]


async def test_a_batch_as_a_whole_has_no_window() -> None:
    app = mp.App("shop")
    clicks = app.topic("clicks", key=str, value=int)
    counts = app.Table("counts", key=str, value=int, default=int)
    counts = counts.tumbling(10 * SECOND, grace=60 * SECOND)

    @app.agent(clicks)
    async def count(stream: mp.Stream[int]) -> None:
        async for batch in stream.take(1, within=SECOND):
            for _ in batch:
                counts["fine"] += 1
            counts["all"] += len(batch)

    async def run() -> None:
        async with app.test() as t:
            await click(clicks, 1)
            await t.settle()

    with pytest.raises(mp.AgentFailed, match="iterate the batch, as in `for value in batch:`"):
        await run()
